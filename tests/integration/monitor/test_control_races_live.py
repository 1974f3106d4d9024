"""What several people and processes do to one run at the same moment, over connections of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.support.monitor_process import MonitorProcess, of_server, started
from tests.support.patience import PATIENCE_SECONDS

MANY = 8
ROUNDS = 10

Act = Callable[[httpx.Client], httpx.Response]


def at_once(monitor: MonitorProcess, acts: Sequence[Act]) -> list[httpx.Response]:
    """Each act over an open connection of its own, none before all are ready; the answers in their order."""
    ready = threading.Barrier(len(acts), timeout=PATIENCE_SECONDS)

    def carry_out(act: Act) -> httpx.Response:
        with monitor.client() as client:
            client.get("/api/health")
            ready.wait()
            return act(client)

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(carry_out, acts))


def ordering(run_id: str, command: str, **fields: str) -> Act:
    body = {"command": command, "given_by": "a person", **fields}
    return lambda client: client.post(f"/api/runs/{run_id}/commands", json=body)


def saying(*events: dict[str, Any]) -> Act:
    return lambda client: client.post("/api/events", json={"events": events})


def asking_for(run_id: str, **request: str) -> Act:
    body = {"run_id": run_id, "request": {"phase": "blood", **request}}
    return lambda client: client.post("/api/runs", json=body)


def claiming(run_id: str) -> Act:
    return lambda client: client.post(f"/api/runs/{run_id}/claim", json={"claimant": "an agent"})


def codes(answers: Sequence[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


def history(client: httpx.Client, run_id: str) -> list[tuple[str, str | None]]:
    """Commands and their outcomes, the latest first."""
    entries = client.get(f"/api/runs/{run_id}/commands").json()["commands"]
    return [(each["command"], each["outcome"]) for each in entries]


def test_many_resumes_at_once_are_one_new_attempt(monitor: MonitorProcess, client: httpx.Client) -> None:
    for number in range(ROUNDS):
        run_id = f"resumed-{number}"
        saying(started(run_id), of_server(run_id, 2, "run_failed", reason="for a test"))(client)

        answers = at_once(monitor, [ordering(run_id, "resume")] * MANY)

        assert codes(answers) == [httpx.codes.ACCEPTED] + [httpx.codes.CONFLICT] * (MANY - 1)
        assert {each.json()["state"] for each in answers if not each.is_success} == {"resuming"}
        run = client.get(f"/api/runs/{run_id}").json()
        assert (run["state"], run["attempt"], run["claimable"]) == ("resuming", 2, True)
        assert history(client, run_id) == [("resume", None)]


def test_a_stop_at_the_moment_of_the_end_leaves_a_completed_run(monitor: MonitorProcess, client: httpx.Client) -> None:
    for number in range(ROUNDS):
        run_id = f"ending-{number}"
        saying(started(run_id))(client)
        end = of_server(run_id, 2, "run_completed", model_sha256="0" * 64)

        stop, told = at_once(monitor, [ordering(run_id, "stop"), saying(end)])

        assert [each["outcome"] for each in told.json()["results"]] == ["accepted"]
        assert client.get(f"/api/runs/{run_id}").json()["state"] == "completed"
        assert stop.status_code in (httpx.codes.ACCEPTED, httpx.codes.CONFLICT)
        assert history(client, run_id) == ([("stop", "completed")] if stop.is_success else [])
        if not stop.is_success:
            assert (stop.json()["state"], stop.json()["allowed"]) == ("completed", [])


def test_a_stop_at_the_moment_of_a_claim_either_prevents_it_or_is_told_to_its_process(
    monitor: MonitorProcess, client: httpx.Client
) -> None:
    for number in range(ROUNDS):
        run_id = f"unwanted-{number}"
        asking_for(run_id)(client)

        stop, claim = at_once(monitor, [ordering(run_id, "stop"), claiming(run_id)])

        assert stop.status_code == httpx.codes.ACCEPTED
        run = client.get(f"/api/runs/{run_id}").json()
        assert (run["claimable"], run["desired"]) == (False, "stop")
        if claim.is_success:
            assert (run["state"], history(client, run_id)) == ("stopping", [("stop", None)])
        else:
            assert claim.status_code == httpx.codes.CONFLICT
            assert (run["state"], history(client, run_id)) == ("stopped", [("stop", "effective")])


def test_one_command_over_many_connections_is_in_the_history_once(
    monitor: MonitorProcess, client: httpx.Client
) -> None:
    for number in range(ROUNDS):
        run_id = f"insisted-{number}"
        saying(started(run_id))(client)

        answers = at_once(monitor, [ordering(run_id, "pause", command_id=f"{run_id}-key")] * MANY)

        assert codes(answers) == [httpx.codes.ACCEPTED] * MANY
        assert len({answer.text for answer in answers}) == 1
        assert history(client, run_id) == [("pause", None)]


def test_one_key_for_two_commands_at_once_is_the_key_of_one_of_them(
    monitor: MonitorProcess, client: httpx.Client
) -> None:
    for number in range(ROUNDS):
        run_id = f"confused-{number}"
        saying(started(run_id))(client)

        answers = at_once(monitor, [ordering(run_id, name, command_id=f"{run_id}-key") for name in ("pause", "stop")])

        assert codes(answers) == [httpx.codes.ACCEPTED, httpx.codes.CONFLICT]
        (winner,) = [each.json()["command"] for each in answers if each.is_success]
        assert history(client, run_id) == [(winner, None)]
        assert client.get(f"/api/runs/{run_id}").json()["state"] == {"pause": "pausing", "stop": "stopping"}[winner]


def test_of_two_starters_with_different_wishes_one_gets_the_run_id(
    monitor: MonitorProcess, client: httpx.Client
) -> None:
    for number in range(ROUNDS):
        run_id = f"disputed-{number}"

        answers = at_once(monitor, [asking_for(run_id, profile=profile) for profile in ("cpu-safe", "tuned")])

        assert codes(answers) == [httpx.codes.CREATED, httpx.codes.CONFLICT]
        (winner,) = [each.json()["request"] for each in answers if each.is_success]
        (event,) = [each["event"] for each in client.get(f"/api/runs/{run_id}/events").json()["events"]]
        assert (event["type"], event["request"]) == ("run_requested", winner)
        assert client.get(f"/api/runs/{run_id}").json()["request"] == winner


def test_one_event_over_many_connections_has_one_number(monitor: MonitorProcess, client: httpx.Client) -> None:
    for number in range(ROUNDS):
        event = started(f"repeated-{number}")

        answers = at_once(monitor, [saying(event)] * MANY)

        results = [result for answer in answers for result in answer.json()["results"]]
        assert sorted(each["outcome"] for each in results) == ["accepted"] + ["duplicate"] * (MANY - 1)
        assert {each["seq"] for each in results} == {1}
        assert client.get(f"/api/runs/repeated-{number}").json()["last_seq"] == 1
