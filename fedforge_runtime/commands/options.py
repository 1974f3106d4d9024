"""Arguments and options that several commands share, and the configuration that they add up to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from fedforge_runtime.commands.output import show_tracebacks
from fedforge_runtime.config import CLOSED_FORM, RunConfig, load_run_config
from fedforge_runtime.errors import ConfigError

Phase = Annotated[str, typer.Argument(metavar="PHASE", help="blood, derma or path")]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID")]
Groups = Annotated[
    Path,
    typer.Option("--groups", metavar="FILE", help="CSV split,index,group: patient, lesion or slide of every row"),
]
OptionalGroups = Annotated[
    Path | None,
    typer.Option("--groups", metavar="FILE", help="CSV split,index,group: patient, lesion or slide of every row"),
]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="where data and runs live; default $FEDFORGE_HOME or ./.fedforge"),
]
BackboneOption = Annotated[str | None, typer.Option("--backbone", help="hub id, checkpoint folder, or untrained")]
SuperlinkAddress = Annotated[
    str, typer.Option("--superlink", metavar="HOST:PORT", help="of a federation that is there already")
]
RootCertificatesOption = Annotated[
    Path | None, typer.Option("--root-certificates", help="PEM file: the authority behind the SuperLink's certificate")
]
MonitorOption = Annotated[
    str | None,
    typer.Option(
        "--monitor", metavar="URL", envvar="FEDFORGE_MONITOR", help="monitor that is told of it, and has its control"
    ),
]
SitesOption = Annotated[
    str | None,
    typer.Option(
        "--sites", metavar="SITE,SITE,…", help="which take part, by number or by name; default 0, 1, 2 … of --clients"
    ),
]
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


@dataclass(frozen=True)
class ConfigurationOptions:
    """What every command that makes a configuration takes, so that they can be given the same options as the run."""

    config: Annotated[Path | None, typer.Option("--config", help="YAML whose keys replace the phase's")] = None
    profile: Annotated[str, typer.Option("--profile", help="cpu-safe or tuned")] = "cpu-safe"
    data: Annotated[str | None, typer.Option("--data", help="auto, official, phantom, or a folder with the npz")] = None
    backbone: BackboneOption = None
    clients: Annotated[int | None, typer.Option("--clients", help="number of sites")] = None
    partition: Annotated[
        str | None,
        typer.Option("--partition", help="dirichlet:0.5, a preset, or FILE.yaml; see: fedforge partition --list"),
    ] = None
    mode: Annotated[
        str | None, typer.Option("--mode", help="what is trained: head_only, last_block or full; default head_only")
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="of everything that is drawn")] = None
    assignments: SetOption = None

    def given(self) -> list[str]:
        """Those that say something, as they are written."""
        names = {"assignments": "--set"}
        return [
            names.get(each.name, f"--{each.name}") for each in fields(self) if getattr(self, each.name) != each.default
        ]

    def run_config(
        self, phase: str, others: Mapping[str, Any] | None = None, *, strategy: str | None = None
    ) -> RunConfig:
        """The configuration that they add up to.

        Args:
            others: what a command's own options say, by dotted key.
        """
        options: dict[str, Any] = {
            "dataset.source": self.data,
            "backbone.name": self.backbone,
            "partition.clients": self.clients,
            "learning.mode": self.mode,
            "seed": self.seed,
            **(others or {}),
        }
        if self.partition:
            from fedforge_runtime.data.partition import parse_partition

            name, parameters = parse_partition(self.partition)
            options |= {"partition.name": name, "partition.parameters": parameters}
        if strategy:
            options |= {"federation.strategy": {"name": strategy, "parameters": {}}}
        if strategy == CLOSED_FORM and options.get("federation.rounds") is None:
            options |= {"federation.rounds": 1}
        return load_run_config(
            phase,
            profile=self.profile,
            config_file=self.config,
            options=options,
            assignments=self.assignments or [],
        )


@dataclass(frozen=True)
class TrainingOptions:
    """What else decides how a run trains, and with whom."""

    device: Annotated[
        str | None, typer.Option("--device", help="cpu, or mps: never chosen unasked, falls back to the cpu")
    ] = None
    rounds: Annotated[int | None, typer.Option("--rounds", help="how often the sites train and are combined")] = None
    site_data: Annotated[
        str | None,
        typer.Option("--site-data", help="own: each site brings its own, by fedforge node --data; default partition"),
    ] = None
    sites: SitesOption = None
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="for example fedavg, fedadam, krum, closed_form")
    ] = None
    warm_start: Annotated[
        str | None,
        typer.Option("--warm-start", help="none, or closed_form: begin from the ridge head of all sites' rows"),
    ] = None
    head_rounds: Annotated[
        int | None, typer.Option("--head-rounds", help="staged training: the head alone in so many first rounds")
    ] = None
    start_from: Annotated[
        str | None,
        typer.Option("--start-from", metavar="RUN_ID", help="begin with the last block of an earlier phase's run"),
    ] = None

    def keys(self) -> dict[str, Any]:
        """By dotted key, all but the strategy."""
        return {
            "learning.device": self.device,
            "federation.rounds": self.rounds,
            "federation.site_data": self.site_data,
            "federation.sites": self.sites,
            "federation.warm_start": self.warm_start,
            "learning.head_rounds": self.head_rounds,
            "backbone.block_from": self.start_from,
        }

    def refuse_both(self, partition: str | None) -> None:
        """Raise `ConfigError` where one dataset is to be spread over sites that bring their own."""
        if partition and self.site_data == "own":
            raise ConfigError(
                f"--partition {partition} spreads one dataset over the sites, but by --site-data own each brings "
                "its own.",
                remedy="Leave one of the two out.",
            )


@dataclass(frozen=True)
class PlaceOptions:
    """Where an attempt at a run is made, and who follows it: what may change when it is resumed."""

    engine: Annotated[str | None, typer.Option("--engine", help="inprocess, ray or superlink")] = None
    superlink: Annotated[
        str | None,
        typer.Option("--superlink", metavar="HOST:PORT", help="of a federation that is there already"),
    ] = None
    root_certificates: RootCertificatesOption = None
    handover: Annotated[
        Path | None,
        typer.Option("--handover", help="folder where each site's node finds its shard: site-00000, …, as volumes"),
    ] = None
    monitor: MonitorOption = None

    def keys(self) -> dict[str, str | None]:
        """By dotted key; an address implies its engine."""
        return {
            "runtime.engine": self.engine or ("superlink" if self.superlink else None),
            "runtime.superlink": self.superlink,
            "runtime.root_certificates": str(self.root_certificates.absolute()) if self.root_certificates else None,
            "runtime.handover": str(self.handover.absolute()) if self.handover else None,
            "runtime.monitor": self.monitor,
        }


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as Typer reads it: each parameter that is a class of options above becomes these options."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {
        each.name: each.annotation
        for each in signature.parameters.values()
        if isinstance(each.annotation, type) and is_dataclass(each.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for each in signature.parameters.values():
        if each.name not in groups:
            parameters.append(each.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        types = get_type_hints(each.annotation, include_extras=True)
        parameters += [
            inspect.Parameter(
                option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=types[option.name]
            )
            for option in fields(each.annotation)
        ]

    @wraps(command)
    def expanded(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{option.name: values.pop(option.name) for option in fields(group)})
        command(**values)

    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {each.name: each.annotation for each in parameters}
    return expanded
