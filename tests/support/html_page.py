"""Reads a page as a browser would, far enough to check that it is well formed and complete in itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_ADDRESSES = ("src", "href", "xlink:href", "srcset", "action", "data", "poster")


@dataclass
class HtmlPage(HTMLParser):
    """What a page holds; `problems` is empty when it is well formed."""

    source: str
    problems: list[str] = field(default_factory=list)
    tags: Counter[str] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    """Everything that a browser would look up."""
    roles: list[dict[str, str]] = field(default_factory=list)
    """The attributes of every element that has a role."""
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        self.problems += [f"<{tag}> is never closed" for tag in self._open]
        self.problems += [f"id {name!r} is used twice" for name, uses in Counter(self.ids).items() if uses > 1]

    @property
    def text(self) -> str:
        """Everything that can be read, tables and charts included, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._note(tag, attributes)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._note(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()} closes something else")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.words.append(data)

    def _note(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        values = {name: value or "" for name, value in attributes}
        if len(values) != len(attributes):
            self.problems.append(f"<{tag}> at {self.getpos()} names an attribute twice")
        self.ids += [values["id"]] if "id" in values else []
        self.roles += [values] if "role" in values else []
        self.addresses += [values[name] for name in _ADDRESSES if name in values]
        self.problems += [f"<{tag}> has a handler {name}" for name in values if name.startswith("on")]
