"""`python -m tests.release [GATE …]`: try every gate, and write `docs/release-checklist.md`.

The document is written from the first row on, and says what has come of each so far. A row is green where its command
has shown what it must, on this machine, now. With gates named only those are tried, and nothing is written.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest

from fedforge_runtime.wording import duration
from tests.release.checking import LOGS, ROOT, Result, Row, try_row
from tests.release.gates import rows

CHECKLIST = ROOT / "docs" / "release-checklist.md"
HEAD = """# Release checklist

Made by `make release-check`, not by hand: every row was tried as it says, and what it shows was measured then.
A row that this machine could not run says so, and is not green.

Commit {commit}, {date}, {machine}, {minutes:.0f} minutes in all.

| gate | what | command | outcome | time | measured |
|---|---|---|---|---|---|
"""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    known = sorted({row.gate for row in rows()})
    parser.add_argument("gates", nargs="*", metavar="GATE", help=", ".join(known))
    chosen = parser.parse_args(words).gates
    if unknown := sorted(set(chosen) - set(known)):
        parser.error(f"there is no gate {', '.join(unknown)}; there are {', '.join(known)}")
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    began, results = time.monotonic(), list[Result]()
    for row in rows():
        if chosen and row.gate not in chosen:
            continue
        if not chosen:
            CHECKLIST.write_text(_document(results, time.monotonic() - began))
        sys.stdout.write(f"{row.gate}  {row.subject} …\n")
        sys.stdout.flush()
        result = try_row(row)
        results.append(result)
        sys.stdout.write(f"    {result.outcome} in {duration(result.seconds)}: {result.shown}\n")
        sys.stdout.flush()
    if not chosen:
        CHECKLIST.write_text(_document(results, time.monotonic() - began))
        sys.stdout.write(f"{CHECKLIST.relative_to(ROOT)}\n")
    outcomes = Counter(result.outcome for result in results)
    sys.stdout.write(f"{outcomes['green']} green, {outcomes['red']} red, {outcomes['not run here']} not run here\n")
    return 1 if outcomes["red"] else 0


def _document(results: Sequence[Result], seconds: float) -> str:
    head = HEAD.format(commit=_commit(), date=f"{datetime.now(UTC):%Y-%m-%d}", machine=_machine(), minutes=seconds / 60)
    return head + "".join(_line(row, result) for row, result in zip_longest(rows(), results))


def _line(row: Row, result: Result | None) -> str:
    came = ("not tried yet", "", "") if result is None else (
        result.outcome, duration(result.seconds), result.shown.replace("|", "/").replace("\n", " "),
    )  # fmt: skip
    return f"| **{row.gate}** | {row.subject} | `{row.command}` | {' | '.join(came)} |\n"


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", ".", f":!{CHECKLIST.relative_to(ROOT)}")
    return f"`{git('rev-parse', '--short=10', 'HEAD')}{'-dirty' if changed else ''}`"


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
