"""What a person reads is what was said: brackets in a path or in an error are no markup, and break nothing."""

from __future__ import annotations

import pytest

from fedforge_runtime.commands.console import ConsoleNarrator, print_artifacts, print_run
from fedforge_runtime.config import load_run_config
from fedforge_runtime.record.summary import summarise_run
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import NodeError, RunFailed

HOSTILE = "cannot open [/red] in /data/[old]/a[bold].npz"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that failed for a reason with brackets, in a folder that has them too."""
    folder = RunFolder(tmp_path_factory.mktemp("home") / "[old]" / "runs" / "a-run")
    folder.path.mkdir(parents=True)
    folder.config.write_text(load_run_config("blood").to_yaml())
    with Emitter(folder.events, run_id="a-run", role="server") as emitter:
        emitter.emit(NodeError, round_number=1, node_id="client-1", task="train", reason=HOSTILE)
        emitter.emit(RunFailed, round_number=1, node_id="server", reason=HOSTILE)
    return folder


def test_the_narrator_says_what_it_is_told(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    narrator = ConsoleNarrator()
    narrator.notice(HOSTILE)
    narrator.banner(HOSTILE)
    with narrator.rounds(folder):
        pass

    assert capsys.readouterr().err.count(HOSTILE) == 3


def test_a_summary_and_a_list_of_artifacts_show_their_texts(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    print_run(summarise_run(folder))
    print_artifacts([("dataset", "made", HOSTILE)])

    shown = capsys.readouterr().out
    assert shown.count(HOSTILE) == 2
    assert str(folder.path) in shown
