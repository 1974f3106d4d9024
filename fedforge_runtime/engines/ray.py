"""Flower's simulation runtime: sites take turns in Ray actors. Needs the extra `simulation`."""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
import threading
from contextlib import suppress
from typing import cast

import psutil
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.inprocess import handle_message
from fedforge_runtime.errors import ConfigError

_ACTOR_TITLE = "ray::SiteActor"
_AUTOSCALER = "ray/autoscaler/_private/monitor.py"
"""Has nothing to do on one machine; asked to end it does not for a second, and Ray waits for it."""
_KILL_INTERVAL_SECONDS = 0.1


class RayEngine:
    """The ServerApp in a thread of this process, each site's ClientApp in one of Ray's actors."""

    name = "ray"
    holds_shards = False

    def run(self, federation: Federation) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ConfigError(
                "the engine 'ray' needs Ray, which is not installed.",
                remedy="Install it with pip install 'fedforge[simulation]', or use --engine inprocess.",
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # How long Ray waits to hear why an actor died before it says so: a second for what nobody is told.
        os.environ.setdefault("RAY_timeout_ms_task_wait_for_death_info", "50")
        from fedforge_runtime.engines.ray_backend import NOTES, SiteBackend, nothing_printed
        from fedforge_runtime.flower.simulation import backend_in_place, run_simulation

        # Flower and Ray print a stack for each client that fails; the run's events say it in a line.
        for name in ("flwr", "ray"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        server = _Server(federation.server_app)
        client = _ConfiguredClient(
            federation.client_app,
            dict(federation.run_config),
            [dict(federation.site_config(site)) for site in range(federation.clients)],
        )
        try:
            with (
                backend_in_place(SiteBackend),
                nothing_printed(),
                tempfile.TemporaryDirectory(prefix="fedforge-ray-", ignore_cleanup_errors=True) as notes,
            ):
                run_simulation(
                    federation.clients,
                    cast(ServerApp, server),
                    cast(ClientApp, client),
                    Context(
                        run_id=0, node_id=0, node_config={}, state=RecordDict(), run_config=federation.whole_config
                    ),
                    {
                        "init_args": {
                            "num_cpus": federation.workers,
                            "num_gpus": 0,
                            "log_to_driver": False,
                            "logging_level": logging.CRITICAL,
                        },
                        "client_resources": {"num_cpus": 1, "num_gpus": 0},
                        NOTES: {"folder": notes},
                    },
                )
        except Exception:
            if server.error is None:
                raise
        finally:
            server.simulation_ended.set()
        if server.error is not None:
            raise server.error


class _Server:
    """The ServerApp, keeping what it raises and ending clients that are still at work when it is done."""

    def __init__(self, server_app: ServerApp) -> None:
        self._server_app = server_app
        self.error: BaseException | None = None
        self.simulation_ended = threading.Event()

    def __call__(self, grid: Grid, context: Context) -> None:
        try:
            self._server_app(grid=grid, context=context)
        except BaseException as error:
            self.error = error
        finally:
            threading.Thread(target=self._end_clients, name="end-ray-clients", daemon=True).start()

    def _end_clients(self) -> None:
        # Flower's runtime waits for every client in flight, also for one that hangs, before it ends.
        while not self.simulation_ended.is_set():
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    words = process.cmdline()
                    if any(word.startswith(_ACTOR_TITLE) or word.endswith(_AUTOSCALER) for word in words):
                        process.kill()
            self.simulation_ended.wait(_KILL_INTERVAL_SECONDS)


class _ConfiguredClient:
    """A ClientApp that finds run config and site config in its context; Flower reads them only from an app folder."""

    def __init__(self, client_app: str, run_config: dict[str, str], site_configs: list[dict[str, str]]) -> None:
        self._client_app = client_app
        self._run_config = run_config
        self._site_configs = site_configs

    def __call__(self, message: Message, context: Context) -> Message:
        configured = Context(
            run_id=context.run_id,
            node_id=context.node_id,
            node_config={**context.node_config, **self._site_configs[int(context.node_config["partition-id"])]},
            state=context.state,
            run_config=dict(self._run_config),
        )
        return handle_message(self._client_app, message, configured)[0]
