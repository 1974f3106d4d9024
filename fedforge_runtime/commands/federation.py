"""`fedforge federation up|status|down|certs|provision`: a federation that outlives runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedforge_runtime.commands.options import DebugOption, HomeOption, JsonOption, MonitorOption
from fedforge_runtime.commands.output import command
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.storage.home import Home

app = typer.Typer(help="A SuperLink and nodes that outlive runs.", no_args_is_help=True)

HostsOption = Annotated[
    list[str] | None, typer.Option("--host", help="name or address by which nodes reach the SuperLink; repeatable")
]
KeysOption = Annotated[int, typer.Option("--nodes", help="sites that get a key pair")]
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--name", help="of a site, in the order of their numbers; repeatable; default site-0, site-1, …"),
]
DaysOption = Annotated[int, typer.Option("--days", help="how long the server's certificate is valid")]


@app.command()
def up(
    nodes: Annotated[int, typer.Option("--nodes", min=0, help="sites whose node runs on this machine")] = 3,
    host: Annotated[str, typer.Option("--host", help="where the SuperLink listens")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one")] = 9092,
    certs: Annotated[
        Path | None, typer.Option("--certs", help="folder that `fedforge federation certs` made: TLS and node keys")
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            "--trust", metavar="NETWORK", help="whose machines may start and drive runs, beside this one; repeatable"
        ),
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="stay, until Ctrl-C; for containers and services")
    ] = False,
    monitor: MonitorOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Start a SuperLink and nodes, and return when they are ready."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.federation_tables import describe_federation, print_federation
        from fedforge_runtime.engines.address import host_of_address
        from fedforge_runtime.engines.superlink import standing
        from fedforge_runtime.engines.superlink.certificates import load_node_key, open_certificates
        from fedforge_runtime.engines.superlink.link.guarded_link import parse_networks
        from fedforge_runtime.telemetry.monitor_client import MonitorAddress

        certificates = open_certificates(certs.absolute()) if certs else None
        host = host_of_address(host.strip())
        if certificates is None and host not in ("127.0.0.1", "localhost", "[::1]"):
            raise ConfigError(
                f"--host {host} would be open to whoever reaches this machine, without a key.",
                remedy="Make certificates with `fedforge federation certs DIR --host …` and give them by --certs DIR.",
            )
        if certificates and nodes > len(certificates.nodes):
            raise ConfigError(
                f"{certs} has keys for {len(certificates.nodes)} nodes, not for {nodes}.",
                remedy="Make more with `fedforge federation certs`, or start fewer --nodes.",
            )
        for key in [certificates.node_key(site) for site in range(nodes)] if certificates else []:
            load_node_key(key)
        chosen = Home.resolve(home).require_writable()
        parse_networks(trust or [])
        told = MonitorAddress.parse(monitor) if monitor else None
        spec = standing.StandingSpec(
            host, standing.require_place(host, port), nodes, certificates, tuple(trust or ()), told
        )
        if foreground:

            def describe() -> None:
                emit(describe_federation(standing.require_federation(chosen), chosen), print_federation)

            standing.StandingFederation(spec, chosen).serve(when_ready=describe if as_json else None)
            return
        emit(describe_federation(standing.serve_in_background(spec, chosen, certs), chosen), print_federation)


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """What of the federation runs, and what not."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.federation_tables import describe_federation, print_federation
        from fedforge_runtime.engines.superlink.standing import require_federation

        chosen = Home.resolve(home)
        emit(describe_federation(require_federation(chosen), chosen), print_federation)


@app.command()
def down(home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """End the federation's processes; its runs can be resumed elsewhere."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.engines.superlink.standing import end_federation

        state = end_federation(Home.resolve(home))
        emit({"address": state.address, "ended": True}, lambda value: typer.echo(f"ended {value['address']}"))


@app.command()
def certs(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    host: HostsOption = None,
    nodes: KeysOption = 3,
    names: NamesOption = None,
    days: DaysOption = 365,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a certificate authority, the SuperLink's certificate, and a key pair for each site's node."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.engines.superlink.certificates import make_certificates

        made = make_certificates(folder.absolute(), hosts=host or [], nodes=nodes, names=names or [], days=days)
        emit(
            {
                "folder": str(made.path),
                "ca": str(made.ca),
                "valid_until": made.valid_until.isoformat(),
                "sites": str(made.sites_file),
                "nodes": {site: str(made.node_key(site)) for site in made.nodes},
            },
            lambda value: typer.echo(
                f"{value['folder']}: valid until {value['valid_until'][:10]}, keys of {len(value['nodes'])} nodes.\n"
                f"Keep it at the SuperLink. Give each site {value['ca']} and its own key."
            ),
        )


@app.command()
def provision(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    host: HostsOption = None,
    nodes: KeysOption = 3,
    names: NamesOption = None,
    days: DaysOption = 365,
    renew: Annotated[bool, typer.Option("--renew", help="make certificates and keys anew; tokens stay")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make certificates, keys and tokens unless they are there, and hand each part its own, in a folder of its own.

    The folders are superlink, monitor, run, site-0, site-1, …, which may be volumes of containers; authority holds
    everything and is for no part.
    """
    with command(as_json=as_json) as emit:
        from fedforge_runtime.engines.superlink.provision import provision as make

        made = make(folder.absolute(), hosts=host or [], nodes=nodes, names=names or [], days=days, renew=renew)
        emit(
            {
                "folder": str(made.folder),
                "made": made.made,
                "written": list(made.written),
                "valid_until": made.certificates.valid_until.isoformat(),
                "days_left": made.certificates.days_left,
                "sites": {site.site: site.name for site in made.certificates.sites},
            },
            lambda value: typer.echo(
                f"{value['folder']}: {'made' if value['made'] else 'was there'}, valid until "
                f"{value['valid_until'][:10]}, keys of {len(value['sites'])} sites; "
                f"{len(value['written'])} files handed out"
            ),
        )
