"""`fedforge prepare`: the data that runs are made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from fedforge_runtime.commands.options import (
    ConfigurationOptions,
    DebugOption,
    HomeOption,
    JsonOption,
    Phase,
)
from fedforge_runtime.commands.output import command
from fedforge_runtime.storage.home import Home


class Until(StrEnum):
    """How far to prepare."""

    DATASET = "dataset"
    PREPROCESS = "preprocess"
    FEATURES = "features"


UntilOption = Annotated[Until, typer.Option("--until", help="the last thing that is made")]


def prepare(
    phase: Phase,
    options: ConfigurationOptions,
    home: HomeOption = None,
    until: UntilOption = Until.FEATURES,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Download, check, partition and preprocess the data and compute the features, without training."""
    run_config = options.run_config(phase)
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator, print_artifacts
        from fedforge_runtime.preparation.prepare import prepare_everything

        chosen, narrator = Home.resolve(home), ConsoleNarrator()
        artifacts = prepare_everything(run_config, home=chosen, narrator=narrator, until=until.value)
        emit(
            {each.kind: {"key": each.key, "path": str(each.path), "created": each.created} for each in artifacts},
            lambda _: print_artifacts(
                [(each.kind, "made" if each.created else "unchanged", str(each.path)) for each in artifacts]
            ),
        )
