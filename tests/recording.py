"""What a run said and what the monitor made of it, event by event: the dashboard's reducer is held against it.

`python -m tests.recording` runs a federation that is paused, stopped and resumed, and writes
`dashboard/src/test/recorded/operated.json`: its events, their sentences, and after each what changed in the views.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from monitor.reducer import Folded, RunFacts
from monitor.routes.words import words
from monitor.schema import event_adapter, sentence_of
from monitor.views import view_of_command, view_of_node, view_of_round, view_of_run
from tests.support.folding import all_events
from tests.support.monitor_process import MonitorProcess
from tests.support.patience import PATIENCE_SECONDS

RECORDED = Path(__file__).parents[1] / "dashboard" / "src" / "test" / "recorded"
OF_THE_CLOCK = {"stalled", "silent_seconds", "lease_expires_at"}
NOT_FOLDED = OF_THE_CLOCK | {"history", "refused", "request", "waiting_for", "desired"}
"""Of a run's view, what the dashboard reads and does not make."""
RUN_ID = "operated"


def changes(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """After each event what is another than before it: of the run its fields, and which node, round and command."""
    folded: Folded | None = None
    shown: dict[str, Any] = {}
    found: list[dict[str, Any]] = []
    for recorded in events:
        event = event_adapter.validate_python(recorded["event"])
        at = datetime.fromisoformat(recorded["received_at"])
        folded = folded or Folded(RunFacts(event.run_id, at))
        folded.take(event, at, deed=recorded["deed"])
        run = view_of_run(folded.run, at).model_dump(mode="json", exclude=NOT_FOLDED)
        views: dict[str, Any] = {f"run {name}": value for name, value in run.items()}
        for node_id, node in folded.nodes.items():
            views[f"node {node_id}"] = view_of_node(node, at).model_dump(mode="json", exclude={"silent_seconds"})
        for number, facts in folded.rounds.items():
            views[f"round {number}"] = view_of_round(facts).model_dump(mode="json")
        for command_id, command in folded.commands.items():
            views[f"command {command_id}"] = view_of_command(event.run_id, command).model_dump(
                mode="json", exclude={"seconds_to_effect"}
            )
        found.append({name: view for name, view in views.items() if name not in shown or shown[name] != view})
        shown = views
    return found


def record(events: list[dict[str, Any]]) -> dict[str, Any]:
    """As it is kept in a file."""
    sentences = [sentence_of(event_adapter.validate_python(each["event"])) for each in events]
    said = {"sentences": sentences, "words": words().model_dump(mode="json")}
    return {"events": events, **said, "changes": changes(events)}


def _wait_for(client: httpx.Client, state: str, *, rounds: int = 0) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        answer = client.get(f"/api/runs/{RUN_ID}")
        if answer.is_success and answer.json()["state"] == state and answer.json()["round"] >= rounds:
            return
        time.sleep(0.1)
    raise SystemExit(f"the run has not come to be {state} within {PATIENCE_SECONDS:.0f} s: {answer.text}")


def main() -> None:
    """Run it, operate it, and write what it said."""
    command = [Path(sys.executable).parent / "fedforge"]
    asked = ["--data", "phantom", "--backbone", "untrained", "--clients", "3", "--rounds", "6", "--run-id", RUN_ID]
    with tempfile.TemporaryDirectory() as folder, MonitorProcess(Path(folder) / "monitor") as monitor:
        environment = os.environ | {"FEDFORGE_MONITOR": monitor.url, "FEDFORGE_HOME": str(Path(folder) / "home")}
        with monitor.client() as client:
            run = subprocess.Popen([*command, "run", "blood", *asked, "--set", "dataset.limit=300"], env=environment)
            _wait_for(client, "running", rounds=1)
            give = {"given_by": "Ada"}
            client.post(f"/api/runs/{RUN_ID}/commands", json={"command": "pause", **give}).raise_for_status()
            _wait_for(client, "paused")
            client.post(f"/api/runs/{RUN_ID}/commands", json={"command": "resume", **give}).raise_for_status()
            _wait_for(client, "running", rounds=3)
            client.post(f"/api/runs/{RUN_ID}/commands", json={"command": "stop", **give}).raise_for_status()
            run.wait(PATIENCE_SECONDS)
            subprocess.run([*command, "resume", RUN_ID], env=environment, check=True)
            _wait_for(client, "completed")
            events = all_events(client, RUN_ID)
    RECORDED.mkdir(parents=True, exist_ok=True)
    target = RECORDED / f"{RUN_ID}.json"
    target.write_text(json.dumps(record(events), indent=None, separators=(",", ":")) + "\n")
    print(f"{len(events)} events in {target}, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
