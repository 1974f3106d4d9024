"""Random walks of a run through a real monitor, beside a model of it that was written from `docs/monitor.md`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from monitor.schema import (
    CommandAcknowledged,
    CommandGiven,
    CommandSettled,
    LeaseEnded,
    RunBack,
    RunClaimed,
    RunLost,
)
from tests.support.folding import all_events, assert_snapshot_is_fold
from tests.support.monitor_process import MonitorProcess, of_server, started

ALLOWED = {
    "requested": ["stop"],
    "starting": ["stop"],
    "running": ["pause", "stop"],
    "pausing": ["resume", "stop"],
    "paused": ["resume", "stop"],
    "resuming": ["pause", "stop"],
    "stopping": [],
    "stopped": ["resume"],
    "failed": ["resume"],
    "completed": [],
}
ENDS = {"run_stopped": "stopped", "run_failed": "failed", "run_completed": "completed"}
BEGINS = {
    "run_started": {"requested": "running", "starting": "running", "resuming": "running"},
    "run_resumed": {"paused": "running", "resuming": "running"},
    "run_paused": {"pausing": "paused", "running": "resuming"},  # the latter was withdrawn when it came to pass
}
WANTED = {"pausing": "pause", "paused": "pause", "stopping": "stop", "stopped": "stop"}
EFFECTS = {"pause": "paused", "resume": "running", "stop": "stopped"}


@dataclass
class Given:
    """A command of the history."""

    command_id: str
    command: str
    given_by: str
    attempt: int
    heard: bool = False
    outcome: str | None = None
    effective_round: int | None = None


@dataclass
class Run:
    """What the documentation says of a run; silence is left out."""

    state: str = "requested"
    attempt: int = 1
    claimable: bool = False
    round: int = 0
    profile: str | None = None
    """Of the request, where there was one."""
    events: list[str] = field(default_factory=list)
    """Ids of what the run said, or was asked, in the order of `seq`."""
    history: list[Given] = field(default_factory=list)
    """Commands, the earliest first."""
    lease: tuple[str, int] | None = None
    """Its id and the attempt that it is for."""

    @property
    def allowed(self) -> list[str]:
        return ["stop"] if self.claimable else ALLOWED[self.state]

    def desired(self, attempt: int) -> str:
        if attempt < self.attempt:
            return "stop"
        return WANTED.get(self.state, "run") if attempt == self.attempt else "run"

    def command(self, given: Given) -> Given | None:
        """The entry of the history that answers it; `None` where it is refused."""
        for earlier in self.history:
            if earlier.command_id == given.command_id:
                return earlier if earlier.command == given.command else None
        if given.command not in self.allowed:
            return None
        for each in self._open():
            each.outcome = "superseded"
        self.history.append(given)
        match given.command:
            case "pause":
                self.state = "pausing"
            case "stop":
                self.state = "stopped" if self.claimable or self.state == "requested" else "stopping"
                self.claimable = False
            case "resume" if self.state == "pausing":
                self.state = "running"
            case "resume":
                if self.state != "paused":
                    self.attempt, self.claimable, self.lease = self.attempt + 1, True, None
                self.state = "resuming"
        given.attempt = self.attempt
        self._settle(self.round)
        return given

    def told(self) -> None:
        for each in self._open():
            each.heard = True

    def claim(self) -> bool:
        if not self.claimable:
            return False
        self.claimable = False
        self.state = "starting" if self.state == "requested" else self.state
        return True

    def holds(self, lease_id: str) -> bool:
        ended = self.state in ENDS.values()
        return self.lease == (lease_id, self.attempt) and not ended

    def event(self, event: dict[str, Any]) -> None:
        """One that is new."""
        self.events.append(event["event_id"])
        if event["attempt"] == self.attempt or (event["attempt"] > self.attempt and self.state != "completed"):
            self._move(event["type"], event["attempt"], event["round"])

    def _move(self, kind: str, attempt: int, round_number: int) -> None:
        if attempt > self.attempt:
            for each in self._open():
                each.outcome = "superseded"
            self.state, self.attempt, self.claimable, self.round = "resuming", attempt, False, 0
        self.round = max(self.round, round_number)
        if kind in ENDS and self.state not in ENDS.values():
            self.state = ENDS[kind]
        else:
            self.state = BEGINS.get(kind, {}).get(self.state, self.state)
        self.claimable = False  # somebody is there
        self._settle(round_number)

    def _open(self) -> list[Given]:
        return [each for each in self.history if each.outcome is None]

    def _settle(self, round_number: int) -> None:
        for each in self._open():
            if EFFECTS[each.command] == self.state:
                each.outcome, each.effective_round = "effective", round_number
            elif self.state in ENDS.values():
                each.outcome = self.state


NUMBERS = itertools.count(1)
DEEDS = {
    deed.model_fields["type"].default
    for deed in (CommandGiven, CommandAcknowledged, CommandSettled, RunClaimed, LeaseEnded, RunLost, RunBack)
}
FIELDS: dict[str, dict[str, Any]] = {
    "run_started": {"engine": "inprocess", "rounds_total": 5, "clients": 3},
    "run_stopped": {"reason": "for a test"},
    "run_failed": {"reason": "for a test"},
    "run_completed": {"model_sha256": "0" * 64},
}
NEXT_OF = {
    "requested": "run_started",
    "starting": "run_started",
    "pausing": "run_paused",
    "resuming": "run_resumed",
    "stopping": "run_stopped",
}
NEXT, AGAIN, MALFORMED = "what a run says in its state", "what was sent already", "what is no event"
items = st.tuples(
    st.sampled_from(
        [*[NEXT] * 12, "node_heartbeat", "run_started", "run_paused", "run_resumed", *ENDS, AGAIN, MALFORMED]
    ),
    st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1]),
    st.integers(0, 5),
)
"""What is delivered: a kind, the attempt against the run's, and the round."""
LEGAL = "what is legal"
wishes = st.sampled_from([*[LEGAL] * 6, AGAIN, AGAIN, "pause", "resume", "stop"])
people = st.sampled_from(["Ada", "Ben"])
batches = st.lists(items, min_size=1, max_size=4).map(lambda batch: ("deliver", batch))
commands = st.tuples(
    st.just("command"), wishes, st.integers(0, 3), people, st.sampled_from([None, None, None, *range(6)]), st.booleans()
)
steps = st.one_of(
    batches,
    batches,
    commands,
    commands,
    st.tuples(st.just("ask_for_it"), st.sampled_from(["cpu-safe", "cpu-safe", "tuned"])),
    st.tuples(st.just("lease"), st.integers(0, 3), people),
    st.tuples(st.just("ask_what_is_wanted"), st.sampled_from([0, 0, -1, 1]), st.booleans()),
)
"""A method of `Walk` and its arguments."""


class Walk(RuleBasedStateMachine):
    """Does to a run whatever may be done, in any order, and compares after each step."""

    def __init__(self, monitor: MonitorProcess, client: httpx.Client) -> None:
        super().__init__()
        self.monitor = monitor
        self.client = client
        self.run_id = f"walk-{next(NUMBERS)}"
        self.path = f"/api/runs/{self.run_id}"
        self.model: Run | None = None
        self.sent: list[dict[str, Any]] = []
        self.leases: list[str] = []
        self.until_crash = 0
        self.numbers: dict[str, int] = {}
        """The `seq` that was told of each event."""

    def answer(self, code: int, method: str, path: str, **fields: Any) -> Any:
        """Of a run that is not there, that it is not found."""
        answer = self.client.request(method, self.path + path, **fields)
        assert answer.status_code == (code if self.model else httpx.codes.NOT_FOUND), answer.text
        return answer.json()

    def refused(self, answer: dict[str, Any]) -> None:
        if self.model:
            assert (answer["state"], answer["allowed"]) == (self.model.state, self.model.allowed)

    @initialize(
        begins=st.sampled_from(["asked for", "by hand", "not yet"]), until_crash=st.sampled_from([0, 0, 0, 0, 0, 9])
    )
    def begin(self, begins: str, until_crash: int) -> None:
        self.until_crash = until_crash
        if begins == "asked for":
            self.ask_for_it("cpu-safe")
        elif begins == "by hand":
            self.deliver([("run_started", 0, 0)])

    @rule(step=steps)
    def take(self, step: tuple[Any, ...]) -> None:
        """One rule for all of them: Hypothesis leaves out rules of which it has several."""
        name, *arguments = step
        getattr(self, name)(*arguments)
        self.until_crash -= 1
        if self.until_crash == 0:
            self.monitor.kill()
            self.monitor.start()

    def ask_for_it(self, profile: str) -> None:
        request = {"phase": "blood", "profile": profile}
        answer = self.client.post("/api/runs", json={"run_id": self.run_id, "request": request})
        if self.model is None:
            self.model = Run(claimable=True, profile=profile)
            (first,) = self.answer(200, "GET", "/events")["events"]
            assert first["event"]["type"] == "run_requested"
            self.model.events.append(first["event"]["event_id"])
        if self.model.profile == profile:
            assert answer.status_code == httpx.codes.CREATED
            assert answer.json()["state"] == self.model.state
        else:
            assert answer.status_code == httpx.codes.CONFLICT
            self.refused(answer.json())

    def command(self, wish: str, which: int, given_by: str, key: int | None, in_header: bool) -> None:
        command, command_id = wish, f"{self.run_id}-{key}" if key is not None else ""
        legal, history = (self.model.allowed, self.model.history) if self.model else ([], [])
        if wish == AGAIN and history:
            earlier = history[which % len(history)]
            command, command_id = earlier.command, earlier.command_id
        elif wish in (AGAIN, LEGAL):
            command = legal[which % len(legal)] if legal else "resume"
        headers = {"Idempotency-Key": command_id} if command_id and in_header else {}
        body = {"command": command, "given_by": given_by, "command_id": command_id or None}
        if in_header:
            del body["command_id"]
        expected = self.model.command(Given(command_id, command, given_by, 0)) if self.model else None
        answer = self.answer(202 if expected else 409, "POST", "/commands", json=body, headers=headers)
        if expected is None:
            self.refused(answer)
            return
        expected.command_id = expected.command_id or answer["command_id"]
        assert shown(answer) == expected

    def claim(self, claimant: str) -> None:
        given = self.model is not None and self.model.claim()
        answer = self.answer(201 if given else 409, "POST", "/claim", json={"claimant": claimant})
        if not given:
            self.refused(answer)
            return
        assert self.model is not None
        assert answer["lease_id"] not in self.leases
        assert (answer["attempt"], answer["desired"]) == (self.model.attempt, "run")
        assert (answer["request"] and answer["request"]["profile"]) == self.model.profile
        self.leases.append(answer["lease_id"])
        self.model.lease = (answer["lease_id"], self.model.attempt)

    def lease(self, which: int, claimant: str) -> None:
        """A claim, more often where one can be had, or a renewal."""
        if which == 0 or (which < 3 and self.model and self.model.claimable):
            self.claim(claimant)
        else:
            self.renew(which)

    def renew(self, which: int) -> None:
        lease_id = ["nobodys", *reversed(self.leases)][which % (len(self.leases) + 1)]
        held = self.model is not None and self.model.holds(lease_id)
        answer = self.answer(200 if held else 409, "POST", f"/leases/{lease_id}")
        if not held:
            self.refused(answer)
            return
        assert self.model is not None
        assert (answer["attempt"], answer["desired"]) == (self.model.attempt, self.model.desired(self.model.attempt))

    def deliver(self, batch: list[tuple[str, int, int]]) -> None:
        bodies: list[dict[str, Any]] = []
        expected: list[str] = []
        for kind, step, round_number in batch:
            if kind == MALFORMED or (kind == AGAIN and not self.sent):
                bodies.append(started(self.run_id) | {"round": -1})
                expected.append("refused")
                continue
            self.model = self.model or Run()
            again = kind == AGAIN
            if not again:
                self.sent.append(self.event(self.model, kind, step, round_number))
            bodies.append(self.sent[round_number % len(self.sent) if again else -1])
            expected.append("duplicate" if again else "accepted")
            if not again:
                self.model.event(bodies[-1])
        results = self.client.post("/api/events", json={"events": bodies}).json()["results"]
        assert [each["outcome"] for each in results] == expected
        for body, result in zip(bodies, results, strict=True):
            if result["seq"] is not None:
                assert self.numbers.setdefault(body["event_id"], result["seq"]) == result["seq"]

    def event(self, model: Run, kind: str, step: int, round_number: int) -> dict[str, Any]:
        kind = NEXT_OF.get(model.state, "node_heartbeat") if kind == NEXT else kind
        attempt = max(1, model.attempt + step)
        fields = FIELDS.get(kind, {})
        return of_server(self.run_id, len(self.sent) + 1, kind, round=round_number, attempt=attempt, **fields)

    def ask_what_is_wanted(self, step: int, knows: bool) -> None:
        model = self.model
        if model is None:
            self.answer(200, "GET", "/desired")
            return
        attempt = max(1, model.attempt + step)
        wanted = model.desired(attempt)
        known = {"known": wanted} if knows else {}
        answer = self.answer(200, "GET", "/desired", params={"attempt": attempt, **known})
        assert answer == {"desired": wanted, "attempt": model.attempt}
        if not knows and attempt == model.attempt:
            model.told()

    @invariant()
    def it_is_as_the_documentation_says(self) -> None:
        view = self.answer(200, "GET", "")
        model = self.model
        if model is None:
            return
        for fact in ("state", "attempt", "claimable", "allowed", "round"):
            assert view[fact] == getattr(model, fact), fact
        assert view["desired"] == model.desired(model.attempt)
        kept = all_events(self.client, self.run_id)
        assert [each["seq"] for each in kept] == list(range(1, view["last_seq"] + 1))
        assert [each["event"]["event_id"] for each in kept if each["event"]["type"] not in DEEDS] == model.events
        assert self.numbers.items() <= {each["event"]["event_id"]: each["seq"] for each in kept}.items()
        commands = self.answer(200, "GET", "/commands")["commands"]
        assert [shown(each) for each in commands] == model.history[::-1]
        assert_snapshot_is_fold(self.client, self.run_id)


def shown(command: dict[str, Any]) -> Given:
    """A command as the API shows it."""
    facts = command | {"heard": command["acknowledged_at"] is not None}
    return Given(**{each: facts[each] for each in Given.__dataclass_fields__})


def test_whatever_is_done_to_a_run_it_is_as_the_documentation_says(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path, "--silence", "86400") as monitor, monitor.client() as client:

        class Here(Walk):
            def __init__(self) -> None:
                super().__init__(monitor, client)

        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=12,
                stateful_step_count=30,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
