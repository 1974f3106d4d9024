"""Which node answers for which site: who came first, by whose key, and who is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Registration:
    """What is known of a node's key."""

    fingerprint: str
    site: int | None = None
    """The site that the federation's operator has bound the key to; `None` where keys are bound to none."""


@dataclass(frozen=True)
class Refusal:
    """Why a node must not hold the site that it names."""

    reason: str
    holder: int | None = None
    """The node that holds the site; once that is gone, this one may."""


@runtime_checkable
class KnowsRegistrations(Protocol):
    """A Grid whose nodes prove who they are by a key."""

    def registrations(self) -> Mapping[int, Registration]:
        """By node."""


@dataclass
class Roster:
    """The holders of a run's sites. A key that is bound to a site holds that site and no other, and nobody else holds
    it. Without bound keys the first node that names a site keeps it, until it is gone.

    Args:
        sites: those of the run, ascending; whoever names another is a stranger, and is not asked.
    """

    sites: Sequence[int]
    _holders: dict[int, tuple[int, str]] = field(default_factory=dict, init=False)
    """Node and fingerprint, by site."""

    def present(self, connected: Collection[int]) -> dict[int, int]:
        """Nodes by site, of those sites whose holder is connected."""
        return {site: node for site, (node, _) in sorted(self._holders.items()) if node in connected}

    @property
    def holders(self) -> dict[int, int]:
        """The last known holder of each site that has had one, by site, ascending."""
        return {site: node for site, (node, _) in sorted(self._holders.items())}

    def site_of(self, node: int) -> int:
        """The site of a holder."""
        return next(site for site, (holder, _) in self._holders.items() if holder == node)

    def is_stranger(self, site: int) -> bool:
        """Whether a site is none of the run's."""
        return site not in self.sites

    def node_of(self, site: int) -> int:
        """The holder of a site that has one."""
        return self._holders[site][0]

    def refusal(
        self, node: int, site: int, registrations: Mapping[int, Registration], connected: Collection[int]
    ) -> Refusal | None:
        """Why a node that says that it is `site` must not hold that site; `None` where it may.

        Args:
            registrations: of the nodes, those that have any.
            connected: the nodes that are there now.
        """
        own = registrations.get(node)
        if own and own.site is not None and own.site != site:
            return Refusal(
                f"node {node} says that it is site {site}, and has the key of site {own.site}: it is refused. "
                f"Start it with --site {own.site}, or with the key of site {site}."
            )
        owners = sorted(other for other, each in registrations.items() if each.site == site)
        if owners and node not in owners:
            return Refusal(
                f"node {node} says that it is site {site}, whose key node {owners[0]} has: it is refused. "
                f"Start it with the key of site {site}."
            )
        if site not in self._holders:
            return None
        holder, fingerprint = self._holders[site]
        if holder == node or holder not in connected or (own and own.fingerprint == fingerprint):
            return None
        return Refusal(
            f"node {node} says that it is site {site}, as node {holder} does, which came first and keeps it: "
            "end one of the two.",
            holder,
        )

    def admit(self, node: int, site: int, registrations: Mapping[int, Registration]) -> None:
        """Make a node the holder of a site, in place of whoever was."""
        own = registrations.get(node)
        self._holders[site] = node, own.fingerprint if own else ""
