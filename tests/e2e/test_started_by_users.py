"""The main path of each command, started as users start it: by the console script, in a process of its own.

Elsewhere commands are forked from a process that has loaded everything, which would hide what only a start shows:
an import that is missing, a default that another module has set, output that is left in a buffer.
"""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
import typer

from fedforge_runtime.commands.app import app
from fedforge_runtime.commands.federation_tables import describe_federation
from fedforge_runtime.config import read_run_config
from fedforge_runtime.data.sources.datasets import SPLITS, load_labels, prepare_dataset
from fedforge_runtime.engines.superlink.standing import require_federation
from fedforge_runtime.storage.artifacts import ArtifactStore
from fedforge_runtime.storage.home import Home, RunFolder
from tests.e2e.command import BARE, fedforge, running, wait_until
from tests.e2e.conftest import ROWS
from tests.support.monitor_process import MonitorProcess
from tests.support.patience import PATIENCE_SECONDS

ELSEWHERE = {"run", "demo", "hardware-check", "up", "down", "agent", "monitor", "federation down"}
"""Commands whose own tests start them so."""
HERE = {
    "audit", "baseline accept", "baseline compare", "bounds", "events import", "export", "federation certs",
    "federation provision", "federation status", "federation up", "node", "partition", "pause", "prepare", "report",
    "resume", "runs", "shards", "show", "split", "start", "stop", "watch",
}  # fmt: skip


def answer(*arguments: object) -> Any:
    """The object that a command gives by --json."""
    done = fedforge(*arguments, "--json")
    assert done.code == 0, done.errors
    return done.json


def said(*arguments: object) -> str:
    """What a command prints for people."""
    done = fedforge(*arguments)
    assert (done.code, "Traceback" in done.errors) == (0, False), done.errors
    return done.output


@pytest.fixture(scope="module")
def data(home: Path, tiny_backbone: Path) -> list[str]:
    """Options of the undisturbed run's data, in its home, for every command that makes a configuration."""
    return [
        *("--home", str(home), "--data", "phantom", "--backbone", str(tiny_backbone)),
        *("--clients", "3", "--set", f"dataset.limit={ROWS}"),
    ]


def test_no_command_is_left_out() -> None:
    group: Any = typer.main.get_command(app)
    words = {name for name, each in group.commands.items() if not hasattr(each, "commands")}
    words |= {f"{name} {own}" for name, each in group.commands.items() for own in getattr(each, "commands", {})}

    assert words == ELSEWHERE | HERE


def test_data_are_prepared_shown_audited_split_and_handed_over(
    undisturbed: dict[str, Any], data: list[str], home: Path, tmp_path: Path
) -> None:
    made = answer("prepare", "blood", *data)
    assert not any(each["created"] for each in made.values()), "the run has made them, by the same options"

    shown = answer("partition", "blood", "--preview", *data)
    assert shown["dataset"]["key"] == Path(made["dataset"]["path"]).name

    assert answer("audit", "blood", "--no-fail", *data)["phase"] == "blood"

    config = read_run_config(RunFolder(home / "runs" / "undisturbed").config)
    dataset = prepare_dataset(config.dataset, store=ArtifactStore(Home(home)), notify=print)
    groups = tmp_path / "groups.csv"
    with groups.open("w", newline="") as stream:
        rows = [(split, row, f"{split}-{row}") for split in SPLITS for row in range(len(load_labels(dataset, split)))]
        csv.writer(stream).writerows([("split", "index", "group"), *rows])
    phantom = ("--data", "phantom", "--home", home, "--set", f"dataset.limit={ROWS}")
    new = answer("split", "blood", "--groups", groups, "--output", tmp_path / "new", *phantom)
    assert Path(new["files"]["archive"]).is_file()

    assert len(answer("shards", "blood", tmp_path / "shards", *data)["sites"]) == 3


def test_a_run_is_resumed_listed_reported_exported_bounded_and_held_against_itself(
    undisturbed: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    cut = RunFolder(home / "runs" / "cut-short")
    shutil.copytree(home / "runs" / "undisturbed", cut.path)
    shutil.rmtree(cut.checkpoints / "round-00003")
    lines = cut.events.read_bytes().splitlines(keepends=True)
    cut.events.write_bytes(b"".join(line for line in lines if b'"run_completed"' not in line))
    own = ("cut-short", "--home", home)

    assert answer("resume", *own, *BARE)["model_sha256"] == undisturbed["model_sha256"]
    assert "cut-short" in said("runs", "--home", home)
    assert "3 of 3 rounds" in said("show", *own)
    assert Path(said("report", *own).strip()).is_file()
    assert Path(answer("export", *own, tmp_path / "model")["model"], "config.json").is_file()
    assert "centralized" in answer("bounds", *own)
    baselines = ("--baselines", tmp_path / "baselines")
    assert Path(answer("baseline", "accept", *own, *baselines)["baseline"]).is_file()
    assert answer("baseline", "compare", *own, *baselines)["passed"]
    shutil.rmtree(cut.path)


def test_a_monitor_is_asked_and_given_a_log(
    undisturbed: dict[str, Any], home: Path, monitor: MonitorProcess, tmp_path: Path
) -> None:
    there = ("--monitor", monitor.url)
    assert answer("start", "blood", "--run-id", "asked", *there)["run_id"] == "asked"
    assert answer("stop", "asked", *there)["command"] == "stop"

    assert answer("events", "import", "undisturbed", "--home", home, *there)["accepted"] > 0
    assert "The run is completed" in said("watch", "undisturbed", *there)

    half = RunFolder(tmp_path / "runs" / "half")
    half.path.mkdir(parents=True)
    shutil.copy(home / "runs" / "undisturbed" / "config.yaml", half.config)
    events = [json.loads(line) for line in (home / "runs" / "undisturbed" / "events.jsonl").open()]
    begun = events[: 1 + next(number for number, event in enumerate(events) if event["type"] == "run_started")]
    of_half = [event | {"run_id": "half", "event_id": str(uuid.uuid4())} for event in begun]
    half.events.write_text("".join(json.dumps(event) + "\n" for event in of_half))
    answer("events", "import", "half", "--home", tmp_path, *there)
    assert answer("pause", "half", *there)["command"] == "pause"


def test_a_federation_is_certified_started_in_the_foreground_joined_and_ended(tmp_path: Path) -> None:
    provisioned = said("federation", "provision", tmp_path / "secrets", "--nodes", "1")
    assert "made, valid until" in provisioned
    assert "was there" in said("federation", "provision", tmp_path / "secrets", "--nodes", "1")
    made = answer("federation", "certs", tmp_path / "certs", "--host", "127.0.0.1", "--nodes", "1")
    assert list(made["nodes"]) == ["0"]

    home, opened = ("--home", tmp_path / "home"), Home(tmp_path / "home")
    certified = ("--certs", tmp_path / "certs", "--nodes", "0", "--port", "0")
    with running("federation", "up", "--foreground", "--json", *certified, *home) as federation:
        begun = _first_object(federation)
        assert begun["ready"]
        node = (
            *("node", "--superlink", begun["address"], "--site", "0", "--home", tmp_path / "site"),
            *("--root-certificates", made["ca"], "--key", made["nodes"]["0"]),
        )
        with running(*node) as joined:
            wait_until(lambda: describe_federation(require_federation(opened), opened)["nodes_online"] == 1, "the node")
            status = answer("federation", "status", *home)
            assert status["nodes_online"] == 1
            assert [(site["name"], site["online"], site["refusal"]) for site in status["sites"]] == [
                ("site-0", True, None)
            ]
            joined.send_signal(signal.SIGINT)
            output, _ = joined.communicate(timeout=PATIENCE_SECONDS)
            assert f"site 0: connected to {begun['address']} as site 0" in output
        federation.send_signal(signal.SIGINT)
        assert federation.communicate(timeout=PATIENCE_SECONDS)[0] == ""
        assert federation.returncode == 0


def _first_object(process: subprocess.Popen[str]) -> Any:
    """The JSON object that a process has written, which goes on."""
    assert process.stdout is not None
    text = ""
    while not text.endswith("\n}\n"):
        line = process.stdout.readline()
        assert line, process.communicate()
        text += line
    return json.loads(text)
