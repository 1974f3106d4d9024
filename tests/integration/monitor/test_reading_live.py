"""Reading much at once: tables of runs, searches in a log, columns for charts and for the way through time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count, pairwise
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from monitor.frames import frame_adapter
from monitor.reducer import fold
from monitor.schema import event_adapter
from monitor.views import view_of_node, view_of_run
from tests.support.folding import all_events
from tests.support.monitor_process import MonitorProcess, event_of, of_server, started
from tests.support.patience import PATIENCE_SECONDS

SITES, ROUNDS = 3, 4


def send(client: httpx.Client, *events: object) -> None:
    results = client.post("/api/events", json={"events": events}).json()["results"]
    assert [each["outcome"] for each in results] == ["accepted"] * len(events), results


def rounds_of(run_id: str, rounds: int = ROUNDS, attempt: int = 1) -> list[dict[str, Any]]:
    """What a run of a few sites says, after `run_started`."""
    server, site = count(2 if attempt == 1 else 1000), count(1 if attempt == 1 else 1000)
    events = []
    for number in range(1, rounds + 1):
        where = {"round": number, "attempt": attempt}
        events.append(of_server(run_id, next(server), "round_started", participants=list(range(SITES)), **where))
        for each in range(SITES):
            here = where | {"node_id": f"client-{each}"}
            events += [
                event_of(
                    run_id, next(site), "client_train_completed",
                    latency_ms=100.0 * each, metrics={"training_loss": 1 / number, "accuracy": 0.5 + each / 10}, **here,
                ),
                event_of(
                    run_id, next(server), "client_update_uploaded", emitter_id="server-1", role="server", task="train",
                    latency_ms=150.0, payload_bytes=400, **here,
                ),
            ]  # fmt: skip
        accuracy = {"accuracy": number / 10}
        events.append(of_server(run_id, next(server), "round_completed", latency_ms=500.0, metrics=accuracy, **where))
    return events


def page(client: httpx.Client, run_id: str, **params: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/api/runs/{run_id}/events", params=params).raise_for_status().json()
    return answer


def test_the_newest_events_come_first_page_by_page_without_gap_or_repeat(client: httpx.Client) -> None:
    send(client, started("backwards"), *rounds_of("backwards"))

    seen: list[int] = []
    before: dict[str, int] = {}
    while True:
        found = page(client, "backwards", order="newest", limit=7, **before)
        seen += [each["seq"] for each in found["events"]]
        assert found["next_after"] is None
        if found["next_before"] is None:
            break
        before = {"before": found["next_before"]}

    total = client.get("/api/runs/backwards").json()["last_seq"]
    assert seen == list(range(total, 0, -1))


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_search_finds_what_an_event_says_and_nothing_else(client: httpx.Client, order: str) -> None:
    run_id = f"searched-{order}"
    send(
        client,
        started(run_id),
        *rounds_of(run_id),
        of_server(run_id, 900, "run_failed", reason="100% of the disk_is full", round=4),
    )

    def found(**params: Any) -> list[dict[str, Any]]:
        return [each["event"] for each in page(client, run_id, order=order, limit=1000, **params)["events"]]

    everything = found()
    ids = lambda events: [each["event_id"] for each in events]  # noqa: E731
    assert ids(found(type=["round_started", "round_completed"], round=[2, 3])) == ids(
        [each for each in everything if each["type"].startswith("round_") and each["round"] in (2, 3)]
    )
    assert ids(found(node="client-1")) == ids([each for each in everything if each["node_id"] == "client-1"])
    assert [each["type"] for each in found(text="DISK_IS")] == ["run_failed"]
    assert [each["type"] for each in found(text="100%")] == ["run_failed"]
    assert found(text="diskXis") == []
    assert found(text="1000%") == []


def test_what_cannot_be_looked_for_is_refused_by_name(client: httpx.Client) -> None:
    send(client, started("refused"))
    for params, name in (({"colour": "red"}, "colour"), ({"order": "best"}, "order"), ({"limit": 0}, "limit")):
        answer = client.get("/api/runs/refused/events", params=params)
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        assert name in answer.json()["error"]


def test_runs_are_filtered_sorted_and_counted(client: httpx.Client) -> None:
    for number, (phase, end) in enumerate([("blood", "run_failed"), ("derma", "run_completed"), ("blood", "")]):
        run_id = f"table-{number}"
        request = {"phase": phase, "requested_by": f"Person {number}"}
        events = [of_server(run_id, 1, "run_requested", request=request)]
        events += [started(run_id) | {"emitter_seq": 2, "engine": "ray" if number else "inprocess"}]
        fields = {"reason": "for a test"} if end == "run_failed" else {"model_sha256": "0" * 64}
        send(client, *events, *([of_server(run_id, 3, end, **fields)] if end else []))

    def names(**params: Any) -> list[str]:
        answer = client.get("/api/runs", params={"text": "table-", **params}).raise_for_status().json()
        return [each["run_id"] for each in answer["runs"]]

    assert names(sort="run_id", ascending=True) == ["table-0", "table-1", "table-2"]
    assert names() == ["table-2", "table-1", "table-0"]
    assert names(phase="blood") == ["table-2", "table-0"]
    assert names(phase=["blood", "derma"], engine="ray") == ["table-2", "table-1"]
    assert names(state=["failed", "completed"]) == ["table-1", "table-0"]
    assert names(text="person 1") == ["table-1"]
    assert names(sort="phase", ascending=True) == ["table-0", "table-2", "table-1"]
    answer = client.get("/api/runs", params={"text": "table-", "state": "failed"}).json()
    assert answer["counts"] == {"failed": 1, "completed": 1, "running": 1}
    for order in ("created_at", "last_event_at", "run_id", "phase", "state", "engine"):
        for ascending in (True, False):
            seen: list[str] = []
            cursor: dict[str, str] = {}
            while True:
                params = {"text": "table-", "sort": order, "ascending": ascending, "limit": 1, **cursor}
                part = client.get("/api/runs", params=params).json()
                seen += [each["run_id"] for each in part["runs"]]
                if part["next_cursor"] is None:
                    break
                cursor = {"cursor": part["next_cursor"]}
            assert sorted(seen) == ["table-0", "table-1", "table-2"], order
            assert seen == names(sort=order, ascending=ascending)


def test_a_run_shows_its_latest_metrics_and_a_short_history(client: httpx.Client) -> None:
    send(client, started("long"))
    events = [
        of_server("long", number + 1, "round_completed", round=number, metrics={"accuracy": number / 1000})
        for number in range(1, 301)
    ]
    send(client, *events)

    shown = client.get("/api/runs/long").json()
    history = shown["history"]
    assert shown["metrics"] == {"accuracy": 0.3}
    assert len(history["values"]) <= 40
    assert history["values"] == [(1 + place * history["every"]) / 1000 for place in range(len(history["values"]))]
    assert 1 + len(history["values"]) * history["every"] > 300


def test_the_timeline_gives_what_the_events_give(client: httpx.Client) -> None:
    send(client, started("columns"), *rounds_of("columns"), event_of("columns", 500))
    command = {"command": "pause", "given_by": "a test"}
    client.post("/api/runs/columns/commands", json=command).raise_for_status()
    send(client, of_server("columns", 800, "run_paused", round=4))

    parts, after = [], 0
    while True:
        part = client.get("/api/runs/columns/timeline", params={"after": after, "limit": 10}).json()
        parts.append(part)
        if part["next_after"] is None:
            break
        after = part["next_after"]

    rebuilt = [each for part in parts for each in rebuild(part)]
    wanted = [each for each in all_events(client, "columns") if each["event"]["type"] != "node_heartbeat"]
    assert [each["seq"] for each in rebuilt] == [each["seq"] for each in wanted]
    for ours, theirs in zip(rebuilt, wanted, strict=True):
        emitted = ("schema_version", "event_id", "emitter_id", "emitter_seq", "run_id", "ts")
        expected = {name: value for name, value in theirs["event"].items() if name not in emitted}
        assert ours["deed"] == theirs["deed"]
        assert {name: ours["event"].get(name) for name in expected} == expected
    assert all(earlier["seq"] < later["seq"] for earlier, later in pairwise(rebuilt))


def rebuild(part: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a timeline as far as it has them."""
    metrics: dict[int, dict[str, float]] = {}
    for place, name, value in zip(part["metric_place"], part["metric_name"], part["metric_value"], strict=True):
        metrics.setdefault(place, {})[part["metric_names"][name]] = value
    tasks = [{} if task is None else {"task": part["tasks"][task]} for task in part["task"]]
    return [
        {
            "seq": seq,
            "deed": place in part["deeds"],
            "event": {
                "type": part["types"][part["type"][place]],
                "node_id": part["nodes"][part["node"][place]],
                "role": part["roles"][part["role"][place]],
                "status": part["statuses"][part["status"][place]],
                "round": part["round"][place],
                "attempt": part["attempt"][place],
                "latency_ms": part["latency_ms"][place],
                "payload_bytes": part["payload_bytes"][place],
                "metrics": metrics.get(place, {}),
                **tasks[place],
                **part["rest"].get(str(place), {}),
            },
        }
        for place, seq in enumerate(part["seq"])
    ]


def test_series_have_a_column_a_figure_and_a_round_done_again_is_there_once(client: httpx.Client) -> None:
    again = rounds_of("series", 2, attempt=2)
    send(client, started("series"), *rounds_of("series", 2), *[each for each in again if each["round"] == 2])

    found = client.get("/api/runs/series/series").json()

    assert found["round"] == [1, 2]
    assert found["columns"]["accuracy"] == [0.1, 0.2]
    assert found["columns"]["seconds"] == [0.5, 0.5]
    assert found["columns"]["attempt"] == [1, 2]
    assert [each["node_id"] for each in found["sites"]] == ["client-0", "client-1", "client-2"]
    site = found["sites"][2]
    assert site["round"] == [1, 2]
    assert site["columns"]["local_accuracy"] == [0.7, 0.7]
    assert site["columns"]["train_payload_bytes"] == [400, 400]
    assert site["columns"]["train_seconds"] == [0.2, 0.2]


def test_folding_needs_no_monitor_and_takes_what_is_exported(client: httpx.Client) -> None:
    send(client, started("exported"), *rounds_of("exported"))
    lines = client.get("/api/runs/exported/export").text.splitlines()
    at = datetime(2026, 1, 1, tzinfo=UTC)

    folded = fold((event_adapter.validate_json(line), at, False) for line in lines)

    assert folded is not None
    assert view_of_run(folded.run, at).state == "running"
    assert [view_of_node(folded.nodes[f"client-{each}"], at).condition for each in range(SITES)] == ["idle"] * SITES
    assert [each.metrics["accuracy"] for each in folded.rounds.values()] == [0.1, 0.2, 0.3, 0.4]


def frames_of(socket: ClientConnection) -> Iterator[dict[str, Any]]:
    while True:
        text = socket.recv(timeout=PATIENCE_SECONDS)
        frame_adapter.validate_json(text)  # as it is described
        yield json.loads(text)


def test_the_stream_shows_the_run_whenever_it_changes(monitor: MonitorProcess, client: httpx.Client) -> None:
    send(client, started("streamed"))
    with connect(f"{monitor.url.replace('http', 'ws')}/api/stream?run_id=streamed") as socket:
        frames = frames_of(socket)
        hello = next(frames)
        assert (hello["type"], hello["run_id"], hello["last_seq"]) == ("hello", "streamed", 1)
        assert next(frame["run"]["state"] for frame in frames if frame["type"] == "run") == "running"
        body = {"command": "pause", "given_by": "a test"}
        client.post("/api/runs/streamed/commands", json=body).raise_for_status()

        seen = []
        for frame in frames:
            seen.append(frame["type"])
            if frame["type"] == "run":
                assert (frame["run"]["state"], frame["run"]["allowed"]) == ("pausing", ["resume", "stop"])
                break
        assert seen == ["events", "run"]


def test_without_a_run_the_stream_shows_each_that_changes(monitor: MonitorProcess, client: httpx.Client) -> None:
    send(client, started("before"))
    with connect(f"{monitor.url.replace('http', 'ws')}/api/stream") as socket:
        frames = frames_of(socket)
        hello = next(frames)
        assert (hello["run_id"], hello["last_seq"]) == (None, None)
        send(client, started("first"))
        send(client, started("second"))
        send(client, of_server("first", 2, "run_completed", model_sha256="0" * 64))

        states: dict[str, str] = {}
        for frame in frames:
            if frame["type"] == "run":
                states[frame["run"]["run_id"]] = frame["run"]["state"]
            if states == {"first": "completed", "second": "running"}:
                break
            assert "before" not in states
