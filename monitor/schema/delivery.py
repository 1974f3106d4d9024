"""How far events have come: what senders and a database of a monitor say to each other about it."""

from __future__ import annotations

from pydantic import Field

from monitor.schema.base import LARGEST, Contract, Identifier


class Position(Contract):
    """How far the events of an emitter have come."""

    run_id: Identifier
    emitter_id: Identifier
    emitter_seq: int = Field(ge=1, le=LARGEST)
    """The highest that is held."""


class Holding(Contract):
    """What a database of a monitor holds of some emitters; one of which it says nothing has none there."""

    database: str = Field(pattern=r"^[0-9a-f]{32}$")
    """Its identity: another one behind the same address holds nothing of what the former held."""
    positions: list[Position]

    def includes(self, other: Holding) -> bool:
        """Whether everything that `other` says is so here: the same database, and no position behind."""
        reached = {(each.run_id, each.emitter_id): each.emitter_seq for each in self.positions}
        return self.database == other.database and all(
            each.emitter_seq <= reached.get((each.run_id, each.emitter_id), 0) for each in other.positions
        )
