"""`fedforge node`: one site's part of a federation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedforge_runtime.commands.options import (
    ConfigurationOptions,
    DebugOption,
    HomeOption,
    RootCertificatesOption,
    SuperlinkAddress,
)
from fedforge_runtime.commands.output import command
from fedforge_runtime.config import RunConfig
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.storage.home import Home


def node(
    superlink: SuperlinkAddress,
    options: ConfigurationOptions,
    site: Annotated[int, typer.Option("--site", min=0, help="this site's number")],
    shards: Annotated[
        Path | None, typer.Option("--shards", help="folder of the rows that were handed to this site")
    ] = None,
    phase: Annotated[
        str | None, typer.Option("--phase", help="with --data: what they show: blood, derma or path")
    ] = None,
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
    Give --phase, --backbone, --mode and --set as the run has them; of --data a folder.
    """
    with command(as_json=False):
        from fedforge_runtime.engines.address import LinkAddress
        from fedforge_runtime.engines.superlink.node.node_supervisor import check_node, serve_node

        told = [*(["--phase"] if phase else []), *options.given(), *(["--allow-findings"] if allow_findings else [])]
        _check_data_options(options.data, shards, [name for name in told if name != "--data"])
        chosen = Home.resolve(home).require_writable()
        link = LinkAddress.parse(superlink, root_certificates.absolute() if root_certificates else None)
        check_node(shards=shards, key=key, home=chosen)
        if options.data:
            run_config = options.run_config(str(phase), {"dataset.source": str(Path(options.data).absolute())})
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


def _check_data_options(data: str | None, shards: Path | None, told: list[str]) -> None:
    """Refuse options that do not go together.

    Args:
        told: which of the options that say what the site's own data are were given.
    """
    if data and shards:
        raise ConfigError(
            "--shards are rows that were handed to this site and --data are its own: it takes part with either.",
            remedy="Leave one of the two out.",
        )
    if data in ("auto", "official", "phantom"):
        raise ConfigError(
            f"--data {data} are not the site's own images.", remedy="Give the folder with its npz, or --shards."
        )
    if data and "--phase" not in told:
        raise ConfigError("--data needs --phase, which says what the images show.", remedy="Add --phase PHASE.")
    if told and not data:
        raise ConfigError(f"{', '.join(told)} would say what the site's own data are, and there is no --data.")


def _own_shard(config: RunConfig, site: int, home: Home, allow_findings: bool) -> Path:
    """Make the site's own data ready, and say what there is."""
    from fedforge_runtime.commands.console import ConsoleNarrator
    from fedforge_runtime.runs.own_data import prepare_own_shard

    shard = prepare_own_shard(config, site=site, home=home, narrator=ConsoleNarrator(), allow_findings=allow_findings)
    typer.echo(
        f"site {site}: its own data are ready, {shard.train_rows:,} rows to train on and "
        f"{shard.validation_rows:,} to validate on"
    )
    return shard.path
