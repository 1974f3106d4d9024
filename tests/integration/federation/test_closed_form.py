"""The closed form in the round loop, over real worker processes, and the exchange that a warm start begins with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from round_client import CLASSES, features_of, labels_of, moments_of
from round_runs import RoundRun

from fedforge_runtime.errors import RunFailedError
from fedforge_runtime.learning.sums import FeatureMoments


def test_one_round_gives_the_head_of_all_rows_together(tmp_path: Path) -> None:
    final = RoundRun(tmp_path, strategy="closed_form", clients=4).rounds(1)

    rows = np.concatenate([features_of(site) for site in range(4)])
    labels = np.concatenate([labels_of(site) for site in range(4)])
    expected = FeatureMoments.of(rows, labels, CLASSES).solve()
    for name, value in expected.items():
        np.testing.assert_allclose(final.parameters[name], value, rtol=0, atol=1e-6)
    assert final.server_state == {}
    assert final.records[0].participants == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("raise", "SiteError: site 2 was told to raise"),
        ("not a number", "the update's targets has values that are not finite"),
        ("the model", "the update does not hold the tensors that were asked for"),
    ],
)
def test_a_site_whose_moments_cannot_be_used_is_left_out(behaviour: str, reason: str, tmp_path: Path) -> None:
    run = RoundRun(tmp_path, strategy="closed_form", clients=4, behaviours={"1/2/train": behaviour})

    final = run.rounds(1)

    assert final.records[0].participants == [0, 1, 3]
    assert reason in final.records[0].failures[2]
    expected = FeatureMoments.total(moments_of(site) for site in (0, 1, 3)).solve()
    for name, value in expected.items():
        np.testing.assert_array_equal(final.parameters[name], value)


def test_a_warm_start_asks_all_sites_for_their_moments(tmp_path: Path) -> None:
    moments, asked = RoundRun(tmp_path, clients=4).moments()

    expected = FeatureMoments.total(moments_of(site) for site in range(4))
    assert asked == [0, 1, 2, 3]
    np.testing.assert_array_equal(moments.gram, expected.gram)
    np.testing.assert_array_equal(moments.targets, expected.targets)


@pytest.mark.parametrize("behaviour", ["raise", "wrong shape"])
def test_a_site_that_gives_no_moments_is_left_out_of_them(behaviour: str, tmp_path: Path) -> None:
    disturbed = RoundRun(tmp_path / "disturbed", clients=4, behaviours={"0/1/moments": behaviour})
    moments, asked = disturbed.moments()
    replayed, _ = RoundRun(tmp_path / "replayed", clients=4).moments(participants=asked)

    assert asked == [0, 2, 3]
    np.testing.assert_array_equal(replayed.gram, moments.gram)


def test_moments_of_too_few_sites_end_the_run(tmp_path: Path) -> None:
    behaviours = {"0/0/moments": "raise", "0/1/moments": "raise", "0/2/moments": "wrong shape"}

    with pytest.raises(RunFailedError, match=r"only 1 of the 2 clients needed .*client 2: the update does not hold"):
        RoundRun(tmp_path, clients=4, behaviours=behaviours).moments()
