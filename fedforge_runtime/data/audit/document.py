"""What `report.json` of an audit holds."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from fedforge_runtime.data.audit.exceptions import AuditException


class AuditedDataset(TypedDict):
    """The facts of `DatasetFacts`, and the artifact."""

    key: str
    flag: str
    size: int
    source: Literal["official", "local", "phantom"]
    official: bool
    fingerprint: str
    file_sha256: str | None
    class_names: list[str]
    rows: dict[str, int]
    licence: str
    title: str


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


class RowPair(TypedDict):
    """Two rows that are alike; how alike is said by the numbers of the method that found them."""

    first: RowPlace
    second: RowPlace
    method: Literal["pixels", "hash", "features", "group"]
    hash_distance: NotRequired[int]
    cosine: NotRequired[float]
    correlation: NotRequired[float]
    detail: NotRequired[float]


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
    dataset: AuditedDataset
    features: SearchFeatures | None
    groups: AuditedGroups | None
    thresholds: dict[str, float]
    splits: list[SplitDocument]
    findings: list[FindingDocument]
    exceptions: list[AuditException]
    blocking: list[str]
