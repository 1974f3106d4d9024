"""No text is refused for its alphabet."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.commands.output import take_every_character
from tests.e2e.command import TREE

take_every_character()


def written(text: str, encoding: str) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="nearest_letters")
    stream.write(text)
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding)


@given(st.text(alphabet=st.characters(codec=None)), st.sampled_from(["ascii", "latin-1", "cp1252", "utf-8"]))
def test_every_text_can_be_written_in_every_alphabet(text: str, encoding: str) -> None:
    assert len(written(text, encoding)) >= len(text)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("0, 1, …", "0, 1, ..."),
        ("i²", "i2"),
        ("Zürich – Genève", "Zurich - Geneve"),
        ("█▌ 0.5", "## 0.5"),
        ("血液", "??"),
        ("name\udcff.npz", "name\\xff.npz"),
    ],
)
def test_what_an_alphabet_lacks_is_written_by_its_nearest(text: str, nearest: str) -> None:
    assert written(text, "ascii") == nearest


def test_what_an_alphabet_has_stays() -> None:
    assert written("Zürich … i²", "latin-1") == "Zürich ... i²"
    assert written("Zürich … 血液", "utf-8") == "Zürich … 血液"


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C"},
    ],
    ids=["ascii", "latin-1", "POSIX", "C"],
)
def test_a_list_that_is_not_ascii_is_printed_whole_in_any_locale(locale: dict[str, str]) -> None:
    command = [sys.executable, "-m", "fedforge_runtime.cli", "partition", "blood", "--list"]
    done = subprocess.run(command, capture_output=True, env=_environment(locale), check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"share in proportion to i" in done.stdout
    assert b"with a preset of your own" in done.stdout


def _environment(locale: dict[str, str]) -> dict[str, str]:
    return {"PATH": "", "COLUMNS": "200", "PYTHONPATH": str(TREE), **locale}
