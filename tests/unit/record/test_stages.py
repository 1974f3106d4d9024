"""Which rounds train what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.config import Mode, RunConfig, load_run_config
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.record.stages import Stage, stages_of


def config(mode: Mode, head_rounds: int, rounds: int) -> RunConfig:
    options = {"learning.mode": mode, "learning.head_rounds": head_rounds, "federation.rounds": rounds}
    return load_run_config("blood", options=options)


@given(st.sampled_from(["last_block", "full"]), st.integers(0, 30), st.integers(1, 30))
def test_stages_are_all_rounds_in_order_and_agree_with_the_configuration(
    mode: Mode, head_rounds: int, further: int
) -> None:
    run = config(mode, head_rounds, head_rounds + further)

    stages = stages_of(run)

    assert [number for stage in stages for number in range(stage.first, stage.last + 1)] == list(
        range(1, head_rounds + further + 1)
    )
    for stage in stages:
        assert {run.learning.mode_in(number) for number in range(stage.first, stage.last + 1)} == {stage.mode}
    assert run.learning.mode_in(0) == stages[0].mode


def test_a_staged_run_trains_the_head_alone_first() -> None:
    assert stages_of(config("last_block", 3, 8)) == [Stage("head_only", 1, 3), Stage("last_block", 4, 8)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"learning.mode": "head_only", "learning.head_rounds": 2}, "head_rounds is for the modes last_block and full"),
        ({"learning.mode": "last_block", "learning.head_rounds": 20}, "last_block would never be trained"),
        ({"backbone.block_from": "run", "learning.mode": "head_only"}, "only last_block trains one"),
        ({"learning.mode": "last-block"}, "learning.mode"),
    ],
)
def test_stages_that_cannot_be_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_run_config("blood", options=options)
