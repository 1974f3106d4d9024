"""`fedforge node`: one site's part of a federation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedforge_runtime.commands.options import (
    BackboneOption,
    ConfigOption,
    DebugOption,
    HomeOption,
    ModeOption,
    RootCertificatesOption,
    SetOption,
    configuration,
)
from fedforge_runtime.commands.output import command
from fedforge_runtime.config import RunConfig
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.home import Home


def node(
    superlink: Annotated[str, typer.Option("--superlink", metavar="HOST:PORT", help="the federation's SuperLink")],
    site: Annotated[int, typer.Option("--site", min=0, help="this site's number")],
    shards: Annotated[
        Path | None, typer.Option("--shards", help="folder of the rows that were handed to this site")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="or: folder with the site's own npz, which is made ready here")
    ] = None,
    phase: Annotated[
        str | None, typer.Option("--phase", help="with --data: what they show: blood, derma or path")
    ] = None,
    backbone: BackboneOption = None,
    mode: ModeOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    allow_findings: Annotated[
        bool, typer.Option("--allow-findings", help="with --data: go on whatever their audit finds")
    ] = False,
    root_certificates: RootCertificatesOption = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="private key that the SuperLink's operator registered")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="torch threads of the client")] = 1,
    home: HomeOption = None,
    debug: DebugOption = False,
) -> None:
    """Run this site's node until Ctrl-C: it takes part in runs, and is started again when it dies.

    With --data the site's own images are validated, audited and put through the backbone first. Neither they nor
    what is computed of each leaves the site: runs with --site-data own get model updates and sums over all of them.
    Give --phase, --backbone, --mode and --set as the run has them.
    """
    with command(as_json=False):
        from fedforge_runtime.federation.superlink.address import LinkAddress
        from fedforge_runtime.federation.superlink.site_node import check_node, serve_node

        told = {"--phase": phase, "--backbone": backbone, "--mode": mode, "--config": config, "--set": assignments}
        allowed = ["--allow-findings"] if allow_findings else []
        _check_data_options(data, shards, [name for name, value in told.items() if value] + allowed)
        chosen = Home.resolve(home)
        chosen.require_writable()
        link = LinkAddress.parse(superlink, root_certificates.absolute() if root_certificates else None)
        check_node(shards=shards, key=key, home=chosen)
        if data:
            options = {"dataset.source": str(data.absolute()), "backbone.name": backbone, "learning.mode": mode}
            run_config = configuration(str(phase), config, "cpu-safe", assignments, options)
            shards = _own_shard(run_config, site, chosen, allow_findings)
        serve_node(
            link,
            site=site,
            shards=shards.absolute() if shards else None,
            key=key.absolute() if key else None,
            threads=threads,
            home=chosen,
            say=typer.echo,
        )


def _check_data_options(data: Path | None, shards: Path | None, told: list[str]) -> None:
    """Refuse options that do not go together.

    Args:
        told: which of the options that say what the site's own data are were given.
    """
    if data and shards:
        raise ConfigError(
            "--shards are rows that were handed to this site and --data are its own: it takes part with either.",
            remedy="Leave one of the two out.",
        )
    if data and "--phase" not in told:
        raise ConfigError("--data needs --phase, which says what the images show.", remedy="Add --phase PHASE.")
    if told and not data:
        raise ConfigError(f"{', '.join(told)} would say what the site's own data are, and there is no --data.")


def _own_shard(config: RunConfig, site: int, home: Home, allow_findings: bool) -> Path:
    """Make the site's own data ready, and say what there is."""
    from fedforge_runtime.console import ConsoleNarrator
    from fedforge_runtime.federation.own_data import prepare_own_shard

    shard = prepare_own_shard(config, site=site, home=home, narrator=ConsoleNarrator(), allow_findings=allow_findings)
    typer.echo(
        f"site {site}: its own data are ready, {shard.train_rows:,} rows to train on and "
        f"{shard.validation_rows:,} to validate on"
    )
    return shard.path
