"""What claimants offer to carry out, for a minute at a time; what none of them takes is refused."""

from __future__ import annotations

import math
import re
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
_SITES, _CLIENTS, _SUPERLINK = "federation.sites", "partition.clients", "runtime.superlink"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NUMBER = re.compile(r"[0-9]{1,15}")
_FILES = (".yaml", ".yml")
_MOST_SHOWN = 20
"""Sites that a sentence names."""
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


Values = Annotated[dict[str, dict[str, OverrideValue]], Field(max_length=200)]
"""By phase, of dotted keys."""


class OfferDefaults(Shape):
    """What the claimant takes where a request says nothing."""

    values: Values = Field(default_factory=dict)
    """Of every key in the first profile."""
    by_profile: dict[str, Values] = Field(default_factory=dict, max_length=200)
    """Of each further profile the keys that differ from the first; one that is not here is not known."""
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
    """Of the SuperLink that its runs go over, all that a run can have; none where there is no such SuperLink, or it
    cannot be known which sites it has."""
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
        ("images", overrides.get(_DATA) if _is_name(overrides.get(_DATA)) else None, offer.data),
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
    return site_objection(offer, request)


def site_objection(offer: Offer, request: RunRequest) -> str | None:
    """Why a request needs sites that a claimant does not reach; `None` where it has them, or that cannot be known."""
    overrides, defaults = request.overrides, offer.defaults
    if overrides.get(_ENGINE) not in (None, defaults.engine) or overrides.get(_SUPERLINK) is not None:
        return None  # it does not go where the claimant's runs go
    asked = overrides.get(_SITES)
    named = _sites(defaults.sites if asked is None else asked)
    if defaults.superlink is None:
        name = next((site for site in named if isinstance(site, str)), None)
        return (
            None if name is None else f"federation.sites names {name[:80]}, and it has no SuperLink that knows names."
        )
    if not offer.sites:
        return None
    clients = _default(offer, request, _CLIENTS) if overrides.get(_CLIENTS) is None else overrides[_CLIENTS]
    shown = ", ".join(str(site)[:80] for site in named[:_MOST_SHOWN])
    wanted = f"federation.sites names {shown}" if named else f"partition.clients is {clients}"
    if not named and isinstance(clients, int):
        named = list(range(min(clients, len(offer.sites) + 1)))
    known = {each.site for each in offer.sites} | {each.name for each in offer.sites}
    if all(site in known for site in named):
        return None
    return f"{wanted}, but its SuperLink has {_sites_shown(offer.sites)}."


def _sites(value: OverrideValue | Sequence[int | str]) -> list[int | str]:
    """Numbers and names of sites, as a list or with commas between them."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    texts = [str(part).strip() for part in parts if isinstance(part, int | str) and not isinstance(part, bool)]
    return [int(text) if _NUMBER.fullmatch(text) else text for text in texts]


def _sites_shown(sites: Sequence[SiteOffer]) -> str:
    texts = [str(each.site) if each.name == f"site-{each.site}" else f"{each.name} ({each.site})" for each in sites]
    more = " …" if len(texts) > _MOST_SHOWN else ""
    return f"{len(texts)} sites: {', '.join(texts[:_MOST_SHOWN])}{more}"


def _default(offer: Offer, request: RunRequest, key: str) -> OverrideValue:
    """What a key is where a request leaves it out; `None` where the offer does not say."""
    differing = offer.defaults.by_profile.get(request.profile)
    if differing is None:
        if not offer.profiles or offer.profiles[0].name != request.profile:
            return None
        differing = {}
    return {**offer.defaults.values.get(request.phase, {}), **differing.get(request.phase, {})}.get(key)


def takes_up(offers: Sequence[OfferView], claimant: str, request: RunRequest) -> bool:
    """Whether a request is for a claimant to carry out.

    It is not where he holds no offer, where he does not reach its sites, or where his offer excludes it and another's
    does not. What is excluded by all is for whoever is there: its run fails, and says why.
    """
    own = next((view.offer for view in offers if view.claimant == claimant), None)
    if own is None or site_objection(own, request) is not None:
        return False
    return objection_of(own, request) is None or all(objection_of(view.offer, request) for view in offers)


def _beyond_a_page(offers: Sequence[OfferView], overrides: Mapping[str, OverrideValue]) -> str | None:
    """Why a page may not ask for that: it would name what only the claimants know."""
    named = {
        _DATA: [each.name for view in offers for each in view.offer.data],
        _BACKBONE: [each.name for view in offers for each in view.offer.backbones],
        _PARTITION: [each.name for view in offers for each in (*view.offer.partitions, *view.offer.presets)],
        _ENGINE: [each.name for view in offers for each in view.offer.engines],
    }
    for key, value in overrides.items():
        if key in named and not offers:
            if not _is_name(value):
                return (
                    f"{key} is chosen by a name that a claimant offers, and {_shown(value)} may be a file of his. No "
                    "claimant is there who says which names there are: start one by `fedforge agent`, or leave it out."
                )
        elif key in named:
            if value not in named[key]:
                known = ", ".join(sorted(set(named[key]))) or "nothing"
                return f"{key} is chosen by a name that a claimant offers, not {_shown(value)}. There is: {known}."
        elif key.startswith(_RUNTIME):
            return f"{key} is of whoever carries the run out. Choose an engine that he offers."
    return None


def _is_name(value: OverrideValue) -> bool:
    """Whether it is a name that may be offered: whoever carries a request out takes it for no file of his."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None and not value.endswith(_FILES)


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
