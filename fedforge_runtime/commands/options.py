"""Arguments and options that several commands share, and the configuration that they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fedforge_runtime.commands.output import show_tracebacks
from fedforge_runtime.config import CLOSED_FORM, RunConfig, load_run_config

Phase = Annotated[str, typer.Argument(metavar="PHASE", help="blood, derma or path")]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID")]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="where data and runs live; default $FEDFORGE_HOME or ./.fedforge"),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML whose keys replace the phase's")]
ProfileOption = Annotated[str, typer.Option("--profile", help="cpu-safe or tuned")]
DataOption = Annotated[str | None, typer.Option("--data", help="auto, official, phantom, or a folder with the npz")]
BackboneOption = Annotated[str | None, typer.Option("--backbone", help="hub id, checkpoint folder, or untrained")]
EngineOption = Annotated[str | None, typer.Option("--engine", help="inprocess, ray or superlink")]
SuperlinkOption = Annotated[
    str | None,
    typer.Option("--superlink", metavar="HOST:PORT", help="run over the nodes of a federation that is there already"),
]
RootCertificatesOption = Annotated[
    Path | None, typer.Option("--root-certificates", help="PEM file: the authority behind the SuperLink's certificate")
]
MonitorOption = Annotated[
    str | None,
    typer.Option(
        "--monitor", metavar="URL", envvar="FEDFORGE_MONITOR", help="monitor that follows and controls the run"
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, or mps: never chosen unasked, falls back to the cpu")
]
ClientsOption = Annotated[int | None, typer.Option("--clients", help="number of sites")]
RoundsOption = Annotated[int | None, typer.Option("--rounds")]
PartitionOption = Annotated[
    str | None,
    typer.Option("--partition", help="dirichlet:0.5, a preset, or FILE.yaml; see: fedforge partition --list"),
]
SiteDataOption = Annotated[
    str | None,
    typer.Option("--site-data", help="own: each site brings its own, by fedforge node --data; default partition"),
]
StrategyOption = Annotated[
    str | None, typer.Option("--strategy", help="for example fedavg, fedadam, krum, closed_form")
]
WarmStartOption = Annotated[
    str | None, typer.Option("--warm-start", help="none, or closed_form: begin from the ridge head of all sites' rows")
]
ModeOption = Annotated[
    str | None, typer.Option("--mode", help="what is trained: head_only, last_block or full; default head_only")
]
HeadRoundsOption = Annotated[
    int | None, typer.Option("--head-rounds", help="staged training: the head alone in so many first rounds")
]
StartFromOption = Annotated[
    str | None,
    typer.Option("--start-from", metavar="RUN_ID", help="begin with the last block of an earlier phase's run"),
]
SeedOption = Annotated[int | None, typer.Option("--seed")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="any configuration key, for example runtime.workers=1"),
]
RunIdOption = Annotated[str | None, typer.Option("--run-id", help="a name for the run; default phase-date-time-xxxx")]
ParticipantsOption = Annotated[
    Path | None, typer.Option("--participants", help="replay who took part, from a run's participants.json")
]
BoundsOption = Annotated[
    bool, typer.Option("--bounds/--no-bounds", help="afterwards train what the result is compared with")
]
ReportOption = Annotated[
    bool, typer.Option("--report/--no-report", help="at the end write the run's page, which takes a second or two")
]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on standard output and nothing else")]
DebugOption = Annotated[
    bool,
    typer.Option("--debug", help="show the traceback of an error", is_eager=True, callback=show_tracebacks),
]


def configuration(
    phase: str,
    config: Path | None,
    profile: str,
    assignments: list[str] | None,
    options: dict[str, Any],
    *,
    partition: str | None = None,
    strategy: str | None = None,
) -> RunConfig:
    """The configuration that the options of a command add up to; dotted keys for those without a name here."""
    if partition:
        from fedforge_runtime.data.partition import parse_partition

        name, parameters = parse_partition(partition)
        options = options | {"partition.name": name, "partition.parameters": parameters}
    if strategy:
        options = options | {"federation.strategy": {"name": strategy, "parameters": {}}}
    if strategy == CLOSED_FORM and options.get("federation.rounds") is None:
        options = options | {"federation.rounds": 1}
    return load_run_config(phase, profile=profile, config_file=config, options=options, assignments=assignments or [])
