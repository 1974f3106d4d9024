"""What `report.json` of an audit holds."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from fedforge_runtime.data.audit.exceptions import AuditException


class SearchFeatures(TypedDict):
    """What near duplicates were searched by beside a perceptual hash."""

    key: str
    backbone: str
    trained: bool
    candidates: int
    """Pairs that the features proposed."""
    candidates_aligned: int
    """Those of them that were compared by their pixels."""


class AuditedGroups(TypedDict):
    """The file that says which rows show the same patient or lesion."""

    file: str
    sha256: str
    groups: int


class RowPlace(TypedDict):
    """A row of a split, and its class id."""

    split: str
    index: int
    label: int


RowPair = dict[str, Any]
"""`Pair`, of whose numbers it has those of its method; `first` and `second` are a `RowPlace`."""


class FindingDocument(TypedDict):
    """A finding; its groups and pairs are cut, its counts never."""

    id: str
    severity: Literal["error", "warning", "info"]
    count: int
    rows: int
    splits: list[str]
    message: str
    allowed: AuditException | None
    blocking: bool
    groups: list[list[RowPlace]]
    pairs: list[RowPair]


class SplitDocument(TypedDict):
    """A split beside the published one, and its colours beside those of training; red, green, blue."""

    split: str
    rows: int
    published_rows: int
    class_rows: list[int]
    imbalance_ratio: float
    channel_mean: list[float]
    channel_standard_deviation: list[float]
    channel_shift: list[float]


class AuditDocument(TypedDict):
    """The whole of it."""

    version: int
    dataset: dict[str, Any]
    """`DatasetFacts`, and the artifact's `key`."""
    features: SearchFeatures | None
    groups: AuditedGroups | None
    thresholds: dict[str, float]
    splits: list[SplitDocument]
    findings: list[FindingDocument]
    exceptions: list[AuditException]
    blocking: list[str]
