"""Which site has which number, name and public key.

`sites.json` says it; it lies with a federation's certificates. A SuperLink keeps a name for each key: the site's
number, and its own name where it has one, `site-2` or `site-2 berlin`. Keys that somebody registered by hand may have
any other name, or none: they are bound to no site.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, Field, ValidationError, model_validator

from fedforge_runtime.errors import ConfigError
from fedforge_runtime.federation.roster import Registration
from fedforge_runtime.wording import explain_problems

SITES_FILE = "sites.json"
_NAME = r"^[A-Za-z][A-Za-z0-9._-]{0,39}$"
TAKEN_BACK = "unregistered"
"""Flower's status of a key that is let in no more."""
_KEY_NAME = re.compile(r"site-(?P<site>0|[1-9][0-9]*)(?: (?P<name>\S+))?")
_DEFAULT_NAME = re.compile(r"site-(0|[1-9][0-9]*)", re.IGNORECASE)


def default_name(site: int) -> str:
    """The name of a site that nobody has given one."""
    return f"site-{site}"


class SiteKey(BaseModel, extra="forbid", frozen=True):
    """One site."""

    site: int = Field(ge=0)
    """Its number, which runs know it by."""
    name: Annotated[str, Field(pattern=_NAME)]
    public_key: str
    """An elliptic-curve key in OpenSSH's format, one line. Whoever holds its private half is this site."""

    @property
    def public_key_pem(self) -> bytes:
        """The key in PEM, as Flower's `RegisterNodeRequest.public_key` wants it."""
        return load_public_key(self.public_key).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @model_validator(mode="after")
    def _check(self) -> SiteKey:
        load_public_key(self.public_key)
        match = _DEFAULT_NAME.fullmatch(self.name)
        if match and int(match[1]) != self.site:
            raise ValueError(f"site {self.site} cannot be named {self.name}, which is another site's name")
        return self


class Sites(BaseModel, extra="forbid", frozen=True):
    """The whole file."""

    version: Literal[1] = 1
    sites: tuple[SiteKey, ...]
    """Ascending by number; numbers, names and keys are each given once."""

    @model_validator(mode="after")
    def _each_once(self) -> Sites:
        keys = [(each.public_key_pem, f"site {each.site}") for each in self.sites]
        for what, values in (
            ("the number", [(str(each.site), f"site {each.site}") for each in self.sites]),
            ("the name", [(each.name.lower(), f"site {each.site}") for each in self.sites]),
            ("the public key", [(key.decode(), who) for key, who in keys]),
        ):
            owner: dict[str, str] = {}
            for value, who in values:
                if value in owner:
                    shown = "" if what == "the public key" else f" {value}"
                    raise ValueError(f"{owner[value]} and {who} both have {what}{shown}")
                owner[value] = who
        return self

    def to_bytes(self) -> bytes:
        """As the file holds it."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def read_sites(file: Path) -> tuple[SiteKey, ...]:
    """The sites of a federation, ascending by number.

    Raises:
        ConfigError: the file cannot be read, or two sites share a number, a name or a key.
    """
    try:
        sites = Sites.model_validate_json(file.read_bytes()).sites
    except ValidationError as error:
        raise ConfigError(f"{file} is wrong: {explain_problems(error, Sites, root=SITES_FILE)}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror or error}.") from error
    return tuple(sorted(sites, key=lambda each: each.site))


def make_sites(public_keys: Mapping[int, str], names: Sequence[str]) -> Sites:
    """The content of the file.

    Args:
        public_keys: in OpenSSH's format, by site.
        names: of the sites in the order of their numbers; those beyond have none of their own.

    Raises:
        ConfigError: a name that no site can have, or something that two sites share.
    """
    named = dict(zip(sorted(public_keys), names, strict=False))
    sites = [
        {"site": site, "name": named.get(site, default_name(site)), "public_key": key}
        for site, key in sorted(public_keys.items())
    ]
    try:
        return Sites.model_validate({"sites": sites})
    except ValidationError as error:
        raise ConfigError(explain_problems(error, Sites, root=SITES_FILE)) from error


def load_public_key(text: str) -> ec.EllipticCurvePublicKey:
    """A public key in OpenSSH's format, or `ValueError`."""
    try:
        key = serialization.load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("public_key is no public key in OpenSSH's format") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("public_key is not an elliptic-curve key")
    return key


def key_name(site: SiteKey) -> str:
    """The name for the key of a site."""
    number = default_name(site.site)
    return number if site.name == number else f"{number} {site.name}"


def site_of(name: str) -> int | None:
    """The number of the site that a key of this name is bound to; `None` where it is bound to none."""
    match = _KEY_NAME.fullmatch(name)
    return int(match["site"]) if match else None


def own_name(name: str) -> str:
    """The site's own name, of the name for its key; any other name as it is."""
    match = _KEY_NAME.fullmatch(name)
    return match["name"] if match and match["name"] else name


def registrations(infos: Iterable[Any], *, secured: bool) -> dict[int, Registration]:
    """What a SuperLink says of its nodes' keys, by node id.

    Args:
        infos: Flower's `NodeInfo` of each.
        secured: it takes registered keys only. Where it does not, nodes come with keys of their own, and what it
            remembers of other times, when it did, binds nobody.
    """
    return {
        int(info.node_id): Registration(
            hashlib.sha256(info.public_key).hexdigest(), site_of(info.name) if secured else None
        )
        for info in _valid(infos)
    }


def site_numbers(infos: Iterable[Any]) -> dict[str, int]:
    """The numbers of the sites that keys are bound to, by the sites' names; `infos` as for `registrations`."""
    matches = filter(None, (_KEY_NAME.fullmatch(info.name) for info in _valid(infos)))
    return {match["name"] or default_name(int(match["site"])): int(match["site"]) for match in matches}


def _valid(infos: Iterable[Any]) -> Iterable[Any]:
    return [info for info in infos if info.status != TAKEN_BACK]
