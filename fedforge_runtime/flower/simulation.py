"""Flower's simulation over Ray, with the backend of our choice. Loads Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.server.superlink.fleet.vce.backend import raybackend
from flwr.server.superlink.fleet.vce.backend.raybackend import RayBackend
from flwr.serverapp import ServerApp
from flwr.simulation.ray_transport.ray_actor import BasicActorPool, VirtualClientEngineActor
from flwr.simulation.run_simulation import _run_simulation
from flwr.supercore.telemetry import EventType

__all__ = ["BasicActorPool", "RayBackend", "VirtualClientEngineActor", "backend_in_place", "run_simulation"]


@contextmanager
def backend_in_place(backend: type[RayBackend]) -> Iterator[None]:
    """Have simulations give their messages to `backend` while the block runs."""
    before = raybackend.RayBackend
    raybackend.RayBackend = backend  # type: ignore[misc]
    try:
        yield
    finally:
        raybackend.RayBackend = before  # type: ignore[misc]


def run_simulation(
    nodes: int, server_app: ServerApp, client_app: ClientApp, context: Context, backend_config: Mapping[str, Any]
) -> None:
    """Run both apps over so many nodes. Flower's public ways in take no run config, or cost two more processes."""
    _run_simulation(
        num_supernodes=nodes,
        exit_event=EventType.FLWR_SIMULATION_RUN_LEAVE,
        server_app=server_app,
        client_app=client_app,
        server_app_context=context,
        backend_config=dict(backend_config),
    )
