"""What claimants offer to carry out, for a minute at a time; what none of them takes is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from monitor.errors import MonitorError
from monitor.schema import NO_TRUTH, Identifier, Number, OverrideValue, Person, RunRequest
from monitor.shapes import Shape

LASTING = timedelta(seconds=60)
_MOST_OFFERS = 50
_LARGEST_BYTES = 256 * 1024

Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=2000)]

_PARTITION, _PARTITION_PARAMETERS, _PRESET = "partition.name", "partition.parameters.", "partition.preset."
_STRATEGY, _STRATEGY_PARAMETERS = "federation.strategy.name", "federation.strategy.parameters."
_ENGINE, _RUNTIME = "runtime.engine", "runtime."
_SITE_DATA, _OWN = "federation.site_data", "own"
_DATA, _BACKBONE = "dataset.source", "backbone.name"


class ParameterOffer(Shape):
    """A parameter of a partition or a strategy, and what it may be."""

    name: Identifier
    type: Literal["integer", "number", "integers"]
    description: Text = ""
    default: OverrideValue = None
    required: bool = False
    minimum: Number | None = None
    """The smallest value, or the smallest element of a list."""
    minimum_excluded: bool = False
    maximum: Number | None = None


class ChoiceOffer(Shape):
    """Something that is chosen by its name."""

    name: Name
    description: Text = ""
    parameters: list[ParameterOffer] = Field(default_factory=list, max_length=50)


class SiteOffer(Shape):
    """A site that the claimant reaches."""

    site: Annotated[int, Field(ge=0, le=2**31), NO_TRUTH]
    name: Identifier


class OfferDefaults(Shape):
    """What the claimant takes where a request says nothing."""

    values: dict[str, dict[str, OverrideValue]] = Field(default_factory=dict, max_length=200)
    """By phase, of every dotted key in the first profile."""
    engine: Identifier | None = None
    superlink: Annotated[str, Field(max_length=300)] | None = None
    """`HOST:PORT` of the SuperLink that its runs go over; `null` where each starts its own, or none."""
    sites: Annotated[list[int | Identifier], Field(max_length=10_000)] | None = None


Choices = Annotated[list[ChoiceOffer], Field(max_length=200)]


class Offer(Shape):
    """What a claimant carries out. Its files have names here, and no path is among them."""

    phases: Choices
    profiles: Choices
    engines: Choices
    partitions: Choices
    presets: Choices
    strategies: Choices
    backbones: Choices
    """Values of `backbone.name`."""
    data: Choices
    """Values of `dataset.source`."""
    overrides: Annotated[dict[str, dict[str, Any]], Field(max_length=500)]
    """By dotted key, the JSON schema of its value. Parameters stand beside what they belong to."""
    defaults: OfferDefaults = OfferDefaults()
    sites: list[SiteOffer] = Field(default_factory=list, max_length=10_000)
    checks: bool = False
    """Whether it answers what `POST /api/checks` asks."""


class OfferView(Shape):
    """An offer that holds now."""

    claimant: Person
    offered_at: AwareDatetime
    expires_at: AwareDatetime
    """Unless it is offered again."""
    offer: Offer


class OfferPage(Shape):
    """By name of the claimant."""

    offers: list[OfferView]


class OfferError(MonitorError):
    """It cannot be offered, or nobody offers to carry out what was asked for."""


class Offers:
    """Those that hold, by claimant: in memory, since who lives offers again before a minute is over."""

    def __init__(self) -> None:
        self._held: dict[str, OfferView] = {}

    def put(self, claimant: str, offer: Offer, now: datetime) -> OfferView:
        """Hold an offer from now on, in place of the claimant's former one.

        Raises:
            OfferError: it is too large, or too many hold theirs.
        """
        size = len(offer.model_dump_json())
        if size > _LARGEST_BYTES:
            raise OfferError(f"an offer of {size:,} bytes is too large.", remedy=f"Send {_LARGEST_BYTES:,} at most.")
        self._held = {view.claimant: view for view in self.living(now)}
        if claimant not in self._held and len(self._held) >= _MOST_OFFERS:
            raise OfferError(f"{_MOST_OFFERS} claimants hold offers already.", remedy="End some of them.")
        view = OfferView(claimant=claimant, offered_at=now, expires_at=now + LASTING, offer=offer)
        self._held[claimant] = view
        return view

    def withdraw(self, claimant: str) -> None:
        """End an offer, if it still holds."""
        self._held.pop(claimant, None)

    def living(self, now: datetime) -> list[OfferView]:
        """Those that hold; one from the future is of a clock that was set back, and does not."""
        held = [view for view in self._held.values() if view.offered_at <= now < view.expires_at]
        return sorted(held, key=lambda view: view.claimant)


def objection(offers: Sequence[OfferView], request: RunRequest, *, by_browser: bool) -> str | None:
    """Why a request cannot be taken; `None` where a claimant takes it, or where none is there and it waits.

    Args:
        offers: those that hold.
        by_browser: a page asks, which chooses by name what is the claimants': no path, no key of `runtime`.
    """
    if by_browser and (reason := _beyond_a_page(offers, request.overrides)):
        return reason
    reasons = [(view.claimant, reason) for view in offers if (reason := objection_of(view.offer, request))]
    if not offers or len(reasons) < len(offers):
        return None
    return (
        f"nobody who is there takes this request. {' '.join(f'{claimant}: {reason}' for claimant, reason in reasons)}"
    )


def objection_of(offer: Offer, request: RunRequest) -> str | None:
    """Why one offer excludes a request; `None` where it does not."""
    overrides = request.overrides
    presets = any(key.startswith(_PRESET) for key in overrides) or overrides.get(_SITE_DATA) == _OWN
    chosen = (
        ("phase", request.phase, offer.phases),
        ("profile", request.profile, offer.profiles),
        ("engine", overrides.get(_ENGINE), offer.engines),
        ("partition", None if presets else overrides.get(_PARTITION), [*offer.partitions, *offer.presets]),
        ("strategy", overrides.get(_STRATEGY), offer.strategies),
    )
    for noun, name, choices in chosen:
        if name is not None and name not in [each.name for each in choices]:
            return f"it has no {noun} {_shown(name)}; it has {', '.join(each.name for each in choices)}."
    for key, value in overrides.items():
        if key.startswith(_PARTITION_PARAMETERS):
            reason = _parameter_objection("partition", offer.partitions, overrides.get(_PARTITION), key, value)
        elif key.startswith(_STRATEGY_PARAMETERS):
            reason = _parameter_objection("strategy", offer.strategies, overrides.get(_STRATEGY), key, value)
        elif key not in offer.overrides and not key.startswith(_PRESET):
            reason = f"it knows no key {_shown(key)}."
        else:
            reason = None
        if reason:
            return reason
    return None


def _beyond_a_page(offers: Sequence[OfferView], overrides: Mapping[str, OverrideValue]) -> str | None:
    """Why a page may not ask for that: it would name what only the claimants know."""
    named = {
        _DATA: [each.name for view in offers for each in view.offer.data],
        _BACKBONE: [each.name for view in offers for each in view.offer.backbones],
        _PARTITION: [each.name for view in offers for each in (*view.offer.partitions, *view.offer.presets)],
        _ENGINE: [each.name for view in offers for each in view.offer.engines],
    }
    for key, value in overrides.items():
        if key in named:
            if value not in named[key]:
                known = ", ".join(sorted(set(named[key]))) or "nothing, since no claimant is there"
                return f"{key} is chosen by a name that a claimant offers, not {_shown(value)}. There is: {known}."
        elif key.startswith(_RUNTIME):
            return f"{key} is of whoever carries the run out. Choose an engine that he offers."
    return None


def _parameter_objection(
    noun: str, choices: Sequence[ChoiceOffer], name: OverrideValue, key: str, value: OverrideValue
) -> str | None:
    """Why a parameter does not fit what it belongs to; of one that the request does not name nothing is known here."""
    choice = next((each for each in choices if each.name == name), None)
    if choice is None:
        return None
    parameter = next((each for each in choice.parameters if each.name == key.rpartition(".")[2]), None)
    if parameter is None:
        known = ", ".join(each.name for each in choice.parameters) or "none"
        return f"its {noun} {name} has no parameter {_shown(key.rpartition('.')[2])}; it has {known}."
    if not _accepts(parameter, value):
        return f"its {noun} {name} takes for {parameter.name} {_expectation(parameter)}, not {_shown(value)}."
    return None


def _accepts(parameter: ParameterOffer, value: OverrideValue) -> bool:
    if parameter.type == "integers":
        return isinstance(value, list) and bool(value) and all(_within(parameter, each) for each in value)
    return _within(parameter, value)


def _within(parameter: ParameterOffer, value: OverrideValue) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    if parameter.type != "number" and not isinstance(value, int):
        return False
    least = -math.inf if parameter.minimum is None else parameter.minimum
    if value < least or (parameter.minimum_excluded and value == least):
        return False
    return parameter.maximum is None or value <= parameter.maximum


def _expectation(parameter: ParameterOffer) -> str:
    noun = {"integer": "a whole number", "number": "a number", "integers": "a list of whole numbers"}[parameter.type]
    least = "above" if parameter.minimum_excluded else "of at least"
    floor = "" if parameter.minimum is None else f" {least} {parameter.minimum:g}"
    return f"{noun}{floor}{'' if parameter.maximum is None else f', at most {parameter.maximum:g}'}"


def _shown(value: OverrideValue) -> str:
    return repr(value)[:80]
