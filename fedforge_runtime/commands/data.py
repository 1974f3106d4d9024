"""`fedforge prepare`, `partition` and `shards`: the data that runs are made of, and what of them is at each site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedforge_runtime.commands.options import (
    ConfigurationOptions,
    DebugOption,
    HomeOption,
    JsonOption,
    Phase,
)
from fedforge_runtime.commands.output import command
from fedforge_runtime.config import RunConfig
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.errors.system import explain
from fedforge_runtime.storage.artifacts import write_atomically
from fedforge_runtime.storage.home import Home

if TYPE_CHECKING:
    from fedforge_runtime.sites.shards import Shard


class Until(StrEnum):
    """How far to prepare."""

    DATASET = "dataset"
    PREPROCESS = "preprocess"
    FEATURES = "features"


def prepare(
    phase: Phase,
    options: ConfigurationOptions,
    home: HomeOption = None,
    until: Annotated[Until, typer.Option("--until", help="the last thing that is made")] = Until.FEATURES,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Download, check, partition and preprocess the data and compute the features, without training."""
    run_config = options.run_config(phase)
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator, print_artifacts
        from fedforge_runtime.preparation.prepare import prepare_everything

        artifacts = prepare_everything(
            run_config, home=Home.resolve(home), narrator=ConsoleNarrator(), until=until.value
        )
        emit(
            {each.kind: {"key": each.key, "path": str(each.path), "created": each.created} for each in artifacts},
            lambda _: print_artifacts(
                [(each.kind, "made" if each.created else "unchanged", str(each.path)) for each in artifacts]
            ),
        )


def partition(
    options: ConfigurationOptions,
    phase: Annotated[
        str | None, typer.Argument(metavar="PHASE", help="blood, derma or path", show_default=False)
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="show the partition and store nothing of it")] = False,
    listing: Annotated[bool, typer.Option("--list", help="list partitioners and presets with their stories")] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="write the same as a page, with pictures", dir_okay=False),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show who holds what, how unlike the sites are and what to be warned of, before any compute is spent."""
    if listing:
        with command(as_json=as_json) as emit:
            from fedforge_runtime.commands.partition_tables import partitions_json, print_partitions

            emit(partitions_json(), lambda _: print_partitions())
        return
    if phase is None:
        raise ConfigError("no PHASE is given.", remedy="Name blood, derma or path, or ask with --list what there is.")
    run_config = options.run_config(phase)
    with command(as_json=as_json) as emit:
        _show(run_config, Home.resolve(home), emit, store_it=not preview, html=html)


def _show(
    config: RunConfig,
    home: Home,
    emit: Callable[[Any, Callable[[Any], None]], None],
    *,
    store_it: bool,
    html: Path | None,
) -> None:
    from fedforge_runtime.commands.console import ConsoleNarrator
    from fedforge_runtime.commands.partition_tables import data_line, print_preview
    from fedforge_runtime.data.partition import check_partition, prepare_partition
    from fedforge_runtime.data.partition.preview import preview_partition
    from fedforge_runtime.data.sources.datasets import load_labels, read_dataset_facts
    from fedforge_runtime.preparation.workshop import Workshop

    check_partition(config.partition)
    workshop = Workshop(config, home, ConsoleNarrator())
    dataset = workshop.prepare_dataset()
    facts = read_dataset_facts(dataset)
    if facts.source == "phantom":
        workshop.narrator.banner(
            "PHANTOM DATA: these images are generated; only classes and their balance are as in real ones."
        )
    labels = load_labels(dataset, "train")
    preview, partition = preview_partition(labels, config.partition, seed=config.seed, class_names=facts.class_names)
    artifact = None
    if store_it:
        artifact = prepare_partition(
            config.partition,
            seed=config.seed,
            labels=labels,
            dataset_key=dataset.key,
            class_names=facts.class_names,
            store=workshop.store,
        )
    if html:
        from fedforge_runtime.reporting.partition_page import partition_page

        _write_page(html, partition_page(preview, partition, dataset))
    document = {
        "phase": config.phase,
        "dataset": {"key": dataset.key, **facts.to_json()},
        "partition": preview.to_json(),
        "artifact": {"key": artifact.key, "path": str(artifact.path), "created": artifact.created}
        if artifact
        else None,
        "html": str(html) if html else None,
    }

    def draw(_: Any) -> None:
        print_preview(
            preview, f"{data_line(facts)}, {len(labels):,} training rows over {len(preview.skew.sites)} sites"
        )
        if artifact:
            typer.echo(f"\npartition {'made' if artifact.created else 'unchanged'}: {artifact.path}")
        if html:
            typer.echo(f"page: {html}")

    emit(document, draw)


def _write_page(file: Path, page: str) -> None:
    try:
        write_atomically(file, page.encode())
    except OSError as error:
        raise explain(error, file.parent) from error


def shards(
    phase: Phase,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder; each site is given its own part of it")],
    options: ConfigurationOptions,
    into: Annotated[
        bool, typer.Option("--into", help="DIR has a folder for each site already: put each shard there, by its key")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Prepare the data and write one folder a site, with that site's rows only, for nodes on other machines.

    Give the options of the run: shards fit runs with the same data, partition, seed, backbone and mode.
    """
    run_config = options.run_config(phase)
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator
        from fedforge_runtime.sites.shard_handover import hand_over
        from fedforge_runtime.sites.shards import check_export_folder, export_shards, folder_bytes, make_shards
        from fedforge_runtime.telemetry.control import hear_stop

        target = folder.absolute()
        if not into:
            check_export_folder(target)
        artifact = make_shards(run_config, home=Home.resolve(home), narrator=ConsoleNarrator())
        written = hand_over(artifact, target, run_config.sites, hear_stop) if into else export_shards(artifact, target)
        sizes = [folder_bytes(shard.path) for shard in written]
        emit(
            {
                "phase": phase,
                "key": artifact.key,
                "folder": str(target),
                "artifact": {"key": artifact.key, "path": str(artifact.path), "created": artifact.created},
                "sites": [
                    {
                        "site": shard.site,
                        "rows": {"train": shard.train_rows, "validation": shard.validation_rows},
                        "bytes": size,
                        "folder": str(shard.path),
                    }
                    for shard, size in zip(written, sizes, strict=True)
                ],
            },
            lambda _: _print_shards(written, sizes, target),
        )


def _print_shards(written: Sequence[Shard], sizes: Sequence[int], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from fedforge_runtime.commands.tables import print_table

    names = ("site", "training rows", "validation rows", "bytes")
    table = Table(*(Column(name, justify="right") for name in names), "folder")
    for shard, size in zip(written, sizes, strict=True):
        rows = (f"{shard.train_rows:,}", f"{shard.validation_rows:,}", f"{size:,}")
        table.add_row(str(shard.site), *rows, str(shard.path.relative_to(folder)))
    console = Console()
    print_table(console, table)
    console.print(f"in  {folder}\nkey {written[0].key}", highlight=False, markup=False, soft_wrap=True)
