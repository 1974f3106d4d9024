"""What trainings in one worker and in two say of a machine."""

from __future__ import annotations

from dataclasses import replace

from fedforge_runtime.hardware.check import SiteTraining, judge

ALONE = [SiteTraining(0, 10, "aa"), SiteTraining(1, 10, "bb")]
TOGETHER = [SiteTraining(0, 20, "aa"), SiteTraining(0, 21, "aa"), SiteTraining(1, 20, "bb"), SiteTraining(1, 21, "bb")]


def test_the_same_bits_everywhere_pass() -> None:
    check = judge(ALONE, TOGETHER)

    assert check.passed
    assert (check.processes, check.model_sha256) == (3, ("aa", "bb"))


def test_two_processes_with_other_bits_are_not_repeatable() -> None:
    check = judge(ALONE, [*TOGETHER[:3], replace(TOGETHER[3], model_sha256="cc")])

    assert (check.passed, check.repeatable, check.independent_of_workers) == (False, False, False)


def test_two_workers_that_agree_with_each_other_but_not_with_one_depend_on_the_number_of_workers() -> None:
    check = judge(ALONE, [replace(each, model_sha256=each.model_sha256 * 2) for each in TOGETHER])

    assert (check.passed, check.repeatable, check.independent_of_workers) == (False, True, False)


def test_a_single_process_proves_nothing_of_two() -> None:
    assert not judge(ALONE, [replace(each, process_id=20) for each in TOGETHER]).repeatable
