"""Which sites a run over a SuperLink can have, by what the SuperLink says of its nodes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fedforge_runtime.engines.superlink.known_sites import reached_sites


def node(name: str, status: str = "online") -> Any:
    return SimpleNamespace(name=name, status=status)


def test_a_secured_superlink_has_the_sites_of_its_keys_on_line_or_not() -> None:
    infos = [node("site-0 berlin"), node("site-2", "offline")]

    assert reached_sites(infos, None, secured=True) == {0: "berlin", 2: "site-2"}


def test_a_key_that_is_bound_to_no_site_may_be_that_of_any() -> None:
    assert reached_sites([node("site-0"), node("by hand")], None, secured=True) == {}


@pytest.mark.parametrize(
    ("online", "started", "reached"),
    [
        (2, [0, 1], {0: "site-0", 1: "site-1"}),
        (0, [0, 1], {0: "site-0", 1: "site-1"}),
        (3, [0, 1], {}),
        (2, None, {}),
    ],
    ids=["those-that-up-started", "not-connected-yet", "one-more-is-connected", "not-of-this-home"],
)
def test_without_keys_only_those_are_known_that_were_started_with_the_superlink(
    online: int, started: list[int] | None, reached: dict[int, str]
) -> None:
    assert reached_sites([node("")] * online, started, secured=False) == reached
