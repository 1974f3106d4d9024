"""What the licence of a dataset allows, from the words in which a source states it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CREATIVE_COMMONS = re.compile(r"CC (BY(?:-NC)?(?:-SA|-ND)?) (\d\.\d)", re.IGNORECASE)


@dataclass(frozen=True)
class LicenceTerms:
    """The terms that data come under."""

    name: str
    """For example `CC BY-NC 4.0`."""
    hub_id: str
    """As model cards on the Hugging Face hub spell it, for example `cc-by-nc-4.0`."""
    non_commercial: bool
    assumed: bool
    """The data state none, and these are the terms of the official archive."""


def licence_terms(stated: str) -> LicenceTerms | None:
    """The Creative Commons terms that `stated` names; `None` where it names none, as for generated images.

    Args:
        stated: `DatasetFacts.licence`, for example `not stated (the official archive: CC BY-NC 4.0)`.
    """
    found = _CREATIVE_COMMONS.search(stated)
    if not found:
        return None
    kind, version = found[1].upper(), found[2]
    return LicenceTerms(
        name=f"CC {kind} {version}",
        hub_id=f"cc-{kind.lower()}-{version}",
        non_commercial="NC" in kind.split("-"),
        assumed=stated.startswith("not stated"),
    )


def licence_restriction(stated: str) -> str:
    """The sentence that must stand beside whatever was made from the data; empty where nothing is restricted."""
    terms = licence_terms(stated)
    if terms is None or not terms.non_commercial:
        return ""
    source = "the official archive of these images is" if terms.assumed else "the images are"
    return f"Non-commercial use only: {source} under {terms.name}, and what is made from them follows it."
