"""From what a site says of its classes no count of 1 to 4 follows, even for who knows the rule and the sum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.sites.class_counts import FEWER, OR_MORE, said_counts


def every_site(classes: int, rows: int) -> Iterator[tuple[int, ...]]:
    """Every way in which so many rows can be of so many classes."""
    if classes == 1:
        yield (rows,)
        return
    for first in range(rows + 1):
        for others in every_site(classes - 1, rows - first):
            yield (first, *others)


@pytest.mark.parametrize(("classes", "most_rows"), [(2, 40), (3, 32), (4, 26), (5, 27)])
def test_no_small_count_can_be_solved_by_who_tries_every_site_that_says_the_same(classes: int, most_rows: int) -> None:
    for rows in range(1, most_rows + 1):
        worlds = defaultdict(list)
        for counts in every_site(classes, rows):
            said = said_counts(counts)
            worlds[None if said is None else tuple(said)].append(counts)
        for said, alike in worlds.items():
            for place in range(classes):
                possible = {counts[place] for counts in alike}
                assert len(possible) > 1 or min(possible) not in range(1, 5), (rows, said, place)


@given(st.lists(st.integers(0, 60), min_size=2, max_size=12))
def test_what_is_said_is_true_and_exact_but_for_one_count(counts: list[int]) -> None:
    said = said_counts(counts)

    if said is None:
        assert any(count < 5 for count in counts)
        return
    for count, word in zip(counts, said, strict=True):
        if word == FEWER:
            assert 1 <= count < 5
        elif word == OR_MORE:
            assert count >= 5
        else:
            assert count == word
            assert count == 0 or count >= 5
    assert said.count(OR_MORE) == (1 if FEWER in said else 0)


def test_of_a_usual_site_everything_is_said_but_the_small_count_and_one_more() -> None:
    assert said_counts([40, 30, 0, 20]) == [40, 30, 0, 20]
    assert said_counts([40, 3, 0, 20]) == [OR_MORE, FEWER, 0, 20]


def test_where_the_sum_tells_each_of_the_withheld_counts_nothing_is_said() -> None:
    assert said_counts([5, 1, 30]) is None
    assert said_counts([6, 1, 30]) == [OR_MORE, FEWER, 30]
    assert said_counts([4, 4, 4]) is None
