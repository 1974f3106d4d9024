"""The edges of a run: nothing is left of one that has said nothing, nothing taken from one whose model is final."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedforge_runtime.config import read_run_config
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.errors import RunStoppedError
from fedforge_runtime.record.state import run_state
from fedforge_runtime.runs.run import start_run
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.telemetry.control import SignalControl
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import RunCompleted, RunRequest
from tests.e2e.forked import forked
from tests.support.listener import Listener


def test_bounds_that_diverge_are_named_and_the_run_is_completed_with_its_report(small: list[str], home: Path) -> None:
    position = small.index("--rounds")
    one_round = [*small[:position], *small[position + 2 :], "--strategy", "closed_form"]
    diverging = ["--set", "learning.learning_rate=1e30", "--run-id", "diverging", "--bounds", "--report", "--json"]

    run = forked("run", "blood", *one_round, *diverging)
    bounds = forked("bounds", "diverging", "--home", home)
    shown = forked("show", "diverging", "--home", home)

    assert run.code == 0, run.errors
    assert run.json["state"] == "completed"
    assert run.json["metrics"]["accuracy"] > 0
    assert run.json["bounds"] == {}
    assert Path(run.json["artifacts"]["report"]).exists()
    assert "The run is completed, without its bounds" in " ".join(run.errors.split())
    assert bounds.code == 1
    assert "its training has diverged. Lower learning.learning_rate." in bounds.errors
    assert "defect" not in run.errors + bounds.errors
    assert shown.code == 0


class Faltering:
    """An engine whose run completes, and that fails in its own end."""

    name = "inprocess"
    holds_shards = False

    def __init__(self, folder: RunFolder, error: BaseException) -> None:
        self._folder = folder
        self._error = error

    def run(self, federation: Federation) -> None:
        with Emitter(self._folder.events, run_id=self._folder.run_id, role="server") as emitter:
            emitter.emit(RunCompleted, round_number=3, node_id="server", model_sha256="0f" * 32)
        raise self._error


@pytest.mark.parametrize("error", [RuntimeError("its end failed"), KeyboardInterrupt()], ids=["an error", "Ctrl-C"])
def test_an_engine_that_fails_in_its_end_takes_nothing_back(
    undisturbed: dict[str, Any], home: Path, error: BaseException
) -> None:
    config = read_run_config(home / "runs" / "undisturbed" / "config.yaml")
    run_id = f"faltering-{type(error).__name__}"
    folder, narrator = Home(home).run(run_id), Listener()

    def start() -> None:
        start_run(
            config,
            home=Home(home),
            run_id=run_id,
            request=RunRequest(phase="blood"),
            narrator=narrator,
            engine=Faltering(folder, error),
        )

    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(RunStoppedError, match="is completed"):
            start()
    else:
        start()
        assert any("The run is completed, but did not end well: RuntimeError" in text for text in narrator.told)

    assert run_state(folder).state == "completed"
    assert folder.seconds.exists() is not isinstance(error, KeyboardInterrupt)


def test_a_run_that_ends_before_its_first_event_leaves_nothing(
    undisturbed: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(control: SignalControl) -> None:
        raise KeyboardInterrupt  # as Ctrl-C just before anybody listens to it

    folder = Home(home).run("unheard")
    config = read_run_config(home / "runs" / "undisturbed" / "config.yaml")
    monkeypatch.setattr(SignalControl, "installed", interrupted)

    with pytest.raises(KeyboardInterrupt):
        start_run(config, home=Home(home), run_id="unheard", request=RunRequest(phase="blood"), narrator=Listener())

    assert not folder.path.exists()
    assert (home / "runs" / "undisturbed").exists()
