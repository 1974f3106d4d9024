"""The licence of the data is understood in every way in which a source states it."""

from __future__ import annotations

import pytest

from fedforge_runtime.data.sources.catalogue import licence_restriction, licence_terms, official_archive


@pytest.mark.parametrize(
    ("stated", "name", "hub_id", "non_commercial", "assumed"),
    [
        ("CC BY 4.0", "CC BY 4.0", "cc-by-4.0", False, False),
        ("CC BY-NC 4.0", "CC BY-NC 4.0", "cc-by-nc-4.0", True, False),
        ("not stated (the official archive: CC BY-NC 4.0)", "CC BY-NC 4.0", "cc-by-nc-4.0", True, True),
        ("CC BY-NC-SA 3.0", "CC BY-NC-SA 3.0", "cc-by-nc-sa-3.0", True, False),
    ],
)
def test_creative_commons_terms_are_recognised(
    stated: str, name: str, hub_id: str, non_commercial: bool, assumed: bool
) -> None:
    terms = licence_terms(stated)
    assert terms is not None
    assert (terms.name, terms.hub_id, terms.non_commercial, terms.assumed) == (name, hub_id, non_commercial, assumed)


def test_generated_images_are_under_no_licence() -> None:
    assert licence_terms("none (generated)") is None
    assert licence_restriction("none (generated)") == ""


def test_only_non_commercial_terms_restrict() -> None:
    assert licence_restriction("CC BY 4.0") == ""
    assert licence_restriction("CC BY-NC 4.0").startswith("Non-commercial use only")
    assumed = licence_restriction("not stated (the official archive: CC BY-NC 4.0)")
    assert assumed.startswith("Non-commercial use only: the official archive of these images is under CC BY-NC 4.0")


@pytest.mark.parametrize(("flag", "restricted"), [("bloodmnist", False), ("dermamnist", True), ("pathmnist", False)])
def test_of_the_three_archives_derma_is_restricted(flag: str, restricted: bool) -> None:
    assert bool(licence_restriction(official_archive(flag, 28).licence)) == restricted
