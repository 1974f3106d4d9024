"""Where a SuperLink is and how it is trusted."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path

from fedforge_runtime.errors import ConfigError

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class LinkAddress:
    """`HOST:PORT` of a SuperLink.

    Args:
        root_certificates: PEM file of the authority that signed its certificate; `None` talks in plain text.
    """

    host: str
    port: int
    root_certificates: Path | None = None

    @classmethod
    def parse(cls, text: str, root_certificates: Path | None = None) -> LinkAddress:
        """Of `HOST:PORT`, where an IPv6 host stands in brackets.

        Raises:
            ConfigError: another form, a port that is none, or a file of certificates that cannot be read.
        """
        match = _ADDRESS.fullmatch(text.strip())
        if not match or not 0 < int(match["port"]) < 65536:
            raise ConfigError(
                f"{text!r} is not the address of a SuperLink.", remedy="Write HOST:PORT, without http://."
            )
        if root_certificates:
            try:
                root_certificates.read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"cannot read the root certificates {root_certificates}: {error.strerror}.",
                    remedy="Give ca.pem of the folder that `fedforge federation certs` made.",
                ) from error
        return cls(match["host"], int(match["port"]), root_certificates)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def insecure(self) -> bool:
        return self.root_certificates is None

    @property
    def url(self) -> str:
        return f"{'http' if self.insecure else 'https'}://{self}"

    def root_certificate_bytes(self) -> bytes | None:
        return self.root_certificates.read_bytes() if self.root_certificates else None


def host_of_address(host: str) -> str:
    """A name or number of a machine as it stands in an address: an IPv6 number in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def own_host(host: str) -> str:
    """How this machine reaches what listens at `host`, which may stand for all of its addresses."""
    return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104


def usable_port(host: str, port: int) -> int:
    """A port that one can listen on at `host`: this one, or for 0 one that is free.

    Raises:
        OSError: somebody listens there already, or the host is not this machine's.
    """
    if port == 0:
        return free_port()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host.strip("[]"), port))
    return port


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
