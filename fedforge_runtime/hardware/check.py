"""The whole check: describe the machine, prove determinism, try `mps`, measure, estimate."""

from __future__ import annotations

import importlib.metadata
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedforge_runtime.clock import monotonic
from fedforge_runtime.config import PHASES, LearningConfig, load_run_config
from fedforge_runtime.data.features.backbone import UNTRAINED, Backbone, check_backbone, resolve_backbone
from fedforge_runtime.data.sources.catalogue import official_archive
from fedforge_runtime.hardware.devices import (
    CLOSENESS,
    MPS_BATCH_SIZES,
    DeviceDecision,
    DeviceRequest,
    WorkerBackend,
    decide_device,
    devices_considered,
)
from fedforge_runtime.hardware.machine import Machine, describe_machine
from fedforge_runtime.hardware.speed import (
    FeatureSpeed,
    HeadSpeed,
    PhaseEstimate,
    PhaseWork,
    estimate_phase,
    measure_features,
    measure_head,
)
from fedforge_runtime.learning.parameters import model_sha256
from fedforge_runtime.processes import TEMPLATE, WorkerPool
from fedforge_runtime.processes.environment import MPS_FALLBACK, allow_mps_fallback
from fedforge_runtime.storage.artifacts import ArtifactStore
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.narration import Narrator


@dataclass(frozen=True)
class TorchFacts:
    """What PyTorch says of itself in a worker."""

    torch: str
    transformers: str
    threads_per_worker: int
    mps_built: bool
    mps_available: bool
    mps_fallback: bool
    """Operations that `mps` lacks are done by the CPU: the worker was started so."""
    cuda_built: bool
    cuda_devices: int
    """Present and never used."""


@dataclass(frozen=True)
class HardwareReport:
    """Everything that `fedforge hardware-check` shows."""

    machine: Machine
    torch: TorchFacts
    workers: int
    """As a phase's configuration takes them by default."""
    determinism: DeterminismCheck
    mps: DeviceDecision
    """What a run that asks for `mps` in the way it is served would get."""
    backbone: Backbone
    features: FeatureSpeed
    head: HeadSpeed
    estimates: tuple[PhaseEstimate, ...]
    seconds: float
    """How long the check took."""

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": asdict(self.machine),
            "software": {"torch": self.torch.torch, "transformers": self.torch.transformers},
            "workers": self.workers,
            "threads_per_worker": self.torch.threads_per_worker,
            "devices": {
                "order_by_default": list(devices_considered("cpu")),
                "order_when_mps_is_asked_for": list(devices_considered("mps")),
                "cpu": {"used": True},
                "mps": {
                    "built": self.torch.mps_built,
                    "available": self.torch.mps_available,
                    "fallback_enabled": self.torch.mps_fallback,
                    "when_asked_for": {
                        **asdict(self.mps),
                        "batch_sizes": list(MPS_BATCH_SIZES),
                        "closeness_allowed": CLOSENESS,
                    },
                },
                "cuda": {"built": self.torch.cuda_built, "devices": self.torch.cuda_devices, "used": False},
            },
            "determinism": {**asdict(self.determinism), "passed": self.determinism.passed},
            "measured": {
                "backbone": {"name": self.backbone.name, "trained": self.backbone.trained},
                "features": asdict(self.features),
                "head": asdict(self.head),
            },
            "estimates": {each.phase: asdict(each) for each in self.estimates},
            "seconds": self.seconds,
        }


def check_hardware(*, home: Home, backbone_name: str | None, narrator: Narrator) -> HardwareReport:
    """Check this machine; the home is only looked at, and a backbone of the hub kept there.

    Args:
        backbone_name: as `--backbone`; by default one with random weights, since time does not depend on them.

    Raises:
        BackboneError: the backbone cannot be reached or is not a ViT.
    """
    started = monotonic()
    if backbone_name:
        check_backbone(backbone_name)
    machine = describe_machine(home.root)
    allow_mps_fallback()
    TEMPLATE.start()
    configs = [load_run_config(phase) for phase in PHASES]
    workers = max(config.runtime.worker_count(config.partition.clients) for config in configs)
    narrator.notice("Training small heads in one worker and in two.")
    determinism = check_determinism()
    with (
        tempfile.TemporaryDirectory(prefix="fedforge-") as folder,
        WorkerPool(workers) as pool,
    ):
        torch: TorchFacts = pool.submit(_torch_facts).result()
        one_client = load_run_config("blood", options={"learning.device": "mps", "runtime.workers": 1})
        mps = decide_device(DeviceRequest.of(one_client, environment={}), WorkerBackend(pool))
        store = ArtifactStore(Home(Path(folder)))
        backbone = resolve_backbone(
            backbone_name or UNTRAINED, home=home, store=store, pool=pool, notify=narrator.notice
        )
        narrator.notice("Timing Trainer on drawn features.")
        head = measure_head(backbone.hidden_size, learning=LearningConfig(), pool=pool)
        narrator.notice("Timing the backbone on generated images.")
        features = measure_features(backbone, store=store, pool=pool)
        tokens = _tokens(backbone)
    official = [official_archive(config.dataset.flag, config.dataset.size).rows for config in configs]
    works = [
        PhaseWork.of(config, rows, feature_size=backbone.hidden_size, tokens=tokens)
        for config, rows in zip(configs, official, strict=True)
    ]
    return HardwareReport(
        machine=machine,
        torch=torch,
        workers=workers,
        determinism=determinism,
        mps=mps,
        backbone=backbone,
        features=features,
        head=head,
        estimates=tuple(estimate_phase(work, features, head) for work in works),
        seconds=round(monotonic() - started, 3),
    )


def _tokens(backbone: Backbone) -> int:
    """Patches of an image and the class token."""
    architecture = json.loads((backbone.path / "config.json").read_bytes())
    return int((architecture["image_size"] // architecture["patch_size"]) ** 2 + 1)


def _torch_facts() -> TorchFacts:
    import torch

    return TorchFacts(
        torch=torch.__version__,
        transformers=importlib.metadata.version("transformers"),
        threads_per_worker=torch.get_num_threads(),
        mps_built=torch.backends.mps.is_built(),
        mps_available=torch.backends.mps.is_available(),
        mps_fallback=os.environ.get(MPS_FALLBACK) == "1",
        cuda_built=torch.version.cuda is not None,
        cuda_devices=torch.cuda.device_count(),
    )


_SITES = 2


@dataclass(frozen=True)
class SiteTraining:
    """A small head that one site trained in one process."""

    site: int
    process_id: int
    model_sha256: str


@dataclass(frozen=True)
class DeterminismCheck:
    """The same training in one worker and in two."""

    repeatable: bool
    """Two processes that trained the same site at the same time got the same bits."""
    independent_of_workers: bool
    """One worker and two got the same bits for every site."""
    processes: int
    """How many took part."""
    model_sha256: tuple[str, ...]
    """By site, in one worker."""

    @property
    def passed(self) -> bool:
        return self.repeatable and self.independent_of_workers


def check_determinism() -> DeterminismCheck:
    """Train small heads on the CPU, as a run does: each site in one worker, then each twice at once in two."""
    with WorkerPool(1) as one:
        alone = _trained(one, list(range(_SITES)))
    with WorkerPool(2) as two:
        together = [training for site in range(_SITES) for training in _trained(two, [site, site])]
    return judge(alone, together)


def judge(alone: Sequence[SiteTraining], together: Sequence[SiteTraining]) -> DeterminismCheck:
    """What trainings in one worker and in two say of each other.

    Args:
        alone: each site once.
        together: each site at least twice, in two processes.
    """
    expected = {training.site: training.model_sha256 for training in alone}
    found = {site: [each for each in together if each.site == site] for site in expected}
    return DeterminismCheck(
        repeatable=all(
            len({each.model_sha256 for each in trainings}) == 1 and len({each.process_id for each in trainings}) > 1
            for trainings in found.values()
        ),
        independent_of_workers=all(
            {each.model_sha256 for each in trainings} == {expected[site]} for site, trainings in found.items()
        ),
        processes=len({each.process_id for each in (*alone, *together)}),
        model_sha256=tuple(expected[site] for site in sorted(expected)),
    )


def _trained(pool: WorkerPool, sites: Sequence[int]) -> list[SiteTraining]:
    running = [pool.submit(_train, site) for site in sites]
    return [training.result() for training in running]


def _train(site: int) -> SiteTraining:
    from fedforge_runtime.learning.probe import train_small_head

    return SiteTraining(site, os.getpid(), model_sha256(train_small_head(site)))
