"""`fedforge partition`: who would hold what, before anything is computed from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from fedforge_runtime.commands.options import (
    ConfigurationOptions,
    DebugOption,
    HomeOption,
    JsonOption,
)
from fedforge_runtime.commands.output import command
from fedforge_runtime.config import RunConfig
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.errors.system import explain
from fedforge_runtime.storage.artifacts import write_atomically
from fedforge_runtime.storage.home import Home

OptionalPhase = Annotated[str | None, typer.Argument(metavar="PHASE", help="blood, derma or path", show_default=False)]
PreviewOption = Annotated[bool, typer.Option("--preview", help="show the partition and store nothing of it")]
ListOption = Annotated[bool, typer.Option("--list", help="list partitioners and presets with their stories")]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="write the same as a page, with pictures", dir_okay=False)
]


def partition(
    options: ConfigurationOptions,
    phase: OptionalPhase = None,
    preview: PreviewOption = False,
    listing: ListOption = False,
    html: HtmlOption = None,
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
