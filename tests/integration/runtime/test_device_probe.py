"""The real probe in real workers, on the device that every machine has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fedforge_runtime.hardware.check import check_determinism
from fedforge_runtime.hardware.devices import DeviceRequest, WorkerBackend, decide_device, stability_checks
from fedforge_runtime.processes import WorkerPool


@pytest.fixture(scope="module")
def backend() -> Iterator[WorkerBackend]:
    with WorkerPool(1) as pool:
        yield WorkerBackend(pool)


def test_the_cpu_passes_its_own_stability_check(backend: WorkerBackend) -> None:
    first, second = backend.run_probe("cpu"), backend.run_probe("cpu")

    assert all(check.passed for check in stability_checks(first, first, second))
    assert first.sha256 == second.sha256


def test_the_probe_trains_a_head_and_a_last_block_and_infers(backend: WorkerBackend) -> None:
    values = backend.run_probe("cpu").values

    assert {"features", "logits", "head.classifier.weight", "block.classifier.bias"} <= values.keys()
    assert any(name.startswith("block.vit.") for name in values)
    assert all(value.dtype == np.float32 for value in values.values())
    assert np.abs(values["head.classifier.bias"]).max() > 0  # zero before training
    assert np.abs(values["block.classifier.bias"]).max() > 0


def test_a_run_that_asks_for_mps_where_there_is_none_gets_the_cpu_and_the_reason(backend: WorkerBackend) -> None:
    if backend.is_available():
        pytest.skip("this machine has mps")

    decision = decide_device(
        DeviceRequest("mps", 8, workers=1, head_first=True, mode="head_only", engine="inprocess", distributed=False),
        backend,
    )

    assert (decision.device, decision.asked) == ("cpu", "mps")
    assert "mps" in decision.notices[0]


def test_a_probe_that_cannot_run_on_its_device_raises(backend: WorkerBackend) -> None:
    if backend.is_available():
        pytest.skip("this machine has mps")

    with pytest.raises(Exception, match=r"(?i)mps"):
        backend.run_probe("mps")


def test_a_probe_that_hangs_is_given_up_and_its_worker_replaced() -> None:
    with WorkerPool(1) as pool:
        with pytest.raises(TimeoutError):
            WorkerBackend(pool, probe_limit_seconds=0).run_probe("cpu")

        assert WorkerBackend(pool).run_probe("cpu").values


def test_this_machine_gives_the_same_bits_in_any_process_and_with_any_number_of_workers() -> None:
    check = check_determinism()

    assert check.passed
    assert check.processes == 3
    assert len(set(check.model_sha256)) == len(check.model_sha256)
