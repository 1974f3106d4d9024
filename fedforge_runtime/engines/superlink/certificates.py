"""What a federation over a network is trusted by: an authority of its own, the SuperLink's certificate, nodes' keys.

`ca.pem` goes to every site and `nodes/site-N.key` to site N; everything else stays with the SuperLink, where the
`.pub` files are registered. `ca.key` has done its work once the folder is made and can be kept elsewhere.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedforge_runtime.clock import utc_now
from fedforge_runtime.engines.superlink.site_keys import (
    SITES_FILE,
    SiteKey,
    load_public_key,
    make_sites,
    read_sites,
)
from fedforge_runtime.errors import ConfigError, StorageError, cause_in_words
from fedforge_runtime.storage.artifacts import publish_folder, require_unused_folder, write_atomically

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_CLOCK_SKEW = timedelta(days=1)
"""Certificates hold from so long before they were made: the clock of a site may be behind."""
_LONGEST_DAYS = 36_500
_MAKE = "Make a new folder with: fedforge federation certs"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")
NodeKeys = tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey]
_NODE_PUBLIC_KEY = re.compile(r"site-(0|[1-9][0-9]*)\.pub")


@dataclass(frozen=True)
class CertificateFolder:
    """The files of one federation's certificates and keys."""

    path: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate: what a node trusts a SuperLink by."""
        return self.path / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """Needed by nobody who runs a federation."""
        return self.path / "ca.key"

    @property
    def server_certificate(self) -> Path:
        return self.path / "server.pem"

    @property
    def server_key(self) -> Path:
        return self.path / "server.key"

    def node_key(self, site: int) -> Path:
        """A site's private key, which only that site's node needs."""
        return self.path / "nodes" / f"site-{site}.key"

    def node_public_key(self, site: int) -> Path:
        """A site's public key, which the SuperLink's operator registers."""
        return self.path / "nodes" / f"site-{site}.pub"

    @property
    def sites_file(self) -> Path:
        """Which key is which site's."""
        return self.path / SITES_FILE

    @property
    def sites(self) -> tuple[SiteKey, ...]:
        """Number, name and public key of each site, ascending; the private key may have moved to its site.

        They are those of `sites.json`, or, in a folder without one, of the files `nodes/site-N.pub`.

        Raises:
            ConfigError: the file is wrong, or two sites have the same key.
        """
        if self.sites_file.exists():
            return read_sites(self.sites_file)
        keys = {site: _public_key_line(self.node_public_key(site)) for site in self._sites_of_files()}
        return make_sites(keys, []).sites

    @property
    def nodes(self) -> tuple[int, ...]:
        """The numbers of the sites, ascending."""
        return tuple(each.site for each in self.sites)

    def _sites_of_files(self) -> list[int]:
        matches = (_NODE_PUBLIC_KEY.fullmatch(file.name) for file in (self.path / "nodes").glob("*.pub"))
        return sorted(int(match[1]) for match in matches if match)

    @property
    def valid_until(self) -> datetime:
        """When the first of the certificates expires.

        Raises:
            ConfigError: a certificate is missing or broken.
        """
        return min(_read_certificate(file).not_valid_after_utc for file in (self.ca, self.server_certificate))

    @property
    def days_left(self) -> int:
        """Days until the first certificate expires, the begun one included; 0 or less once it has."""
        return math.ceil((self.valid_until - utc_now()) / timedelta(days=1))


def make_certificates(
    folder: Path,
    *,
    hosts: Sequence[str],
    nodes: int,
    names: Sequence[str] = (),
    days: int = 365,
    now: datetime | None = None,
) -> CertificateFolder:
    """Make an authority, the SuperLink's certificate and the nodes' keys; the folder appears only when it is whole.

    Files: `ca.pem`, `ca.key`, `server.pem`, `server.key`, `sites.json`, and `nodes/site-N.key` and `nodes/site-N.pub`
    for each site.
    All keys are on the curve P-384. Private ones have mode 0600, no passphrase, and the folder has mode 0700.

    Args:
        hosts: DNS names and IP addresses by which nodes reach the SuperLink, beside those of the machine itself.
        nodes: how many sites get a key.
        names: of the sites in the order of their numbers; by default `site-0`, `site-1`, …
        days: how long the certificates are valid.
        now: when that time begins, by default at this moment.

    Raises:
        ConfigError: a host that is neither a DNS name nor an address, or a number out of range.
        StorageError: the folder is not empty, or cannot be written.
    """
    if nodes < 0:
        raise ConfigError(f"{nodes} is not a number of nodes.", remedy="Give 0 or more.")
    if len(names) > nodes:
        raise ConfigError(f"there are {len(names)} names for {nodes} sites.", remedy="Raise --nodes, or give fewer.")
    if not 1 <= days <= _LONGEST_DAYS:
        raise ConfigError(f"certificates cannot be valid for {days} days.", remedy=f"Give 1 to {_LONGEST_DAYS}.")
    subjects = subject_names(hosts)
    require_unused_folder(folder, remedy="Choose another folder: keys are never overwritten.")
    keys = _node_key_files(nodes)
    public = {site: keys[f"nodes/site-{site}.pub"].decode().strip() for site in range(nodes)}
    files = {
        **_certificate_files(subjects, days, now or utc_now()),
        **keys,
        SITES_FILE: make_sites(public, names).to_bytes(),
    }
    _write_folder(folder, files)
    return CertificateFolder(folder)


def open_certificates(folder: Path) -> CertificateFolder:
    """The certificates in `folder`, once it is sure that a SuperLink can use them.

    Private keys that have been moved elsewhere are not missed, apart from the server's own.

    Raises:
        ConfigError: a file is missing or broken, a private key can be read by others, the server's key and
            certificate do not belong together, two sites have the same key, or a certificate has expired.
    """
    certificates = CertificateFolder(folder)
    server = _read_certificate(certificates.server_certificate)
    _ = certificates.sites
    try:
        key = serialization.load_pem_private_key(_read(certificates.server_key), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{certificates.server_key} holds no usable private key", cause=error, remedy=_MAKE
        ) from error
    if key.public_key() != server.public_key():
        raise ConfigError(
            f"{certificates.server_key} is not the key of {certificates.server_certificate}.", remedy=_MAKE
        )
    for file in (certificates.ca_key, certificates.server_key, *sorted((folder / "nodes").glob("*.key"))):
        if file.exists():
            _require_private(file)
    if certificates.days_left <= 0:
        end = certificates.valid_until.isoformat(sep=" ", timespec="minutes")
        raise ConfigError(f"the certificates in {folder} expired on {end}.", remedy=_MAKE)
    return certificates


def require_names(certificates: CertificateFolder, hosts: Sequence[str]) -> None:
    """Raise `ConfigError` where the SuperLink's certificate is not valid for one of these names and addresses."""
    certificate = _read_certificate(certificates.server_certificate)
    named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    missing = [host for host in hosts if _general_name(host) not in named]
    if missing:
        raise ConfigError(f"{certificates.server_certificate} is not for {', '.join(missing)}.", remedy=_MAKE)


def load_node_key(file: Path) -> NodeKeys:
    """A node's private key and the public one that belongs to it, as Flower's `authentication_keys` wants them.

    Raises:
        ConfigError: the file is missing, can be read by others, or is no elliptic-curve key in OpenSSH's format
            without a passphrase.
    """
    content = _read(file)
    _require_private(file)
    try:
        key = serialization.load_ssh_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _wrong_key(file, cause_in_words(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _wrong_key(file, "it is a key of another kind")
    return key, key.public_key()


def node_identity(registered: Path | None, own: Path) -> NodeKeys:
    """Private and public key: of the file `registered`, else of `own`, which is made when absent.

    Raises:
        ConfigError: the file holds no such key, or others may read it.
    """
    if registered is None and not own.exists():
        key = ec.generate_private_key(ec.SECP384R1())
        write_atomically(own, _private_bytes(key, serialization.PrivateFormat.OpenSSH), private=True)
    return load_node_key(registered or own)


def _public_key_line(file: Path) -> str:
    """A node's public key (`.pub`), one line in OpenSSH's format.

    Raises:
        ConfigError: the file is missing or is no elliptic-curve public key in that format.
    """
    text = _read(file).decode(errors="replace").strip()
    try:
        load_public_key(text)
    except ValueError as error:
        raise ConfigError(
            f"{file} is not a node's public key.",
            remedy="Give an elliptic-curve key in OpenSSH's format, such as nodes/site-N.pub of the folder that "
            "`fedforge federation certs` made.",
        ) from error
    return text


def subject_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """The names that a server certificate is valid for: the machine's own and `hosts`, each once.

    Raises:
        ConfigError: one of `hosts` is neither a DNS name nor an address that a node could connect to.
    """
    return list(dict.fromkeys(_general_name(host) for host in (*_LOCAL_HOSTS, *hosts)))


def _general_name(host: str) -> x509.GeneralName:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    with suppress(ValueError):
        address = ipaddress.IPv6Address(bare) if bare != host else ipaddress.ip_address(host)
        if address.is_unspecified:
            raise ConfigError(
                f"{host!r} is where a server listens, not where a node reaches it.",
                remedy="Give the DNS name or address that the nodes connect to.",
            )
        if "%" not in host:
            return x509.IPAddress(address)
    if not _DNS_NAME.fullmatch(host):
        raise ConfigError(
            f"{host!r} is neither a DNS name nor an IP address.",
            remedy="Give names and addresses without port or scheme, international names in their xn-- form.",
        )
    return x509.DNSName(host.lower())


def _certificate_files(names: Sequence[x509.GeneralName], days: int, now: datetime) -> dict[str, bytes]:
    start, end = now - _CLOCK_SKEW, now + timedelta(days=days)
    ca_key = ec.generate_private_key(ec.SECP384R1())
    server_key = ec.generate_private_key(ec.SECP384R1())
    ca_identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    # A name of its own, so that two authorities are never taken for each other.
    ca_name = _name(f"FedForge authority {ca_identifier.digest.hex()[:8]}")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(ca_key, hashes.SHA384())
    )
    server = (
        _builder(_name("FedForge SuperLink"), ca_name, server_key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), critical=False)
        .sign(ca_key, hashes.SHA384())
    )
    return {
        "ca.pem": ca.public_bytes(serialization.Encoding.PEM),
        "ca.key": _private_bytes(ca_key, serialization.PrivateFormat.PKCS8),
        "server.pem": server.public_bytes(serialization.Encoding.PEM),
        "server.key": _private_bytes(server_key, serialization.PrivateFormat.PKCS8),
    }


def _node_key_files(nodes: int) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for site in range(nodes):
        key = ec.generate_private_key(ec.SECP384R1())
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        files[f"nodes/site-{site}.key"] = _private_bytes(key, serialization.PrivateFormat.OpenSSH)
        files[f"nodes/site-{site}.pub"] = public + f" site-{site}\n".encode()
    return files


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_bytes(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir(mode=0o700)
        (temporary / "nodes").mkdir(mode=0o700)
        for name, content in files.items():
            mode = 0o600 if name.endswith(".key") else 0o644
            descriptor = os.open(temporary / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
        publish_folder(temporary, folder, private=True)
    except OSError as error:
        raise StorageError(
            f"cannot write the certificates to {folder}: {error.strerror or error}.",
            remedy="Choose another folder, on a disk that can be written.",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {file}: {error.strerror or error}.",
            remedy="Give the folder that `fedforge federation certs` made, or the file of it that is asked for.",
        ) from error


def _read_certificate(file: Path) -> x509.Certificate:
    content = _read(file)
    try:
        return x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise ConfigError(f"{file} holds no certificate in PEM format.", remedy=_MAKE) from error


def _require_private(file: Path) -> None:
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigError(
            f"the private key {file} can be used by others (mode {mode:04o}).", remedy=f"Run: chmod 600 {file}"
        )


def _wrong_key(file: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{file} is not a node's private key: {reason}.",
        remedy="Give an elliptic-curve key in OpenSSH's format without a passphrase, such as "
        "nodes/site-N.key of the folder that `fedforge federation certs` made.",
    )
