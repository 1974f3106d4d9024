"""Events over a real socket into a real database."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from websockets.sync.client import connect

from tests.support.monitor_process import MonitorProcess, event_of, of_server, started
from tests.support.patience import PATIENCE_SECONDS


def send(client: httpx.Client, *events: object) -> list[dict[str, object]]:
    response = client.post("/api/events", json={"events": list(events)})
    assert response.status_code == httpx.codes.OK, response.text
    results: list[dict[str, object]] = response.json()["results"]
    return results


def everything(client: httpx.Client, run_id: str, limit: int = 100) -> list[dict[str, object]]:
    """All events of a run, page by page."""
    events: list[dict[str, object]] = []
    after: int | None = 0
    while after is not None:
        page = client.get(f"/api/runs/{run_id}/events", params={"after": after, "limit": limit}).json()
        events += page["events"]
        after = page["next_after"]
    return events


def test_what_is_delivered_twice_is_there_once(client: httpx.Client) -> None:
    events = [started("twice"), *[event_of("twice", number) for number in range(1, 6)]]

    first = send(client, *events)
    again = send(client, *reversed(events))

    assert [each["outcome"] for each in first] == ["accepted"] * 6
    assert [each["outcome"] for each in again] == ["duplicate"] * 6
    assert [each["seq"] for each in again] == [6, 5, 4, 3, 2, 1]
    kept = everything(client, "twice", limit=4)
    assert [each["seq"] for each in kept] == [1, 2, 3, 4, 5, 6]


def test_one_event_twice_in_a_batch_is_there_once(client: httpx.Client) -> None:
    event = event_of("in-a-batch", 1)

    assert [each["outcome"] for each in send(client, event, event)] == ["accepted", "duplicate"]


def test_what_a_sender_was_told_is_held_and_expected_again_and_nothing_is_taken_where_it_is_not(
    client: httpx.Client,
) -> None:
    def post(*events: object, expected: object = None) -> dict[str, Any]:
        answer: dict[str, Any] = client.post("/api/events", json={"events": events, "expected": expected}).json()
        return answer

    first = post(started("held"), *(event_of("held", number) for number in (1, 2)))
    second = post(event_of("held", 3), "no event", expected=first["held"])
    others = event_of("elsewhere", 7)
    ahead = second["held"] | {"positions": [second["held"]["positions"][0] | {"emitter_seq": 4}]}
    behind = post(others, expected=ahead)
    another = post(others, expected=second["held"] | {"database": "f" * 32})

    def reached(answer: dict[str, Any]) -> set[tuple[str, str, int]]:
        return {(each["run_id"], each["emitter_id"], each["emitter_seq"]) for each in answer["held"]["positions"]}

    assert reached(first) == {("held", "server-1", 1), ("held", "client-0-1", 2)}
    assert reached(second) == {("held", "client-0-1", 3)}
    assert [each["outcome"] for each in second["results"]] == ["accepted", "refused"]
    for refused in (behind, another):
        assert refused["results"] == []
        assert refused["held"]["database"] == first["held"]["database"]
        assert reached(refused) == {("held", "server-1", 1), ("held", "client-0-1", 3)}
    assert client.get("/api/runs/elsewhere").status_code == httpx.codes.NOT_FOUND


def test_a_wrong_event_is_refused_with_the_field_and_the_others_are_kept(client: httpx.Client) -> None:
    wrong = event_of("mixed", 2) | {"round": -1}
    unknown = event_of("mixed", 3) | {"type": "node_exploded"}
    crowded = event_of("mixed", 4) | {"colour": "blue"}

    results = send(client, event_of("mixed", 1), wrong, unknown, crowded, "no event", event_of("mixed", 5))

    assert [each["outcome"] for each in results] == ["accepted", *["refused"] * 4, "accepted"]
    errors = [str(each["error"]) for each in results]
    assert "round" in errors[1]
    assert "node_exploded" in errors[2]
    assert "colour" in errors[3]
    assert [each["seq"] for each in everything(client, "mixed")] == [1, 2]


def test_what_no_database_or_parser_could_take_is_refused_too(client: httpx.Client) -> None:
    good = json.dumps(event_of("strange", 1))
    lines = [
        json.dumps(event_of("strange", 10**30)),
        json.dumps(event_of("strange", 2) | {"round": 2**63}),
        json.dumps(of_server("strange", 3, "run_failed", reason="X")).replace('"X"', '"\\ud800"'),
        json.dumps(event_of("strange", 4) | {"metrics": {"loss": 1}}).replace('"loss": 1', '"loss": NaN'),
        "[" * 50_000,
        "null",
    ]

    answer = client.post("/api/events/import", content="\n".join([*lines, good]).encode())

    assert [each["outcome"] for each in answer.json()["results"]] == ["refused"] * len(lines) + ["accepted"]


def test_emitters_at_the_same_time_get_numbers_without_a_gap(monitor: MonitorProcess) -> None:
    def emit(emitter: int) -> None:
        with monitor.client() as client:
            for number in range(1, 26):
                send(client, event_of("crowd", number, emitter_id=f"client-{emitter}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(emit, range(8)))

    with monitor.client() as client:
        kept = everything(client, "crowd")
    assert [each["seq"] for each in kept] == list(range(1, 201))
    for emitter in range(8):
        order = [each["event"]["emitter_seq"] for each in kept if each["event"]["emitter_id"] == f"client-{emitter}"]  # type: ignore[index]
        assert order == list(range(1, 26))


def test_what_an_emitter_has_not_delivered_yet_is_reported(client: httpx.Client) -> None:
    send(client, started("gaps"), event_of("gaps", 1), event_of("gaps", 4))

    missing = client.get("/api/runs/gaps/snapshot").json()["missing"]

    assert missing == [{"emitter_id": "client-0-1", "received": 2, "highest": 4}]


def test_an_export_is_what_was_sent_and_can_be_imported_elsewhere(
    client: httpx.Client, tmp_path_factory: object
) -> None:
    events = [started("carried"), event_of("carried", 1), of_server("carried", 2, "round_started", participants=[0])]
    send(client, *events)

    exported = client.get("/api/runs/carried/export").text

    assert [json.loads(line)["event_id"] for line in exported.splitlines()] == [each["event_id"] for each in events]
    imported = client.post("/api/events/import", content=exported.encode()).json()["results"]
    assert [each["outcome"] for each in imported] == ["duplicate"] * 3


def test_a_snapshot_and_the_stream_after_its_cursor_miss_nothing(monitor: MonitorProcess) -> None:
    with monitor.client() as client:
        send(client, started("followed"))
        cursor = client.get("/api/runs/followed/snapshot").json()["cursor"]
        send(client, event_of("followed", 1))
        seen: list[int] = []
        address = f"{monitor.url.replace('http', 'ws')}/api/stream?run_id=followed&after={cursor}"
        with connect(address, proxy=None, open_timeout=PATIENCE_SECONDS) as socket:
            hello = json.loads(socket.recv(timeout=PATIENCE_SECONDS))
            assert (hello["type"], hello["last_seq"]) == ("hello", 2)
            taken = client.post("/api/events", json={"events": [event_of("another", 1)]}).json()
            assert hello["database"] == taken["held"]["database"]
            sender = threading.Thread(target=lambda: [send(client, event_of("followed", n)) for n in range(2, 40)])
            sender.start()
            while len(seen) < 39:
                frame = json.loads(socket.recv(timeout=PATIENCE_SECONDS))
                if frame["type"] == "events":
                    seen += [each["seq"] for each in frame["events"]]
            sender.join()

    assert seen == list(range(2, 41))


def test_a_reader_from_another_database_is_told_to_begin_again(monitor: MonitorProcess) -> None:
    with monitor.client() as client:
        send(client, started("young"))
    with connect(
        f"{monitor.url.replace('http', 'ws')}/api/stream?run_id=young&after=900",
        proxy=None,
        open_timeout=PATIENCE_SECONDS,
    ) as socket:
        frames = [json.loads(socket.recv(timeout=PATIENCE_SECONDS)) for _ in range(2)]

    assert [frame["type"] for frame in frames] == ["hello", "resync"]
    assert frames[1]["after"] == 1


def test_half_a_character_is_refused_by_name_and_the_rest_of_its_batch_is_taken(client: httpx.Client) -> None:
    half = b'{"type": "node_heartbeat", "event_id": "\\ud800", "run_id": "\\ud800", "round": 0}'
    whole = json.dumps(event_of("halves", 1)).encode()
    body = b'{"events":[' + half + b"," + whole + b"]}"

    answer = client.post("/api/events", content=body, headers={"Content-Type": "application/json"})

    assert [each["outcome"] for each in answer.json()["results"]] == ["refused", "accepted"]
