"""A home that cannot be written, or a disk that fills up: one clear line, and the run goes on once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.schema import RoundCompleted
from tests.e2e.command import (
    BARE,
    Outcome,
    refusal,
    tree_of,
    wait_for_event,
    wait_until,
)
from tests.e2e.forked import ForkedCommand, forked, forked_running

DISK_BYTES = 16 << 20
PAGE_BYTES = 4096


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._folder = folder
        self._filler = folder / "filler"

    def fill(self, *, leave: int = 0) -> None:
        """Let other files take all but `leave` bytes, in whole pages."""
        self.free()
        space = os.statvfs(self._folder)
        with self._filler.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, space.f_bavail * space.f_frsize - leave)

    def free(self) -> None:
        """Remove those other files."""
        self._filler.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    _mount(folder, f"size={DISK_BYTES}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def options(disk: Disk, small: Sequence[str], home: Path) -> list[str]:
    """The small run's options, with its home on the disk."""
    return [str(disk.home) if option == str(home) else option for option in small]


def _mount(folder: Path, *options: str) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small file system: {mounted.stderr.strip()}")


def _bring_artifacts(home: Path, disk: Disk, *, but: str = "") -> None:
    """Copy what was prepared already, so that a run begins where the disk is to be full."""
    shutil.copytree(home / "assets", disk.home / "assets", ignore=lambda _, names: [but] if but in names else [])


def _resume(run_id: str, disk: Disk) -> Outcome:
    outcome = forked("resume", run_id, "--home", disk.home, *BARE, "--json")
    assert outcome.code == 0, outcome.errors
    return outcome


def test_a_home_below_a_file_is_refused(tmp_path: Path, small: Sequence[str], home: Path) -> None:
    (tmp_path / "file").write_text("mine")
    options = [str(tmp_path / "file" / "home") if option == str(home) else option for option in small]
    reason = refusal(forked("run", "blood", *options))
    assert f"the home folder {tmp_path / 'file' / 'home'} cannot be written" in reason
    assert "--home" in reason
    assert tree_of(tmp_path) == {"file": 4}


def test_a_read_only_home_is_refused_for_runs_and_still_shows_them(
    undisturbed: dict[str, Any], disk: Disk, options: Sequence[str], home: Path
) -> None:
    shutil.copytree(home / "runs" / "undisturbed", disk.home / "runs" / "undisturbed")
    before = tree_of(disk.home)
    _mount(disk.home.parent, "remount", "ro")
    assert f"the home folder {disk.home} cannot be written" in refusal(forked("run", "blood", *options))
    shown = forked("show", "undisturbed", "--home", disk.home, "--json")
    assert shown.code == 0, shown.errors
    assert shown.json["model_sha256"] == undisturbed["model_sha256"]
    assert tree_of(disk.home) == before


def test_a_node_whose_disk_is_full_is_refused_with_the_reason_and_not_started_again_and_again(disk: Disk) -> None:
    disk.fill()
    reason = refusal(forked("node", "--superlink", "127.0.0.1:1", "--site", "0", "--home", disk.home))
    assert f"the home folder {disk.home} cannot be written: no space left on its disk" in reason
    assert not disk.home.exists()


def test_a_disk_that_is_full_while_the_images_are_written(disk: Disk, options: Sequence[str]) -> None:
    disk.fill(leave=64 * PAGE_BYTES)
    reason = refusal(forked("run", "blood", *options))
    assert f"cannot write below {disk.home}" in reason
    assert "No space left on device" in reason
    assert not [path for path in disk.home.rglob("*") if path.is_file() and path.stat().st_size]


def test_features_that_do_not_fit_are_refused_before_they_are_computed(
    undisturbed: dict[str, Any], disk: Disk, options: Sequence[str], home: Path
) -> None:
    _bring_artifacts(home, disk, but="features")
    disk.fill(leave=6 * PAGE_BYTES)
    reason = refusal(forked("run", "blood", *options, "--run-id", "full"))
    assert f"the features need 30.7 kB, but {disk.home}" in reason
    assert "fedforge resume full" in reason
    assert forked("show", "full", "--home", disk.home, "--json").json["state"] == "failed"


def test_a_disk_that_fills_up_while_features_are_computed(
    undisturbed: dict[str, Any], disk: Disk, options: Sequence[str], home: Path
) -> None:
    _bring_artifacts(home, disk, but="features")
    partial = disk.home / "assets" / "features"
    with forked_running("run", "blood", *options, "--run-id", "full") as command:
        progress = wait_until(lambda: next(partial.glob(".*.partial/progress.jsonl"), None), "the feature pass")
        wait_until(lambda: progress.read_text(), "a finished chunk")
        outcome = _fill_while_it_stands_still(disk, command)
    reason = refusal(outcome)
    assert "No space left on device" in reason
    assert f"cannot write below {disk.home}" in reason
    disk.free()
    assert _resume("full", disk).json["model_sha256"] == undisturbed["model_sha256"]


def test_a_disk_that_fills_up_in_mid_run(
    undisturbed: dict[str, Any], disk: Disk, options: Sequence[str], home: Path
) -> None:
    _bring_artifacts(home, disk)
    log = disk.home / "runs" / "full" / "events.jsonl"
    with forked_running("run", "blood", *options, "--run-id", "full") as command:
        wait_for_event(log, lambda event: isinstance(event, RoundCompleted) and event.round == 1, "round 1")
        outcome = _fill_while_it_stands_still(disk, command)
    reason = refusal(outcome)
    assert f"cannot write below {disk.home / 'runs' / 'full'}: no space left" in reason.replace("No", "no")
    assert "fedforge resume full" in reason
    assert forked("show", "full", "--home", disk.home).code == 0
    disk.free()
    resumed = _resume("full", disk).json
    assert resumed["model_sha256"] == undisturbed["model_sha256"]
    assert resumed["metrics"] == undisturbed["metrics"]


def test_a_disk_without_room_for_the_exported_model(
    undisturbed: dict[str, Any], disk: Disk, options: Sequence[str], home: Path
) -> None:
    _bring_artifacts(home, disk)
    disk.fill(leave=50 * PAGE_BYTES)  # the rounds take about 30 pages, the model 34
    reason = refusal(forked("run", "blood", *options, "--run-id", "full"))
    assert f"cannot write below {disk.home / 'runs' / 'full'}: No space left on device" in reason
    shown = forked("show", "full", "--home", disk.home, "--json").json
    assert (shown["state"], shown["rounds_completed"], shown["metrics"]) == ("failed", 3, {})
    disk.free()
    resumed = _resume("full", disk).json
    assert resumed["model_sha256"] == undisturbed["model_sha256"]
    assert Path(resumed["artifacts"]["model"], "model.safetensors").is_file()


def _fill_while_it_stands_still(disk: Disk, command: ForkedCommand) -> Outcome:
    family = command.family()
    for each in family:
        each.suspend()
    disk.fill()
    for each in family:
        each.resume()
    return command.wait()
