"""Everything secret that a federation in containers needs, made once and handed out: to each part what it needs alone.

Below one folder there is a folder for each part, so that each can be a volume of its own: `authority`, which nobody
but this reads, `superlink`, `monitor`, `run`, and `site-0`, `site-1`, … Files are copied there from `authority`; what
is there already, and right, stays as it is, so that it can be run at each start.
"""

from __future__ import annotations

import secrets
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedforge_runtime.engines.superlink.certificates import (
    CertificateFolder,
    make_certificates,
    open_certificates,
    require_names,
)
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.errors.system import explain
from fedforge_runtime.storage.artifacts import write_atomically

AUTHORITY = "authority"
SUPERLINK = "superlink"
MONITOR = "monitor"
RUN = "run"
CA = "ca.pem"
SITE_KEY = "site.key"
OPERATOR_TOKEN = "operator-token"  # noqa: S105
INGEST_TOKEN = "ingest-token"  # noqa: S105

_CERTIFICATES = "certificates"
_TOKEN_BYTES = 24
_RENEW = "Make them anew with --renew, then start everything again: sites are given new keys."


@dataclass(frozen=True)
class Provisioned:
    """What a provisioned folder holds.

    Args:
        made: the certificates and keys were made now, and not before.
        written: the files that were handed out now, relative to the folder.
    """

    folder: Path
    certificates: CertificateFolder
    made: bool
    written: tuple[str, ...]


def provision(
    folder: Path,
    *,
    hosts: Sequence[str],
    nodes: int,
    names: Sequence[str] = (),
    days: int = 365,
    renew: bool = False,
) -> Provisioned:
    """Make what is missing, and hand it out.

    Args:
        hosts, nodes, names, days: as `make_certificates`.
        renew: make certificates and keys anew; tokens stay.

    Raises:
        ConfigError: those that are there are for another federation, or have expired.
        StorageError: a folder cannot be written.
    """
    authority = folder / AUTHORITY
    path = authority / _CERTIFICATES
    if renew:
        _remove(path)
    made = not path.exists()
    if made:
        make_certificates(path, hosts=hosts, nodes=nodes, names=names, days=days)
    certificates = _checked(path, hosts, nodes, names)
    token, ingest = (_token(authority / name) for name in (OPERATOR_TOKEN, INGEST_TOKEN))
    written = [
        name for name, content in _handed_out(certificates, token, ingest).items() if _put(folder / name, content)
    ]
    return Provisioned(folder, certificates, made, tuple(written))


def _checked(path: Path, hosts: Sequence[str], nodes: int, names: Sequence[str]) -> CertificateFolder:
    try:
        certificates = open_certificates(path)
        require_names(certificates, hosts)
    except ConfigError as error:
        error.remedy = _RENEW
        raise
    there, named = certificates.nodes, [site.name for site in certificates.sites]
    if len(there) != nodes:
        raise ConfigError(f"{path} has keys for {len(there)} sites, not for {nodes}.", remedy=_RENEW)
    if names and named[: len(names)] != list(names):
        raise ConfigError(f"the sites of {path} are named {', '.join(named)}.", remedy=_RENEW)
    return certificates


def _handed_out(certificates: CertificateFolder, token: bytes, ingest: bytes) -> Mapping[str, bytes]:
    """The content of every file by its name, relative to the folder."""
    ca = certificates.ca.read_bytes()
    link = (certificates.ca, certificates.server_certificate, certificates.server_key, certificates.sites_file)
    files = {f"{SUPERLINK}/{file.name}": file.read_bytes() for file in link}
    files |= {
        f"{SUPERLINK}/{INGEST_TOKEN}": ingest,
        f"{MONITOR}/{OPERATOR_TOKEN}": token,
        f"{MONITOR}/{INGEST_TOKEN}": ingest,
        f"{RUN}/{CA}": ca,
        f"{RUN}/{OPERATOR_TOKEN}": token,  # a run that is started at Dagster is asked for at the monitor
        f"{RUN}/{INGEST_TOKEN}": ingest,
    }
    for site in certificates.nodes:
        files |= {f"site-{site}/{CA}": ca, f"site-{site}/{SITE_KEY}": certificates.node_key(site).read_bytes()}
    return files


def _token(file: Path) -> bytes:
    """The token in a file, which is made where there is none."""
    with suppress(FileNotFoundError):
        if token := file.read_bytes():
            return token
    token = secrets.token_urlsafe(_TOKEN_BYTES).encode()
    _put(file, token)
    return token


def _put(file: Path, content: bytes) -> bool:
    """Have a file hold this, readable by its owner alone; whether it was not so already."""
    try:
        with suppress(FileNotFoundError):
            if file.read_bytes() == content:
                return False
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(file, content, private=True)
    except OSError as error:
        raise explain(error, file) from error
    return True


def _remove(folder: Path) -> None:
    """Have a folder gone as if at once: what is left of one that was removed in part is never taken for whole."""
    if not folder.exists():
        return
    old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
    try:
        folder.rename(old)
        shutil.rmtree(old)
    except OSError as error:
        raise explain(error, folder) from error
