"""What is said of a process that ended before its work did."""

from __future__ import annotations

import re
import signal

import pytest

from fedforge_runtime.processes import describe_exit, explain_death


@pytest.mark.parametrize("code", [-signal.SIGKILL, None])
def test_who_is_killed_as_when_memory_runs_out_is_told_what_the_machine_has_left_and_what_to_try(
    code: int | None,
) -> None:
    said = explain_death(code)

    assert ("killed by SIGKILL" in said) == (code is not None)
    assert re.search(r"\d+\.\d [MG]B of \d+\.\d GB are free", said)
    assert said.endswith("(--engine inprocess --set runtime.workers=1)")


def test_other_ends_say_how_and_what_they_likely_mean() -> None:
    assert explain_death(-signal.SIGSEGV).startswith("killed by SIGSEGV, a crash in native code")
    assert explain_death(-signal.SIGTERM).startswith("killed by SIGTERM, somebody")
    assert explain_death(3) == describe_exit(3) == "exit code 3"
    assert describe_exit(-250) == "killed by signal 250"


def test_every_end_is_told_in_one_line_that_an_event_has_room_for() -> None:
    for code in [None, *range(-64, 256)]:
        said = explain_death(code)
        assert said
        assert "\n" not in said
        assert len(said) < 500
