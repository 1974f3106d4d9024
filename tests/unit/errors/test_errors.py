"""What went wrong, why and what to do are sentences of their own, whatever each was made of."""

from __future__ import annotations

import errno
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.errors import DataError, FedForgeError, sentences


@pytest.mark.parametrize(
    ("message", "remedy", "whole"),
    [
        ("it gave HTTP 501", "Go on with: fedforge resume a", "it gave HTTP 501. Go on with: fedforge resume a"),
        ("no space left.", "Free some.", "no space left. Free some."),
        ("is it there?", "See.", "is it there? See."),
        ("no remedy", "", "no remedy"),
        ("two\nlines ", " Go on.", "two\nlines. Go on."),
    ],
)
def test_a_message_and_its_remedy_never_run_together(message: str, remedy: str, whole: str) -> None:
    assert str(FedForgeError(message, remedy=remedy)) == whole


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/file"), "No space left on device"),
        (ValueError("ends with a stop."), "ends with a stop"),
        (ValueError("two\n  lines"), "two lines"),
        (EOFError(), "EOFError"),
    ],
    ids=repr,
)
def test_a_cause_ends_the_sentence_of_its_subject(cause: Exception, words: str) -> None:
    error = DataError("cannot read /a/file", cause=cause, remedy="Restore it.")

    assert str(error) == f"cannot read /a/file: {words}. Restore it."


def test_an_error_of_another_process_says_the_same_here() -> None:
    error = DataError("cannot read /a/file", cause=ValueError("why"), remedy="Restore it.")

    there = pickle.loads(pickle.dumps(error))

    assert (str(there), there.message, there.remedy) == (str(error), error.message, error.remedy)


@given(st.lists(st.text()))
def test_no_word_is_lost_and_each_sentence_but_the_last_ends(texts: list[str]) -> None:
    joined = sentences(*texts)

    assert joined.replace(".", "").split() == " ".join(texts).replace(".", "").split()
    at = 0
    given = [text.strip() for text in texts if text.strip()]
    for text in given[:-1]:
        at = joined.index(text, at) + len(text)
        assert joined[at - 1] in ".!?…:;," or joined[at] == "."
