"""What went wrong, why and what to do are sentences of their own, whatever each was made of."""

from __future__ import annotations

import ast
import errno
import os
import pickle
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime import errors
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


def test_the_tree_in_the_docstring_is_the_tree_with_its_exit_codes() -> None:
    def drawn(of: type[FedForgeError], ahead: str) -> Iterator[str]:
        children = [each for each in of.__subclasses__() if each.__module__ == errors.__name__]
        for each in children:
            last = each is children[-1]
            code = f"({each.exit_code})" if each.exit_code != 1 else ""
            yield f"{ahead}{'└' if last else '├'}── {each.__name__} {code}".rstrip()
            yield from drawn(each, f"{ahead}{'    ' if last else '│   '}")

    said = [
        re.sub(r"(\w) {2,}.*?(?: (\(\d+\)))?$", lambda found: " ".join(filter(None, found.groups())), line.strip("\n"))
        for line in textwrap.dedent((errors.__doc__ or "").split("\n\n")[1]).splitlines()
    ]
    assert said == ["FedForgeError", *drawn(FedForgeError, "")]


def test_no_error_for_people_is_defined_elsewhere() -> None:
    tree = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, FedForgeError)}
    elsewhere = [
        (file, node.name)
        for file in Path(errors.__file__).parents[1].rglob("*.py")
        if file != Path(errors.__file__)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and tree & {base.id for base in node.bases if isinstance(base, ast.Name)}
    ]
    assert elsewhere == []
