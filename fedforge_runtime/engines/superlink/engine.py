"""Flower's deployment engine: a SuperLink and a node for each site, as processes; the ServerApp in this one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fedforge_runtime.engines.address import LinkAddress, free_port
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.superlink.app.driver import driven_run
from fedforge_runtime.engines.superlink.link.link_process import LinkProcess
from fedforge_runtime.engines.superlink.node.node import NodeSpec
from fedforge_runtime.engines.superlink.node.node_supervisor import NodeSupervisor
from fedforge_runtime.telemetry.control import hear_stop


class SuperlinkEngine:
    """A federation that is there already, or one of its own on this machine for the time of the run."""

    name = "superlink"
    holds_shards = True

    def run(self, federation: Federation) -> None:
        if federation.link:
            with driven_run(federation.link, federation) as (grid, context):
                federation.server_app(grid=grid, context=context)
            return
        with (
            _own_federation(federation) as link,
            driven_run(link.address, federation, link=link) as (grid, context),
        ):
            federation.server_app(grid=grid, context=context)


@contextmanager
def _own_federation(federation: Federation) -> Iterator[LinkProcess]:
    """A SuperLink on a free loopback port, which answers, and a supervised node for each site, on its way."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="fedforge-superlink-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        link = LinkProcess(LinkAddress("127.0.0.1", free_port()), folder, remove_folder=True)
        stack.callback(link.end)
        link.start()
        nodes = [
            NodeSupervisor(
                NodeSpec(
                    link=link.address,
                    site=site,
                    folder=folder,
                    client_app=federation.client_app,
                    node_config={"num-partitions": federation.clients, **federation.site_config(site)},
                    threads=federation.threads,
                )
            )
            for site in federation.present
        ]
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        for node in nodes:
            stack.callback(node.ask_to_stop)  # all of them, before the first is waited for
        link.wait_until_ready(hear_stop)
        yield link
