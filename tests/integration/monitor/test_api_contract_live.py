"""The API against its description: whatever is sent to a real monitor, it answers as it is described."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData

from monitor.openapi import describe
from tests.support.monitor_process import MonitorProcess, of_server, offer, started

DESCRIPTION: dict[str, Any] = json.loads(describe())
RECORDED: dict[str, Any] = DESCRIPTION["components"]["schemas"]["RecordedEvent"]["properties"]
EVENT_TYPES: dict[str, str] = RECORDED["event"]["discriminator"]["mapping"]
REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "415", "421", "422", "428", "429", "5xx"]
"""What schemathesis expects, and 421: a `Host` that is not this monitor's."""
Case = schemathesis.Case[Any]
Operation = schemathesis.APIOperation[Any, Any, Any, Any]
EVENTS, IMPORT = "/api/events", "/api/events/import"
LINES = "application/x-ndjson"
AUDIT = "0123456789abcdef0123"
CLAIMANT = "an-agent"
UNSAID = ("is not a cursor", "holds no offer", "is not what was announced")
"""Refusals of what is well formed, for reasons that are in no description."""
NUMBERS = itertools.count(1)


def opened(description: dict[str, Any]) -> schemathesis.BaseSchema:
    checks = {
        "allow_header_conformance": {"enabled": False},  # the framework names in `Allow` what one route takes
        "negative_data_rejection": {"expected-statuses": REFUSALS},
    }
    return schemathesis.openapi.from_dict(description, config=schemathesis.Config.from_dict({"checks": checks}))


@cache
def taking(kind: str, path: str) -> Operation:
    """What takes events in, for one type of them: the description leaves them open, as each is refused singly."""
    description = copy.deepcopy(DESCRIPTION)
    schema = {"type": "array", "minItems": 1, "maxItems": 5, "items": {"$ref": EVENT_TYPES[kind]}}
    batch = description["components"]["schemas"]["EventBatch"]["properties"]
    batch["events"] = schema
    del batch["expected"]  # whoever expects what was never told is answered that it is not held
    description["paths"][IMPORT]["post"]["requestBody"]["content"][LINES]["schema"] = schema
    return opened(description)[path]["POST"]


WHOLE = opened(DESCRIPTION)
bounded = settings(
    max_examples=30, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@schemathesis.serializer(LINES)
def log(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Items one a line; a text as it is."""
    text = "".join(f"{json.dumps(item)}\n" for item in value) if isinstance(value, list) else str(value)
    return text.encode()


@WHOLE.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: Case, response: schemathesis.Response
) -> bool:
    """Leave out what a description cannot say, and what is taken although it is not described."""
    if isinstance(failure, RejectedPositiveData):
        return not (response.status_code == httpx.codes.BAD_REQUEST and any(each in response.text for each in UNSAID))
    if isinstance(failure, AcceptedNegativeData):
        refused_by_line = case.operation.path == IMPORT
        unsaid = (
            "requested_at",
            "`phase` in query",
            "`engine` in query",
        )  # a moment as a number; a text looks like all
        is_request = case.operation.path in ("/api/runs", "/api/checks")
        taken_as_text = is_request and any(each in failure.message for each in unsaid)
        return not (refused_by_line or taken_as_text)
    return True


@dataclass
class Meeting:
    """What the requests for one operation find there: runs in several states, and the lease of the first.

    Args:
        successes: how many requests were not refused.
    """

    monitor: MonitorProcess
    session: requests.Session
    run_ids: list[str]
    lease_id: str
    successes: int = 0

    def answer(self, case: Case) -> schemathesis.Response:
        """Of the monitor, compared with the description."""
        self._arrange(case)
        answer = case.call_and_validate(base_url=self.monitor.url, session=self.session)
        self.successes += answer.status_code < httpx.codes.BAD_REQUEST
        return answer

    def _arrange(self, case: Case) -> None:
        """Lead two of three to a run that is there, and have nobody wait for news."""
        parts = [case.path_parameters, case.query, case.body]
        drawn = zlib.crc32(json.dumps(parts, default=lambda nothing: None).encode())
        if "run_id" in case.path_parameters and drawn % 3:
            case.path_parameters["run_id"] = self.run_ids[drawn % len(self.run_ids)]
        if "lease_id" in case.path_parameters and drawn % 2 and len(case.path_parameters["lease_id"]) <= 64:
            case.path_parameters.update(run_id=self.run_ids[0], lease_id=self.lease_id)
        if "key" in case.path_parameters and drawn % 2:
            case.path_parameters["key"] = AUDIT
        if "claimant" in case.query and drawn % 2:
            case.query["claimant"] = CLAIMANT
            with self.monitor.client() as client:
                assert client.put(f"/api/offers/{CLAIMANT}", json=offer()).is_success
        described = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
        if described and "sha256" in case.query and drawn % 2:
            case.body = "<p>a page"
            case.query["sha256"] = hashlib.sha256(b"<p>a page").hexdigest()
        with suppress(ValueError):
            if 0 < float(str(case.query.get("wait"))) <= 25:
                case.query["wait"] = 0.01


@pytest.fixture
def meeting(monitor: MonitorProcess) -> Iterator[Meeting]:
    """With runs of its own."""
    run_ids = [f"known-{next(NUMBERS)}" for _ in range(5)]
    claimed, asked_for, running, stopped, completed = run_ids
    events = [
        *[started(run_id) for run_id in (running, stopped, completed)],
        of_server(stopped, 2, "run_stopped", reason="for a test"),
        of_server(completed, 2, "run_completed", model_sha256="0" * 64),
    ]
    with monitor.client() as client, requests.Session() as session:
        session.trust_env = False
        assert client.post("/api/events", json={"events": events}).is_success
        for view in client.get("/api/offers").json()["offers"]:  # of the test before, which exclude what this asks for
            assert client.delete(f"/api/offers/{quote(view['claimant'], safe='')}").is_success
        for run_id in (claimed, asked_for):
            assert client.post("/api/runs", json={"run_id": run_id, "request": {"phase": "blood"}}).is_success
        lease = client.post(f"/api/runs/{claimed}/claim", json={"claimant": "an agent"}).json()
        for reported in (monitor.home / "runs" / completed, monitor.home / "assets" / "audit" / AUDIT):
            reported.mkdir(parents=True, exist_ok=True)
            (reported / "report.html").write_text("<p>a report")
        yield Meeting(monitor, session, run_ids, lease["lease_id"])


@pytest.fixture
def welcome(meeting: Meeting) -> Iterator[Meeting]:
    """One at which not everything may be refused."""
    yield meeting
    assert meeting.successes


def operations(wanted: Callable[[Operation], bool] = lambda each: True) -> list[Any]:
    every = [WHOLE[path][method.upper()] for path, methods in DESCRIPTION["paths"].items() for method in methods]
    return [pytest.param(each, id=each.label) for each in every if wanted(each)]


def can_be_violated(operation: Operation) -> bool:
    """Whether there is more to it than the name of a run, which may be any."""
    return bool(operation.body) or any(each.name != "run_id" for each in operation.iter_parameters())


@pytest.mark.parametrize("operation", operations())
@bounded
@given(data=st.data())
def test_what_is_described_is_answered_as_described(
    operation: Operation, welcome: Meeting, data: st.DataObject
) -> None:
    welcome.answer(data.draw(operation.as_strategy(generation_mode=GenerationMode.POSITIVE)))


@pytest.mark.parametrize("operation", operations(can_be_violated))
@settings(bounded, max_examples=20)
@given(data=st.data())
def test_what_is_not_described_is_refused_as_described(
    operation: Operation, meeting: Meeting, data: st.DataObject
) -> None:
    meeting.answer(data.draw(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)))


@pytest.mark.parametrize("operation", operations(lambda each: each.path != IMPORT and bool(each.body)))
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000], ids=lambda body: str(body[:4]))
@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "no media type"])
def test_a_body_that_cannot_be_read_is_refused_as_described(
    operation: Operation, media_type: str, body: bytes, client: httpx.Client
) -> None:
    names = {each.name: "any" for each in operation.path_parameters}
    case = operation.Case(path_parameters=names)

    headers = {"Content-Type": media_type}
    answer = client.request(operation.method, case.formatted_path, content=body, headers=headers)

    assert answer.is_client_error
    case.validate_response(answer)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        *[pytest.param(kind, EVENTS, id=kind) for kind in EVENT_TYPES],
        pytest.param("run_started", IMPORT, id="run_started in a log"),
        *[
            pytest.param(kind, IMPORT, id=f"{kind} in a log", marks=pytest.mark.thorough)
            for kind in EVENT_TYPES
            if kind != "run_started"
        ],
    ],
)
@settings(bounded, max_examples=5)
@given(data=st.data())
def test_whatever_is_described_as_an_event_is_accepted(
    kind: str, path: str, welcome: Meeting, data: st.DataObject
) -> None:
    answer = welcome.answer(data.draw(taking(kind, path).as_strategy()))

    assert [each for each in answer.json()["results"] if each["outcome"] not in ("accepted", "duplicate")] == []


def test_the_description_is_the_one_that_is_served(monitor: MonitorProcess) -> None:
    with monitor.client() as client:
        assert client.get("/api/openapi.json").json() == DESCRIPTION
