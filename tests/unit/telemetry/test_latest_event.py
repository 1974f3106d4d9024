from __future__ import annotations

from pathlib import Path

import pytest

from fedforge_runtime.telemetry.emitter import latest_sentence

PAUSED = '{"type": "run_paused", "node_id": "server"}'
HEARTBEAT = '{"type": "node_heartbeat", "node_id": "client-1"}'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([PAUSED], "The run is paused."),
        ([PAUSED, HEARTBEAT, HEARTBEAT], "The run is paused."),
        ([PAUSED, '{"type": "run_resu'], "The run is paused."),  # it is being written
        ([HEARTBEAT], None),
        ([], None),
    ],
)
def test_what_a_run_said_last_is_said_in_a_sentence(lines: list[str], said: str | None, tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    log.write_text("\n".join(lines))

    assert latest_sentence(log) == said


def test_of_a_log_that_is_not_there_nothing_is_said(tmp_path: Path) -> None:
    assert latest_sentence(tmp_path / "events.jsonl") is None
