"""What an audit finds, as values: each finding with its severity, its counts and the rows it is about."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.audit.near_duplicates import Components, Edges
from fedforge_runtime.data.audit.pictures import Measures, RowIndex
from fedforge_runtime.data.sources.datasets import SPLITS, Split
from fedforge_runtime.wording import counted

Severity = Literal["error", "warning", "info"]
Group = tuple[int, ...]
"""Rows of the dataset that belong together."""
Values = NDArray[np.generic]
"""One of each row."""

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
    groups: tuple[Group, ...] = ()
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

    by_features = {
        int(near_root[first]) for first, features in zip(edges.first, edges.by_features, strict=True) if features
    }

    def exact_pairs(groups: Sequence[Group], different: Values) -> tuple[Pair, ...]:
        return tuple(Pair(*_telling_pair(group, different), method="pixels") for group in groups)

    def pairs_of(groups: Sequence[Group], different: Values) -> tuple[Pair, ...]:
        chosen: list[Pair] = []
        for group in groups:
            own = near_pairs[int(near_root[group[0]])]
            chosen += [pair for pair in own if different[pair.first] != different[pair.second]] or own[:1]
        return tuple(chosen)

    def how(groups: Sequence[Group]) -> str:
        alone = sum(int(near_root[group[0]]) in by_features for group in groups)
        return f" ({alone:,} of them found or extended by features that the hash missed)" if alone else ""

    same = _Likeness("exact", "the same pixels", "at least one is wrong.", exact_pairs, lambda groups: "")
    alike = _Likeness("near", "nearly the same picture", "one is wrong, or two things look alike.", pairs_of, how)
    return [*_likeness_findings(rows, exact, same), *_likeness_findings(rows, near, alike)]


class _Likeness(NamedTuple):
    """In what the images of a group are alike, and how that is said."""

    kind: str
    word: str
    verdict: str
    """Of a group whose labels differ."""
    pairs: Callable[[Sequence[Group], Values], tuple[Pair, ...]]
    """Pairs of some groups that differ in a value, where there are any."""
    found_how: Callable[[Sequence[Group]], str]


def _likeness_findings(rows: RowIndex, groups: Sequence[Group], likeness: _Likeness) -> Iterator[Finding]:
    across = [group for group in groups if _several(group, rows.split)]
    within = [group for group in groups if not _several(group, rows.split)]
    conflicting = [group for group in groups if _several(group, rows.labels)]

    def finding(name: str, found: Sequence[Group], different: Values, rest: str) -> Finding:
        message = f"{counted(len(found), 'group')} of images with {likeness.word} {rest}"
        return _finding(f"{likeness.kind}-duplicates-{name}", rows, found, likeness.pairs(found, different), message)

    if across:
        rest = (
            f"in more than one split{likeness.found_how(across)}: {_evaluated(across, rows)} can be seen elsewhere too."
        )
        yield finding("across-splits", across, rows.split, rest)
    if conflicting:
        yield finding("with-other-label", conflicting, rows.labels, f"and different labels: {likeness.verdict}")
    if within:
        spare = counted(sum(len(group) - 1 for group in within), "row")
        rest = f"within one split{likeness.found_how(within)}: {spare} more than there are pictures."
        yield finding("within-split", within, rows.index, rest)


def group_findings(rows: RowIndex, group_of: NDArray[np.int64], names: Sequence[str], word: str) -> Iterator[Finding]:
    """Groups (patients, lesions, slides) that are in several splits or have several labels.

    Args:
        group_of: numbers into `names`, (rows,).
        word: what the file calls them.
    """
    members = _members(group_of)

    def finding(name: str, different: Values, rest: Callable[[Sequence[Group]], str]) -> Iterator[Finding]:
        if found := [group for group in members if _several(group, different)]:
            pairs = tuple(Pair(*_telling_pair(group, different), method="group") for group in found)
            message = f"{len(found):,} of {len(names):,} groups of {word} {rest(found)}"
            yield _finding(f"groups-{name}", rows, found, pairs, message)

    yield from finding(
        "across-splits",
        rows.split,
        lambda found: f"are in more than one split: {_evaluated(found, rows)} show what other splits show too.",
    )
    yield from finding("with-several-labels", rows.labels, lambda _: "have rows of more than one class.")


def pixel_findings(rows: RowIndex, measures: Measures, blank_contrast: float) -> Iterator[Finding]:
    """Images that show nothing, or too much light."""
    blank = measures.contrast < blank_contrast
    for name, wrong, what in (
        ("blank-images", blank, f"of one colour (contrast below {blank_contrast:g} grey levels)."),
        (
            "saturated-images",
            (measures.clipped >= SATURATED_PART) & ~blank,
            f"with at least {SATURATED_PART:.0%} pure black or white pixels.",
        ),
    ):
        if wrong.any():
            alone = [(int(row),) for row in np.flatnonzero(wrong)]
            yield _finding(name, rows, alone, (), f"{counted(len(alone), 'image')} {what}")


def distribution_findings(
    rows: RowIndex, measures: Measures, class_names: Sequence[str], expected_rows: Mapping[str, int], *, official: bool
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
    sizes: Mapping[Split, int], expected_rows: Mapping[str, int], *, official: bool
) -> Iterator[Finding]:
    if wrong := tuple(split for split in SPLITS if sizes[split] != expected_rows[split]):
        yield Finding(
            "split-sizes",
            "warning" if official else FINDINGS["split-sizes"],
            len(wrong),
            "The splits are not as large as published: "
            + ", ".join(f"{split} {sizes[split]:,} (published {expected_rows[split]:,})" for split in SPLITS)
            + ". Scores must not be compared with published ones.",
            wrong,
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
    if imbalanced := tuple(split for split in SPLITS if ratios[split] > IMBALANCE_RATIO):
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

    def by_chance(split: Split) -> float:
        return _STANDARD_ERRORS * math.sqrt(1 / max(sizes["train"], 1) + 1 / max(sizes[split], 1))

    shifted = [split for split in SPLITS[1:] if np.abs(shifts[split]).max() > max(CHANNEL_SHIFT, by_chance(split))]
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
    places, severities = list(FINDINGS), get_args(Severity)
    return sorted(findings, key=lambda each: (severities.index(each.severity), places.index(each.id)))


def _finding(name: str, rows: RowIndex, groups: Sequence[Group], pairs: tuple[Pair, ...], message: str) -> Finding:
    places = np.unique(rows.split[np.array([row for group in groups for row in group], dtype=np.int64)])
    return Finding(
        name, FINDINGS[name], len(groups), message, tuple(SPLITS[place] for place in places), tuple(groups), pairs
    )


def _members(code: NDArray[np.int64]) -> list[Group]:
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


def _telling_pair(group: Group, different: Values) -> tuple[int, int]:
    """The group's first row and the first one that differs from it."""
    return group[0], next((row for row in group[1:] if different[row] != different[group[0]]), group[1])


def _several(group: Group, values: Values) -> bool:
    return len({values[row].item() for row in group}) > 1


def _evaluated(groups: Sequence[Group], rows: RowIndex) -> str:
    """How many rows of groups are not for training, in words."""
    number = sum(1 for group in groups for row in group if rows.split[row] != 0)
    return f"{counted(number, 'row')} of validation and test"
