"""Trials as a table for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from tests.chaos.faults import FAULTS
from tests.chaos.trial import Trial

_PLACES = {"own": "of the run's own", "standing": "that stands", "linked": "of nodes behind proxies"}
_LONGEST = 150


def markdown(trials: Sequence[Trial]) -> str:
    """One row a kind of fault, in the order in which they are declared."""
    rows = [
        "| fault | federation | what is seen | detection, median / max | how it ends | trials |",
        "|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        mine = [trial for trial in trials if (trial.fault, trial.place) == (fault.name, fault.place)]
        if mine:
            rows.append(
                f"| {fault.name} | {_PLACES[fault.place]} | {_counted(map(_seen, mine), len(mine))} | "
                f"{_seconds([each.detected_seconds for each in mine if each.detected_seconds is not None])} | "
                f"{_counted(map(_end, mine), len(mine))} | {len(mine)} |"
            )
    return "\n".join(rows)


def _seen(trial: Trial) -> str:
    if not trial.detected_by and trial.fault == "SuperLink killed":
        return "nothing in the run: it is started again with all it knew, and `federation status` counts that"
    if not trial.detected_by:
        return "nothing: it was between two messages" if trial.state == "completed" else "nothing"
    if not trial.detected_reason:
        return f"`fedforge show`: {trial.detected_by}"
    return f"`{trial.detected_by}`: {_general(trial.detected_reason)}"


def _end(trial: Trial) -> str:
    same = {True: "the model is that of", False: "**the model differs from that of**", None: "not compared with"}
    if trial.state == "completed":
        without = len(trial.rounds_without)
        if not without:
            return f"goes on as if nothing had happened; {same[trial.same_model]} its replay"
        return f"goes on, {without} round{'s' * (without != 1)} without a client; {same[trial.same_model]} its replay"
    return f"state `{trial.state}`; resumed, {same[trial.same_model]} an undisturbed run"


def _general(reason: str) -> str:
    """A reason without what differs from trial to trial."""
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", reason)
    text = re.sub(r"\bround \d+", "round N", text)
    text = re.sub(r"\b(client|site) \d+", r"\1 K", text)
    text = re.sub(r"\bnode \d{6,}", "node N", text)
    text = re.sub(r"within [\d.]+ s", "within the time-out", text)
    text = text.partition(" Its last words")[0]
    return (text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…").replace("|", "\\|")


def _counted(texts: Iterable[str], total: int) -> str:
    counts = Counter(texts).most_common()
    if len(counts) == 1:
        return counts[0][0]
    return "; ".join(f"{text} ({count} of {total})" for text, count in counts)


def _seconds(values: Sequence[float]) -> str:
    return f"{median(values):.1f} s / {max(values):.1f} s" if values else "–"
