"""What a monitor shows of a run beside what the fold of its events shows: the same, whatever happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx

from monitor.reducer import fold
from monitor.schema import event_adapter
from monitor.views import view_of_command, view_of_node, view_of_round, view_of_run

_OF_THE_CLOCK = {"lease_expires_at", "stalled", "silent_seconds"}


def all_events(client: httpx.Client, run_id: str) -> list[dict[str, Any]]:
    """Every event of a run as the API shows it, page by page."""
    events: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        answer = client.get(f"/api/runs/{run_id}/events", params={"after": after, "limit": 1000})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        page = answer.raise_for_status().json()
        events += page["events"]
        after = page["next_after"]
    return events


def own_event_ids(client: httpx.Client, run_id: str) -> list[str]:
    """Of what the run itself has said, in the order of `seq`."""
    return [each["event"]["event_id"] for each in all_events(client, run_id) if not each["deed"]]


def assert_snapshot_is_fold(client: httpx.Client, run_id: str) -> None:
    """The snapshot says what the events up to its cursor say: state, commands that are allowed, nodes, rounds."""
    snapshot = client.get(f"/api/runs/{run_id}/snapshot").raise_for_status().json()
    history = client.get(f"/api/runs/{run_id}/commands").raise_for_status().json()["commands"]
    taken_at = datetime.fromisoformat(snapshot["taken_at"])
    folded = fold(
        (
            event_adapter.validate_python(each["event"]),
            datetime.fromisoformat(each["received_at"]),
            each["deed"],
        )
        for each in all_events(client, run_id)
        if each["seq"] <= snapshot["cursor"]
    )
    assert folded is not None
    run = view_of_run(folded.run, taken_at).model_dump(mode="json")
    assert {**run, **{name: snapshot["run"][name] for name in _OF_THE_CLOCK}} == snapshot["run"]
    nodes = [view_of_node(folded.nodes[name], taken_at) for name in sorted(folded.nodes)]
    assert [node.model_dump(mode="json") for node in nodes] == snapshot["nodes"]
    rounds = [view_of_round(folded.rounds[number]) for number in sorted(folded.rounds)]
    assert [each.model_dump(mode="json") for each in rounds] == snapshot["rounds"]
    shown = [view_of_command(run_id, each).model_dump(mode="json") for each in folded.commands.values()]
    by_id = {each["command_id"]: each for each in history}
    assert {each["command_id"]: each for each in shown} == by_id
