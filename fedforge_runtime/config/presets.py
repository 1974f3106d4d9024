"""What a partition can be told beyond a partitioner's name: groups of sites with their shares, and scanners.

Plain models without any file or data, so that a run's configuration can hold a preset whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

FAIR, REST, OTHERS = "fair", "rest", "others"
_PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?)%")
_SELECTOR = re.compile(r"(rarest|commonest)(?: ([1-9]\d*))?|class (\d+)|others")
_TOLERANCE = 1e-9

_ALLOWED = {"stain": (0, 4), "gain": (0, 4), "brightness": (-255, 255), "contrast": (0, 4), "blur": (0, 0.25)}
"""What of a shift is within reason."""


class Section(BaseModel, extra="forbid", frozen=True, strict=True, allow_inf_nan=False):
    """A part of a configuration: nothing is guessed, and nothing changes."""


def percentage(text: object) -> float | None:
    """The fraction that a text such as `30%` stands for, `None` for anything else; over 100 % is not one."""
    match = _PERCENTAGE.fullmatch(text) if isinstance(text, str) else None
    return float(match[1]) / 100 if match and float(match[1]) <= 100 else None


def _check_sites(value: object) -> object:
    counted = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if counted or value == REST or percentage(value):
        return value
    raise ValueError("must be a number of sites (1, 2, …), a percentage of the sites above 0% (30%), or rest")


def _check_rows(value: object) -> object:
    shares = value if isinstance(value, Mapping) else {OTHERS: value}
    checked: dict[str, str] = {}
    for key, share in shares.items():
        # A number alone names a class, since YAML reads it as one.
        selector = f"class {key}" if isinstance(key, int) and not isinstance(key, bool) else str(key)
        if not _SELECTOR.fullmatch(selector):
            raise ValueError(f"{key!r} is no choice of classes; write rarest, rarest 2, commonest, class 3 or others")
        if share not in (FAIR, REST) and percentage(share) is None:
            raise ValueError(
                f"{share!r} is no share of the rows; write a percentage up to 100% (60%), fair "
                "(as many as the group's part of the sites) or rest"
            )
        if selector in checked:
            raise ValueError(f"{selector} is given twice")
        checked[selector] = str(share)
    if not checked:
        raise ValueError("must name a share, for example 60% or {rarest: 80%, others: 20%}")
    return checked


def _check_range(value: object) -> object:
    numbers = isinstance(value, list) and all(
        isinstance(item, (int, float)) and not isinstance(item, bool) for item in value
    )
    if not isinstance(value, list) or not numbers or len(value) != 2 or value[0] > value[1]:
        raise ValueError("must be a range of two ascending numbers, for example [0.9, 1.1]")
    return [float(item) for item in value]


Range = Annotated[list[float], BeforeValidator(_check_range)]


class FeatureSkewConfig(Section):
    """How far the sites' scanners are apart.

    Each site's shift is drawn evenly from ranges around "no shift". Their width follows from `strength`; a
    range that is given replaces the one that follows from it.
    """

    strength: float = Field(default=0.5, ge=0, le=1)
    """0: all sites see the same; 1: as far apart as scanners and laboratories get."""
    stain: Range | None = None
    """Factors on the concentration of each of the two stains, haematoxylin and eosin."""
    gain: Range | None = None
    """Factors on each colour channel."""
    brightness: Range | None = None
    """Grey levels of 255 that are added."""
    contrast: Range | None = None
    """Factors on the distance to mid-grey."""
    blur: Range | None = None
    """Standard deviation of the blur in parts of the image's width."""

    @property
    def moves_anything(self) -> bool:
        """Whether a site's scanner may differ from another's."""
        return self != FeatureSkewConfig(strength=0.0)

    @model_validator(mode="after")
    def _within_reason(self) -> Self:
        for name, (lowest, highest) in _ALLOWED.items():
            given = getattr(self, name)
            if given and not lowest <= given[0] <= given[1] <= highest:
                raise ValueError(f"{name} must lie within {lowest} and {highest}, not {given}")
        return self


class SiteGroupConfig(Section):
    """Some of the sites, what they hold and how they share it."""

    name: str = Field(min_length=1, max_length=60)
    sites: Annotated[int | str, BeforeValidator(_check_sites)]
    """How many: a number, a percentage of all sites (at least one), or `rest`."""
    rows: Annotated[dict[str, str], BeforeValidator(_check_rows)]
    """Which part of the rows of which classes.

    Keys: `rarest` and `commonest`, or so many of them (`rarest 2`); `class 3`; `others` for every class that no
    group names. Values: a percentage, `fair` for as large a part as the group has of the sites, or `rest` for
    what the other groups leave. One value alone is for `others`.
    """
    partitioner: str = "iid"
    """How the group's sites share them: `NAME[:ARGUMENT]` as on the command line."""
    feature_skew: FeatureSkewConfig | None = None
    """The scanners of these sites; all alike by default."""

    def share(self, selector: str) -> str:
        """The group's share of the classes that `selector` names, as it was written."""
        return self.rows.get(selector, self.rows.get(OTHERS, "0%"))


class PresetConfig(Section):
    """A partition with a story: groups of sites that together hold every row."""

    title: str = Field(min_length=1, max_length=120)
    story: str = Field(min_length=1, max_length=2000)
    """What the sites are and why their data differ, as it is told to whoever chooses the preset."""
    groups: list[SiteGroupConfig] = Field(min_length=1)
    """The sites are numbered in this order."""

    @property
    def selectors(self) -> list[str]:
        """Every choice of classes that a group names, in order, `others` last."""
        named = dict.fromkeys(selector for group in self.groups for selector in group.rows if selector != OTHERS)
        return [*named, OTHERS]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [group.name for group in self.groups]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"groups: the name {twice[0]!r} is used twice; give each group its own")
        return self

    @model_validator(mode="after")
    def _sites_add_up(self) -> Self:
        sites = [group.sites for group in self.groups]
        parts = [part for part in map(percentage, sites) if part is not None]
        rests = sites.count(REST)
        if rests > 1:
            raise ValueError(f"groups: {rests} of them take the rest of the sites; only one can")
        if rests and sum(parts) > 1 - _TOLERANCE:
            raise ValueError(f"groups: their sites add up to {_in_percent(sum(parts))}, which leaves no rest")
        if not rests and (len(parts) < len(sites) or abs(sum(parts) - 1) > _TOLERANCE):
            counted = sum(each for each in sites if isinstance(each, int))
            given = [_in_percent(sum(parts))] * bool(parts) + [f"{counted} sites"] * bool(counted)
            raise ValueError(
                f"groups: their sites add up to {' and '.join(given)}, which is not all of any number of sites; "
                "give one group sites: rest"
            )
        return self

    @model_validator(mode="after")
    def _rows_add_up(self) -> Self:
        for selector in self.selectors:
            shares = [group.share(selector) for group in self.groups]
            whole = sum(percentage(share) or 0.0 for share in shares)
            rests, fair = shares.count(REST), shares.count(FAIR)
            what = f"groups: their rows of {'all' if self.selectors == [OTHERS] else repr(selector)}"
            if rests > 1:
                raise ValueError(f"{what}: {rests} groups take the rest; only one can")
            if whole > 1 + _TOLERANCE or (fair and whole > 1 - _TOLERANCE):
                over = "" if whole > 1 + _TOLERANCE else " and leave nothing for a fair share"
                raise ValueError(f"{what} add up to {_in_percent(whole)}{over}; lower a share")
            if rests or (fair and fair == len(shares)):
                continue
            if fair:
                raise ValueError(f"{what} mix fair with percentages; give one group the rest")
            if whole < 1 - _TOLERANCE:
                raise ValueError(f"{what} add up to {_in_percent(whole)}, not 100%; give one group the rest")
        return self


def _in_percent(fraction: float) -> str:
    return f"{round(fraction * 100, 6):g}%"
