"""Named seeds: the same everywhere, and different for different purposes."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import assume, given
from hypothesis import strategies as st

from fedforge_runtime.seeds import derive_seed

PURPOSES = st.lists(st.integers(0, 1000) | st.from_regex(r"[a-z-]{1,12}", fullmatch=True), max_size=4)


@given(seed=st.integers(0, 2**31 - 1), purpose=PURPOSES)
def test_a_seed_has_31_bits_and_is_the_same_each_time(seed: int, purpose: list[int | str]) -> None:
    derived = derive_seed(seed, *purpose)

    assert 0 <= derived < 2**31
    assert derive_seed(seed, *purpose) == derived


@given(
    one=st.tuples(st.integers(0, 2**31 - 1), PURPOSES),
    other=st.tuples(st.integers(0, 2**31 - 1), PURPOSES),
)
def test_different_purposes_have_different_seeds(
    one: tuple[int, list[int | str]], other: tuple[int, list[int | str]]
) -> None:
    assume([one[0], *map(str, one[1])] != [other[0], *map(str, other[1])])

    assert derive_seed(one[0], *one[1]) != derive_seed(other[0], *other[1])


def test_clients_and_rounds_do_not_share_seeds() -> None:
    seeds = {derive_seed(17, "train", number, client) for number in range(50) for client in range(50)}

    assert len(seeds) == 2500


def test_seeds_never_change_or_old_runs_could_not_be_repeated() -> None:
    assert derive_seed(17) == 1159943183
    assert derive_seed(17, "train", 3, 1) == 1675108821


def test_a_seed_does_not_depend_on_the_process() -> None:
    code = "from fedforge_runtime.seeds import derive_seed; print(derive_seed(17, 'participants', 2))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert int(printed) == derive_seed(17, "participants", 2)
