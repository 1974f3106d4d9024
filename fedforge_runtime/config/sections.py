"""What a run is made of, as strict models: nothing here reads a file."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

import yaml
from pydantic import Field, field_validator, model_validator

from fedforge_runtime.config.presets import FeatureSkewConfig, PresetConfig, Section
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.processes.limits import usable_cores

Phase = Literal["blood", "derma", "path"]
Mode = Literal["head_only", "last_block", "full"]
Device = Literal["cpu", "mps"]
Profile = Literal["cpu-safe", "tuned"]
WarmStart = Literal["none", "closed_form"]
SiteData = Literal["partition", "own"]
CLOSED_FORM = "closed_form"
"""The strategy that solves for the head in one round."""
NO_PARTITION = "none"
"""The partition of a run whose sites bring their own data."""
PHASES: tuple[Phase, ...] = get_args(Phase)
PROFILES: tuple[Profile, ...] = get_args(Profile)

ParameterValue = int | float | list[int] | list[float]


class DatasetConfig(Section):
    """Which images, and where they come from."""

    flag: Literal["bloodmnist", "dermamnist", "pathmnist"]
    size: Literal[28, 64, 128, 224] = 28
    """Edge length in pixels of the archive's images."""
    source: str = "official"
    """`official`, `phantom`, `auto` (official, else phantom) or a folder that holds `<flag>.npz`."""
    limit: Annotated[int, Field(ge=30)] | None = None
    """At most this many images over all splits, drawn in proportion to splits and classes; all by default."""


class BackboneConfig(Section):
    """The pretrained image encoder."""

    name: str = "facebook/deit-tiny-patch16-224"
    """A hub id, a folder, `untrained`, or `auto:<hub id>` (the hub, else untrained)."""
    block_from: str | None = None
    """A completed run of an earlier phase, by id: its last block and final norm stand in for the backbone's own."""


class PartitionConfig(Section):
    """How the training rows are spread over clients."""

    name: str = "dirichlet"
    """A partitioner, a preset, or the path of a preset file (`.yaml`), whose content then stands in `preset`; `none`
    where `federation.site_data` is `own`."""
    parameters: dict[str, ParameterValue] = Field(default_factory=dict)
    """Of the partitioner; a preset takes none."""
    preset: PresetConfig | None = None
    """The groups of sites, where `name` is not one of the package's."""
    feature_skew: FeatureSkewConfig | None = None
    """How far the sites' scanners are apart; by default what the preset says, else not at all."""
    clients: int = Field(default=10, ge=1)
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """The part of each client's rows that it keeps for its own evaluation."""
    minimum_rows: int = Field(default=10, ge=2)
    """Every client gets at least this many rows, or the partition is refused."""


class StrategyConfig(Section):
    """How the server combines updates."""

    name: str = "fedavg"
    parameters: dict[str, int | float] = Field(default_factory=dict)


class FederationConfig(Section):
    """The rounds."""

    rounds: int = Field(default=20, ge=1)
    clients_per_round: Annotated[int, Field(ge=1)] | None = None
    """Chosen anew each round from the seed; all clients by default."""
    minimum_clients: int = Field(default=2, ge=1)
    """Fewer usable answers than this end the run."""
    connect_timeout_seconds: float = Field(default=120.0, gt=0)
    """For all sites of a run to be there when it begins."""
    round_timeout_seconds: float = Field(default=600.0, gt=0)
    """For each exchange with the clients; who has not answered by then is left out of it."""
    strategy: StrategyConfig = StrategyConfig()
    warm_start: WarmStart = "none"
    """`closed_form`: the first round starts from the ridge head of all clients' rows instead of a random one."""
    site_data: SiteData = "partition"
    """`own`: each site brings its own data, by `fedforge node --data DIR`, instead of a part of the run's."""
    sites: tuple[int | str, ...] | None = None
    """Which sites take part, by number, or by the name that the federation's operator has given them; by default 0,
    1, 2 … as many as `partition.clients`. No other site is asked for anything. Texts are split at commas."""

    @field_validator("sites", mode="before")
    @classmethod
    def _split_sites(cls, value: object) -> object:
        parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value
        if not isinstance(parts, (list, tuple)):
            return value
        names = [part.strip() if isinstance(part, str) else part for part in parts]
        return tuple(int(name) if isinstance(name, str) and name.isdecimal() else name for name in names)

    @field_validator("sites")
    @classmethod
    def _check_sites(cls, value: tuple[int | str, ...] | None) -> tuple[int | str, ...] | None:
        if value is None:
            return None
        if not value or "" in value:
            raise ValueError("sites names no site; give numbers or names with commas between them")
        if wrong := [site for site in value if (site < 0 if isinstance(site, int) else not site[0].isalpha())]:
            raise ValueError(f"{wrong[0]!r} is no site; they are numbered from 0, and names begin with a letter")
        if twice := sorted({str(site) for site in value if value.count(site) > 1}):
            raise ValueError(f"sites names {', '.join(twice)} twice")
        return value


class LearningConfig(Section):
    """What a client does in a round; the defaults are the CPU-safe profile."""

    mode: Mode = "head_only"
    """What is trained: the head; the last encoder block and the final norm as well; or everything."""
    head_rounds: int = Field(default=0, ge=0)
    """Staged training: the head alone in so many first rounds, then what `mode` says."""
    batch_size: int = Field(default=8, ge=1)
    gradient_accumulation_steps: int = Field(default=2, ge=1)
    epochs: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    """Of the head."""
    backbone_learning_rate: float = Field(default=1e-4, gt=0)
    """Of whatever else the mode trains."""
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    standardise: bool = True
    """Standardise features by federated mean and variance, folded into the exported head."""
    cache_features: bool = True
    """Compute the frozen part of the backbone once; `false` is the slow reference path."""
    device: Device = "cpu"
    """Where models are trained and evaluated; `mps` is never chosen unasked, since its bits differ. See `devices`."""

    @field_validator("device", mode="before")
    @classmethod
    def _no_cuda(cls, value: object) -> object:
        if isinstance(value, str) and value.partition(":")[0] in ("cuda", "gpu"):
            raise ValueError(
                "there is no CUDA here: a run's result is defined by the CPU's arithmetic; give cpu or mps"
            )
        return value

    def mode_in(self, round_number: int) -> Mode:
        """What is trained in a round, counted from 1; 0, the state before the first, is like the first."""
        return "head_only" if max(round_number, 1) <= self.head_rounds else self.mode

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if self.head_rounds and self.mode == "head_only":
            raise ValueError(
                "head_rounds is for the modes last_block and full; head_only trains the head in every round"
            )
        return self


class RuntimeConfig(Section):
    """Where the work happens; nothing here changes the resulting model."""

    engine: str = "inprocess"
    workers: Annotated[int, Field(ge=1)] | None = None
    """Client processes; one per core by default, never more than clients."""
    threads_per_worker: int = Field(default=1, ge=1)
    superlink: str | None = None
    """`HOST:PORT` of a SuperLink that is there already, for the engine of that name; by default one is started."""
    root_certificates: str | None = None
    """PEM file of the authority behind that SuperLink's certificate; without it the connection is plain text."""
    handover: str | None = None
    """Folder in which each site's node finds its shard, where it shares a disk or a volume with the run; by default
    the sites have been given theirs."""
    monitor: str | None = None
    """URL of the monitor that is sent the run's events and asked what the run is to do; by default none."""

    @model_validator(mode="after")
    def _superlink_fits(self) -> Self:
        if self.superlink and self.engine != "superlink":
            raise ValueError(f"superlink is the address for engine superlink, but engine is {self.engine}")
        if self.root_certificates and not self.superlink:
            raise ValueError("root_certificates are those of a SuperLink, but superlink names none")
        if self.handover and not self.superlink:
            raise ValueError("handover is for the sites of a SuperLink, but superlink names none")
        return self

    def worker_count(self, clients: int) -> int:
        """`workers`, or one per usable core, and never more than there are clients."""
        return min(self.workers or usable_cores(), clients)


class RunConfig(Section):
    """Everything that decides a run's result, plus where it runs."""

    version: Literal[1] = 1
    phase: Phase
    seed: int = Field(default=17, ge=0, lt=2**31)
    dataset: DatasetConfig
    backbone: BackboneConfig = BackboneConfig()
    partition: PartitionConfig = PartitionConfig()
    federation: FederationConfig = FederationConfig()
    learning: LearningConfig = LearningConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @property
    def sites(self) -> tuple[int, ...]:
        """The numbers of the sites that take part, ascending.

        Raises:
            ConfigError: one is named by a name, which only the federation's SuperLink knows.
        """
        if self.federation.sites is None:
            return tuple(range(self.partition.clients))
        if names := [site for site in self.federation.sites if isinstance(site, str)]:
            raise ConfigError(
                f"which number the site {names[0]!r} has is known to the federation's SuperLink only.",
                remedy="Give --superlink HOST:PORT, or the numbers of the sites.",
            )
        return tuple(sorted(int(site) for site in self.federation.sites))

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        sites = self.federation.sites
        beyond = sorted(site for site in sites or () if isinstance(site, int) and site >= self.partition.clients)
        if beyond and self.federation.site_data == "partition":
            last = self.partition.clients - 1
            raise ValueError(f"federation.sites names site {beyond[0]}, but the partition has sites 0 to {last}")
        clients = len(sites) if sites else self.partition.clients
        per_round = self.federation.clients_per_round or clients
        if per_round > clients:
            raise ValueError(f"federation.clients_per_round is {per_round}, but there are {clients} clients")
        if self.federation.minimum_clients > per_round:
            raise ValueError(
                f"federation.minimum_clients is {self.federation.minimum_clients}, but {per_round} take part"
            )
        if self.learning.head_rounds >= self.federation.rounds and self.learning.head_rounds:
            raise ValueError(
                f"learning.head_rounds is {self.learning.head_rounds}, but there are {self.federation.rounds} rounds: "
                f"{self.learning.mode} would never be trained"
            )
        if self.backbone.block_from and self.learning.mode != "last_block":
            raise ValueError(
                f"backbone.block_from carries a last block on, but learning.mode is {self.learning.mode}: "
                "only last_block trains one"
            )
        return self

    @model_validator(mode="after")
    def _closed_form_fits(self) -> Self:
        federation = self.federation
        if federation.strategy.name != CLOSED_FORM:
            return self
        if federation.rounds != 1:
            raise ValueError(
                f"strategy closed_form solves once, but federation.rounds is {federation.rounds}; "
                "set federation.rounds to 1, or start another strategy from it with federation.warm_start: closed_form"
            )
        if self.learning.mode != "head_only":
            raise ValueError(
                f"strategy closed_form makes a head and nothing else, but learning.mode is {self.learning.mode}; "
                "set learning.mode to head_only, or use federation.warm_start: closed_form with another strategy"
            )
        if federation.warm_start != "none":
            raise ValueError(
                "strategy closed_form replaces whatever it starts from; leave federation.warm_start at none"
            )
        return self

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
