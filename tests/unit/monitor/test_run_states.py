"""The state machine of a run, as pure functions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.control import (
    DESIRED,
    HEARD,
    Command,
    Control,
    Notice,
    State,
    claimed,
    commanded,
    desired,
    noticed,
    refusal,
    silenced,
)

ENDED = {State.STOPPED, State.COMPLETED, State.FAILED}


@st.composite
def controls(draw: st.DrawFn) -> Control:
    """Every control that can come to be: by any steps from a request or from a run that started by itself."""
    control = Control(claimable=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 12))):
        control = draw(steps(control))
    return control


def steps(control: Control) -> st.SearchStrategy[Control]:
    by_command = [after for command in Command if (after := commanded(control, command))]
    by_claim = [after for after in [claimed(control)] if after]
    by_notice = [
        noticed(control, notice, control.attempt + step)
        for notice in Notice
        if notice is not Notice.SILENT
        for step in (-1, 0, 1)
        if control.attempt + step > 0
    ]
    by_silence = [silenced(control, leased=leased) for leased in (True, False)]
    return st.sampled_from([*by_command, *by_claim, *by_notice, *by_silence])


def walk(*steps: Command | Notice | str, start: Control = Control(claimable=True)) -> Control:  # noqa: B008
    control = start
    for step in steps:
        if step == "claim":
            after = claimed(control)
        elif isinstance(step, Command):
            after = commanded(control, step)
        else:
            assert isinstance(step, Notice)
            after = silenced(control, leased=True) if step is Notice.SILENT else noticed(control, step, control.attempt)
        assert after is not None, f"{step} is not possible in {control}"
        control = after
    return control


RUNNING = walk("claim", Notice.STARTED)


def test_a_request_that_is_claimed_and_starts_is_running_and_ends_completed() -> None:
    assert walk("claim").state is State.STARTING
    assert RUNNING.state is State.RUNNING
    assert walk(Notice.COMPLETED, start=RUNNING) == Control(State.COMPLETED, 1)


def test_a_pause_is_asked_for_comes_to_pass_and_is_ended() -> None:
    pausing = walk(Command.PAUSE, start=RUNNING)
    paused = walk(Notice.PAUSED, start=pausing)
    resuming = walk(Command.RESUME, start=paused)

    assert [each.state for each in (pausing, paused, resuming)] == [State.PAUSING, State.PAUSED, State.RESUMING]
    assert [desired(each, 1) for each in (pausing, paused, resuming)] == ["pause", "pause", "run"]
    assert walk(Notice.RESUMED, start=resuming) == RUNNING


def test_a_pause_that_is_withdrawn_before_it_comes_to_pass_is_no_pause() -> None:
    withdrawn = walk(Command.PAUSE, Command.RESUME, start=RUNNING)
    assert withdrawn == RUNNING

    crossed = walk(Notice.PAUSED, start=withdrawn)  # it had come to pass on the run's side

    assert desired(crossed, 1) == "run"
    assert walk(Notice.RESUMED, start=crossed) == RUNNING


@pytest.mark.parametrize("end", [Notice.COMPLETED, Notice.FAILED, Notice.STOPPED])
def test_the_last_round_may_win_the_race_against_a_command(end: Notice) -> None:
    for command in (Command.PAUSE, Command.STOP):
        ended = walk(command, end, start=RUNNING)

        assert ended.state.value == end.value.removeprefix("run_")


def test_resume_after_an_end_is_a_new_attempt_that_somebody_must_claim() -> None:
    for end in (Notice.STOPPED, Notice.FAILED):
        waiting = walk(end, Command.RESUME, start=RUNNING)

        assert waiting == Control(State.RESUMING, 2, claimable=True)
        assert walk("claim", Notice.RESUMED, start=waiting) == Control(State.RUNNING, 2)


def test_a_completed_run_takes_no_command_and_says_why() -> None:
    completed = walk(Notice.COMPLETED, start=RUNNING)

    assert completed.allowed == []
    assert "completed" in refusal(completed, Command.STOP)
    assert "nothing is possible" in refusal(completed, Command.STOP)


def test_what_nobody_has_claimed_is_stopped_at_once_and_cannot_be_paused() -> None:
    assert walk(Command.STOP).state is State.STOPPED
    relaunched = walk(Notice.STOPPED, Command.RESUME, start=RUNNING)
    assert relaunched.allowed == [Command.STOP]
    assert walk(Command.STOP, start=relaunched).state is State.STOPPED


def test_a_silent_run_is_lost_and_a_heartbeat_brings_it_back_where_it_was() -> None:
    pausing = walk(Command.PAUSE, start=RUNNING)
    lost = silenced(pausing, leased=True)

    assert lost.state is State.LOST
    assert noticed(lost, Notice.ALIVE, 1) == pausing
    assert noticed(lost, Notice.PAUSED, 1).state is State.PAUSED
    assert noticed(lost, Notice.COMPLETED, 1).state is State.COMPLETED


def test_a_run_that_is_being_prepared_is_lost_when_it_falls_silent_and_comes_back() -> None:
    preparing = Control(claimable=False)  # started by hand: its first event made it known
    lost = silenced(preparing, leased=False)

    assert lost == Control(State.LOST, 1, before_lost=State.REQUESTED)
    assert noticed(lost, Notice.ALIVE, 1) == preparing
    assert noticed(lost, Notice.STARTED, 1) == RUNNING
    assert walk(Command.RESUME, start=lost) == Control(State.RESUMING, 2, claimable=True)
    assert walk(Command.STOP, start=lost).state is State.STOPPED


def test_a_request_that_nobody_has_claimed_is_silent_by_right_until_something_is_heard_of_it() -> None:
    waiting = Control(claimable=True)

    assert silenced(waiting, leased=False) == waiting
    carried_out = noticed(waiting, Notice.ALIVE, 1)
    assert claimed(carried_out) is None
    assert silenced(carried_out, leased=False).state is State.LOST


@pytest.mark.parametrize("state", State)
def test_silence_counts_in_every_state_in_which_something_should_be_heard(state: State) -> None:
    over = {State.STOPPED, State.COMPLETED, State.FAILED}

    assert (silenced(Control(state), leased=False).state is State.LOST) == (state not in over)


def test_a_lost_run_may_be_claimed_where_it_was_leased_and_was_to_go_on() -> None:
    assert claimed(silenced(RUNNING, leased=True)) == Control(State.RESUMING, 2)
    assert claimed(silenced(RUNNING, leased=False)) is None
    assert claimed(silenced(walk(Command.STOP, start=RUNNING), leased=True)) is None
    assert claimed(silenced(walk(Command.PAUSE, start=RUNNING), leased=True)) is None


def test_a_process_that_was_replaced_is_told_to_stop_and_changes_nothing() -> None:
    replaced = walk(Notice.SILENT, "claim", Notice.RESUMED, start=RUNNING)
    assert replaced == Control(State.RUNNING, 2)

    assert desired(replaced, 1) == "stop"
    assert noticed(replaced, Notice.FAILED, 1) == replaced


def test_a_run_that_was_resumed_by_hand_is_the_run_now() -> None:
    failed = walk(Notice.FAILED, start=RUNNING)

    assert noticed(failed, Notice.RESUMED, 2) == Control(State.RUNNING, 2)


def test_a_new_attempt_of_a_stopped_run_is_not_told_to_stop_before_its_events_are_here() -> None:
    stopped = walk(Command.STOP, Notice.STOPPED, start=RUNNING)

    assert desired(stopped, 1) == "stop"
    assert desired(stopped, 2) == "run"


@given(controls())
def test_every_command_is_either_legal_or_refused_with_a_reason(control: Control) -> None:
    for command in Command:
        after = commanded(control, command)
        assert (after is not None) == (command in control.allowed)
        if after is None:
            assert refusal(control, command).startswith(f"cannot {command}: ")


@given(controls())
def test_one_claim_wins(control: Control) -> None:
    after = claimed(control)
    if after is not None:
        assert claimed(after) is None


@given(controls())
def test_attempts_never_go_back_and_only_what_waits_is_claimable(control: Control) -> None:
    assert control.attempt >= 1
    if control.claimable:
        assert control.state in {State.REQUESTED, State.RESUMING, State.LOST}
    if control.closing is not None:
        assert control.state is State.COMPLETED
    if control.before_lost is not None:
        assert control.state is State.LOST
        assert control.before_lost in HEARD


@given(controls())
def test_a_stop_is_possible_unless_the_run_has_ended_and_wins_over_all_but_an_end(control: Control) -> None:
    stopped = commanded(control, Command.STOP)
    if control.closing == "run":
        assert stopped == replace(control, closing="stop")
        return
    if control.state in ENDED | {State.STOPPING}:
        assert stopped is None
        return
    assert stopped is not None
    assert DESIRED[stopped.state] == "stop"
    for notice in (Notice.ALIVE, Notice.STARTED, Notice.PAUSED, Notice.RESUMED):
        assert noticed(stopped, notice, stopped.attempt).state in {State.STOPPING, State.STOPPED}


@given(controls())
def test_silence_ends_no_run_and_hides_none(control: Control) -> None:
    after = silenced(control, leased=True)
    assert (after.state is State.LOST) == (
        (control.state in HEARD and not control.claimable) or control.state is State.LOST
    )
