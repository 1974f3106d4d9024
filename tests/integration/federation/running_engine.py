"""An engine at work whose ServerApp does what a test asks of it, so that many tests share one costly start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import psutil
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

from fedforge_runtime.engines import open_engine
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.federation.forwarding import ForwardingGrid
from fedforge_runtime.federation.grid import Answer, RunGrid
from fedforge_runtime.processes import TEMPLATE
from fedforge_runtime.telemetry.control import Desired
from fedforge_runtime.telemetry.emitter import Emitter
from tests.support.hurried_clock import time_out_once
from tests.support.patience import PATIENCE_SECONDS

SITES = 3
SETTING = "what the run was told"

ResultT = TypeVar("ResultT")


class ArrivalGrid(ForwardingGrid):
    """Remembers the order in which replies arrive, and leaves a file for each."""

    def __init__(self, inner: Grid, folder: Path) -> None:
        super().__init__(inner)
        self.order: list[int] = []
        self._folder = folder
        self._sites: dict[int, int] = {}
        self._nodes: dict[str, int] = {}

    def expect(self, nodes: Iterable[int]) -> None:
        """Forget what has arrived so far; `nodes` are the nodes of sites 0, 1, 2 …"""
        self._sites = {node: site for site, node in enumerate(nodes)}
        self.order.clear()
        for path in self._folder.glob("arrived-*"):
            path.unlink()

    def arrival(self, site: int) -> Path:
        """The file that exists once the reply of `site` has reached the ServerApp."""
        return self._folder / f"arrived-{site}"

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        sent = list(messages)
        message_ids = list(self._inner.push_messages(sent))
        self._nodes |= dict(zip(message_ids, (message.metadata.dst_node_id for message in sent), strict=True))
        return message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = list(self._inner.pull_messages(message_ids))
        for reply in replies:
            site = self._sites.get(self._nodes[reply.metadata.reply_to_message_id])
            if site is None:
                continue
            self.order.append(site)
            self.arrival(site).touch()
        return replies


class Wish:
    """A control that wants a stop once a condition holds."""

    def __init__(self) -> None:
        self.stop_when: Callable[[], bool] = lambda: False
        self._stop = False

    def desired(self) -> Desired:
        self._stop = self._stop or self.stop_when()
        return "stop" if self._stop else "run"


@dataclass(frozen=True)
class Ending:
    """How `Engine.run` ended."""

    error: BaseException | None
    processes_left: list[psutil.Process]
    """Alive when `run` returned, though they did not exist before it."""


class RunningEngine:
    """One `Engine.run` in a thread; its ServerApp carries out requests until it is told to end."""

    def __init__(self, name: str, folder: Path, *, workers: int = SITES) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.wish = Wish()
        self.grid: RunGrid
        self.arrivals: ArrivalGrid
        self._requests: SimpleQueue[tuple[Callable[[], Any], Future[Any] | None]] = SimpleQueue()
        TEMPLATE.start()  # kept by this process for every pool that it opens
        self._before = set(psutil.Process().children(recursive=True))
        self._ending: Future[Ending] = Future()
        self._thread = threading.Thread(target=self._run, args=(name, workers), name=f"engine-{name}", daemon=True)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        return self._ending.done()

    def exchange(self, orders: list[dict[str, str]], *, time_out: Callable[[], bool] = lambda: False) -> list[Answer]:
        """Send an order to each site and return their answers.

        Args:
            time_out: who has not answered once this holds is not waited for any more.
        """

        def request() -> list[Answer]:
            with time_out_once(time_out):
                return self._exchange(orders)

        return self._ask(request)

    def have_answered(self, *sites: int) -> bool:
        """Whether the answers of these sites have reached the ServerApp."""
        return all(self.arrivals.arrival(site).exists() for site in sites)

    def exchange_until_all_answer(self) -> list[Answer]:
        """Ask every site again and again until all of them serve."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answers = self.exchange([{}] * SITES)
            failures = [answer.failure for answer in answers if answer.failure]
            if not failures:
                return answers
            assert time.monotonic() < deadline, f"the sites do not serve again: {failures}"

    def end(self, error: BaseException | None = None) -> Ending:
        """Have the ServerApp return, or raise `error`."""

        def finish() -> None:
            if error:
                raise error

        return self._end_with(finish)

    def end_by_stop(self, orders: list[dict[str, str]], *, when: Callable[[], bool]) -> Ending:
        """Have the ServerApp begin an exchange in which the operator wants a stop once `when` holds."""
        self.wish.stop_when = when
        return self._end_with(lambda: self._exchange(orders))

    def _ask(self, request: Callable[[], ResultT]) -> ResultT:
        assert not self.has_ended, self._ending.result()
        outcome: Future[ResultT] = Future()
        self._requests.put((request, outcome))
        return outcome.result(timeout=PATIENCE_SECONDS)

    def _end_with(self, request: Callable[[], Any]) -> Ending:
        self._requests.put((request, None))
        return self._ending.result(timeout=PATIENCE_SECONDS)

    def _exchange(self, orders: list[dict[str, str]]) -> list[Answer]:
        nodes = list(self.grid.get_node_ids())
        self.arrivals.expect(nodes)
        messages = [
            Message(RecordDict({"config": ConfigRecord(dict(order))}), node, MessageType.QUERY)
            for node, order in zip(nodes, orders, strict=True)
        ]
        return self.grid.exchange(messages, task="train", round_number=1, timeout=PATIENCE_SECONDS)

    def _run(self, name: str, workers: int) -> None:
        error = None
        try:
            open_engine(name).run(
                Federation(
                    server_app=self._server_app(),
                    run_config={"setting": SETTING},
                    clients=SITES,
                    workers=workers,
                    client_app="probe_client:app",
                )
            )
        except BaseException as raised:
            error = raised
        left = set(psutil.Process().children(recursive=True)) - self._before
        self._ending.set_result(Ending(error, [process for process in left if is_alive(process)]))
        while not self._requests.empty():
            _, outcome = self._requests.get()
            if outcome is not None:
                outcome.set_exception(RuntimeError(f"the engine {name!r} has ended: {error!r}"))

    def _server_app(self) -> ServerApp:
        server_app = ServerApp()

        @server_app.main()
        def main(grid: Grid, context: Context) -> None:
            assert context.run_config["setting"] == SETTING
            with Emitter(self.folder / "events.jsonl", run_id="conformance", role="server") as emitter:
                self.arrivals = ArrivalGrid(grid, self.folder)
                self.grid = RunGrid(self.arrivals, control=self.wish, emitter=emitter, sites=range(SITES))
                self.grid.discover(SITES, timeout=PATIENCE_SECONDS)
                while True:
                    request, outcome = self._requests.get()
                    if outcome is None:
                        request()
                        return
                    try:
                        outcome.set_result(request())
                    except BaseException as error:
                        outcome.set_exception(error)

        return server_app


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that has ended and waits to be collected does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
