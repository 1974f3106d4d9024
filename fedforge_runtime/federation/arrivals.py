"""How far a message is on its way: who has fetched it, and how much of its answer has come."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fedforge_runtime.wording import size


@dataclass(frozen=True)
class Arrival:
    """What there is of one message."""

    bytes: int
    parts: int
    parts_total: int

    def __str__(self) -> str:
        return f"{size(self.bytes)}, {self.parts} of {self.parts_total} parts"


@runtime_checkable
class KnowsArrivals(Protocol):
    """A Grid whose answers may take long to arrive."""

    def arrivals(self) -> Mapping[int, Arrival]:
        """The answers that have begun to arrive and are not whole, by node."""
        ...


@runtime_checkable
class KnowsFetches(Protocol):
    """A Grid whose nodes are elsewhere, and come for their messages."""

    def fetched(self, message_ids: Sequence[str]) -> Collection[str]:
        """Those of these messages that their node has whole, as far as anybody here can tell."""
        ...
