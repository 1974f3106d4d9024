"""The stages of a run: rounds in a row that train the same tensors, with one server optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from fedforge_runtime.config import Mode, RunConfig


@dataclass(frozen=True)
class Stage:
    """Rounds `first` to `last`, counted from 1."""

    mode: Mode
    first: int
    last: int


def stages_of(config: RunConfig) -> list[Stage]:
    """The stages of a run, in order; together they are all its rounds."""
    rounds, head_rounds, mode = config.federation.rounds, config.learning.head_rounds, config.learning.mode
    if not head_rounds:
        return [Stage(mode, 1, rounds)]
    return [Stage("head_only", 1, head_rounds), Stage(mode, head_rounds + 1, rounds)]


def carried_over(config: RunConfig) -> str:
    """What a run takes over from an earlier phase, in the words of every place that shows the chain."""
    if config.backbone.block_from:
        return f"starts from the last block of the run `{config.backbone.block_from}`"
    if config.learning.mode == "last_block":
        return "starts from the backbone's own last block: nothing carries over from an earlier phase"
    return "nothing carries over from an earlier phase: only the mode last_block has something to carry"
