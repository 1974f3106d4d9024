"""A line that is cut at any byte, in any direction, costs a moment, and no site its round."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp

from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.superlink.app.driver import driven_run
from fedforge_runtime.engines.superlink.node.node import Node, NodeSpec
from fedforge_runtime.federation.grid import RunGrid
from fedforge_runtime.processes import TEMPLATE
from fedforge_runtime.telemetry.control import AlwaysRun
from fedforge_runtime.telemetry.emitter import Emitter, read_events
from monitor.schema import NodeError
from tests.support.bad_link import BadLink, Way
from tests.support.patience import PATIENCE_SECONDS

SITES = 2
WEIGHTS = 80_000
"""Of the model: with 320 kB, a message is moved in several objects."""
_BYTES_OF_A_ROUND = 2 * 4 * WEIGHTS
"""That go either way on the line of a node."""


@contextmanager
def running(spec: NodeSpec) -> Iterator[None]:
    """A site's node in a thread of this process."""
    node = Node(spec)
    thread = threading.Thread(target=node.run, name=f"node-{spec.site}")
    thread.start()
    try:
        yield
    finally:
        node.stop(0, None)
        thread.join()


class Cuts:
    """Lines to the SuperLink, one of which is cut once in every round."""

    def __init__(self, lines: Sequence[BadLink], seed: int) -> None:
        self._lines = lines
        self._random = random.Random(seed)

    def prepare(self) -> None:
        """Choose the next cut; one that the round does not come to falls into the next."""
        line = self._random.choice(self._lines)
        way: Way = self._random.choice(("up", "down"))
        few = self._random.random() < 0.5  # in the small requests around the content
        line.cut_once(self._random.randrange(3_000 if few else _BYTES_OF_A_ROUND), way)

    @property
    def done(self) -> int:
        return sum(line.cuts for line in self._lines)


def train(grid: RunGrid, rounds: int, prepare: Cuts | None) -> str:
    """The hash of the model and its evaluations after so many rounds."""
    weights, digest = np.zeros(WEIGHTS, dtype=np.float32), hashlib.sha256()
    for round_number in range(1, rounds + 1):
        if prepare:
            prepare.prepare()
        for task in ("train", "evaluate"):
            content = RecordDict({"model": ArrayRecord({"weights": Array(weights)})})
            requests = [Message(content, node, task) for node in grid.get_node_ids()]
            answers = grid.exchange(requests, task=task, round_number=round_number, timeout=PATIENCE_SECONDS)
            replies = [each.message for each in answers]
            assert None not in replies, [each.failure for each in answers]
            if task == "train":
                parts = [each.content.array_records["model"]["weights"].numpy() for each in replies if each]
                weights = np.mean(parts, axis=0, dtype=np.float32)
            else:
                digest.update(
                    repr([each.content.metric_records["metrics"]["mean"] for each in replies if each]).encode()
                )
    return digest.hexdigest() + hashlib.sha256(weights.tobytes()).hexdigest()


def more(seed: int, rounds: int) -> object:
    return pytest.param(seed, rounds, marks=pytest.mark.thorough)


@pytest.mark.parametrize(("seed", "rounds"), [(1, 8), more(2, 100), more(3, 100)])
def test_a_run_whose_lines_are_cut_at_any_byte_ends_with_the_undisturbed_hash(
    seed: int, rounds: int, link: LinkAddress, tmp_path: Path
) -> None:
    TEMPLATE.start()
    log = tmp_path / "events.jsonl"
    with ExitStack() as stack:
        lines = [stack.enter_context(BadLink(link.port)) for _ in range(SITES + 1)]
        addresses = [LinkAddress("127.0.0.1", line.port) for line in lines]
        for site in range(SITES):
            stack.enter_context(running(NodeSpec(addresses[site], site, tmp_path, "shift_client:app")))
        emitter = stack.enter_context(Emitter(log, run_id="run", role="server"))
        cuts = Cuts(lines, seed)
        hashes = []
        for disturb in (None, cuts):
            federation = Federation(server_app=ServerApp(), run_config={}, clients=SITES, workers=1)
            with driven_run(addresses[SITES], federation) as (inner, _):
                grid = RunGrid(inner, control=AlwaysRun(), emitter=emitter, sites=range(SITES))
                grid.discover(SITES, timeout=PATIENCE_SECONDS)
                hashes.append(train(grid, rounds, disturb))

    assert hashes[0] == hashes[1]
    assert cuts.done > rounds / 2
    assert [event for event in read_events(log) if isinstance(event, NodeError)] == []
