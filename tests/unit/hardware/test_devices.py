"""The device policy, rule by rule, against a PyTorch that does what a test says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fedforge_runtime.config import Device, LearningConfig, RunConfig, load_run_config
from fedforge_runtime.errors import ConfigError, DeviceError, WorkerDiedError
from fedforge_runtime.hardware.devices import (
    CLOSENESS,
    DeviceDecision,
    DeviceRequest,
    ProbeResult,
    decide_device,
    devices_considered,
    keep_device,
    relative_distance,
    stability_checks,
)

REQUEST = DeviceRequest(
    asked="mps", batch_size=8, workers=1, head_first=True, mode="head_only", engine="inprocess", distributed=False
)
WEIGHTS = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


def result_of(weights: np.ndarray) -> ProbeResult:
    return ProbeResult({"classifier.weight": weights.astype(np.float32), "logits": WEIGHTS[0]}, seconds=0.1)


NOT_FINITE = WEIGHTS.copy()
NOT_FINITE[1, 2] = np.nan


@dataclass
class FakeTorch:
    """A PyTorch with a good `mps`, until a test says otherwise; `on_mps` is what the runs there give, in turn."""

    built: bool = True
    available: bool = True
    on_mps: list[ProbeResult | Exception] = field(default_factory=lambda: [result_of(WEIGHTS * (1 + 1e-6))] * 2)
    probed: list[Device] = field(default_factory=list)

    def is_built(self) -> bool:
        return self.built

    def is_available(self) -> bool:
        return self.available

    def run_probe(self, device: Device) -> ProbeResult:
        self.probed.append(device)
        if device == "cpu":
            return result_of(WEIGHTS)
        outcome = self.on_mps[self.probed.count("mps") - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class UntouchedTorch(FakeTorch):
    """Fails the test when anything is asked."""

    def is_built(self) -> bool:
        raise AssertionError("asked whether mps is built")

    def run_probe(self, device: Device) -> ProbeResult:
        raise AssertionError(f"ran the probe on {device}")


def only_notice(decision: DeviceDecision) -> str:
    assert len(decision.notices) == 1
    return decision.notices[0]


# Which devices, in which order


def test_the_cpu_is_considered_always_and_mps_only_when_asked_for_and_then_first() -> None:
    assert devices_considered("cpu") == ("cpu",)
    assert devices_considered("mps") == ("mps", "cpu")


def test_the_default_is_the_cpu_even_where_mps_is_there_and_nothing_is_tried() -> None:
    assert LearningConfig().device == "cpu"

    decision = decide_device(replace(REQUEST, asked="cpu"), UntouchedTorch())

    assert decision == DeviceDecision(device="cpu", asked="cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "gpu"])
def test_cuda_is_not_offered_and_the_refusal_says_so(name: str) -> None:
    with pytest.raises(ConfigError, match=r"learning\.device: there is no CUDA here.*give cpu or mps"):
        load_run_config("blood", assignments=[f"learning.device={name}"])


@pytest.mark.parametrize("name", ["auto", "MPS", "1"])
def test_any_other_device_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"learning\.device: input should be 'cpu' or 'mps'"):
        load_run_config("blood", assignments=[f"learning.device={name}"])


def test_mps_is_taken_when_it_was_asked_for_and_has_proven_itself() -> None:
    torch = FakeTorch()

    decision = decide_device(REQUEST, torch)

    assert (decision.device, decision.asked, decision.notices) == ("mps", "mps", ())
    assert [check.name for check in decision.checks] == ["completed", "finite", "repeatable", "close_to_cpu"]
    assert all(check.passed for check in decision.checks)
    assert decision.probe_sha256 == result_of(WEIGHTS * (1 + 1e-6)).sha256
    assert torch.probed == ["cpu", "mps", "mps"]


# What falls back to the CPU


def test_a_pytorch_without_mps_falls_back_to_the_cpu() -> None:
    decision = decide_device(REQUEST, FakeTorch(built=False))

    assert (decision.device, decision.asked) == ("cpu", "mps")
    assert only_notice(decision) == "The CPU is used instead of mps: this PyTorch is built without mps."


def test_a_machine_without_mps_falls_back_to_the_cpu() -> None:
    torch = FakeTorch(available=False)

    decision = decide_device(REQUEST, torch)

    assert decision.device == "cpu"
    assert "this machine has no mps device" in only_notice(decision)
    assert torch.probed == []


@pytest.mark.parametrize(
    ("on_mps", "failed", "reason"),
    [
        ([result_of(NOT_FINITE)] * 2, {"finite", "close_to_cpu"}, "finite: classifier.weight: not finite"),
        (
            [result_of(WEIGHTS), result_of(np.nextafter(WEIGHTS, np.float32(9)))],
            {"repeatable"},
            "repeatable: classifier.weight: other bits in a second run",
        ),
        ([result_of(WEIGHTS * 1.01)] * 2, {"close_to_cpu"}, "0.01 of the largest value away, in classifier.weight"),
        ([NotImplementedError("aten::x is not on MPS")], {"completed"}, "NotImplementedError: aten::x is not on MPS"),
        ([RuntimeError("MPS backend\nout of memory")], {"completed"}, "RuntimeError: MPS backend out of memory"),
        ([result_of(WEIGHTS), TypeError("no float64")], {"completed"}, "TypeError: no float64"),
        ([WorkerDiedError("a worker process ended")], {"completed"}, "WorkerDiedError: a worker process ended"),
        ([TimeoutError()], {"completed"}, "TimeoutError"),
    ],
    ids=["not-finite", "not-repeatable", "far-from-cpu", "not-implemented", "fails", "fails-later", "dies", "hangs"],
)
def test_an_mps_that_fails_its_stability_check_falls_back_to_the_cpu_and_says_which(
    on_mps: list[ProbeResult | Exception], failed: set[str], reason: str
) -> None:
    decision = decide_device(REQUEST, FakeTorch(on_mps=on_mps))

    assert (decision.device, decision.asked, decision.probe_sha256) == ("cpu", "mps", None)
    assert {check.name for check in decision.checks if not check.passed} == failed
    assert "mps failed its stability check" in only_notice(decision)
    assert reason in only_notice(decision)


def test_parallel_clients_are_computed_by_the_cpu() -> None:
    decision = decide_device(replace(REQUEST, workers=4), UntouchedTorch())

    assert decision.device == "cpu"
    assert "mps serves one client at a time, and 4 would compute together" in only_notice(decision)
    assert "runtime.workers=1" in only_notice(decision)


def test_distributed_training_is_done_by_the_cpu() -> None:
    decision = decide_device(replace(REQUEST, engine="ray", distributed=True), UntouchedTorch())

    assert decision.device == "cpu"
    assert "mps does no distributed training (engine ray)" in only_notice(decision)


def test_a_mode_that_trains_more_than_the_head_from_the_start_is_computed_by_the_cpu() -> None:
    decision = decide_device(replace(REQUEST, head_first=False, mode="last_block"), UntouchedTorch())

    assert decision.device == "cpu"
    assert "on mps the head is trained alone first, and last_block trains more" in only_notice(decision)
    assert "learning.head_rounds=N" in only_notice(decision)


def test_every_obstacle_is_named_at_once() -> None:
    request = replace(REQUEST, workers=2, head_first=False, mode="full", engine="ray", distributed=True)

    assert len(decide_device(request, UntouchedTorch()).notices) == 3


# Batches


@pytest.mark.parametrize(("asked", "used"), [(1, 4), (3, 4), (9, 8), (256, 8)])
def test_a_batch_that_is_too_small_or_too_big_for_mps_is_clamped_with_a_notice(asked: int, used: int) -> None:
    decision = decide_device(replace(REQUEST, batch_size=asked), FakeTorch())

    assert (decision.device, decision.batch_size) == ("mps", used)
    assert f"learning.batch_size {asked} becomes {used}" in only_notice(decision)


@pytest.mark.parametrize("asked", [4, 5, 6, 7, 8])
def test_a_batch_of_four_to_eight_stays_on_mps(asked: int) -> None:
    decision = decide_device(replace(REQUEST, batch_size=asked), FakeTorch())

    assert (decision.batch_size, decision.notices) == (None, ())
    assert decision.applied_to(LearningConfig(batch_size=asked)).batch_size == asked


def test_a_batch_stays_as_it_is_where_mps_falls_back_to_the_cpu() -> None:
    decision = decide_device(replace(REQUEST, batch_size=256), FakeTorch(available=False))

    assert decision.applied_to(LearningConfig(batch_size=256)).batch_size == 256


def test_what_clients_are_told_is_the_device_and_the_batch_that_are_used() -> None:
    learning = LearningConfig(device="mps", batch_size=64, learning_rate=0.1)

    on_mps = decide_device(replace(REQUEST, batch_size=64), FakeTorch()).applied_to(learning)
    on_cpu = decide_device(replace(REQUEST, batch_size=64), FakeTorch(built=False)).applied_to(learning)

    assert (on_mps.device, on_mps.batch_size, on_mps.learning_rate) == ("mps", 8, 0.1)
    assert (on_cpu.device, on_cpu.batch_size, on_cpu.learning_rate) == ("cpu", 64, 0.1)


# The request that a configuration makes


def config_with(*assignments: str) -> RunConfig:
    return load_run_config("blood", assignments=["learning.device=mps", *assignments])


def test_a_request_is_read_from_the_configuration() -> None:
    config = config_with("runtime.workers=3", "learning.batch_size=16")

    assert DeviceRequest.of(config, {}) == replace(REQUEST, batch_size=16, workers=3)


def test_a_single_client_is_not_parallel_however_many_workers_are_allowed() -> None:
    config = config_with("runtime.workers=8", "partition.clients=1", "federation.minimum_clients=1")

    assert DeviceRequest.of(config, {}).workers == 1


@pytest.mark.parametrize(
    ("assignments", "head_first"),
    [
        (["learning.mode=head_only"], True),
        (["learning.mode=last_block"], False),
        (["learning.mode=full"], False),
        (["learning.mode=last_block", "learning.head_rounds=2"], True),
        (["learning.mode=full", "learning.head_rounds=2"], True),
    ],
)
def test_staged_training_begins_with_the_head(assignments: list[str], head_first: bool) -> None:
    assert DeviceRequest.of(config_with(*assignments), {}).head_first is head_first


@pytest.mark.parametrize(
    ("engine", "environment", "distributed"),
    [
        ("inprocess", {}, False),
        ("inprocess", {"WORLD_SIZE": "1"}, False),
        ("inprocess", {"WORLD_SIZE": "2"}, True),
        ("ray", {}, True),
    ],
)
def test_training_is_distributed_in_other_engines_and_under_a_launcher(
    engine: str, environment: dict[str, str], distributed: bool
) -> None:
    assert DeviceRequest.of(config_with(f"runtime.engine={engine}"), environment).distributed is distributed


# Resuming


ON_MPS = decide_device(REQUEST, FakeTorch())
FELL_BACK = decide_device(REQUEST, FakeTorch(available=False))


@pytest.mark.parametrize("recorded", [FELL_BACK, DeviceDecision()])
def test_a_run_that_began_on_the_cpu_goes_on_there_without_trying_mps(recorded: DeviceDecision) -> None:
    keep_device(recorded, replace(REQUEST, workers=4), UntouchedTorch())


def test_a_run_that_began_on_mps_goes_on_where_mps_computes_the_same_bits() -> None:
    torch = FakeTorch()

    keep_device(ON_MPS, REQUEST, torch)

    assert "mps" in torch.probed


@pytest.mark.parametrize(
    ("torch", "reason"),
    [
        (FakeTorch(built=False), "this PyTorch is built without mps"),
        (FakeTorch(available=False), "this machine has no mps device"),
        (FakeTorch(on_mps=[result_of(NOT_FINITE)] * 2), "finite: classifier.weight: not finite"),
        (FakeTorch(on_mps=[RuntimeError("lost")]), "completed: RuntimeError: lost"),
        (FakeTorch(on_mps=[result_of(WEIGHTS)] * 2), "mps computes other bits than when the run began"),
    ],
    ids=["not-built", "gone", "unstable", "raises", "other-bits"],
)
def test_a_run_that_began_on_mps_is_refused_where_it_would_end_with_another_model(
    torch: FakeTorch, reason: str
) -> None:
    with pytest.raises(DeviceError) as refused:
        keep_device(ON_MPS, REQUEST, torch)

    assert reason in refused.value.message
    assert "start a new run with --device cpu" in refused.value.remedy


@pytest.mark.parametrize("change", [{"workers": 4}, {"engine": "ray", "distributed": True}])
def test_a_run_that_began_on_mps_is_not_resumed_in_a_way_that_mps_does_not_serve(change: dict[str, object]) -> None:
    with pytest.raises(DeviceError, match=r"runtime\.workers=1"):
        keep_device(ON_MPS, replace(REQUEST, **change), UntouchedTorch())  # type: ignore[arg-type]


@pytest.mark.parametrize("decision", [ON_MPS, FELL_BACK, DeviceDecision()])
def test_a_decision_survives_being_recorded_as_json(decision: DeviceDecision) -> None:
    adapter = TypeAdapter(DeviceDecision)

    assert adapter.validate_json(adapter.dump_json(decision)) == decision


# The checks themselves


TENSORS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=8).map(
    lambda values: np.array(values, np.float32)
)


@given(TENSORS)
def test_equal_bits_pass_every_check(values: np.ndarray) -> None:
    result = ProbeResult({"values": values}, 0.0)

    assert all(check.passed for check in stability_checks(result, result, result))


@given(TENSORS, st.sampled_from([np.nan, np.inf, -np.inf]), st.data())
def test_one_value_that_is_not_finite_is_found_anywhere(values: np.ndarray, wrong: float, data: st.DataObject) -> None:
    broken = values.copy()
    broken[data.draw(st.integers(0, len(values) - 1))] = wrong
    cpu, mps = ProbeResult({"values": values}, 0.0), ProbeResult({"values": broken}, 0.0)

    failed = {check.name for check in stability_checks(cpu, mps, mps) if not check.passed}

    assert failed == {"finite", "close_to_cpu"}


@given(TENSORS, st.data())
def test_one_other_bit_is_found_anywhere(values: np.ndarray, data: st.DataObject) -> None:
    other = values.copy()
    other.view(np.uint32)[data.draw(st.integers(0, len(values) - 1))] ^= 1
    first, second = ProbeResult({"values": values}, 0.0), ProbeResult({"values": other}, 0.0)

    assert not next(check for check in stability_checks(first, first, second) if check.name == "repeatable").passed
    assert first.sha256 != second.sha256


@pytest.mark.parametrize(("factor", "passes"), [(CLOSENESS * 0.9, True), (CLOSENESS * 1.1, False)])
@given(values=TENSORS.filter(lambda values: np.abs(values).max() > 1e-3))
def test_closeness_is_counted_in_parts_of_the_largest_value_of_a_tensor(
    values: np.ndarray, factor: float, passes: bool
) -> None:
    moved = values.astype(np.float64)
    largest = int(np.abs(moved).argmax())
    moved[largest] *= 1 + factor

    assert (relative_distance(moved.astype(np.float32), values) <= CLOSENESS) is passes
