"""The images of a phase: where they come from, what is wrong with them, and which site holds which."""

# Without `from __future__ import annotations`: Dagster reads these annotations.
from pathlib import Path
from typing import Any

import dagster as dg

from fedforge_pipelines import display
from fedforge_pipelines.assets.step import MADE_IN, Check, Handed, Step, declare, facts_of
from fedforge_pipelines.phases import Phase

_LEAKS = ("exact-duplicates-across-splits", "near-duplicates-across-splits", "groups-across-splits")
_MOST_RETRIES = 3
_LARGEST_IMBALANCE = 20
_WARN = dg.AssetCheckSeverity.WARN


def data_assets(phase: Phase) -> list[dg.AssetsDefinition]:
    """`raw_dataset`, `audit_report` and `client_partitions` of a phase."""
    return [
        declare(
            phase,
            raw_dataset,
            kinds={"medmnist", "huggingface"},
            checks=[
                Check("checksum_matches", "The archive has the published checksum."),
                Check("split_sizes", "The splits are as large as published."),
            ],
        ),
        declare(
            phase,
            audit_report,
            kinds={"python"},
            checks=[
                Check(
                    "no_split_leakage",
                    "Nothing blocks, and no image is in two splits, except what was allowed.",
                    blocking=True,
                ),
                Check("class_balance", f"The commonest class is not {_LARGEST_IMBALANCE} times the rarest."),
            ],
        ),
        declare(
            phase,
            client_partitions,
            kinds={"python"},
            checks=[
                Check("covers_every_row_once", "Every training row is with exactly one site.", blocking=True),
                Check("skew_within_preset", "Nothing to be warned of in who holds what."),
            ],
            waits_for=["audit_report"],
        ),
    ]


def raw_dataset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The images and labels of the three splits, from the official archive, a folder, or generated."""
    step = Step.begin(context)
    try:
        artifact = step.prepare("dataset")["dataset"]
    except dg.Failure as error:
        if not error.allow_retries or context.retry_number >= _MOST_RETRIES:
            raise
        # Not by a retry policy: that would also try again what somebody has terminated.
        raise dg.RetryRequested(_MOST_RETRIES, seconds_to_wait=2 * 2**context.retry_number) from error
    facts = facts_of(artifact)
    metadata = {
        "dagster/row_count": sum(facts["rows"].values()),
        "data": display.data_source(facts),
        "licence": facts["licence"],
        "fingerprint": facts["fingerprint"],
        "rows": display.table([{"split": name, "rows": rows} for name, rows in facts["rows"].items()]),
        "classes": display.table([{"label": n, "class": name} for n, name in enumerate(facts["class_names"])]),
    }
    return step.result(artifact, metadata, _comparison_with_published(facts))


def _comparison_with_published(facts: dict[str, Any]) -> list[dg.AssetCheckResult]:
    published = facts.get("published_rows")
    return [
        dg.AssetCheckResult(
            check_name="checksum_matches",
            passed=bool(facts["official"]),
            severity=_WARN,
            metadata={"source": facts["source"], "file_sha256": str(facts["file_sha256"])},
        ),
        dg.AssetCheckResult(
            check_name="split_sizes",
            passed=published is None or published == facts["rows"],
            severity=_WARN,
            metadata={"rows": str(facts["rows"])},
        ),
    ]


def audit_report(context: dg.AssetExecutionContext, raw_dataset: dict[str, Any]) -> dg.MaterializeResult:
    """What is wrong with the data: duplicates, leaks between splits, conflicting labels, broken images."""
    step = Step.begin(context)
    # Without features, which come after it: else it would find more once they are there, and not be the same again.
    report = step.ask("audit", *step.settings.audit_options(), "--no-features", "--no-fail")
    step.require_same("raw_dataset", raw_dataset, report["dataset"]["key"])
    _tell_of_audit(step, report)
    page, artifact = report["files"]["report.html"], report["artifact"]
    metadata = {
        "data": display.data_source(report["dataset"]),
        "report": step.fedforge.page(Path(page), f"/api/audits/{artifact['key']}/report"),
        "findings": display.table(
            [
                {
                    "finding": each["id"],
                    "severity": each["severity"],
                    "count": each["count"],
                    "blocks": each["blocking"],
                    "message": each["message"],
                    "allowed": str((each["allowed"] or {}).get("reason", "")),
                }
                for each in report["findings"]
            ]
        ),
        "offending_pairs": display.pictures_of_page(page),
        "class_balance": display.class_balance(report),
    }
    return step.result(artifact, metadata, _verdict_on_data(report))


def _tell_of_audit(step: Step, report: dict[str, Any]) -> None:
    """Have the monitor know what was found, and show the page."""
    from fedforge_runtime.runs.phase_report import audit_report as phase_audit
    from fedforge_runtime.runs.phase_report import send_audit_page, tell_phase

    url, warn = step.fedforge.monitor_url(), step.context.log.warning
    tell_phase(url, step.phase, phase_audit(step.phase, report["findings"], links=step.links), warn)
    send_audit_page(url, report["artifact"]["key"], Path(report["files"]["report.html"]), warn)


def _verdict_on_data(report: dict[str, Any]) -> list[dg.AssetCheckResult]:
    blocking = report["blocking"]
    ratio = next(split for split in report["splits"] if split["split"] == "train")["imbalance_ratio"]
    return [
        dg.AssetCheckResult(
            check_name="no_split_leakage",
            passed=not blocking,
            description=(
                f"Blocking: {', '.join(blocking)}. Mend the data, or decide with allow_findings, "
                "allowed_because and allowed_by."
                if blocking
                else "Nothing blocks."
            ),
            metadata={"blocking": ", ".join(blocking), "leaks": ", ".join(set(blocking) & set(_LEAKS))},
        ),
        dg.AssetCheckResult(
            check_name="class_balance",
            passed=ratio is not None and ratio <= _LARGEST_IMBALANCE,
            severity=_WARN,
            metadata={"imbalance_ratio": ratio},
        ),
    ]


def client_partitions(context: dg.AssetExecutionContext, raw_dataset: dict[str, Any]) -> dg.MaterializeResult:
    """Which rows each site holds, and how unlike the sites are."""
    step = Step.begin(context)
    if step.sites_bring_data:
        return _nothing_to_spread(step, raw_dataset)
    made = step.ask("partition")
    step.require_same("raw_dataset", raw_dataset, made["dataset"]["key"])
    shown, skew = made["partition"], made["partition"]["skew"]
    metadata = {
        "data": display.data_source(made["dataset"]),
        "partition": f"{shown['name']} {shown['parameters']}: {shown['title']}",
        "seed": shown["seed"],
        "clients": shown["clients"],
        "labels": display.label_histograms(skew),
        "skew": display.table([{name: value for name, value in skew.items() if isinstance(value, (int, float))}]),
        "sites": display.table([_site(each) for each in skew["clients"]]),
    }
    coverage = facts_of(made["artifact"])["coverage"]
    checks = [
        dg.AssetCheckResult(
            check_name="covers_every_row_once",
            passed=coverage["rows_without"] == coverage["rows_with_several"] == 0,
            metadata=dict(coverage),
        ),
        dg.AssetCheckResult(
            check_name="skew_within_preset",
            passed=not shown["warnings"],
            severity=_WARN,
            description=" ".join(shown["warnings"]),
        ),
    ]
    return step.result(made["artifact"], metadata, checks)


def _site(each: dict[str, Any]) -> dict[str, Any]:
    """What a site holds, as a row of a table."""
    return {
        "client": each["client"],
        "rows": each["rows"],
        "jensen_shannon_distance": each["jensen_shannon_distance"],
        "effective_classes": each["effective_classes"],
        "missing_classes": len(each["missing_classes"]),
    }


def _nothing_to_spread(step: Step, raw_dataset: Handed) -> dg.MaterializeResult:
    """In place of a partition: the dataset, of which the central splits alone are used."""
    said = "Each site brings its own data: what it holds is its own to say."
    return dg.MaterializeResult(
        value=raw_dataset | {MADE_IN: step.context.run.run_id},
        metadata={"partition": said},
        data_version=dg.DataVersion(raw_dataset["key"]),
        check_results=[
            dg.AssetCheckResult(check_name=name, passed=True, description=said)
            for name in ("covers_every_row_once", "skew_within_preset")
        ],
    )
