"""The contract of an engine: run one ServerApp and one ClientApp over a number of sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fedforge_runtime.engines.address import LinkAddress

if TYPE_CHECKING:  # so that the template begins to load before it
    from flwr.serverapp import ServerApp

CLIENT_APP = "fedforge_runtime.federation.client_app:app"


@dataclass(frozen=True)
class Federation:
    """What an engine runs.

    Args:
        server_app: runs until it returns or raises.
        client_app: `module:attribute`, imported where the clients are.
        run_config: reaches the ServerApp and every client as `context.run_config`.
        server_config: what the ServerApp alone finds there as well.
        clients: number of sites; each has `partition-id` 0, 1, 2 … in `context.node_config`.
        workers: how many sites compute at the same time.
        threads: torch threads of each.
        site_config: what a site has in `context.node_config` beside its partition: what is known where it is, and
            never sent there. A federation that is there already has its own.
        sites: which of them take part; by default all. No other needs to be there.
        link: the SuperLink of a federation that is there already; by default one is started for the run.
    """

    server_app: ServerApp
    run_config: Mapping[str, str]
    clients: int
    workers: int
    threads: int = 1
    client_app: str = CLIENT_APP
    server_config: Mapping[str, str] = field(default_factory=dict)
    site_config: Callable[[int], Mapping[str, str]] = lambda site: {}
    sites: Sequence[int] | None = None
    link: LinkAddress | None = None

    @property
    def present(self) -> Sequence[int]:
        """The sites that take part."""
        return range(self.clients) if self.sites is None else self.sites

    @property
    def whole_config(self) -> dict[str, bool | float | int | str]:
        """What the ServerApp finds in `context.run_config`."""
        return {**self.run_config, **self.server_config}


class Engine(Protocol):
    """Where a federation runs. The conformance suite holds every engine to this:

    - a message that is pushed is answered by the site it is addressed to, or by an error that says why not;
    - a site that raises or whose process dies answers with an error, and serves the next message;
    - replies may come in any order;
    - what the ServerApp raises, `run` raises, and no process that the engine started is left, even when sites are
      in the middle of their work: nobody waits for them to finish.
    """

    name: str
    holds_shards: bool
    """Whether a site has its rows as a shard of its own, instead of reading the artifacts of all sites."""

    def run(self, federation: Federation) -> None:
        """Run the ServerApp to its end."""
