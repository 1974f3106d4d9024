"""Where models are trained: the CPU, or `mps` when it is asked for and has proven itself.

The policy, fixed by what a result must be:

- The CPU is always there and is what every result is defined by. `mps` is considered only where
  `learning.device` says so, since its arithmetic has other bits; what cannot use it falls back to the CPU and
  says why. CUDA is not offered.
- On `mps`: one client at a time, no distributed training, batches of 4 to 8, and the head alone first: the modes
  `last_block` and `full` need `learning.head_rounds`.
- `mps` must first pass a small fixed task of training and inference: finite, repeatable to the bit, close to the CPU.
- The decision is part of a run's inputs. A resumed run keeps the device it began on, and is refused where that
  device is gone or computes other bits: it promises the model of an undisturbed run.

Features and tokens are computed by the CPU for either device, so that one cache serves both.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.config import Device, LearningConfig, RunConfig
from fedforge_runtime.errors import DeviceError
from fedforge_runtime.learning.parameters import ProbeResult
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.telemetry.control import await_result, present_control
from fedforge_runtime.wording import duration

MPS_BATCH_SIZES = (4, 8)
"""The smallest and the largest batch on `mps`."""
CLOSENESS = 1e-3
"""How far a value on `mps` may be from the CPU's, in parts of the largest of its tensor."""
_PROBE_LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class DeviceRequest:
    """What the policy needs to know of a run."""

    asked: Device
    batch_size: int
    workers: int
    """How many clients compute at the same time."""
    head_first: bool
    """The first round trains the head alone."""
    mode: str
    engine: str
    distributed: bool
    """Clients are in processes that this machine does not start itself, or PyTorch is told of others."""

    @classmethod
    def of(cls, config: RunConfig, environment: Mapping[str, str] | None = None) -> DeviceRequest:
        """The request of a configuration; `environment` is that of this process by default."""
        variables = os.environ if environment is None else environment
        return cls(
            asked=config.learning.device,
            batch_size=config.learning.batch_size,
            workers=config.runtime.worker_count(len(config.sites)),
            head_first=config.learning.mode_in(1) == "head_only",
            mode=config.learning.mode,
            engine=config.runtime.engine,
            distributed=config.runtime.engine != "inprocess" or variables.get("WORLD_SIZE", "1") != "1",
        )


@dataclass(frozen=True)
class StabilityCheck:
    """One thing that `mps` had to prove."""

    name: str
    """`completed`, `finite`, `repeatable` or `close_to_cpu`."""
    passed: bool
    detail: str


@dataclass(frozen=True)
class DeviceDecision:
    """The device of a run and how it came to be; recorded with the run's inputs."""

    device: Device = "cpu"
    asked: Device = "cpu"
    batch_size: int | None = None
    """What `mps` made of a batch size that it does not allow; `None` leaves the configured one."""
    notices: tuple[str, ...] = ()
    """Sentences for a person: each departure from what was asked."""
    checks: tuple[StabilityCheck, ...] = ()
    """What was proven, where `mps` was tried."""
    probe_sha256: str | None = None
    """Of the fixed task's result on `mps`, when it is the device."""

    def applied_to(self, learning: LearningConfig) -> LearningConfig:
        """What clients are to do: the configuration with the device and batch size that are really used."""
        return learning.model_copy(update={"device": self.device, "batch_size": self.batch_size or learning.batch_size})


def devices_considered(asked: Device) -> tuple[Device, ...]:
    """In order; the first that can do the work is taken. The CPU always can."""
    return ("mps", "cpu") if asked == "mps" else ("cpu",)


def decide_device(request: DeviceRequest, backend: WorkerBackend) -> DeviceDecision:
    """The device of a run that starts; nothing is tried unless `mps` was asked for."""
    if "mps" not in devices_considered(request.asked):
        return DeviceDecision()
    if obstacles := mps_obstacles(request) or _absence(backend):
        return _on_cpu(obstacles)
    checks, probe = _try_mps(backend)
    failures = _failures(checks)
    if probe is None or failures:
        return _on_cpu([f"mps failed its stability check ({'; '.join(failures)})"], checks)
    smallest, largest = MPS_BATCH_SIZES
    batch_size = min(max(request.batch_size, smallest), largest)
    if batch_size == request.batch_size:
        return DeviceDecision("mps", "mps", checks=checks, probe_sha256=probe.sha256)
    notice = (
        f"On mps batches have {smallest} to {largest} rows: learning.batch_size {request.batch_size} "
        f"becomes {batch_size}."
    )
    return DeviceDecision("mps", "mps", batch_size, (notice,), checks, probe.sha256)


def keep_device(recorded: DeviceDecision, request: DeviceRequest, backend: WorkerBackend) -> None:
    """Make sure that a run can go on on the device it began on; one that began on the CPU always can.

    Args:
        recorded: the decision of its first attempt, which stays.
        request: as this attempt would run.

    Raises:
        DeviceError: `mps` is gone, cannot be used in this way, or computes other bits than it did.
    """
    if recorded.device == "cpu":
        return
    reasons = mps_obstacles(request)
    remedy = "Resume it as it was started, with --engine inprocess --set runtime.workers=1."
    if not reasons:
        reasons = _absence(backend)
        remedy = "Resume it on the machine where it began, or start a new run with --device cpu."
    if not reasons:
        checks, probe = _try_mps(backend)
        reasons = [f"mps failed its stability check ({failure})" for failure in _failures(checks)]
        if probe and not reasons and probe.sha256 != recorded.probe_sha256:
            reasons = ["mps computes other bits than when the run began: another machine, macOS or PyTorch"]
    if reasons:
        raise DeviceError(
            f"the run began on mps and cannot go on there: {'; '.join(reasons)}. "
            "On the CPU it would end with another model than undisturbed.",
            remedy=remedy,
        )


def mps_obstacles(request: DeviceRequest) -> list[str]:
    """Why a run of this kind cannot use `mps`, each with what to change; none of it needs a machine to know."""
    obstacles = []
    if request.distributed:
        obstacles.append(
            f"mps does no distributed training (engine {request.engine}): use --engine inprocess without a launcher"
        )
    if request.workers > 1:
        obstacles.append(
            f"mps serves one client at a time, and {request.workers} would compute together: "
            "add --set runtime.workers=1"
        )
    if not request.head_first:
        obstacles.append(
            f"on mps the head is trained alone first, and {request.mode} trains more from the first round on: "
            "add --set learning.head_rounds=N"
        )
    return obstacles


def stability_checks(cpu: ProbeResult, first: ProbeResult, second: ProbeResult) -> tuple[StabilityCheck, ...]:
    """What two runs of the fixed task on `mps` prove, beside one on the CPU."""
    broken = sorted(name for name, values in first.values.items() if not np.isfinite(values).all())
    differing = sorted(name for name in first.values if first.values[name].tobytes() != second.values[name].tobytes())
    distances = {name: relative_distance(first.values[name], values) for name, values in cpu.values.items()}
    farthest = max(distances, key=lambda name: distances[name])
    return (
        StabilityCheck("finite", not broken, _named(broken, "not finite") or "every value is finite"),
        StabilityCheck(
            "repeatable", not differing, _named(differing, "other bits in a second run") or "same bits twice"
        ),
        StabilityCheck(
            "close_to_cpu",
            all(distance <= CLOSENESS for distance in distances.values()),
            f"at most {distances[farthest]:.2g} of the largest value away, in {farthest}; {CLOSENESS:g} is allowed",
        ),
    )


def relative_distance(values: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """The largest difference, in parts of the largest absolute value of `reference`; infinite where not finite."""
    difference = np.abs(values.astype(np.float64) - reference.astype(np.float64)).max(initial=0.0)
    largest = max(float(np.abs(reference).max(initial=0.0)), float(np.finfo(np.float32).tiny))
    return float(difference / largest) if np.isfinite(difference) else math.inf


class WorkerBackend:
    """PyTorch, asked in a worker process: the caller's own never loads it.

    The worker must be started after `environment.allow_mps_fallback()`.

    Args:
        probe_limit_seconds: after so long a probe counts as hung, and its worker is replaced.
    """

    def __init__(self, pool: WorkerPool, *, probe_limit_seconds: float = _PROBE_LIMIT_SECONDS) -> None:
        self._pool = pool
        self._probe_limit_seconds = probe_limit_seconds

    def is_built(self) -> bool:
        """Whether this PyTorch was built with `mps`."""
        return self._says("is_built")

    def is_available(self) -> bool:
        """Whether this machine has a device for it."""
        return self._says("is_available")

    def _says(self, question: str) -> bool:
        return bool(await_result(self._pool.submit(_ask_mps, question), present_control()))

    def run_probe(self, device: Device) -> ProbeResult:
        """Do the fixed task of training and inference once.

        Raises `TimeoutError` after the limit, `WorkerDiedError` when the process ends, or what PyTorch raises.
        """
        running: Future[ProbeResult] = self._pool.submit(_run_probe, device)
        try:
            return await_result(running, present_control(), timeout=self._probe_limit_seconds)
        except TimeoutError:
            self._pool.abandon(running)
            raise


def _absence(backend: WorkerBackend) -> list[str]:
    if not backend.is_built():
        return ["this PyTorch is built without mps"]
    return [] if backend.is_available() else ["this machine has no mps device"]


def _try_mps(backend: WorkerBackend) -> tuple[tuple[StabilityCheck, ...], ProbeResult | None]:
    cpu = backend.run_probe("cpu")
    try:
        first, second = backend.run_probe("mps"), backend.run_probe("mps")
    except Exception as error:  # a missing operation, a refused type, a dead or silent worker: no device to rely on
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return (StabilityCheck("completed", False, reason[:300]),), None
    completed = StabilityCheck("completed", True, f"{duration(first.seconds)}, on the CPU {duration(cpu.seconds)}")
    return (completed, *stability_checks(cpu, first, second)), first


def _failures(checks: tuple[StabilityCheck, ...]) -> list[str]:
    return [f"{check.name}: {check.detail}" for check in checks if not check.passed]


def _on_cpu(reasons: list[str], checks: tuple[StabilityCheck, ...] = ()) -> DeviceDecision:
    notices = tuple(f"The CPU is used instead of mps: {reason}." for reason in reasons)
    return DeviceDecision("cpu", "mps", notices=notices, checks=checks)


def _named(names: list[str], what: str) -> str:
    return f"{', '.join(names)}: {what}" if names else ""


def _ask_mps(question: str) -> bool:
    import torch

    return bool(getattr(torch.backends.mps, question)())


def _run_probe(device: Device) -> ProbeResult:
    from fedforge_runtime.learning.probe import run_probe

    return run_probe(device)
