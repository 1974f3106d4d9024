"""The contract of an engine: run one ServerApp and one ClientApp over a number of sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flwr.serverapp import ServerApp

CLIENT_APP = "fedforge_runtime.federation.client_app:app"


@dataclass(frozen=True)
class Federation:
    """What an engine runs.

    Args:
        server_app: runs until it returns or raises.
        client_app: `module:attribute`, imported where the clients are.
        run_config: reaches the ServerApp and every client as `context.run_config`.
        clients: number of sites; each has `partition-id` 0, 1, 2 … in `context.node_config`.
        workers: how many sites compute at the same time.
        threads: torch threads of each.
    """

    server_app: ServerApp
    run_config: Mapping[str, str]
    clients: int
    workers: int
    threads: int = 1
    client_app: str = CLIENT_APP


class Engine(Protocol):
    """Where a federation runs. The conformance suite holds every engine to this:

    - a message that is pushed is answered by the site it is addressed to, or by an error that says why not;
    - a site that raises or whose process dies answers with an error, and serves the next message;
    - replies may come in any order;
    - what the ServerApp raises, `run` raises, and no process that the engine started is left, even when sites are
      in the middle of their work: nobody waits for them to finish.
    """

    name: str

    def run(self, federation: Federation) -> None:
        """Run the ServerApp to its end."""
