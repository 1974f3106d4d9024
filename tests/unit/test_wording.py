"""How things are put for people, each in one way wherever it is said."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from fedforge_runtime.wording import (
    count,
    counted,
    duration,
    explain_problems,
    name_sites,
    rough_duration,
    short_name,
    shorten,
    size,
    some_of,
    suggest,
)

SECONDS = st.floats(0, 1e8)
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "s": 1, "min": 60, "h": 3600, "days": 86_400}
WORDS = st.lists(st.text("abc(,", min_size=1, max_size=4), min_size=1)


def test_it_knows_nothing_of_the_rest_and_loads_nothing_for_it() -> None:
    code = (
        "import sys, fedforge_runtime.wording; "
        "print(*sorted(name for name in sys.modules if name.startswith(('fedforge_runtime', 'pydantic'))))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["fedforge_runtime", "fedforge_runtime.wording"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (count(12_345.4), "12,345"),
        (counted(1, "image"), "1 image"),
        (counted(0, "image"), "0 images"),
        (counted(12_345, "row"), "12,345 rows"),
        (size(999), "999 B"),
        (size(1_234_567), "1.2 MB"),
        (size(5e12), "5000.0 GB"),
        (duration(0.4211), "0.42 s"),
        (duration(119.4), "119 s"),
        (duration(725), "12 min 5 s"),
        (duration(7380), "2 h 3 min"),
        (rough_duration(0), "0 s"),
        (rough_duration(0.31), "0.3 s"),
        (rough_duration(119), "119 s"),
        (rough_duration(150), "2.5 min"),
        (rough_duration(725), "12 min"),
        (rough_duration(7200), "2 h"),
        (rough_duration(3 * 86_400), "3 days"),
        (name_sites([2]), "site 2"),
        (name_sites([0, 3]), "sites 0, 3"),
        (short_name("immature granulocytes(ig: metamyelocytes)"), "immature granulocytes"),
        (short_name("(all)"), "(all)"),
        (
            shorten("immature granulocytes(ig: metamyelocytes)", 22, lines=2),
            "immature granulocytes\n(ig: metamyelocytes)",
        ),
        (shorten("immature granulocytes(ig: metamyelocytes)", 26), "immature granulocytes…"),
    ],
)
def test_numbers_and_names_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


@given(st.floats(0, 1e15))
def test_a_size_is_what_it_says_to_the_digit_that_it_shows(number_of_bytes: float) -> None:
    value, unit = size(number_of_bytes).split()

    assert abs(float(value) * UNITS[unit] - number_of_bytes) <= 0.501 * UNITS[unit]


@given(SECONDS)
def test_a_duration_is_what_it_says_to_the_last_unit_that_it_shows(seconds: float) -> None:
    words = duration(seconds).split()
    parts = list(zip(words[::2], words[1::2], strict=True))

    said = sum(float(value) * UNITS[unit] for value, unit in parts)

    assert abs(said - seconds) <= UNITS[parts[-1][1]]


@given(SECONDS)
def test_a_rough_duration_has_one_unit_and_is_not_far_off(seconds: float) -> None:
    value, unit = rough_duration(seconds).split()

    assert abs(float(value) * UNITS[unit] - seconds) <= max(0.05 * seconds, 0.0501)


@pytest.mark.parametrize("written", [size, duration, rough_duration])
@given(pair=st.tuples(SECONDS, SECONDS))
def test_units_never_shrink_as_numbers_grow(written: object, pair: tuple[float, float]) -> None:
    assert callable(written)
    small, large = (UNITS[str(written(value)).split()[1]] for value in sorted(pair))

    assert small <= large


@given(WORDS, st.none() | st.integers(1, 5), st.integers(0, 9))
def test_of_a_long_list_the_first_are_named_and_the_others_counted(
    words: list[str], most: int | None, unnamed: int
) -> None:
    text = some_of(words, most, of=len(words) + unnamed, separator="; ")

    named = words[:most]
    more = len(words) + unnamed - len(named)
    assert text == "; ".join(named) + (f" and {more} more" if more else "")


@given(st.text(st.characters(codec="ascii", categories=["L", "P", "Zs"])), st.integers(4, 40), st.integers(1, 3))
def test_what_is_shortened_fits(text: str, width: int, lines: int) -> None:
    shown = shorten(text, width, lines=lines).splitlines()

    assert len(shown) <= lines
    assert all(len(line) <= width for line in shown)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_known_word_is_suggested_for_itself(words: list[str]) -> None:
    assert suggest(words[0], words) == f"Did you mean {words[0]!r}?"


def test_where_no_word_is_near_the_known_ones_are_named() -> None:
    known = [f"word-{number}" for number in range(14)]

    assert suggest("?", known[:2]) == "Known: word-0, word-1."
    assert suggest("?", known) == f"Known: {', '.join(known[:12])} and 2 more."


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = 1


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: _Inner | None = None
    several: list[_Inner] = []


@pytest.mark.parametrize(
    ("document", "explained"),
    [
        ({"iner": 1}, "unknown key 'iner'. Did you mean 'inner'?"),
        ({"inner": {"sizes": 1}}, "unknown key 'inner.sizes'. Did you mean 'size'?"),
        ({"several": [{"what": 1}]}, "unknown key 'several.0.what'. Known: size."),
        ({"inner": {"size": "x"}}, "inner.size: input should be a valid integer, unable to parse string as an integer, not 'x'."),  # noqa: E501
        ([], "the file: input should be a valid dictionary or instance of _Outer."),
    ],
)  # fmt: skip
def test_problems_of_a_document_are_named_by_their_key(document: object, explained: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _Outer.model_validate(document)

    assert explain_problems(refused.value, _Outer, root="the file") == explained
