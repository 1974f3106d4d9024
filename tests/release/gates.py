"""The gates of a release, each with what shows it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.command import running, wait_for_event, wait_until
from tests.release.checking import ROOT, NotHereError, Row, fedforge, found, require, run
from tests.release.wheel import try_wheel
from tests.stack.compose import why_no_engine
from tests.support.folding import all_events
from tests.support.monitor_process import MonitorProcess
from tests.support.patience import PATIENCE_SECONDS

REFERENCE = ("--data", "phantom", "--backbone", "untrained")
"""Of what `baselines/` holds of phantom data; `make baselines` makes it."""
SMALL = (*REFERENCE, "--set", "dataset.limit=600")


def rows() -> list[Row]:
    """In the order of the gates."""
    return [
        Row("G0", "style, imports, types", "make lint", _lint),
        Row("G0", "the suite in Python", "make test-python", _suite),
        Row("G0", "the dashboard's types, style, tests, build", "make test-dashboard", _dashboard),
        Row("G0", "a wheel in a bare environment", "python -m build", try_wheel),
        Row("G1A", "Blood, FedAvg, non-IID, simulated", f"fedforge run blood {' '.join(REFERENCE)}", _simulation),
        Row("G1B", "Derma's profile", f"fedforge run derma {' '.join(REFERENCE)}", partial(_phase, "derma")),
        Row("G1C", "Path's profile", f"fedforge run path {' '.join(REFERENCE)}", partial(_phase, "path")),
        Row("G2", "SuperLink and nodes as processes", "fedforge run blood --engine superlink", _distributed),
        Row("G3", "telemetry that outlives its monitor", "fedforge run blood --monitor URL", _telemetry),
        Row("G3", "each page, both themes", "make screenshots", _screenshots),
        Row("G4", "start, pause, resume, stop by click", "make test-browser", _browser),
        Row("G5", "the stack of containers", "make docker-smoke", _stack),
        Row("G5", "the documents, and what they say to run", "make test-docs", _documents),
        Row("G5", "the notebook", "make notebook", _notebook),
    ]


def _lint() -> str:
    said = run("lint", "make", "lint")
    return f"{found(r'Contracts: .*', said)} {found(r'Success: .*', said)}"


def _suite() -> str:
    return found(r"\d+ passed.* in .*s(?= |\b)[^=\n]*", run("test-python", "make", "test-python")).strip()


def _need_node() -> None:
    if shutil.which("npm") is None:
        raise NotHereError("there is no Node with npm here")


def _dashboard() -> str:
    _need_node()
    return found(r"Tests +\d+ passed.*", run("test-dashboard", "make", "test-dashboard"))


@contextmanager
def _home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fedforge-release-") as folder:
        yield Path(folder)


def _phase(phase: str) -> str:
    with _home() as home:
        return _held_against_baseline(phase, home)[1]


def _held_against_baseline(phase: str, home: Path) -> tuple[dict[str, Any], str]:
    """A run of the phase as its baseline was made; the run, and what it shows."""
    name = f"run-{phase}"
    done = fedforge(name, "run", phase, *REFERENCE, "--run-id", phase, "--no-report", home=home)
    held = fedforge(name, "baseline", "compare", phase, "--baselines", ROOT / "baselines", home=home)
    require(held["baseline"] is not None, f"there is no baseline of {phase}: make baselines")
    baseline = json.loads(Path(held["baseline"]).read_text())
    same = "the same model" if baseline["model_sha256"] == done["model_sha256"] else "another model"
    scores = f"accuracy {done['metrics']['accuracy']:.3f}, balanced {done['metrics']['balanced_accuracy']:.3f}"
    labels = " and ".join(each.replace("_", " ") for each in baseline["stand_ins"])
    told = (
        f"{done['rounds_completed']} rounds of {len(done['clients'])} sites in {done['seconds']['rounds']:.0f} s; "
        f"{scores} ({labels}); {same} as the baseline, no metric more than {held['tolerance']:g} below it"
    )
    return done, told


def _simulation() -> str:
    with _home() as home:
        done, told = _held_against_baseline("blood", home)
        simulated = fedforge(
            "run-blood", "run", "blood", *REFERENCE, "--engine", "ray", "--run-id", "ray", "--no-report", "--no-bounds",
            home=home,
        )  # fmt: skip
        require(simulated["model_sha256"] == done["model_sha256"], "Ray's simulation ends with another model")
        alone = done["bounds"]["local"]
        weakest = min(site["test"]["accuracy"] for site in alone)
        return f"{told}; weakest site alone {weakest:.3f}; Ray's simulation ends with the same hash"


def _distributed() -> str:
    with _home() as home:
        options = ("run", "blood", *SMALL, "--clients", "3", "--rounds", "3", "--no-report", "--no-bounds")
        here = fedforge("distributed", *options, "--run-id", "here", home=home)
        there = fedforge("distributed", *options, "--run-id", "there", "--engine", "superlink", home=home)
        require(there["model_sha256"] == here["model_sha256"], "over a SuperLink it ends with another model")
        return f"3 nodes, 3 rounds in {there['seconds']['rounds']:.0f} s; the same hash as in one process"


def _telemetry() -> str:
    with _home() as home, MonitorProcess(home) as monitor:
        log = home / "runs" / "told" / "events.jsonl"
        options = ("--clients", "3", "--rounds", "30", "--run-id", "told", "--no-report", "--no-bounds")
        with running("run", "blood", *SMALL, *options, "--home", home, "--monitor", monitor.url) as process:
            wait_for_event(log, lambda event: event.type == "round_completed" and event.round == 5, "round 5")
            monitor.kill()
            wait_for_event(log, lambda event: event.type == "round_completed" and event.round == 10, "round 10")
            monitor.start()
            require(process.wait(PATIENCE_SECONDS) == 0, "the run has failed")
        written = [json.loads(line)["event_id"] for line in log.read_text().splitlines()]
        with monitor.client() as client:
            wait_until(lambda: client.get("/api/runs/told").json()["state"] == "completed", "the end at the monitor")
            kept = all_events(client, "told")
            page = client.get("/").text
        of_run = [each for each in kept if not each["deed"]]
        require(sorted(each["event"]["event_id"] for each in of_run) == sorted(written), "events are lost or doubled")
        require([each["seq"] for each in kept] == list(range(1, len(kept) + 1)), "there is a gap in seq")
        require("<div id=" in page, "the monitor does not serve the dashboard: make dashboard")
        return f"killed in round 5, back after round 10: {len(written)} events of the run's log, none lost, none twice"


def _screenshots() -> str:
    _need_node()
    run("screenshots", "make", "screenshots")
    pictures = list((ROOT / "dashboard" / "screenshots").rglob("*.png"))
    require(len(pictures) > 0, "there are no pictures")
    return f"{len(pictures)} pictures in dashboard/screenshots"


def _browser() -> str:
    _need_node()
    return f"Playwright: {found(r'[0-9]+ passed .*', run('test-browser', 'make', 'test-browser'))}"


def _stack() -> str:
    if why := why_no_engine():
        raise NotHereError(why)
    run("docker-smoke", "make", "docker-smoke")
    steps = json.loads((ROOT / "benchmarks" / "results" / "docker-smoke.json").read_text())
    healthy = next(each["shown"] for each in steps if each["step"] == "up to healthy")
    return f"{len(steps)} steps; {healthy}"


def _documents() -> str:
    return found(r"\d+ passed.* in .*s(?= |\b)[^=\n]*", run("test-docs", "make", "test-docs")).strip()


def _notebook() -> str:
    with _home() as home:
        options = ("--clients", "3", "--rounds", "3", "--run-id", "told-in-a-notebook")
        fedforge("notebook", "run", "blood", *SMALL, *options, home=home)
        run("notebook", "make", "notebook", environment={"FEDFORGE_HOME": str(home)})
        page = ROOT / "notebooks" / "rendered" / "convergence.html"
        require("told-in-a-notebook" in page.read_text(encoding="utf-8"), "the page is of another run")
        return "executed and rendered, of a run of its own"
