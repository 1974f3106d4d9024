"""One trial: a run, a fault at a seeded moment of one of its rounds, and everything that must hold afterwards."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import psutil

from fedforge_runtime.clock import monotonic, utc_now
from fedforge_runtime.record.records import read_records
from fedforge_runtime.record.state import run_state
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import read_events
from monitor.schema import (
    AggregationStarted,
    ClientTrainStarted,
    ClientUpdateUploaded,
    Event,
    ModelDispatched,
    NodeError,
    RoundCompleted,
    RoundStarted,
    RunFailed,
    RunStopped,
)
from tests.chaos import family
from tests.chaos.faults import Fault
from tests.chaos.ground import Ground
from tests.chaos.stages import Stage
from tests.chaos.strikes import DiskStrike, Passing, RivalStrike, SignalStrike, Strike, fork_strike, link_strike
from tests.e2e.command import BARE, running, template_of, wait_for_event, wait_until
from tests.e2e.forked import forked
from tests.support.patience import PATIENCE_SECONDS

END_SECONDS = PATIENCE_SECONDS
"""A run that has not ended by then has not noticed; generous, for machines that are busy with other things."""
_WHOLE_SECONDS = PATIENCE_SECONDS
SHARES = {"round": 1.0, "training": 0.3, "aggregation": 0.0}
"""Of a round, within which the strike comes after the moment has begun."""


@dataclass
class Trial:
    """What was done and what came of it."""

    fault: str
    place: str
    seed: int
    round: int
    """In which the fault was meant to strike; it may have been over a moment earlier."""
    moment_seconds: float
    """After the round had begun."""
    client: int | None = None
    """Whose process was struck."""
    detected_by: str = ""
    """The first event that says that something is wrong, or the state of a run that could not say it."""
    detected_reason: str = ""
    detected_seconds: float | None = None
    """From the signal to there; `None` when nothing had to be noticed."""
    ended_seconds: float | None = None
    """From the signal to the end of the command."""
    state: str = ""
    reason: str = ""
    rounds_without: list[int] = field(default_factory=list)
    """Rounds in which a chosen client gave no usable answer."""
    again_in_round: int | None = None
    """The first round after those in which whoever was struck took part."""
    compared_with: str = ""
    """Where the model comes from that this run's was compared with."""
    same_model: bool | None = None
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_trial(ground: Ground, fault: Fault, seed: int) -> Trial:
    """Do everything; whatever does not hold is in the trial's `problems`."""
    draw = random.Random(f"{seed} {fault.name} {fault.place}")
    # The first round has nobody's process in the log yet, and after the last nobody can take part again.
    number = draw.randint(2 if fault.struck in ("client", "forks", "rival") else 1, ground.rounds - 1)
    fraction, client = draw.random(), draw.randrange(3)
    resume_engine = draw.choice(["same", "same", "inprocess"])
    trial = Trial(fault.name, fault.place, seed, number, 0.0)
    _Execution(ground, fault, trial, fraction, client, resume_engine).run()
    return trial


@dataclass
class _Execution:
    ground: Ground
    fault: Fault
    trial: Trial
    fraction: float
    client: int
    resume_engine: str
    struck_at: datetime | None = None
    errors: str = ""
    """What the command said in the end."""

    @property
    def run_id(self) -> str:
        words = re.sub("[^a-z]+", "-", f"{self.fault.name} {self.fault.place}".lower()).strip("-")
        return f"{words[:48]}-{self.trial.seed}"

    @property
    def folder(self) -> RunFolder:
        return self.stage.home.run(self.run_id)

    @property
    def mark(self) -> str:
        return f"{self.ground.temporary.name}-{self.run_id}"

    @property
    def stage(self) -> Stage:
        """Where the run takes place."""
        return self.ground.stage(self.fault)

    def where(self) -> list[str]:
        return self.stage.options

    def run(self) -> None:
        fault, ground = self.fault, self.ground
        options = [*self.options, "--set", f"federation.minimum_clients={fault.minimum_clients}"]
        if fault.hangs:
            options += ["--set", f"federation.round_timeout_seconds={self.timeout_seconds:.1f}"]
        command = ["run", "blood", *options, *self.where(), "--run-id", self.run_id, "--json"]
        with running(*command, environment=ground.environment(self.mark)) as process:
            owner = psutil.Process(process.pid) if fault.place == "own" else self.stage.owner
            self._wait_for_the_moment()
            strike = self._strike(owner, process)
            struck_at = monotonic()
            self.struck_at = utc_now()
            strike.begin()
            try:
                self._watch(process, struck_at)
                self.trial.ended_seconds = round(monotonic() - struck_at, 2)
            finally:
                strike.end()
        self._judge()

    @property
    def options(self) -> list[str]:
        """Of every command over the trial's home."""
        home = str(self.ground.home.root)
        return [str(self.stage.home.root) if text == home else text for text in self.ground.options]

    @property
    def timeout_seconds(self) -> float:
        return max(4.0, 3 * self.ground.round_seconds)

    def _wait_for_the_moment(self) -> None:
        """Sleep until a seeded fraction of the round, or of the client's training, is over."""
        number, events = self.trial.round, self.folder.events

        def training(event: Event) -> bool:
            sent = isinstance(event, ModelDispatched) and event.task == "train"
            return sent and event.node_id == f"client-{self.client}"

        struck_by = AggregationStarted if self.fault.moment == "aggregation" else RoundStarted

        def begun(event: Event) -> bool:
            wanted = training(event) if self.fault.moment == "training" else isinstance(event, struck_by)
            return wanted and event.round == number

        wait_for_event(events, begun, f"round {number} of {self.run_id}")
        seconds = [event.latency_ms or 0.0 for event in read_events(events) if isinstance(event, RoundCompleted)]
        # A first round can be slow, and the rest over by then.
        expected = min([self.ground.round_seconds, *(each / 1000 for each in seconds)])
        self.trial.moment_seconds = round(self.fraction * expected * SHARES[self.fault.moment], 3)
        time.sleep(self.trial.moment_seconds)

    def _strike(self, owner: psutil.Process | None, command: subprocess.Popen[str]) -> Strike:
        fault, ground, seconds = self.fault, self.ground, 0.2 + 3 * self.fraction
        match fault.struck:
            case "link":
                self.trial.client = self.client
                return link_strike(self.stage.links[self.client], fault.link, seconds)
            case "rival":
                self.trial.client = self.client
                rival = self.stage.rival(self.client, ground.environment(self.stage.mark))
                return RivalStrike(*rival, self._client_process(), self.stage.rival_is_there)
            case "forks":
                self.trial.client = self.client
                return fork_strike(ground.exhausted, self._client_process(), seconds)
            case "disk":
                return DiskStrike(self.stage.home.root.parent / "ballast")
            case "site disk":
                self.trial.client = self.client
                disk = DiskStrike(self.stage.node_homes[self.client].root.parent / "ballast")
                return Passing(disk.begin, disk.end, seconds)
            case _:
                assert owner is not None
                return SignalStrike(
                    self._struck_process(owner, command), fault.signal, revive=fault.place == "standing"
                )

    def _struck_process(self, owner: psutil.Process, command: subprocess.Popen[str]) -> psutil.Process:
        match self.fault.struck:
            case "client":
                self.trial.client = self.client
                return self._client_process()
            case "node":
                self.trial.client = self.client
                process: psutil.Process = wait_until(
                    lambda: family.nodes(owner).get(self.client), f"the node of site {self.client}"
                )
                return process
            case "template":
                return template_of(owner.pid)
            case "superlink":
                return family.link(owner)
            case "run":
                return psutil.Process(command.pid)
            case _:
                return owner

    def _client_process(self) -> psutil.Process:
        """The process that trained for the client last, by the log."""
        mine = [
            event
            for event in read_events(self.folder.events)
            if isinstance(event, ClientTrainStarted) and event.node_id == f"client-{self.client}"
        ]
        return psutil.Process(int(mine[-1].emitter_id.split("-")[1]))

    def _watch(self, process: subprocess.Popen[str], struck_at: float) -> None:
        """Wait for the command's end, and note when a run that can say nothing itself shows that it was struck."""
        trial = self.trial
        if self.fault.struck == "run":
            wait_until(lambda: run_state(self.folder).state == "interrupted", "the state interrupted", 30)
            trial.detected_by, trial.detected_seconds = "state interrupted", round(monotonic() - struck_at, 2)
        try:
            _, self.errors = process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            trial.problems.append(f"the command did not end within {END_SECONDS:.0f} s")

    # Afterwards

    def _judge(self) -> None:
        trial = self.trial
        self._look_for_leftovers()
        state = run_state(self.folder)
        trial.state, trial.reason = state.state, state.reason
        self._find_detection()
        trial.rounds_without = [record.round for record in read_records(self.folder) if record.failures]
        self._check_end()
        if trial.state == "completed":
            self._check_participation()
            self._compare_with_replay()
        else:
            self._resume()
        if self.fault.place == "standing" and self.fault.struck != "owner":
            self._expect_whole_federation()
        if self.fault.struck == "rival":
            self._expect_both_named()
        for problem in trial.problems:
            sys.stderr.write(f"PROBLEM {self.run_id}: {problem}\n")

    def _find_detection(self) -> None:
        trial = self.trial
        assert self.struck_at is not None
        for event in read_events(self.folder.events):
            if event.ts >= self.struck_at and isinstance(event, (NodeError, RunFailed, RunStopped)):
                trial.detected_by, trial.detected_reason = event.type, event.reason
                trial.detected_seconds = round((event.ts - self.struck_at).total_seconds(), 2)
                return

    def _look_for_leftovers(self) -> None:
        trial, ground, fault = self.trial, self.ground, self.fault
        marks = [self.mark, *([ground.federation_mark] if fault.struck == "owner" else [])]
        for mark in marks:
            if left := ground.leftovers(mark):
                trial.problems.append(f"processes are left: {left}")
        if left_files := ground.temporary_leftovers():
            trial.problems.append(f"temporary folders are left: {left_files}")

    def _check_end(self) -> None:
        trial, fault = self.trial, self.fault
        completed = trial.state == "completed"
        if fault.end == "goes on" and not completed:
            trial.problems.append(f"it should have gone on, but is {trial.state}: {trial.reason}")
        if fault.end == "ends" and completed:
            trial.problems.append("it should have ended, but went on")
        if completed:
            if trial.rounds_without and trial.detected_by != "node_error":
                trial.problems.append("a client is missing, and no node_error says why")
        elif fault.struck == "run":
            if trial.state != "interrupted":
                trial.problems.append(f"a run whose process was killed is {trial.state}")
        elif fault.struck == "disk":  # which takes no event either
            if not re.search(fault.reason or "", self.errors):
                trial.problems.append(f"the command does not say what happened: {self.errors[-300:]}")
        elif trial.state not in ("failed", "stopped"):
            trial.problems.append(f"it ended in the state {trial.state}")
        elif not fault.reason or not re.search(fault.reason, trial.reason):
            trial.problems.append(f"its reason does not name what happened: {trial.reason}")
        if fault.hangs and trial.detected_by != "node_error" and self._was_asked():
            trial.problems.append("nobody reported the process that hangs")

    def _was_asked(self) -> bool:
        """Whether a message for the client was on its way when its process was struck, or came later."""
        waiting = False
        for event in read_events(self.folder.events):
            if event.node_id == f"client-{self.trial.client}":
                if isinstance(event, ModelDispatched):
                    waiting = True
                elif isinstance(event, ClientUpdateUploaded) and self.struck_at and event.ts < self.struck_at:
                    waiting = False
        return waiting

    def _check_participation(self) -> None:
        """Whoever was killed takes part again, and so does a client whose process hung: it gets another one."""
        trial, records = self.trial, read_records(self.folder)
        missed = [record.round for record in records if trial.client in record.failures]
        if trial.client is None or not missed:
            return
        later = [record for record in records if record.round > missed[0]]
        answered = [each for each in later if trial.client in each.participants and trial.client not in each.failures]
        again = [each.round for each in answered]
        trial.again_in_round = again[0] if again else None
        hung_node = self.fault.hangs and self.fault.struck == "node"
        lasting = hung_node or self.fault.struck == "forks"  # it may last until the run has ended
        if later and not again and not lasting:
            trial.problems.append(f"client {trial.client} did not take part again after round {missed[0]}")

    def _compare_with_replay(self) -> None:
        replay = ["--participants", str(self.folder.participants), "--engine", "inprocess"]
        run_id = f"{self.run_id}-replayed"
        outcome = forked("run", "blood", *self.options, *replay, "--run-id", run_id, "--json")
        self.trial.compared_with = "replay, engine inprocess"
        self._compare(outcome.code, outcome.errors, lambda: outcome.json["model_sha256"], self._model_sha256())

    def _resume(self) -> None:
        same = self.resume_engine == "same"
        if self.fault.place == "standing" and self.fault.struck != "owner" and same:
            self._expect_whole_federation()
        where = self.where() if same else ["--engine", "inprocess"]
        outcome = forked("resume", self.run_id, "--home", self.stage.home.root, *where, *BARE, "--json")
        self.trial.compared_with = f"resumed, engine {'superlink' if same else 'inprocess'}"
        self._compare(outcome.code, outcome.errors, self._model_sha256, self.ground.undisturbed)

    def _compare(self, code: int, errors: str, model: Callable[[], str | None], expected: str | None) -> None:
        trial = self.trial
        if code != 0:
            trial.same_model = False
            trial.problems.append(f"{trial.compared_with}: {errors.strip().splitlines()[-1:]}")
            return
        trial.same_model = model() == expected
        if not trial.same_model:
            trial.problems.append(f"{trial.compared_with}: another model")

    def _model_sha256(self) -> str | None:
        records = read_records(self.folder)
        return records[-1].model_sha256 if records else None

    def _expect_both_named(self) -> None:
        """The second node for a site was refused, and an event names it and the first."""
        named = [
            event.reason
            for event in read_events(self.folder.events)
            if isinstance(event, NodeError) and f"says that it is site {self.client}, as node " in event.reason
        ]
        if not named:
            self.trial.problems.append("no event says that two nodes name one site")
        if self.trial.rounds_without:
            self.trial.problems.append("a second node for a site cost the first one a round")

    def _expect_whole_federation(self) -> None:
        try:
            wait_until(self.ground.is_whole, "a whole federation", _WHOLE_SECONDS)
        except AssertionError:
            self.trial.problems.append(f"the standing federation is not whole again: {self.ground.status()}")
