"""Where trials take place: one home, the model of an undisturbed run, and a standing federation when one is needed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from fedforge_runtime.commands.federation_tables import describe_federation
from fedforge_runtime.engines.superlink.standing import read_federation
from fedforge_runtime.storage.home import Home
from tests.chaos.family import MARK, describe, is_alive, marked
from tests.chaos.faults import Fault
from tests.chaos.stages import Stage, linked_stage, small_disk
from tests.e2e.command import BARE, fedforge, wait_until
from tests.support.patience import PATIENCE_SECONDS
from tests.unit.processes.failing_fork import EXHAUSTED

FEDERATION = "federation"
"""The mark of a standing federation's processes."""
_GONE_SECONDS = PATIENCE_SECONDS


@dataclass
class Ground:
    """What trials share.

    Args:
        home: of runs, and of the standing federation.
        options: of every run; `--home` among them.
        rounds: of every run.
        undisturbed: the model that a run ends with when nothing befalls it.
        round_seconds: how long a round of a run with engine superlink takes when nothing befalls it.
        temporary: folder for temporary files.
    """

    home: Home
    options: list[str]
    rounds: int
    undisturbed: str
    round_seconds: float
    temporary: Path
    _owner: psutil.Process | None = field(default=None, init=False)
    _starts: int = field(default=0, init=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False)
    _stages: dict[str, Stage] = field(default_factory=dict, init=False)

    @property
    def exhausted(self) -> Path:
        """While this file is there, the system forks no process for a command."""
        return self.temporary / "exhausted"

    def environment(self, mark: str) -> Mapping[str, str]:
        repository, site = Path(__file__).parents[2], self.temporary / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text("import tests.unit.processes.failing_fork\n")
        paths = [str(repository), str(site), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        return {
            MARK: mark,
            "TMPDIR": str(self.temporary),
            EXHAUSTED: str(self.exhausted),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def stage(self, fault: Fault) -> Stage:
        """Where a run with this fault takes place; what it needs is started unless it is there."""
        if fault.place == "standing":
            return Stage(self.home, ["--superlink", self.federation()["address"]], self.owner)
        if fault.place == "own" and fault.struck != "disk":
            return Stage(self.home, ["--engine", "superlink"])
        name = "disk" if fault.struck == "disk" else "linked"
        if name not in self._stages:
            folder = self.home.root.parent / name
            mark = f"{FEDERATION}-{name}-{self.temporary.name}"
            self._stages[name] = self._stack.enter_context(
                small_disk(self.home, folder)
                if name == "disk"
                else linked_stage(self.home, folder, mark, self.environment(mark))
            )
        return self._stages[name]

    # The standing federation

    @property
    def federation_mark(self) -> str:
        return f"{FEDERATION}-{self.temporary.name}-{self._starts}"

    def federation(self) -> dict[str, Any]:
        """What `fedforge federation status` says of the standing federation, which is started unless it is there."""
        if self._owner is None or not is_alive(self._owner):
            self._starts += 1
            up = fedforge(
                *("federation", "up", "--home", self.home.root, "--port", "0", "--json"),
                environment=self.environment(self.federation_mark),
            )
            if up.code != 0:
                raise RuntimeError(f"no federation: {up.errors}")
            self._owner = psutil.Process(up.json["process_id"])
        return self.status() or {}

    def status(self) -> dict[str, Any] | None:
        """What `fedforge federation status` says; `None` where it says that there is none."""
        state = read_federation(self.home)
        return describe_federation(state, self.home) if state else None

    def is_whole(self) -> bool:
        """Whether every part of the standing federation is there and answers."""
        status = self.status()
        return bool(
            status
            and status["ready"]
            and status["nodes_online"] == len(status["nodes"]) == 3
            and all(node["alive"] for node in status["nodes"])
        )

    @property
    def owner(self) -> psutil.Process:
        assert self._owner is not None
        return self._owner

    def end(self) -> None:
        """End whatever stands."""
        self._stack.close()
        if self._owner is not None:
            fedforge("federation", "down", "--home", self.home.root)
            self._owner = None
        for process in marked(self.federation_mark):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    # What is left behind

    def leftovers(self, mark: str, seconds: float = _GONE_SECONDS) -> str:
        """Processes with the mark that are there after so many seconds still; empty when all are gone."""
        try:
            wait_until(lambda: not marked(mark), "the end of its processes", seconds)
        except AssertionError:
            return describe(marked(mark))
        return ""

    def temporary_leftovers(self) -> list[str]:
        """Folders of federations that are gone."""
        return sorted(path.name for path in self.temporary.glob("fedforge-superlink-*"))


@contextmanager
def new_ground(rounds: int, epochs: int) -> Iterator[Ground]:
    """A home of its own with phantom images, and two runs without a fault: what trials are compared with."""
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        home, temporary = Home(root / "home"), root / "tmp"
        temporary.mkdir()
        options = [
            *("--home", str(home.root), "--data", "phantom", "--backbone", "untrained"),
            *("--clients", "3", "--rounds", str(rounds), *BARE),
            *("--set", "dataset.limit=240", "--set", "learning.learning_rate=0.02"),
            *("--set", f"learning.epochs={epochs}", "--set", "runtime.workers=2"),
        ]
        environment = {"TMPDIR": str(temporary)}
        results = []
        for engine in ("inprocess", "superlink"):
            command = ("run", "blood", *options, "--engine", engine, "--run-id", f"undisturbed-{engine}", "--json")
            outcome = fedforge(*command, environment=environment)
            if outcome.code != 0:
                raise RuntimeError(f"the undisturbed run with engine {engine} failed: {outcome.errors}")
            results.append(outcome.json)
        hashes = {result["model_sha256"] for result in results}
        if len(hashes) != 1:
            raise RuntimeError(f"the engines end with different models: {hashes}")
        seconds = [record["seconds"] for record in results[1]["rounds"]]
        ground = Ground(home, options, rounds, hashes.pop(), sum(seconds) / len(seconds), temporary)
        try:
            yield ground
        finally:
            ground.end()
