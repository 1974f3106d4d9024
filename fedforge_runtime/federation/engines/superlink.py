"""Flower's deployment engine: a SuperLink and a node for each site, as processes; the ServerApp in this one."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from fedforge_runtime.federation.engines.base import Federation
from fedforge_runtime.federation.superlink.address import LinkAddress, free_port
from fedforge_runtime.federation.superlink.driver import driven_run
from fedforge_runtime.federation.superlink.link_process import LinkProcess
from fedforge_runtime.federation.superlink.node import NodeSpec
from fedforge_runtime.federation.superlink.node_supervisor import NodeSupervisor


class SuperlinkEngine:
    """A federation of its own on this machine, for the time of the run."""

    name = "superlink"

    def run(self, federation: Federation) -> None:
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="fedforge-superlink-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            link = LinkProcess(LinkAddress("127.0.0.1", free_port()), folder, remove_folder=True)
            stack.callback(link.end)
            link.start()
            nodes: list[NodeSupervisor] = []
            for site in range(federation.clients):
                node = NodeSupervisor(
                    NodeSpec(
                        link=link.address,
                        site=site,
                        folder=folder,
                        client_app=federation.client_app,
                        node_config={"num-partitions": federation.clients},
                        threads=federation.threads,
                    )
                )
                stack.callback(node.stop)
                node.start()
                nodes.append(node)
            link.wait_until_ready()
            grid, context = stack.enter_context(driven_run(link.address, federation.run_config, link=link))
            stack.callback(lambda: [node.ask_to_stop() for node in nodes])
            federation.server_app(grid=grid, context=context)
