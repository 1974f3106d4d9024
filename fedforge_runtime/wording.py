"""How things are put for people: sizes, times and counts, long lists and names, and what a wrong word may have meant.

What a machine reads has numbers and names as they are. The monitor, which knows nothing of this package, has words of
its own in `monitor.schema.words`: the dashboard speaks them too.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_MOST_SUGGESTED = 12
_ROUGH_UNITS = ((86_400, "days"), (3600, "h"), (60, "min"))


def count(number: float) -> str:
    """A whole number with its thousands apart, for example `12,345`."""
    return f"{number:,.0f}"


def counted(number: int, noun: str) -> str:
    """So many of something whose plural has an s, for example `1 image`, `12,345 images`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def size(number_of_bytes: float) -> str:
    """For example `1.2 MB`; decimal units."""
    value = float(number_of_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def duration(seconds: float) -> str:
    """A time that was measured, for example `0.42 s`, `51 s`, `12 min 5 s`, `2 h 3 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def rough_duration(seconds: float) -> str:
    """A time that was estimated, or an age, in one unit: `0.3 s`, `51 s`, `2.5 min`, `12 min`, `2 h`, `3 days`."""
    length, unit = next((each for each in _ROUGH_UNITS if seconds >= 2 * each[0]), (1, "s"))
    value = seconds / length
    return f"{round(value, 1 if value < 10 else None):g} {unit}"


def some_of(words: Sequence[object], most: int | None = None, *, of: int | None = None, separator: str = ", ") -> str:
    """The first of a list, and how many more there are, for example `a, b and 3 more`.

    Args:
        most: so many are named; all unless given.
        of: how many there are, where `words` itself holds only some of them.
    """
    shown = words[:most]
    more = (len(words) if of is None else of) - len(shown)
    return separator.join(map(str, shown)) + (f" and {more} more" if more else "")


def name_sites(sites: Sequence[int]) -> str:
    """For a sentence: `site 2`, `sites 0, 3`."""
    return f"site{'s' if len(sites) > 1 else ''} {some_of(sites)}"


def short_name(class_name: str) -> str:
    """A class's name without what stands in brackets behind it."""
    return class_name.partition("(")[0].strip() or class_name


def shorten(text: str, width: int, *, lines: int = 1) -> str:
    """At most so many lines of at most so many characters; three dots stand for what is left out."""
    return "\n".join(textwrap.wrap(text.replace("(", " ("), width, max_lines=lines, placeholder="…"))


def suggest(given: str, known: Iterable[str]) -> str:
    """A remedy that names the nearest known word, or the known ones."""
    words = list(known)
    nearest = difflib.get_close_matches(given, words, n=1)
    return f"Did you mean {nearest[0]!r}?" if nearest else f"Known: {some_of(words, _MOST_SUGGESTED)}."


def explain_problems(error: ValidationError, model: type[BaseModel], *, root: str = "") -> str:
    """Every problem of a document that is no `model`, by key; `root` stands for the document as a whole."""
    text = "; ".join(_explain(problem, model, root) for problem in error.errors(include_url=False))
    return text if text.endswith("?") else f"{text}."


def _explain(problem: Mapping[str, Any], model: type[BaseModel], root: str) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location) or root
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}. {suggest(location[-1], _keys_at(location[:-1], model))}".rstrip(".")
    given = problem.get("input")
    shown = f", not {given!r}" if isinstance(given, (str, int, float, bool)) else ""
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{f'{key}: ' if key else ''}{message[0].lower()}{message[1:]}{shown}"


def _keys_at(location: list[str], model: type[BaseModel]) -> list[str]:
    for part in location:
        if part.isdigit():  # an item of a list
            continue
        field = model.model_fields.get(part)
        nested = _model_within(field.annotation) if field else None
        if nested is None:
            return []
        model = nested
    return list(model.model_fields)


def _model_within(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds: alone, in a list, or optionally."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_within(each))), None)
