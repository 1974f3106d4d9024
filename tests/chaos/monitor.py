"""`python -m tests.chaos.monitor`: kill monitors under load, and fail the way between a run and its monitor.

Writes `benchmarks/results/chaos-monitor.json`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import describe_machine, load_by_others
from fedforge_runtime.storage.artifacts import write_json
from tests.chaos.ground import new_ground
from tests.chaos.link_trial import run_link_trial
from tests.chaos.monitor_trial import SENDERS, run_trial

_COUNTED = ("kills", "kills_while_starting", "run_kills", "acknowledged", "of_run")
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "chaos-monitor.json"


def main() -> int:
    """1 when something did not hold."""
    arguments = _parser().parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}, {arguments.trials} trials", flush=True)
    load, trials = load_by_others(), []
    for number in range(arguments.trials):
        with tempfile.TemporaryDirectory(prefix="chaos-monitor-") as folder:
            trials.append(run_trial(seed + number, Path(folder)))
        sys.stderr.write(f"{trials[-1]}\n")
        sys.stderr.flush()
    link_trials = []
    if arguments.link_trials:
        with new_ground(arguments.rounds, arguments.epochs) as ground:
            for number in range(arguments.link_trials):
                with tempfile.TemporaryDirectory(prefix="chaos-link-") as folder:
                    link_trials.append(run_link_trial(ground, seed + number, Path(folder)))
                sys.stderr.write(f"{link_trials[-1]}\n")
                sys.stderr.flush()
    found = [(trial.seed, trial.problems) for trial in trials] + [(each.seed, each.problems) for each in link_trials]
    problems = [f"seed {seed}: {problem}" for seed, texts in found for problem in texts]
    totals = {name: sum(getattr(trial, name) for trial in trials) for name in _COUNTED}
    RESULTS.parent.mkdir(exist_ok=True)
    write_json(
        RESULTS,
        {
            **describe_machine(),
            "load_by_others_percent": load,
            "seed": seed,
            "senders": SENDERS,
            **totals,
            "problems": problems,
            "trials": [trial.to_json() for trial in trials],
            "link_trials": [trial.to_json() for trial in link_trials],
        },
    )
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in totals.items()))
    strikes = sum(len(trial.strikes) for trial in link_trials)
    print(f"{len(link_trials)} runs, {strikes} failures of the way to their monitor")
    for problem in problems:
        print(f"PROBLEM {problem}")
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.monitor", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the first trial; each has one more (default: drawn)")
    parser.add_argument("--trials", type=int, default=30, help="in which monitors are killed")
    parser.add_argument("--link-trials", type=int, default=20, help="in which the way to the monitor fails")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=8)
    return parser


if __name__ == "__main__":
    sys.exit(main())
