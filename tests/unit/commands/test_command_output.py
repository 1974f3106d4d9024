"""What every command does alike: its result as JSON, and where an error comes from with --debug."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from fedforge_runtime.commands.app import app
from fedforge_runtime.commands.output import command
from fedforge_runtime.errors import ConfigError

FORWARDED = {"monitor", "up", "down"}
"""Another package's commands, which take their options there."""


def commands_of(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group below `group`, by its words."""
    yield path, group
    for name, each in getattr(group, "commands", {}).items():
        yield from commands_of(each, (*path, name))


def test_every_command_and_group_takes_debug() -> None:
    without = [
        path
        for path, each in commands_of(typer.main.get_command(app))
        if path not in {(name,) for name in FORWARDED} and not any("--debug" in option.opts for option in each.params)
    ]

    assert without == []


def test_every_command_has_a_json_result_but_those_that_go_on_until_they_are_ended() -> None:
    without = {
        path[-1]
        for path, each in commands_of(typer.main.get_command(app))
        if not hasattr(each, "commands") and not any("--json" in option.opts for option in each.params)
    }

    assert without == {"agent", "node", "watch"} | FORWARDED


@pytest.mark.parametrize(
    "arguments",
    [
        ["--debug", "run", "blod"],
        ["run", "--debug", "blod"],
        ["run", "blod", "--debug"],
        ["federation", "--debug", "up", "--host", "10.0.0.1"],
        ["--debug", "down", "--home", "no-such-home"],
        ["down", "--debug", "--home", "no-such-home"],
        ["monitor", "--debug", "--host", "203.0.113.1"],
    ],
    ids=" ".join,
)
def test_debug_shows_the_traceback_of_an_error_wherever_it_stands(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fedforge_runtime.cli", *arguments], capture_output=True, text=True, cwd=tmp_path
    )

    assert done.returncode in (1, 2)
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_a_json_result_is_written_when_it_is_given(capfd: pytest.CaptureFixture[str]) -> None:
    with command(as_json=True) as emit:
        os.write(1, b"for people")
        emit({"ready": True}, lambda _: None)
        so_far = capfd.readouterr()

    assert so_far.out == '{\n  "ready": true\n}\n'
    assert capfd.readouterr().out == ""


def test_a_command_that_gives_no_result_writes_none(capfd: pytest.CaptureFixture[str]) -> None:
    with command(as_json=True):
        pass
    with pytest.raises(ConfigError), command(as_json=True):
        raise ConfigError("wrong")

    assert capfd.readouterr().out == ""
