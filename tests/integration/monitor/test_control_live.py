"""Commands, claims and silence over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path

import httpx

from tests.e2e.command import wait_until
from tests.support.monitor_process import MonitorProcess, event_of, of_server, started
from tests.support.patience import PATIENCE_SECONDS


def send(client: httpx.Client, *events: object) -> None:
    response = client.post("/api/events", json={"events": list(events)})
    assert all(each["outcome"] == "accepted" for each in response.json()["results"]), response.text


def ask_for(client: httpx.Client, run_id: str, **request: object) -> httpx.Response:
    return client.post("/api/runs", json={"run_id": run_id, "request": {"phase": "blood", **request}})


def command(client: httpx.Client, run_id: str, name: str, **fields: str) -> httpx.Response:
    return client.post(f"/api/runs/{run_id}/commands", json={"command": name, "given_by": "a person", **fields})


def state(client: httpx.Client, run_id: str) -> str:
    answer: str = client.get(f"/api/runs/{run_id}").json()["state"]
    return answer


def test_the_history_says_when_a_pause_was_asked_for_heard_and_came_to_pass(client: httpx.Client) -> None:
    send(client, started("paused"))
    assert command(client, "paused", "pause").status_code == httpx.codes.ACCEPTED
    assert state(client, "paused") == "pausing"

    told = client.get("/api/runs/paused/desired", params={"known": "run", "wait": 20}).json()
    send(client, of_server("paused", 2, "run_paused") | {"round": 3})

    assert told == {"desired": "pause", "attempt": 1}
    assert state(client, "paused") == "paused"
    (entry,) = client.get("/api/runs/paused/commands").json()["commands"]
    assert (entry["outcome"], entry["effective_round"], entry["given_by"]) == ("effective", 3, "a person")
    assert entry["requested_at"] <= entry["acknowledged_at"] <= entry["effective_at"]


def test_a_run_that_waits_for_news_hears_of_a_command_at_once(monitor: MonitorProcess, client: httpx.Client) -> None:
    send(client, started("beside"), started("waiting"))
    with ThreadPoolExecutor(2) as pool, monitor.client() as of_run:

        def wait_for_news(run_id: str) -> Future[httpx.Response]:
            return pool.submit(of_run.get, f"/api/runs/{run_id}/desired", params={"known": "run", "wait": 25})

        beside, answer = wait_for_news("beside"), wait_for_news("waiting")
        command(client, "waiting", "stop")

        assert answer.result(timeout=PATIENCE_SECONDS).json()["desired"] == "stop"
        assert not beside.done(), "it has sat out its wait, as one that began before it"
        command(client, "beside", "stop")
        assert beside.result(timeout=PATIENCE_SECONDS).json()["desired"] == "stop"


def test_an_illegal_command_is_refused_with_the_state_and_what_is_legal(client: httpx.Client) -> None:
    send(client, started("going"))

    refused = command(client, "going", "resume")

    assert refused.status_code == httpx.codes.CONFLICT
    assert refused.json()["state"] == "running"
    assert refused.json()["allowed"] == ["pause", "stop"]
    assert "going on" in refused.json()["error"]
    assert client.get("/api/runs/going/commands").json()["commands"] == []


def test_the_same_command_twice_is_one(client: httpx.Client) -> None:
    send(client, started("once"))

    first = command(client, "once", "pause", command_id="key-1")
    again = command(client, "once", "pause", command_id="key-1")
    other = command(client, "once", "stop", command_id="key-1")

    assert first.json()["requested_at"] == again.json()["requested_at"]
    assert other.status_code == httpx.codes.CONFLICT
    assert len(client.get("/api/runs/once/commands").json()["commands"]) == 1
    assert state(client, "once") == "pausing"


def test_pause_against_stop_ends_in_a_stop_whoever_comes_first(monitor: MonitorProcess, client: httpx.Client) -> None:
    for number in range(10):
        run_id = f"race-{number}"
        send(client, started(run_id))

        def give(name: str, run_id: str = run_id) -> int:
            with monitor.client() as mine:
                return command(mine, run_id, name).status_code

        with ThreadPoolExecutor(2) as pool:
            codes = list(pool.map(give, ["pause", "stop"]))

        assert codes[1] == httpx.codes.ACCEPTED
        assert state(client, run_id) == "stopping"


def test_of_many_claimants_one_gets_the_run(monitor: MonitorProcess, client: httpx.Client) -> None:
    assert ask_for(client, "wanted").status_code == httpx.codes.CREATED

    def claim(name: int) -> httpx.Response:
        with monitor.client() as mine:
            return mine.post("/api/runs/wanted/claim", json={"claimant": f"agent {name}"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(claim, range(8)))

    assert sorted(each.status_code for each in answers) == [httpx.codes.CREATED] + [httpx.codes.CONFLICT] * 7
    (lease,) = [each.json() for each in answers if each.is_success]
    assert lease["request"]["phase"] == "blood"
    assert client.post(f"/api/runs/wanted/leases/{lease['lease_id']}").is_success
    assert client.post("/api/runs/wanted/leases/another").status_code == httpx.codes.CONFLICT


def test_a_claimant_says_where_it_shows_what_it_does_and_the_run_keeps_it(client: httpx.Client) -> None:
    run_id, url = "linked", "http://127.0.0.1:3000/runs/0123"
    ask_for(client, run_id)

    refused = client.post(f"/api/runs/{run_id}/claim", json={"claimant": "me", "url": "javascript:alert(1)"})
    client.post(f"/api/runs/{run_id}/claim", json={"claimant": "me", "url": url})
    send(client, started(run_id), of_server(run_id, 2, "run_completed", model_sha256="0" * 64))

    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    run = client.get(f"/api/runs/{run_id}").json()
    assert (run["state"], run["claimant_url"]) == ("completed", url)


def test_two_starters_of_one_run_id_start_one_run(client: httpx.Client) -> None:
    first = ask_for(client, "same-name")
    repeated = ask_for(client, "same-name")
    different = ask_for(client, "same-name", profile="tuned")

    assert first.is_success
    assert repeated.is_success
    assert different.status_code == httpx.codes.CONFLICT
    kinds = [each["event"]["type"] for each in client.get("/api/runs/same-name/events").json()["events"]]
    assert kinds == ["run_requested"]


def test_a_stop_after_the_end_and_a_double_resume_are_refused(client: httpx.Client) -> None:
    send(client, started("done"), of_server("done", 2, "run_completed", model_sha256="0" * 64))
    assert command(client, "done", "stop").status_code == httpx.codes.CONFLICT

    send(client, started("failing"), of_server("failing", 2, "run_failed", reason="for a test"))
    assert command(client, "failing", "resume").is_success
    assert command(client, "failing", "resume").status_code == httpx.codes.CONFLICT
    assert client.get("/api/runs/failing").json()["attempt"] == 2


def test_an_unknown_run_is_not_found(client: httpx.Client) -> None:
    for path in ("", "/events", "/snapshot", "/nodes", "/rounds", "/commands", "/desired", "/export"):
        answer = client.get(f"/api/runs/nobody{path}")
        assert answer.status_code == httpx.codes.NOT_FOUND
        assert "no run 'nobody'" in answer.json()["error"]


def test_a_run_that_falls_silent_is_lost_and_a_late_event_brings_it_back(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path, "--silence", "1") as monitor, monitor.client() as client:
        send(client, started("silent"))

        wait_until(lambda: state(client, "silent") == "lost", "lost")

        assert_heard_of(client, "silent", "running", numbers=count(1))


def test_a_run_that_dies_while_it_is_prepared_is_lost_and_a_request_that_waits_is_not(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path, "--silence", "1") as monitor, monitor.client() as client:
        assert ask_for(client, "waits").is_success
        send(client, of_server("prepared", 1, "run_requested", request={"phase": "blood"}), event_of("prepared", 1))
        numbers = count(2)
        assert_heard_of(client, "prepared", "requested", numbers=numbers)

        wait_until(lambda: state(client, "prepared") == "lost", "lost")

        assert state(client, "waits") == "requested"
        assert client.get("/api/runs/waits").json()["waiting_for"] == (
            "somebody who starts it: fedforge agent, or fedforge up"
        )
        assert_heard_of(client, "prepared", "requested", numbers=numbers)


def assert_heard_of(client: httpx.Client, run_id: str, expected: str, *, numbers: Iterator[int]) -> None:
    """Something is heard of it, so that it is in this state; more than once where the next look comes a second late."""

    def is_heard() -> bool:
        send(client, event_of(run_id, next(numbers)))
        return state(client, run_id) == expected

    wait_until(is_heard, expected)


def test_nobody_claims_a_request_of_which_something_is_heard(client: httpx.Client) -> None:
    assert ask_for(client, "unclaimed").is_success
    send(client, event_of("unclaimed", 1))

    refused = client.post("/api/runs/unclaimed/claim", json={"claimant": "another"})

    assert refused.status_code == httpx.codes.CONFLICT


def test_a_request_of_which_nothing_more_is_heard_is_lost(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path, "--silence", "1") as monitor, monitor.client() as client:
        assert ask_for(client, "unclaimed").is_success
        send(client, event_of("unclaimed", 1))

        wait_until(lambda: state(client, "unclaimed") == "lost", "lost")


def test_after_its_own_downtime_a_monitor_waits_before_it_declares_anything_lost(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path, "--silence", str(PATIENCE_SECONDS)) as monitor:
        with monitor.client() as client:
            send(client, started("still-there"))
        monitor.kill()
        monitor.start()
        with monitor.client() as client:
            assert state(client, "still-there") == "running"


def test_the_state_survives_kill_9(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor:
        with monitor.client() as client:
            send(client, started("kept"))
            assert command(client, "kept", "pause", command_id="k").is_success
        monitor.kill()
        monitor.start()
        with monitor.client() as client:
            assert state(client, "kept") == "pausing"
            assert command(client, "kept", "pause", command_id="k").is_success  # the same command, asked again
            assert client.get("/api/runs/kept/desired").json()["desired"] == "pause"
