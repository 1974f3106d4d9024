"""An option means the same wherever it stands, and commands that make a configuration take the same ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from typing import Annotated

import click
import typer
from typer.testing import CliRunner

from fedforge_runtime.commands.app import app
from fedforge_runtime.commands.options import ConfigurationOptions, PlaceOptions, with_options
from fedforge_runtime.config import RunConfig

OTHER_MEANING = {
    ("federation certs", "--host"): "the names by which nodes reach what federation up --host listens on",
    ("federation certs", "--nodes"): "sites that get a key, whose node need not run on this machine",
    ("federation provision", "--host"): "as of certs",
    ("federation provision", "--nodes"): "as of certs",
}
SHARED = {"--config", "--profile", "--data", "--backbone", "--clients", "--partition", "--mode", "--seed", "--set"}


def commands_of(group: click.Command, words: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command, by its words."""
    for name, each in getattr(group, "commands", {}).items():
        if hasattr(each, "commands"):
            yield from commands_of(each, f"{words}{name} ")
        else:
            yield words + name, each


COMMANDS = dict(commands_of(typer.main.get_command(app)))


def options_of(command: click.Command) -> dict[str, click.Option]:
    return {each.opts[0]: each for each in command.params if isinstance(each, click.Option)}


def test_an_option_has_one_type_one_default_and_one_help_text_everywhere() -> None:
    meanings: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    defaults: dict[str, set[str]] = defaultdict(set)
    for words, command in COMMANDS.items():
        for name, option in options_of(command).items():
            if (words, name) in OTHER_MEANING:
                continue
            facts = (
                option.help,
                option.type.to_info_dict(),
                option.multiple,
                option.metavar,
                option.envvar,
                option.opts,
            )
            meanings[name][repr(facts)].append(words)
            if not option.required:
                defaults[name].add(repr(option.default))

    assert {name: dict(each) for name, each in meanings.items() if len(each) > 1} == {}
    assert {name: each for name, each in defaults.items() if len(each) > 1} == {}


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        (words, name)
        for words, command in COMMANDS.items()
        for name, option in options_of(command).items()
        if not option.help and name != "--help"
    ]

    assert silent == []


def test_every_command_that_makes_a_configuration_takes_the_same_options() -> None:
    making = {words for words, command in COMMANDS.items() if "--config" in options_of(command)}

    assert making == {"prepare", "run", "start", "audit", "split", "partition", "shards", "node"}
    for words in making:
        assert set(options_of(COMMANDS[words])) >= SHARED, words


def test_what_resume_may_change_are_the_options_of_run_under_the_same_names() -> None:
    names = {f"--{each.name.replace('_', '-')}" for each in fields(PlaceOptions)}

    assert names <= set(options_of(COMMANDS["run"]))
    assert names <= set(options_of(COMMANDS["resume"]))


def test_the_same_options_make_the_same_configuration_whatever_the_command() -> None:
    made: list[RunConfig] = []

    def first(phase: str, options: ConfigurationOptions) -> None:
        made.append(options.run_config(phase))

    def second(options: ConfigurationOptions, phase: Annotated[str, typer.Argument()] = "", more: bool = False) -> None:
        made.append(options.run_config(phase))

    for command in (first, second):
        some = typer.Typer()
        some.command()(with_options(command))
        words = ["blood", "--backbone", "untrained", "--clients", "4", "--partition", "shard:3", "--set", "seed=5"]
        assert CliRunner().invoke(some, words).exit_code == 0

    assert made[0] == made[1]
    assert (made[0].partition.name, made[0].partition.clients, made[0].seed) == ("shard", 4, 5)


def test_the_options_that_were_given_are_named_as_they_are_written() -> None:
    assert ConfigurationOptions().given() == []
    assert ConfigurationOptions(mode="full", assignments=["seed=3"]).given() == ["--mode", "--set"]
