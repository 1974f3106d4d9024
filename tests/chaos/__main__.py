"""`python -m tests.chaos`: strike federations, print what came of it, write `benchmarks/results/chaos.json`."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from pathlib import Path

from benchmarks.machine import describe_machine, load_by_others
from fedforge_runtime.clock import monotonic
from fedforge_runtime.storage.artifacts import write_json
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.ground import Ground, new_ground
from tests.chaos.table import markdown
from tests.chaos.trial import Trial, run_trial

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "chaos.json"


def main() -> int:
    """1 when something did not hold."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what it has started ends with it
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    chosen = [fault for fault in FAULTS if not arguments.only or arguments.only in f"{fault.place} {fault.name}"]
    # Each kind in turn; the trials over one standing federation stay together.
    planned = sorted((chosen[number % len(chosen)] for number in range(arguments.trials)), key=FAULTS.index)
    print(f"seed {seed}, {len(planned)} trials", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    load, trials = load_by_others(), []
    with new_ground(arguments.rounds, arguments.epochs) as ground:
        for number, fault in enumerate(planned):
            trials.append(_trial(ground, fault, seed + number))
        round_seconds = ground.round_seconds
    problems = [f"{each.fault}, {each.place}, seed {each.seed}: {text}" for each in trials for text in each.problems]
    if not arguments.only:
        write_json(
            RESULTS,
            {
                **describe_machine(),
                "load_by_others_percent": load,
                "seed": seed,
                "rounds": arguments.rounds,
                "undisturbed_round_seconds": round(round_seconds, 3),
                "problems": problems,
                "trials": [trial.to_json() for trial in trials],
            },
        )
    print(markdown(trials))
    for problem in problems:
        print(f"PROBLEM {problem}")
    return 1 if problems else 0


def _trial(ground: Ground, fault: Fault, seed: int) -> Trial:
    started = monotonic()
    trial = run_trial(ground, fault, seed)
    sys.stderr.write(
        f"[{monotonic() - started:5.1f} s] seed {seed}: {fault.place}: {fault.name} in round {trial.round} after "
        f"{trial.moment_seconds:.2f} s: {trial.detected_by or 'nothing seen'} "
        f"{'' if trial.detected_seconds is None else f'after {trial.detected_seconds:.1f} s '}"
        f"({trial.detected_reason[:90]}); {trial.state} {trial.reason[:120]!r}; "
        f"{trial.compared_with}: {'same' if trial.same_model else 'NOT the same'} model"
        f"{'' if not trial.problems else f'; PROBLEMS: {trial.problems}'}\n"
    )
    sys.stderr.flush()
    return trial


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the first trial; each has one more (default: drawn)")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", help="faults whose place and name contain this text; writes no results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
