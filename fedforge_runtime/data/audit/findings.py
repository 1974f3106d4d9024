"""What an audit finds, as values: each finding with its severity, its counts and the rows it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.audit.near_duplicates import Components, Edges
from fedforge_runtime.data.audit.pictures import Measures, RowIndex
from fedforge_runtime.data.sources.datasets import SPLITS, Split
from fedforge_runtime.wording import counted

Severity = Literal["error", "warning", "info"]

FINDINGS: dict[str, Severity] = {
    "exact-duplicates-across-splits": "error",
    "near-duplicates-across-splits": "error",
    "groups-across-splits": "error",
    "exact-duplicates-with-other-label": "error",
    "near-duplicates-with-other-label": "warning",
    "groups-with-several-labels": "info",
    "exact-duplicates-within-split": "warning",
    "near-duplicates-within-split": "warning",
    "blank-images": "warning",
    "saturated-images": "warning",
    "class-missing": "warning",
    "class-imbalance": "warning",
    "channel-shift": "warning",
    "split-sizes": "info",
}
"""Every finding there is, in the order in which they are shown. An error blocks until it is allowed."""

SATURATED_PART = 0.75
"""Of an image's pixels pure black or white, above which it is called saturated."""
IMBALANCE_RATIO = 10.0
"""Rows of the largest class for one of the smallest, above which a split is called imbalanced."""
CHANNEL_SHIFT = 0.2
"""Standard deviations between images' mean colours by which a split may differ from training; a small effect."""
_STANDARD_ERRORS = 4.0
"""A shift must also be larger than chance makes it: so many standard errors."""


@dataclass(frozen=True)
class Pair:
    """Two rows that belong together, by number of the dataset."""

    first: int
    second: int
    method: Literal["pixels", "hash", "features", "group"]
    hash_distance: int | None = None
    cosine: float | None = None
    correlation: float | None = None
    detail: float | None = None


@dataclass(frozen=True)
class Finding:
    """One kind of thing that is wrong."""

    id: str
    severity: Severity
    count: int
    """Of what the message speaks of first; an exception is given for this many."""
    message: str
    splits: tuple[Split, ...]
    groups: tuple[tuple[int, ...], ...] = ()
    """Rows of the dataset that belong together, all of them; rows that stand alone are groups of one."""
    pairs: tuple[Pair, ...] = field(default=(), repr=False)
    """For the groups, the pairs that show what is wrong."""


def duplicate_findings(rows: RowIndex, measures: Measures, edges: Edges) -> list[Finding]:
    """Exact and near duplicates, within and across splits, and those with different labels.

    Near duplicates are groups of images joined by `edges`, with all their exact copies. A group that is in
    several splits counts as across splits, and not as within one.
    """
    exact = _members(measures.representative)
    near_root = _near_roots(measures.representative, edges)
    joined = set(near_root[np.concatenate([edges.first, edges.second]).astype(np.int64)].tolist())
    near = [group for group in _members(near_root) if near_root[group[0]] in joined]
    near_pairs = _pairs_by_group(edges, near_root)

    def exact_pairs(groups: Sequence[tuple[int, ...]], different: NDArray[np.generic]) -> tuple[Pair, ...]:
        return tuple(Pair(*_telling_pair(group, different), method="pixels") for group in groups)

    def pairs_of(groups: Sequence[tuple[int, ...]], different: NDArray[np.generic]) -> tuple[Pair, ...]:
        chosen: list[Pair] = []
        for group in groups:
            own = near_pairs[int(near_root[group[0]])]
            telling = [pair for pair in own if different[pair.first] != different[pair.second]]
            chosen += telling or own[:1]
        return tuple(chosen)

    by_features = {
        int(near_root[first]) for first, features in zip(edges.first, edges.by_features, strict=True) if features
    }

    def how(groups: Sequence[tuple[int, ...]]) -> str:
        return _found_how(groups, near_root, by_features)

    same = _Likeness("exact", "the same pixels", "at least one is wrong.", exact_pairs, lambda groups: "")
    alike = _Likeness("near", "nearly the same picture", "one is wrong, or two things look alike.", pairs_of, how)
    return [*_likeness_findings(rows, exact, same), *_likeness_findings(rows, near, alike)]


@dataclass(frozen=True)
class _Likeness:
    """In what the images of a group are alike, and how that is said."""

    kind: str
    word: str
    verdict: str
    """Of a group whose labels differ."""
    pairs: Callable[[Sequence[tuple[int, ...]], NDArray[np.generic]], tuple[Pair, ...]]
    """Pairs of some groups that differ in a value, where there are any."""
    found_how: Callable[[Sequence[tuple[int, ...]]], str]


def _likeness_findings(rows: RowIndex, groups: Sequence[tuple[int, ...]], likeness: _Likeness) -> Iterator[Finding]:
    across = [group for group in groups if _several(group, rows.split)]
    within = [group for group in groups if not _several(group, rows.split)]
    conflicting = [group for group in groups if _several(group, rows.labels)]

    def finding(name: str, found: Sequence[tuple[int, ...]], different: NDArray[np.generic], rest: str) -> Finding:
        message = f"{counted(len(found), 'group')} of images with {likeness.word} {rest}"
        return _finding(f"{likeness.kind}-duplicates-{name}", rows, found, likeness.pairs(found, different), message)

    if across:
        evaluated = sum(1 for group in across for row in group if rows.split[row] != 0)
        yield finding(
            "across-splits",
            across,
            rows.split,
            f"in more than one split{likeness.found_how(across)}: "
            f"{counted(evaluated, 'row')} of validation and test can be seen elsewhere too.",
        )
    if conflicting:
        yield finding("with-other-label", conflicting, rows.labels, f"and different labels: {likeness.verdict}")
    if within:
        spare = sum(len(group) - 1 for group in within)
        yield finding(
            "within-split",
            within,
            rows.index,
            f"within one split{likeness.found_how(within)}: {counted(spare, 'row')} more than there are pictures.",
        )


def group_findings(rows: RowIndex, group_of: NDArray[np.int64], names: Sequence[str], word: str) -> list[Finding]:
    """Groups (patients, lesions, slides) that are in several splits or have several labels.

    Args:
        group_of: numbers into `names`, (rows,).
        word: what the file calls them.
    """
    members = _members(group_of)
    findings = []
    across = [group for group in members if _several(group, rows.split)]
    if across:
        evaluated = sum(1 for group in across for row in group if rows.split[row] != 0)
        findings.append(
            _finding(
                "groups-across-splits",
                rows,
                across,
                tuple(Pair(*_telling_pair(group, rows.split), method="group") for group in across),
                f"{len(across):,} of {len(names):,} groups of {word} are in more than one split: "
                f"{counted(evaluated, 'row')} of validation and test show what other splits show too.",
            )
        )
    conflicting = [group for group in members if _several(group, rows.labels)]
    if conflicting:
        findings.append(
            _finding(
                "groups-with-several-labels",
                rows,
                conflicting,
                tuple(Pair(*_telling_pair(group, rows.labels), method="group") for group in conflicting),
                f"{len(conflicting):,} of {len(names):,} groups of {word} have rows of more than one class.",
            )
        )
    return findings


def pixel_findings(rows: RowIndex, measures: Measures, blank_contrast: float) -> list[Finding]:
    """Images that show nothing, or too much light."""
    blank = np.flatnonzero(measures.contrast < blank_contrast)
    saturated = np.flatnonzero((measures.clipped >= SATURATED_PART) & (measures.contrast >= blank_contrast))
    findings = []
    if len(blank):
        findings.append(
            _finding(
                "blank-images",
                rows,
                [(int(row),) for row in blank],
                (),
                f"{counted(len(blank), 'image')} of one colour (contrast below {blank_contrast:g} grey levels).",
            )
        )
    if len(saturated):
        findings.append(
            _finding(
                "saturated-images",
                rows,
                [(int(row),) for row in saturated],
                (),
                f"{counted(len(saturated), 'image')} with at least {SATURATED_PART:.0%} pure black or white pixels.",
            )
        )
    return findings


def distribution_findings(
    rows: RowIndex, measures: Measures, class_names: Sequence[str], expected_rows: dict[Split, int], *, official: bool
) -> list[Finding]:
    """Split sizes, class balance, and colours that differ between splits."""
    counts = class_counts(rows, len(class_names))
    sizes = {split: int(counts[place].sum()) for place, split in enumerate(SPLITS)}
    return [
        *_size_findings(sizes, expected_rows, official=official),
        *_balance_findings(counts, class_names),
        *_colour_findings(rows, measures, sizes),
    ]


def _size_findings(
    sizes: Mapping[Split, int], expected_rows: Mapping[Split, int], *, official: bool
) -> Iterator[Finding]:
    if sizes != expected_rows:
        severity: Severity = "warning" if official else FINDINGS["split-sizes"]
        yield Finding(
            "split-sizes",
            severity,
            sum(sizes[split] != expected_rows[split] for split in SPLITS),
            "The splits are not as large as published: "
            + ", ".join(f"{split} {sizes[split]:,} (published {expected_rows[split]:,})" for split in SPLITS)
            + ". Scores must not be compared with published ones.",
            tuple(split for split in SPLITS if sizes[split] != expected_rows[split]),
        )


def _balance_findings(counts: NDArray[np.int64], class_names: Sequence[str]) -> Iterator[Finding]:
    missing = [(place, int(code)) for place in range(len(SPLITS)) for code in np.flatnonzero(counts[place] == 0)]
    if missing:
        named = ", ".join(f"{class_names[code]} in {SPLITS[place]}" for place, code in missing[:6])
        yield Finding(
            "class-missing",
            FINDINGS["class-missing"],
            len(missing),
            f"A class is missing in a split: {named}{', …' if len(missing) > 6 else ''}.",
            tuple(SPLITS[place] for place in sorted({place for place, _ in missing})),
        )
    ratios = {split: imbalance_ratio(counts[place]) for place, split in enumerate(SPLITS)}
    imbalanced = tuple(split for split in SPLITS if ratios[split] > IMBALANCE_RATIO)
    if imbalanced:
        yield Finding(
            "class-imbalance",
            FINDINGS["class-imbalance"],
            len(imbalanced),
            "The largest class has "
            + ", ".join(f"{ratios[split]:.0f} times the rows of the smallest in {split}" for split in imbalanced)
            + ": accuracy alone says little, read balanced accuracy.",
            imbalanced,
        )


def _colour_findings(rows: RowIndex, measures: Measures, sizes: Mapping[Split, int]) -> Iterator[Finding]:
    shifts = channel_shifts(rows, measures)
    training = int(np.count_nonzero(rows.split == 0))
    shifted: list[Split] = []
    for split in SPLITS[1:]:
        chance = _STANDARD_ERRORS * np.sqrt(1 / max(training, 1) + 1 / max(sizes[split], 1))
        if np.abs(shifts[split]).max() > max(CHANNEL_SHIFT, chance):
            shifted.append(split)
    if shifted:
        yield Finding(
            "channel-shift",
            FINDINGS["channel-shift"],
            len(shifted),
            "Colours differ from training's: "
            + "; ".join(
                f"{split} by {', '.join(f'{value:+.2f}' for value in shifts[split])} standard deviations "
                "(red, green, blue)"
                for split in shifted
            )
            + ".",
            tuple(shifted),
        )


def class_counts(rows: RowIndex, classes: int) -> NDArray[np.int64]:
    """Rows by split and class, (3, classes)."""
    counts = np.zeros((len(SPLITS), classes), dtype=np.int64)
    np.add.at(counts, (rows.split.astype(np.int64), rows.labels), 1)
    return counts


def imbalance_ratio(counts: NDArray[np.int64]) -> float:
    """Rows of the largest class for one row of the smallest that is there at all; 1 is balance."""
    present = [int(rows) for rows in counts if rows]
    return max(present) / min(present) if present else 1.0


def channel_shifts(rows: RowIndex, measures: Measures) -> dict[Split, NDArray[np.float64]]:
    """How far each split's mean colour (3,) is from training's, in standard deviations between training images."""
    training = measures.channel_means[rows.rows_of("train")].astype(np.float64)
    spread = np.maximum(training.std(axis=0), 1e-9)
    return {
        split: (measures.channel_means[rows.rows_of(split)].astype(np.float64).mean(axis=0) - training.mean(axis=0))
        / spread
        for split in SPLITS
    }


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """By severity, then in the order of `FINDINGS`."""
    places = list(FINDINGS)
    severities = ("error", "warning", "info")
    return sorted(findings, key=lambda each: (severities.index(each.severity), places.index(each.id)))


def _finding(
    name: str, rows: RowIndex, groups: Sequence[tuple[int, ...]], pairs: tuple[Pair, ...], message: str
) -> Finding:
    places = np.unique(rows.split[np.array([row for group in groups for row in group], dtype=np.int64)])
    return Finding(
        name, FINDINGS[name], len(groups), message, tuple(SPLITS[place] for place in places), tuple(groups), pairs
    )


def _members(code: NDArray[np.int64]) -> list[tuple[int, ...]]:
    """Rows with the same code, where there are at least two, in the order of their first rows."""
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    parts = np.split(order, starts[1:]) if len(order) else []
    return sorted(tuple(int(row) for row in part) for part in parts if len(part) > 1)


def _near_roots(representative: NDArray[np.int64], edges: Edges) -> NDArray[np.int64]:
    """The group of near duplicates that each row is in, by its smallest row."""
    components = Components(len(representative))
    for first, second in zip(edges.first, edges.second, strict=True):
        components.join(int(first), int(second))
    return components.refresh()[representative]


def _pairs_by_group(edges: Edges, near_root: NDArray[np.int64]) -> dict[int, list[Pair]]:
    pairs: dict[int, list[Pair]] = {}
    for place in range(len(edges)):
        features = bool(edges.by_features[place])
        pair = Pair(
            int(edges.first[place]),
            int(edges.second[place]),
            method="features" if features else "hash",
            hash_distance=None if features else int(edges.hash_distance[place]),
            cosine=float(edges.cosine[place]) if features else None,
            correlation=float(edges.correlation[place]),
            detail=float(edges.detail[place]),
        )
        pairs.setdefault(int(near_root[pair.first]), []).append(pair)
    return pairs


def _telling_pair(group: tuple[int, ...], different: NDArray[np.generic]) -> tuple[int, int]:
    """The group's first row and the first one that differs from it."""
    other = next((row for row in group[1:] if different[row] != different[group[0]]), group[1])
    return group[0], other


def _several(group: tuple[int, ...], values: NDArray[np.generic]) -> bool:
    return len({values[row].item() for row in group}) > 1


def _found_how(groups: Sequence[tuple[int, ...]], near_root: NDArray[np.int64], by_features: set[int]) -> str:
    alone = sum(int(near_root[group[0]]) in by_features for group in groups)
    return f" ({alone:,} of them found or extended by features that the hash missed)" if alone else ""
