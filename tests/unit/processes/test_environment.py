"""What third parties are told before they are loaded."""

from __future__ import annotations

import os

import pytest

from fedforge_runtime.processes.environment import allow_mps_fallback, configure_third_parties

FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name != FALLBACK})


def test_what_a_user_has_set_stays() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "true"

    configure_third_parties()

    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_the_fall_back_of_mps_is_off_until_mps_is_asked_for() -> None:
    configure_third_parties()

    assert FALLBACK not in os.environ


@pytest.mark.parametrize("before", ["0", ""])
def test_the_fall_back_of_mps_is_on_once_mps_is_asked_for_whatever_it_was(before: str) -> None:
    os.environ[FALLBACK] = before

    allow_mps_fallback()

    assert os.environ[FALLBACK] == "1"
