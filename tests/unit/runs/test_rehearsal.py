"""What a request would be: how long it takes, and what becomes of a process that does not answer."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psutil

from fedforge_runtime.config import load_run_config
from fedforge_runtime.runs.offering import RehearsalProcess
from fedforge_runtime.runs.rehearsal import rehearse
from fedforge_runtime.storage.home import Home
from tests.e2e.command import wait_until

REQUEST: dict[str, Any] = {
    "phase": "blood",
    "profile": "cpu-safe",
    "overrides": {"dataset.source": "phantom", "dataset.limit": 240, "partition.clients": 3, "federation.rounds": 10},
}
LONG = {"prepare": 1e6, "features": 1e6, "rounds": 1e6, "total": 3e6}


def test_seconds_are_those_of_the_last_run_like_it_with_as_many_rounds(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert rehearse(REQUEST, home)["seconds"] is None
    like_it = {**REQUEST["overrides"], "federation.rounds": 5}
    for name, phase, options in (
        ("like-it", "blood", like_it),
        ("of-another-phase", "derma", like_it),
        ("of-other-images", "blood", {**like_it, "dataset.limit": 12_000}),
        ("of-more-sites", "blood", {**like_it, "partition.clients": 10}),
    ):
        folder = home.run(name)
        folder.path.mkdir(parents=True)
        config = load_run_config(phase, options=options)
        folder.config.write_text(config.to_yaml())
        folder.seconds.write_text(
            json.dumps({"prepare": 3.0, "features": 10.0, "rounds": 20.0, "total": 33.0} if name == "like-it" else LONG)
        )
    damaged = home.run("damaged")
    damaged.path.mkdir()
    damaged.config.write_text("phase: [")
    damaged.seconds.write_text("{}")

    answer = rehearse(REQUEST, home)

    assert answer["seconds"] == 3.0 + 10.0 + 20.0 * 2
    assert not any("not known" in warning for warning in answer["warnings"])


def test_images_that_are_not_here_and_sites_own_are_said_and_nothing_is_made(tmp_path: Path) -> None:
    official = rehearse({**REQUEST, "overrides": {}}, Home(tmp_path))
    own = rehearse({**REQUEST, "overrides": {"federation.site_data": "own"}}, Home(tmp_path))

    for answer, words in ((official, "not here yet"), (own, "their own data")):
        assert answer["valid"] is True
        assert "sites" not in answer
        assert words in answer["warnings"][0]
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_hangs_is_given_up_in_time_and_another_answers(tmp_path: Path) -> None:
    said: list[str] = []
    process = RehearsalProcess(Home(tmp_path), said.append)
    try:
        process.start()
        wait_until(process.is_ready, "the process that answers")
        (child,) = [each for each in psutil.Process().children() if "fedforge_runtime.runs.rehearsal" in each.cmdline()]
        child.send_signal(signal.SIGSTOP)
        assert process.ask(REQUEST, 0.5) is None
        assert said == ["a check has taken more than 0.5 s and was given up."]
        assert not process.is_ready()
        assert not child.is_running()

        process.start()
        wait_until(process.is_ready, "another one")
        answer = process.ask(REQUEST, 60)
    finally:
        process.end()

    assert answer is not None
    assert len(answer["sites"]) == 3
