"""`fedforge node`: one site's part of a federation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedforge_runtime.commands.options import DebugOption, HomeOption, RootCertificatesOption
from fedforge_runtime.commands.output import command
from fedforge_runtime.home import Home


def node(
    superlink: Annotated[str, typer.Option("--superlink", metavar="HOST:PORT", help="the federation's SuperLink")],
    site: Annotated[int, typer.Option("--site", min=0, help="this site's number")],
    shards: Annotated[
        Path | None, typer.Option("--shards", help="folder of the rows that were handed to this site")
    ] = None,
    root_certificates: RootCertificatesOption = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="private key that the SuperLink's operator registered")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="torch threads of the client")] = 1,
    home: HomeOption = None,
    debug: DebugOption = False,
) -> None:
    """Run this site's node until Ctrl-C: it takes part in runs, and is started again when it dies."""
    with command(as_json=False, debug=debug):
        from fedforge_runtime.federation.superlink.address import LinkAddress
        from fedforge_runtime.federation.superlink.site_node import serve_node

        chosen = Home.resolve(home)
        chosen.require_writable()
        serve_node(
            LinkAddress.parse(superlink, root_certificates.absolute() if root_certificates else None),
            site=site,
            shards=shards.absolute() if shards else None,
            key=key.absolute() if key else None,
            threads=threads,
            home=chosen,
            say=typer.echo,
        )
