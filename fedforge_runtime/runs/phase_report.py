"""Tells a monitor what is accepted of a phase, and what keeps it from going on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fedforge_runtime.clock import utc_now
from fedforge_runtime.config import PHASES
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.record.summary import stand_ins_of, summarise_run
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.answers import PhaseTold
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient

_PATIENCE_SECONDS = 5.0


def accepted_report(
    folder: RunFolder,
    *,
    source: Literal["dagster", "baseline"],
    baseline: Mapping[str, float] | None,
    links: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """That a completed run's model is the phase's now.

    Args:
        baseline: test scores that it was held against; `None` where there were none.
    """
    summary = summarise_run(folder)
    bounds = summary["bounds"]
    alone = [site["test"] for site in bounds.get("local", [])]
    return _report(
        summary["phase"],
        source,
        links,
        blockers=[],
        accepted={
            "run_id": folder.run_id,
            "model_sha256": summary["model_sha256"],
            "accepted_at": utc_now().isoformat(),
            "scores": summary["metrics"],
            "stand_ins": stand_ins_of(summary),
            "baseline": baseline,
            "lowest": min(alone, key=lambda scores: scores["accuracy"]) if alone else None,
            "highest": bounds["centralized"]["test"] if bounds else None,
        },
    )


def blocked_report(
    phase: str,
    reasons: Sequence[tuple[str, str]],
    *,
    source: Literal["dagster", "baseline"],
    links: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """That a phase does not go on; what was accepted of it stays.

    Args:
        reasons: each with what is to be done next.
    """
    return _report(
        phase, source, links, blockers=[{"reason": reason[:2000], "next_step": step} for reason, step in reasons]
    )


def audit_report(
    phase: str, findings: Sequence[Mapping[str, Any]], *, links: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What an audit found that blocks, and what somebody has allowed.

    Args:
        findings: of the audit's document.
    """
    step = "Mend the data, or decide: fedforge audit PHASE --allow FINDING --reason WHY --by NAME"
    return _report(
        phase,
        "dagster",
        links,
        blockers=[
            {"reason": f"the audit found {each['id']}: {each['message']}"[:2000], "next_step": step}
            for each in findings
            if each["blocking"]
        ],
        decisions=[
            {
                "finding": each["id"],
                "by": each["allowed"]["by"],
                "reason": each["allowed"]["reason"],
                "at": each["allowed"].get("at"),
            }
            for each in findings
            if each["allowed"]
        ],
    )


def _report(phase: str, source: str, links: Mapping[str, str] | None, **facts: Any) -> dict[str, Any]:
    order = PHASES.index(phase) if phase in PHASES else len(PHASES)
    return {"source": source, "order": order, **({"links": dict(links)} if links else {}), **facts}


def tell_phase(url: str | None, phase: str, report: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Tell it where there is a monitor; one that is away holds nothing up.

    Args:
        say: told why it could not be.
    """
    failed = f"The monitor was not told of the phase {phase}"
    _tell(url, lambda client: client.ask("PUT", f"/api/phases/{phase}", PhaseTold, json=dict(report)), failed, say)


def send_audit_page(url: str | None, key: str, page: Path, say: Callable[[str], None]) -> None:
    """Have a monitor that may stand elsewhere show what an audit found.

    Args:
        key: of the audit.
        say: told why it could not be sent.
    """
    failed = f"The monitor has not got the page of the audit {key}"
    _tell(url, lambda client: client.send_page(f"/api/audits/{key}/report", page.read_bytes()), failed, say)


def _tell(url: str | None, send: Callable[[MonitorClient], object], failed: str, say: Callable[[str], None]) -> None:
    if url is None:
        return
    try:
        with MonitorClient(MonitorAddress.parse(url), patience=_PATIENCE_SECONDS, emits=True) as client:
            send(client)
    except (FedForgeError, OSError) as error:
        say(f"{failed}: {error}")
