"""An audit as a whole: from a dataset to the artifact with `report.json`, `report.md` and `report.html`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from fedforge_runtime.data.audit.document import (
    AuditDocument,
    AuditedDataset,
    FindingDocument,
    RowPair,
    RowPlace,
    SplitDocument,
)
from fedforge_runtime.data.audit.exceptions import AuditException, add_exceptions, covering, read_exceptions
from fedforge_runtime.data.audit.findings import (
    CHANNEL_SHIFT,
    FINDINGS,
    IMBALANCE_RATIO,
    SATURATED_PART,
    Finding,
    Pair,
    channel_shifts,
    class_counts,
    distribution_findings,
    duplicate_findings,
    group_findings,
    imbalance_ratio,
    in_order,
    pixel_findings,
)
from fedforge_runtime.data.audit.near_duplicates import Thresholds
from fedforge_runtime.data.audit.pictures import RowIndex
from fedforge_runtime.data.audit.search import (
    BLANK_CONTRAST,
    FeatureSource,
    SearchResult,
    load_search,
    prepare_search,
)
from fedforge_runtime.data.sources.catalogue import official_archive
from fedforge_runtime.data.sources.datasets import SPLITS, DatasetFacts, read_dataset_facts
from fedforge_runtime.data.sources.groups import Groups
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, csv_text, write_atomically, write_json
from fedforge_runtime.storage.home import Home
from fedforge_runtime.wording import suggest

REPORT_JSON, REPORT_MARKDOWN, REPORT_HTML = "report.json", "report.md", "report.html"
ROWS_TABLE, PAIRS_TABLE = "rows.csv", "pairs.csv"

_CODE_VERSION = 1
"""Raised by any change to the report."""
_PAIR_NUMBERS = ("hash_distance", "cosine", "correlation", "detail")
_MOST_LISTED = 50
"""Pairs and groups of a finding in `report.json`; the tables hold all of them."""


@dataclass(frozen=True)
class Audit:
    """An audited dataset."""

    dataset: Artifact
    facts: DatasetFacts
    rows: RowIndex
    search: SearchResult
    features: FeatureSource | None
    groups: Groups | None
    thresholds: Thresholds
    findings: Sequence[Finding]
    exceptions: Sequence[AuditException]

    def allowed(self, finding: Finding) -> AuditException | None:
        """The exception that covers a finding."""
        return covering(self.exceptions, finding.id, finding.count)

    @property
    def blocking(self) -> list[Finding]:
        """Errors that nobody has allowed."""
        return [each for each in self.findings if each.severity == "error" and not self.allowed(each)]


DrawPage = Callable[[Audit, AuditDocument], str]
"""Draws an audit, given its document, as HTML."""


@dataclass(frozen=True)
class Allowance:
    """Findings that somebody allows from now on, and why."""

    findings: Sequence[str] = ()
    reason: str = ""
    by: str = ""

    def check(self) -> None:
        """Refuse an exception without a known finding, a reason and a name.

        Raises:
            ConfigError: says what is missing.
        """
        for name in self.findings:
            if name not in FINDINGS:
                raise ConfigError(f"unknown finding {name!r}.", remedy=suggest(name, FINDINGS))
        if self.findings and not (self.reason.strip() and self.by.strip()):
            raise ConfigError(
                "an exception needs a reason and a name.",
                remedy='Add --reason "why this may stand" and --by NAME.',
            )
        if (self.reason or self.by) and not self.findings:
            raise ConfigError(
                "--reason and --by belong to an exception.", remedy="Name the finding with --allow FINDING."
            )


def prepare_audit(
    dataset: Artifact,
    *,
    features: FeatureSource | None,
    groups: Groups | None,
    store: ArtifactStore,
    notify: Callable[[str], None],
    draw_page: DrawPage,
    thresholds: Thresholds | None = None,
    allowance: Allowance | None = None,
) -> Artifact:
    """Search, or find what was searched before, and write the artifact `audit`.

    Files: `report.json`, `report.md`, `report.html`; `rows.csv` with all rows of all findings; `pairs.csv`.

    Args:
        groups: which rows show the same patient or lesion.
        draw_page: makes `report.html` of the audit and of its document.
        allowance: what is allowed from now on.

    Raises:
        ConfigError: `allowance` names what there is not, or gives no reason or name.
        DataError, StorageError: broken exceptions; the home is full.
    """
    thresholds, allowance = thresholds or Thresholds(), allowance or Allowance()
    allowance.check()
    searched = prepare_search(dataset, features, store=store, thresholds=thresholds, notify=notify)
    facts, rows, search = read_dataset_facts(dataset), RowIndex.of(dataset), load_search(searched)
    findings = find_all(rows, search, groups, facts)
    _allow(allowance, findings, store.home, facts.fingerprint)
    audit = Audit(
        dataset=dataset,
        facts=facts,
        rows=rows,
        search=search,
        features=features,
        groups=groups,
        thresholds=thresholds,
        findings=findings,
        exceptions=read_exceptions(store.home, facts.fingerprint),
    )
    inputs = {
        "dataset": dataset.key,
        "search": searched.key,
        "groups_sha256": groups.sha256 if groups else None,
        "limits": _limits(),
        "exceptions": audit.exceptions,
        "code": _CODE_VERSION,
    }
    return store.build("audit", inputs, lambda folder: _write(folder, audit, draw_page))


def find_all(rows: RowIndex, search: SearchResult, groups: Groups | None, facts: DatasetFacts) -> list[Finding]:
    """Everything that is wrong, the worst first."""
    published = official_archive(facts.flag, facts.size).rows
    findings = [
        *duplicate_findings(rows, search.measures, search.edges),
        *pixel_findings(rows, search.measures, BLANK_CONTRAST),
        *distribution_findings(rows, search.measures, facts.class_names, published, official=facts.official),
    ]
    if groups:
        findings += group_findings(rows, groups.of_rows, groups.names, groups.path.name)
    return in_order(findings)


def report_document(audit: Audit) -> AuditDocument:
    """What `report.json` holds; the lists of a finding are cut, its counts never."""
    return {
        "version": 1,
        "dataset": cast(AuditedDataset, {"key": audit.dataset.key, **audit.facts.to_json()}),
        "features": {
            "key": audit.features.key,
            "backbone": audit.features.backbone,
            "trained": audit.features.trained,
            "candidates": audit.search.feature_candidates or 0,
            "candidates_aligned": audit.search.feature_candidates_aligned or 0,
        }
        if audit.features
        else None,
        "groups": {"file": audit.groups.path.name, "sha256": audit.groups.sha256, "groups": len(audit.groups.names)}
        if audit.groups
        else None,
        "thresholds": {**asdict(audit.thresholds), **_limits()},
        "splits": list(_split_documents(audit)),
        "findings": [_finding_document(audit, finding) for finding in audit.findings],
        "exceptions": list(audit.exceptions),
        "blocking": [each.id for each in audit.blocking],
    }


def _limits() -> dict[str, float]:
    return {
        "blank_contrast": BLANK_CONTRAST,
        "saturated_part": SATURATED_PART,
        "imbalance_ratio": IMBALANCE_RATIO,
        "channel_shift": CHANNEL_SHIFT,
    }


def _allow(allowance: Allowance, findings: Sequence[Finding], home: Home, fingerprint: str) -> None:
    found = {each.id: each.count for each in findings}
    if absent := [name for name in allowance.findings if name not in found]:
        raise ConfigError(
            f"the audit has no finding {absent[0]!r}, so there is nothing to allow.",
            remedy=f"Found: {', '.join(found) or 'nothing'}.",
        )
    known = [
        (each["finding"], each["count"], each["reason"], each["by"]) for each in read_exceptions(home, fingerprint)
    ]
    new = [
        (name, found[name])
        for name in dict.fromkeys(allowance.findings)
        if (name, found[name], allowance.reason, allowance.by) not in known
    ]
    if new:
        add_exceptions(home, fingerprint, new, reason=allowance.reason, by=allowance.by)


def _split_documents(audit: Audit) -> Iterator[SplitDocument]:
    counts = class_counts(audit.rows, len(audit.facts.class_names))
    shifts = channel_shifts(audit.rows, audit.search.measures)
    published = official_archive(audit.facts.flag, audit.facts.size).rows
    for place, split in enumerate(SPLITS):
        some = audit.rows.rows_of(split)
        means = audit.search.measures.channel_means[some].astype(np.float64).mean(axis=0)
        squares = audit.search.measures.channel_squares[some].astype(np.float64).mean(axis=0)
        yield {
            "split": split,
            "rows": int(counts[place].sum()),
            "published_rows": published[split],
            "class_rows": counts[place].tolist(),
            "imbalance_ratio": round(imbalance_ratio(counts[place]), 3),
            "channel_mean": [round(float(value), 3) for value in means],
            "channel_standard_deviation": [
                round(float(value), 3) for value in np.sqrt(np.maximum(squares - means**2, 0))
            ],
            "channel_shift": [round(float(value), 4) for value in shifts[split]],
        }


def _finding_document(audit: Audit, finding: Finding) -> FindingDocument:
    allowed = audit.allowed(finding)
    return {
        "id": finding.id,
        "severity": finding.severity,
        "count": finding.count,
        "rows": sum(len(group) for group in finding.groups),
        "splits": list(finding.splits),
        "message": finding.message,
        "allowed": allowed,
        "blocking": finding.severity == "error" and allowed is None,
        "groups": [[_row_document(audit.rows, row) for row in group] for group in finding.groups[:_MOST_LISTED]],
        "pairs": [_pair_document(audit.rows, pair) for pair in finding.pairs[:_MOST_LISTED]],
    }


def _row_document(rows: RowIndex, row: int) -> RowPlace:
    return {"split": SPLITS[rows.split[row]], "index": int(rows.index[row]), "label": int(rows.labels[row])}


def _pair_document(rows: RowIndex, pair: Pair) -> RowPair:
    numbers = {name: getattr(pair, name) for name in _PAIR_NUMBERS if getattr(pair, name) is not None}
    document = {
        "first": _row_document(rows, pair.first),
        "second": _row_document(rows, pair.second),
        "method": pair.method,
        **{name: round(value, 4) if isinstance(value, float) else value for name, value in numbers.items()},
    }
    return cast(RowPair, document)


def _write(folder: Path, audit: Audit, draw_page: DrawPage) -> Mapping[str, Any]:
    from fedforge_runtime.data.audit.markdown import audit_markdown

    document = report_document(audit)
    write_json(folder / REPORT_JSON, document)
    write_atomically(folder / REPORT_MARKDOWN, audit_markdown(document).encode())
    write_atomically(folder / REPORT_HTML, draw_page(audit, document).encode())
    write_atomically(folder / ROWS_TABLE, csv_text(_rows_table(audit)).encode())
    write_atomically(folder / PAIRS_TABLE, csv_text(_pairs_table(audit)).encode())
    return {
        "findings": {each.id: each.count for each in audit.findings},
        "blocking": document["blocking"],
        "features": audit.features.key if audit.features else None,
    }


def _rows_table(audit: Audit) -> Iterator[Iterable[object]]:
    yield "finding", "group", "split", "index", "label"
    for finding in audit.findings:
        for number, group in enumerate(finding.groups):
            for row in group:
                yield finding.id, number, *_row_document(audit.rows, row).values()


def _pairs_table(audit: Audit) -> Iterator[Iterable[object]]:
    names, ends = ("method", *_PAIR_NUMBERS), ("split", "index", "label")
    yield "finding", *(f"first_{end}" for end in ends), *(f"second_{end}" for end in ends), *names
    for finding in audit.findings:
        for pair in finding.pairs:
            document = _pair_document(audit.rows, pair)
            places = (*document["first"].values(), *document["second"].values())
            yield finding.id, *places, *(document.get(name, "") for name in names)
