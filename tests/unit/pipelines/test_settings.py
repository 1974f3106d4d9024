from __future__ import annotations

import pytest

from fedforge_pipelines.resources import PhaseSettings
from fedforge_runtime.config import PHASES, dotted_items, load_run_config
from fedforge_runtime.runs.offer import ClaimantDefaults, offer_document


@pytest.mark.parametrize("phase", PHASES)
def test_what_dagster_leaves_open_is_what_the_form_shows_as_standard(phase: str) -> None:
    settings = PhaseSettings()
    offered = offer_document(ClaimantDefaults())

    assert settings.chosen() == {}
    assert settings.profile == offered["profiles"][0]["name"]
    shown = offered["defaults"]["values"][phase]
    assert shown == dict(dotted_items(load_run_config(phase, profile=settings.profile).model_dump(mode="json")))
