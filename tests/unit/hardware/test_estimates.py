"""Estimates are plain arithmetic over what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.config import load_run_config
from fedforge_runtime.hardware.speed import Cost, FeatureSpeed, HeadSpeed, PhaseWork, estimate_phase, speed_of

WORK = PhaseWork(
    phase="blood",
    rows={"train": 1000, "validation": 200, "test": 300},
    clients=4,
    validation_fraction=0.1,
    rounds=5,
    epochs=1,
    feature_size=192,
    tokens=197,
)
FEATURES = FeatureSpeed(images_per_second=50.0, images=384, workers=2)
HEAD = HeadSpeed(training=Cost(0.1, 0.001), evaluation=Cost(0.01, 0.0001), workers=2)


def test_features_take_the_images_over_the_speed() -> None:
    assert estimate_phase(WORK, FEATURES, HEAD).feature_seconds == 1500 / 50


def test_a_round_counts_every_clients_training_and_evaluation_and_the_servers_over_the_workers() -> None:
    training = 4 * 0.1 + 900 * 0.001
    evaluation = 4 * 0.01 + 100 * 0.0001
    central = 0.01 + 200 * 0.0001

    estimate = estimate_phase(WORK, FEATURES, HEAD)

    assert estimate.round_seconds == pytest.approx((training + evaluation + central) / 2)
    assert estimate.rounds_seconds == pytest.approx(5 * estimate.round_seconds)


def test_space_is_that_of_float32_features_and_of_every_token_of_the_last_block() -> None:
    estimate = estimate_phase(WORK, FEATURES, HEAD)

    assert estimate.feature_bytes == 1500 * 192 * 4
    assert estimate.token_bytes == 1500 * 151_296


def test_the_work_of_a_phase_is_that_of_its_configuration() -> None:
    config = load_run_config("path", options={"federation.clients_per_round": 3, "learning.epochs": 2})

    work = PhaseWork.of(config, WORK.rows, feature_size=192, tokens=197)

    assert work == replace(WORK, phase="path", clients=3, rounds=20, epochs=2)


@given(call=st.floats(0, 10), row=st.floats(0, 1), few=st.integers(1, 100), more=st.integers(1, 1000))
def test_a_cost_is_found_from_two_measurements_of_it(call: float, row: float, few: int, more: int) -> None:
    true, many = Cost(call, row), few + more

    found = Cost.through((few, true.of(1, few)), (many, true.of(1, many)))

    assert found.of(1, many) == pytest.approx(true.of(1, many), abs=1e-9)
    assert found.seconds_per_row == pytest.approx(row, abs=1e-9)


def test_a_cost_is_never_negative_when_the_measurements_are_odd() -> None:
    assert Cost.through((100, 2.0), (200, 1.0)) == Cost(2.0, 0.0)
    assert Cost.through((100, 0.1), (200, 1.0)).seconds_per_call == 0


def test_the_first_chunk_of_each_worker_does_not_count_towards_the_speed() -> None:
    moments = [(0.0, 0), (9.0, 64), (10.0, 128), (12.0, 192), (12.0, 256), (14.0, 320), (14.0, 384)]

    assert speed_of(moments, 2) == FeatureSpeed(images_per_second=256 / 4, images=256, workers=2)
