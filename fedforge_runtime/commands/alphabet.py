"""Output that no terminal, pipe or log refuses for its alphabet: what it does not have is written by its nearest."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

_NEAREST_LETTERS = "nearest_letters"
_SIGNS = {"–": "-", "—": "-", "→": "->", "×": "x", "·": ".", "•": "*", "⌀": "~", "€": "EUR"} | dict.fromkeys(
    "▏▎▍▌▋▊▉█", "#"
)
_FIRST_LONE_BYTE = 0xDC00
"""How Python holds a byte of a file's name that is no text."""


def take_every_character() -> None:
    """Have standard output and standard error write any text, whatever the locale or `PYTHONIOENCODING`."""
    codecs.register_error(_NEAREST_LETTERS, _nearest_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NEAREST_LETTERS)


def _nearest_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_nearest(each) for each in error.object[error.start : error.end]), error.end


def _nearest(character: str) -> str:
    """In ASCII, which every alphabet has."""
    if 0 <= ord(character) - _FIRST_LONE_BYTE <= 0xFF:
        return f"\\x{ord(character) - _FIRST_LONE_BYTE:02x}"
    decomposed = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _SIGNS.get(character) or decomposed or "?"
