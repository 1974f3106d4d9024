"""Certificates and keys, judged by what uses them: Python's TLS with OpenSSL's strict checks, and Flower's loaders."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import stat
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from fedforge_runtime.clock import utc_now
from fedforge_runtime.engines.superlink import certificates as module
from fedforge_runtime.engines.superlink.certificates import (
    CertificateFolder,
    load_node_key,
    make_certificates,
    open_certificates,
    subject_names,
)
from fedforge_runtime.errors import ConfigError, StorageError
from tests.support.patience import PATIENCE_SECONDS

LABELS = st.from_regex(r"\A[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?\Z")
DNS_NAMES = st.lists(LABELS, min_size=1, max_size=4).filter(lambda labels: not labels[-1].isdigit()).map(".".join)
ADDRESSES = st.ip_addresses().filter(lambda address: not address.is_unspecified).map(str)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CertificateFolder:
    folder = tmp_path_factory.mktemp("certificates") / "federation"
    return make_certificates(folder, hosts=["link.hospital.example", "10.1.2.3", "[fd00::7]"], nodes=2)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> CertificateFolder:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "other", hosts=[], nodes=1)


@pytest.fixture
def copied(made: CertificateFolder, tmp_path: Path) -> CertificateFolder:
    """`made`, to be damaged."""
    (tmp_path / "nodes").mkdir()
    for file in made.path.rglob("*.*"):
        copy = tmp_path / file.relative_to(made.path)
        copy.write_bytes(file.read_bytes())
        copy.chmod(file.stat().st_mode)
    return CertificateFolder(tmp_path)


def server_context(certificates: CertificateFolder) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_certificate, certificates.server_key)
    return context


def client_context(certificates: CertificateFolder) -> ssl.SSLContext:
    """Of a client that trusts this authority alone, and is as strict as Python is from 3.13 on."""
    context = ssl.create_default_context(cafile=certificates.ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture
def server_port(made: CertificateFolder) -> Iterator[int]:
    """A TLS server on the loopback interface that says `hello` to whoever accepts its certificate."""
    context = server_context(made)

    def serve(listener: socket.socket) -> None:
        with (
            suppress(OSError),  # the client's refusal is the client's matter
            listener.accept()[0] as connection,
            context.wrap_socket(connection, server_side=True) as secured,
        ):
            secured.sendall(b"hello")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def greeting(port: int, context: ssl.SSLContext, name: str) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=name) as secured,
    ):
        return secured.recv(5)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """A handshake in memory; raises what the client would raise."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(to_client, to_server, server_hostname=name)
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        with suppress(ssl.SSLWantReadError):
            client_side.do_handshake()
            return
        with suppress(ssl.SSLWantReadError):
            server_side.do_handshake()
    raise AssertionError("the handshake did not end")


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost", "link.hospital.example", "10.1.2.3", "fd00::7"])
def test_a_client_with_the_authority_accepts_every_name_of_the_server(
    made: CertificateFolder, server_port: int, name: str
) -> None:
    assert greeting(server_port, client_context(made), name) == b"hello"


def test_a_client_with_another_authority_refuses_the_server(other: CertificateFolder, server_port: int) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
        greeting(server_port, client_context(other), "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "reason"), [("other.hospital.example", "Hostname mismatch"), ("10.1.2.4", "IP address mismatch")]
)
def test_a_client_refuses_a_name_that_the_certificate_does_not_have(
    made: CertificateFolder, server_port: int, name: str, reason: str
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        greeting(server_port, client_context(made), name)


def test_a_client_refuses_an_expired_certificate(tmp_path: Path) -> None:
    old = make_certificates(tmp_path / "old", hosts=[], nodes=0, days=365, now=utc_now() - timedelta(days=400))

    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        handshake(server_context(old), client_context(old), "localhost")


def test_the_servers_key_signs_no_further_certificates(made: CertificateFolder) -> None:
    ca, server = (x509.load_pem_x509_certificate(file.read_bytes()) for file in (made.ca, made.server_certificate))

    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    assert server.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(False, None)
    assert not server.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert {key.curve.name for key in map(public_key_of, (ca, server))} == {"secp384r1"}


def public_key_of(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


@settings(max_examples=25, deadline=None)
@given(st.lists(DNS_NAMES | ADDRESSES, max_size=5), DNS_NAMES | ADDRESSES)
def test_whatever_the_hosts_these_and_no_others_are_accepted(
    tmp_path_factory: pytest.TempPathFactory, hosts: Sequence[str], stranger: str
) -> None:
    certificates = make_certificates(tmp_path_factory.mktemp("hosts") / "made", hosts=hosts, nodes=0)
    server, client = server_context(certificates), client_context(certificates)

    for host in (*hosts, "localhost", "127.0.0.1", "::1"):
        handshake(server, client, host)
    if stranger not in {*hosts, "localhost", "127.0.0.1", "::1"}:
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(server, client, stranger)


@given(st.lists(DNS_NAMES | ADDRESSES))
def test_each_host_is_named_once_as_what_it_is(hosts: Sequence[str]) -> None:
    names = subject_names([*hosts, *map(str.upper, hosts)])

    addresses = {name.value for name in names if isinstance(name, x509.IPAddress)}
    domains = {name.value for name in names if isinstance(name, x509.DNSName)}
    assert len(names) == len(addresses) + len(domains)
    assert addresses | domains == {as_address(host) or host for host in (*hosts, "localhost", "127.0.0.1", "::1")}


def as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with suppress(ValueError):
        return ipaddress.ip_address(host)
    return None


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "link.example:9092",
        "https://link.example",
        "link..example",
        "link.example.",
        "-link.example",
        "link-.example",
        "*.example",
        "münchen.example",
        "300.1.1.1",
        "10.0.0",
        "[10.0.0.1]",
        "[::1]:9092",
        "fe80::1%eth0",
        "a" * 64,
        ".".join(["a" * 50] * 6),
        "link.example\n",
        "0.0.0.0",
        "::",
        "[::]",
    ],
)
def test_a_host_that_nobody_can_connect_to_is_refused_by_name(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make_certificates(tmp_path / "made", hosts=["link.example", host], nodes=1)

    assert repr(host) in raised.value.message
    assert raised.value.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("nodes", "days", "named"), [(-1, 365, "-1"), (1, 0, "0"), (1, -3, "-3"), (1, 10**9, "10000")])
def test_a_number_out_of_range_is_refused_by_name(tmp_path: Path, nodes: int, days: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make_certificates(tmp_path / "made", hosts=[], nodes=nodes, days=days)

    assert list(tmp_path.iterdir()) == []


def test_private_keys_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        certificates = make_certificates(tmp_path / "deep" / "made", hosts=[], nodes=2)
    finally:
        os.umask(before)

    modes = {
        str(path.relative_to(certificates.path)): stat.S_IMODE(path.stat().st_mode)
        for path in (certificates.path, *certificates.path.rglob("*"))
    }
    assert modes == {
        ".": 0o700,
        "ca.pem": 0o644,
        "ca.key": 0o600,
        "server.pem": 0o644,
        "server.key": 0o600,
        "sites.json": 0o644,
        "nodes": 0o700,
        "nodes/site-0.key": 0o600,
        "nodes/site-0.pub": 0o644,
        "nodes/site-1.key": 0o600,
        "nodes/site-1.pub": 0o644,
    }


def test_flowers_own_loaders_accept_the_nodes_keys(made: CertificateFolder) -> None:
    from argparse import Namespace

    from flwr.cli.supernode.register import try_load_public_key
    from flwr.supercore.primitives.asymmetric import bytes_to_public_key, public_key_to_bytes, uses_nist_ec_curve
    from flwr.supernode.cli.flower_supernode import _try_setup_client_authentication

    keys = []
    for each in made.sites:
        site = each.site
        options = Namespace(auth_supernode_private_key=str(made.node_key(site)), auth_supernode_public_key=None)
        by_flower = _try_setup_client_authentication(options)
        private, public = load_node_key(made.node_key(site))
        assert by_flower is not None
        assert by_flower[0].private_numbers() == private.private_numbers()
        assert by_flower[1] == public == private.public_key()
        assert uses_nist_ec_curve(public)
        assert each.public_key_pem == public_key_to_bytes(public)
        assert each.public_key_pem == try_load_public_key(made.node_public_key(site))
        assert bytes_to_public_key(each.public_key_pem) == public
        keys.append(private.private_numbers().private_value)

    assert len(set(keys)) == 2


def test_without_a_file_of_sites_they_are_those_with_a_public_key_in_order(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "made", hosts=[], nodes=12)
    written = certificates.sites
    certificates.sites_file.unlink()
    certificates.node_key(3).unlink()  # carried to its site
    (tmp_path / "made" / "nodes" / "site-x.pub").write_text("")

    assert certificates.nodes == tuple(range(12))
    assert certificates.sites == written
    assert CertificateFolder(tmp_path / "absent").nodes == ()


def test_a_folder_in_use_is_left_as_it_was(tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "server.key").write_text("precious")
    file = tmp_path / "file"
    file.write_text("precious")

    for place in (used, file):
        with pytest.raises(StorageError, match="is not an empty folder"):
            make_certificates(place, hosts=[], nodes=1)

    assert [path.name for path in used.iterdir()] == ["server.key"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "used"]


def test_an_empty_folder_is_filled_and_closed_to_others(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o755)

    open_certificates(make_certificates(empty, hosts=[], nodes=1).path)

    assert stat.S_IMODE(empty.stat().st_mode) == 0o700


def test_an_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(temporary: Path, final: Path, *, private: bool) -> None:
        assert (temporary / "nodes" / "site-0.key").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "publish_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_certificates(tmp_path / "made", hosts=[], nodes=1)

    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="cannot write the certificates to"):
        make_certificates(tmp_path / "file" / "made", hosts=[], nodes=1)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("days", [1, 30, 365])
def test_the_days_left_are_counted(tmp_path: Path, days: int) -> None:
    certificates = make_certificates(tmp_path / "made", hosts=[], nodes=0, days=days)

    assert open_certificates(certificates.path).days_left == days


@pytest.mark.parametrize(("age", "days_left"), [(timedelta(days=364.5), 1), (timedelta(days=360), 5)])
def test_certificates_that_expire_soon_can_be_used(tmp_path: Path, age: timedelta, days_left: int) -> None:
    certificates = make_certificates(tmp_path / "made", hosts=[], nodes=0, now=utc_now() - age)

    assert open_certificates(certificates.path).days_left == days_left


@pytest.mark.parametrize("age", [timedelta(days=365, seconds=2), timedelta(days=400)])
def test_expired_certificates_are_refused(tmp_path: Path, age: timedelta) -> None:
    certificates = make_certificates(tmp_path / "made", hosts=[], nodes=0, now=utc_now() - age)

    with pytest.raises(ConfigError, match=r"expired on \d{4}-\d\d-\d\d .*fedforge federation certs"):
        open_certificates(certificates.path)


def test_a_folder_opens_without_the_keys_that_were_carried_away(copied: CertificateFolder) -> None:
    for file in (copied.ca_key, copied.node_key(0), copied.node_key(1)):
        file.unlink()

    assert open_certificates(copied.path) == copied
    assert copied.nodes == (0, 1)


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
def test_a_missing_file_is_named(copied: CertificateFolder, name: str) -> None:
    (copied.path / name).unlink()

    with pytest.raises(ConfigError, match=f"cannot read .*{name}: No such file"):
        open_certificates(copied.path)


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
def test_a_broken_file_is_named(copied: CertificateFolder, name: str) -> None:
    (copied.path / name).write_text("-----BEGIN NOTHING-----\n")

    with pytest.raises(ConfigError, match=f"{name} holds no"):
        open_certificates(copied.path)


@pytest.mark.parametrize("name", ["ca.key", "server.key", "nodes/site-1.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_private_key_that_others_can_use_is_refused_with_the_remedy(
    copied: CertificateFolder, name: str, mode: int
) -> None:
    file = copied.path / name
    file.chmod(mode)

    with pytest.raises(ConfigError) as raised:
        open_certificates(copied.path)

    assert str(file) in raised.value.message
    assert raised.value.remedy == f"Run: chmod 600 {file}"
    file.chmod(0o600)
    assert open_certificates(copied.path) == copied


def test_a_key_of_another_certificate_is_refused(copied: CertificateFolder, other: CertificateFolder) -> None:
    copied.server_key.write_bytes(other.server_key.read_bytes())

    with pytest.raises(ConfigError, match=r"server\.key is not the key of .*server\.pem"):
        open_certificates(copied.path)


def private_file(folder: Path, content: bytes) -> Path:
    file = folder / "node.key"
    file.write_bytes(content)
    file.chmod(0o600)
    return file


def in_openssh_format(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def as_if_encrypted(key: bytes) -> bytes:
    """An OpenSSH key whose head says that it has a passphrase."""
    first, *lines, last = key.strip().splitlines()
    plain = b"".join(len(part).to_bytes(4, "big") + part for part in (b"none", b"none", b""))
    salt = b"\0\0\0\x10" + b"s" * 16 + b"\0\0\0\x10"
    encrypted = b"".join(len(part).to_bytes(4, "big") + part for part in (b"aes256-ctr", b"bcrypt", salt))
    content = b64decode(b"".join(lines))
    assert plain in content
    return b"\n".join([first, b64encode(content.replace(plain, encrypted)), last, b""])


def test_a_private_key_of_another_kind_is_refused(made: CertificateFolder, tmp_path: Path) -> None:
    contents = {
        "Ed25519": in_openssh_format(ed25519.Ed25519PrivateKey.generate()),
        "passphrase": as_if_encrypted(made.node_key(0).read_bytes()),
        "PKCS8": made.server_key.read_bytes(),
        "public": made.node_public_key(0).read_bytes(),
        "empty": b"",
        "truncated": made.node_key(0).read_bytes()[:200],
    }
    for kind, content in contents.items():
        file = private_file(tmp_path, content)
        with pytest.raises(ConfigError) as raised:
            load_node_key(file)
        assert str(file) in raised.value.message, kind
        assert "OpenSSH" in raised.value.remedy, kind


def test_a_private_key_that_others_can_read_or_that_is_absent_is_refused(copied: CertificateFolder) -> None:
    copied.node_key(0).chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"):
        load_node_key(copied.node_key(0))
    with pytest.raises(ConfigError, match=r"site-7\.key: No such file"):
        load_node_key(copied.node_key(7))


def test_a_public_key_of_another_kind_is_refused(made: CertificateFolder, tmp_path: Path) -> None:
    other_kind = ed25519.Ed25519PrivateKey.generate().public_key()
    contents = {
        "Ed25519": other_kind.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        "private": made.node_key(0).read_bytes(),
        "PEM": made.sites[0].public_key_pem,
        "certificate": made.ca.read_bytes(),
        "empty": b"",
        "binary": bytes(range(256)),
    }
    folder = CertificateFolder(tmp_path / "own")
    file = folder.node_public_key(0)
    file.parent.mkdir(parents=True)
    for kind, content in contents.items():
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="is not a node's public key") as raised:
            _ = folder.sites
        assert str(file) in raised.value.message, kind
