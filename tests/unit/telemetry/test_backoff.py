"""How long is waited before the next try."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.telemetry.backoff import LONGEST_ASKED_SECONDS, Backoff

ASKED = st.none() | st.floats(min_value=0, allow_nan=False)


@given(st.lists(ASKED, max_size=30))
def test_every_wait_is_within_its_limits_and_as_long_as_was_asked_for_up_to_one(asked: list[float | None]) -> None:
    backoff = Backoff(0.1, 2.0)
    for number, seconds in enumerate(asked):
        waited = backoff.after_failure(seconds)

        most = min(0.1 * 2**number, 2.0)
        wanted = min(seconds or 0.0, LONGEST_ASKED_SECONDS)
        assert max(most / 2, wanted) <= waited <= max(most, wanted)


def test_two_who_failed_together_do_not_come_back_together() -> None:
    first, second = Backoff(1.0, 8.0), Backoff(1.0, 8.0)

    assert [first.after_failure() for _ in range(5)] != [second.after_failure() for _ in range(5)]


def test_what_has_worked_begins_anew() -> None:
    backoff = Backoff(0.1, 100.0)
    for _ in range(10):
        backoff.after_failure()
    backoff.reset()

    assert backoff.after_failure() <= 0.1
