"""`fedforge audit` and `fedforge split`: what is wrong with the data, and splits that keep groups together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedforge_runtime.commands.options import (
    ConfigurationOptions,
    DebugOption,
    Groups,
    HomeOption,
    JsonOption,
    OptionalGroups,
    Phase,
)
from fedforge_runtime.commands.output import command
from fedforge_runtime.config import RunConfig
from fedforge_runtime.errors import AuditFailedError, ConfigError
from fedforge_runtime.storage.artifacts import Artifact, read_json
from fedforge_runtime.storage.home import Home

if TYPE_CHECKING:
    from fedforge_runtime.preparation.workshop import Workshop

FeaturesOption = Annotated[
    Path | None,
    typer.Option("--features", metavar="DIR", help="a features artifact; by default one that is there is used"),
]
NoFeaturesOption = Annotated[bool, typer.Option("--no-features", help="search by perceptual hash only")]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="FINDING", help="let a finding of these data stand from now on"),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="why it may stand")]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="who decides so")]
NoFailOption = Annotated[bool, typer.Option("--no-fail", help="exit with 0 whatever is found")]


def audit(
    phase: Phase,
    options: ConfigurationOptions,
    groups: OptionalGroups = None,
    features: FeaturesOption = None,
    no_features: NoFeaturesOption = False,
    allow: AllowOption = None,
    reason: ReasonOption = "",
    by: ByOption = "",
    no_fail: NoFailOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Look for duplicates, leaks between splits, conflicting labels, broken images and imbalance in the data.

    Exits with 0 when nothing blocks, with 3 when an error is found that nobody has allowed (after the report; not
    with --no-fail), with 1 or 2 when the audit could not be made. An exception holds for these very data and for at
    most as many as were found when it was made.
    """
    run_config = options.run_config(phase)
    if features and no_features:
        raise ConfigError("--features and --no-features exclude each other.", remedy="Give one of them.")
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.audit_tables import print_audit
        from fedforge_runtime.data.audit.audit import Allowance, prepare_audit
        from fedforge_runtime.data.audit.search import find_features, open_features
        from fedforge_runtime.data.sources.groups import read_groups
        from fedforge_runtime.reporting.audit_page import audit_page

        allowance = Allowance(allow or [], reason, by)
        allowance.check()
        workshop, dataset = _open_dataset(run_config, home, groups)
        source = None
        if features:
            source = open_features(features, dataset)
        elif not no_features:
            source = find_features(dataset, workshop.home, Path(run_config.backbone.name).name)
        artifact = prepare_audit(
            dataset,
            features=source,
            groups=read_groups(groups, _split_rows(dataset)) if groups else None,
            store=workshop.store,
            notify=workshop.narrator.notice,
            draw_page=audit_page,
            allowance=allowance,
        )
        result = _result(phase, artifact)
        blocking = result["blocking"]
        emit(result, lambda value: print_audit(value, value["files"]))
    if blocking and not no_fail:
        raise AuditFailedError(
            f"the audit of {phase} found what blocks: {', '.join(blocking)}.",
            remedy="Mend the data, make another split (fedforge split), or decide with --allow FINDING --reason --by.",
        )


def _result(phase: str, artifact: Artifact) -> dict[str, Any]:
    """The report, and where it and the artifact are."""
    from fedforge_runtime.data.audit.audit import PAIRS_TABLE, REPORT_HTML, REPORT_JSON, REPORT_MARKDOWN, ROWS_TABLE

    names = (REPORT_HTML, REPORT_MARKDOWN, REPORT_JSON, ROWS_TABLE, PAIRS_TABLE)
    return {
        "phase": phase,
        **read_json(artifact.path / REPORT_JSON),
        "artifact": {"key": artifact.key, "path": str(artifact.path), "created": artifact.created},
        "files": {name: str(artifact.path / name) for name in names},
    }


def _open_dataset(config: RunConfig, home: Path | None, groups: Path | None) -> tuple[Workshop, Artifact]:
    """The workshop and the dataset of a configuration."""
    from fedforge_runtime.commands.console import ConsoleNarrator
    from fedforge_runtime.data.sources.datasets import read_dataset_facts
    from fedforge_runtime.preparation.workshop import Workshop

    workshop = Workshop(config, Home.resolve(home), ConsoleNarrator())
    if groups and not groups.is_file():
        raise ConfigError(f"there is no groups file {groups}.", remedy="Give a CSV file with split,index,group.")
    dataset = workshop.prepare_dataset()
    if read_dataset_facts(dataset).source == "phantom":
        workshop.narrator.banner("PHANTOM DATA: these images are generated; what is found says nothing of real ones.")
    elif groups and config.dataset.limit:
        raise ConfigError(
            f"dataset.limit is {config.dataset.limit}: rows have other numbers then than in {groups}.",
            remedy="Leave dataset.limit out where groups are given.",
        )
    return workshop, dataset


def _split_rows(dataset: Artifact) -> dict[Any, int]:
    from fedforge_runtime.data.sources.datasets import SPLITS, load_labels

    return {split: len(load_labels(dataset, split)) for split in SPLITS}


def split(
    phase: Phase,
    options: ConfigurationOptions,
    groups: Groups,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="a new folder, for --data DIR")],
    fractions: Annotated[
        str, typer.Option("--fractions", help="parts of training, validation and test")
    ] = "0.7,0.1,0.2",
    home: HomeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Split the data anew: groups stay together, classes in proportion; the result is used with --data DIR."""
    run_config = options.run_config(phase)
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.audit_tables import print_split
        from fedforge_runtime.data.sources.groups import read_groups
        from fedforge_runtime.data.sources.regroup import check_fractions
        from fedforge_runtime.data.sources.resplit import check_folder, write_split

        wanted = _fractions(fractions)
        check_fractions(wanted)
        check_folder(output)
        _, dataset = _open_dataset(run_config, home, groups)
        read = read_groups(groups, _split_rows(dataset))
        new = write_split(dataset, read, output.absolute(), fractions=wanted, seed=run_config.seed)
        emit(
            {
                "phase": phase,
                **new.provenance,
                "files": {"folder": str(new.folder), "archive": str(new.archive), "groups": str(new.groups)},
            },
            lambda _: print_split(new.provenance, phase, str(new.folder), str(new.groups)),
        )


def _fractions(text: str) -> list[float]:
    try:
        fractions = [float(part) for part in text.split(",")]
    except ValueError:
        fractions = []
    if len(fractions) != 3:
        raise ConfigError(
            f"--fractions {text!r} is not three numbers.", remedy="Write --fractions 0.7,0.1,0.2 for the three splits."
        )
    return fractions
