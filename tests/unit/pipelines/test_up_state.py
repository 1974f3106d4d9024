"""What `fedforge up` has written is believed only of the process that owns the lock now."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from fedforge_pipelines import up
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.processes.ownership import owning
from tests.support.patience import PATIENCE_SECONDS

WAITING = """
import sys
from pathlib import Path
from fedforge_runtime.processes.ownership import owning
with owning(Path(sys.argv[1])):
    print("owned", flush=True)
    sys.stdin.read()
"""


def write_state(home: Path, process_id: int) -> None:
    folder = home / "up"
    folder.mkdir(parents=True, exist_ok=True)
    state = {"process_id": process_id, "monitor": "http://127.0.0.1:1", "dagster": "http://127.0.0.1:2"}
    (folder / "state.json").write_text(json.dumps(state))


@contextmanager
def owner(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    (home / "up").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", WAITING, str(home / "up" / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_down_ends_the_process_that_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with owner(tmp_path) as process:
        write_state(tmp_path, process.pid)
        up.down(tmp_path)

        assert not psutil.pid_exists(process.pid)
    assert capsys.readouterr().out == "ended\n"


def test_down_takes_a_process_that_is_gone_meanwhile_for_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(PATIENCE_SECONDS)
    write_state(tmp_path, gone.pid)
    with owning(tmp_path / "up" / ".lock"):
        up.down(tmp_path)

    assert capsys.readouterr().out == "ended\n"


def test_down_while_it_is_being_started_says_so(tmp_path: Path) -> None:
    with owner(tmp_path), pytest.raises(FedForgeError, match="being started"):
        up.down(tmp_path)


def test_down_with_nothing_up_says_so_whatever_is_written(tmp_path: Path) -> None:
    write_state(tmp_path, 1)

    with pytest.raises(FedForgeError, match="nothing of"):
        up.down(tmp_path)


def test_a_start_forgets_what_one_that_was_killed_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path, 1)
    seen: list[bool] = []
    monkeypatch.setattr(up, "_serve", lambda *_: seen.append((tmp_path / "up" / "state.json").exists()))

    up.up(tmp_path, 0, 0)

    assert seen == [False]
