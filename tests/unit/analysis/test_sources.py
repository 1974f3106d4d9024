"""Where a run is read from, and what is said where there is none."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from fedforge_runtime.analysis import find_home, newest_run, read_baseline, read_export, read_run
from fedforge_runtime.config import load_run_config
from fedforge_runtime.errors import DataError, RunError
from fedforge_runtime.record.records import RoundRecord, write_tables
from fedforge_runtime.storage.home import Home, RunFolder
from tests.unit.analysis.conftest import SHA256, Story


def made(home: Home, run_id: str, *, begun: int, rounds: int = 0) -> RunFolder:
    """A run whose configuration was written at `begun`."""
    folder = home.run(run_id)
    folder.path.mkdir(parents=True)
    folder.config.write_text(load_run_config("blood").to_yaml())
    os.utime(folder.config, (begun, begun))
    records = [
        RoundRecord(
            round=number,
            model_sha256=SHA256,
            participants=[0],
            seconds=1.0,
            bytes_sent=1,
            bytes_received=1,
            training_loss=1.0,
            validation_metrics={"accuracy": 0.5},
            clients=[],
        )
        for number in range(1, rounds + 1)
    ]
    write_tables(folder, records)
    return folder


def lines_of(story: Story) -> str:
    return "".join(event.model_dump_json() + "\n" for event in story.events)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".fedforge")


def test_the_newest_run_is_the_last_one_that_has_completed_a_round(home: Home) -> None:
    made(home, "older", begun=1, rounds=2)
    made(home, "newer", begun=2, rounds=1)
    made(home, "preparing", begun=3)

    assert newest_run(home).run_id == "newer"


def test_a_home_is_found_from_a_folder_below_its_own(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDFORGE_HOME", raising=False)
    below = home.root.parent / "notebooks"
    below.mkdir()
    home.runs.mkdir(parents=True)

    assert find_home(below) == home
    monkeypatch.setenv("FEDFORGE_HOME", "/elsewhere")
    assert find_home(below) == Home(Path("/elsewhere"))


def test_where_there_is_no_home_the_demo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDFORGE_HOME", raising=False)

    with pytest.raises(RunError, match=r"no home with runs .* `fedforge demo`, or name the home in FEDFORGE_HOME"):
        find_home(tmp_path)


def test_an_empty_home_and_one_whose_runs_have_no_round_have_no_newest_run(home: Home) -> None:
    with pytest.raises(RunError, match=r"no run in .*runs has completed a round\. .*fedforge demo"):
        read_run(home)
    made(home, "preparing", begun=1)
    with pytest.raises(RunError, match="has completed a round"):
        read_run(home)


def test_a_run_that_is_not_there_is_named_with_the_nearest_one(home: Home) -> None:
    made(home, "blood-first", begun=1, rounds=1)

    with pytest.raises(RunError, match=r"no run 'blood-frist' .*blood-first"):
        read_run(home, "blood-frist")


def test_a_run_without_a_log_says_so(home: Home) -> None:
    made(home, "a-run", begun=1, rounds=1)

    with pytest.raises(DataError, match=r"events\.jsonl is missing: .* Restore it"):
        read_run(home)


def test_a_run_that_has_only_begun_has_frames_without_rows(home: Home, story: Story) -> None:
    folder = made(home, "a-run", begun=1)
    story.start(0)
    folder.events.write_text(lines_of(story))

    run = read_run(home, "a-run")

    frames = (run.rounds, run.clients, run.bounds, run.test_scores, run.sites, run.class_counts)
    assert [len(frame) for frame in frames] == [0] * len(frames)
    assert len(run.events) == 1
    assert run.label == "DATA AND BACKBONE UNKNOWN"
    assert read_baseline(run, home.root) is None


@pytest.mark.parametrize("content", [b"", b"round,accuracy\n1,0.5\n", b"\x89PNG\r\n\xff", b'{"events": []}'])
def test_a_file_that_is_no_export_says_how_to_make_one(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.ndjson"
    file.write_bytes(content)

    with pytest.raises(DataError, match=r"run\.ndjson is no export of a run: it holds no event .*curl .*/export"):
        read_export(file)


def test_an_export_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: No such file or directory\. .*curl"):
        read_export(tmp_path / "absent.ndjson")


def test_events_of_several_runs_are_no_run(tmp_path: Path, story: Story) -> None:
    story.start(0)
    other = story.events[0].model_copy(update={"run_id": "another", "event_id": uuid4()})
    file = tmp_path / "two.ndjson"
    file.write_text(lines_of(story) + other.model_dump_json())

    with pytest.raises(DataError, match="holds events of 2 runs: a-run, another"):
        read_export(file)


def test_a_damaged_line_is_left_out_and_named_and_one_that_is_there_twice_counts_once(
    tmp_path: Path, story: Story
) -> None:
    story.round(1, 0)
    whole = lines_of(story)
    file = tmp_path / "cut.ndjson"
    file.write_text(whole + whole + '{"type":"round_comp')

    run = read_export(file)

    assert len(run.events) == len(story.events)
    assert run.damage == [f"cut.ndjson: no event is in line {2 * len(story.events) + 1}. It is left out."]
