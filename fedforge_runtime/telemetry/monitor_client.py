"""Where a monitor is and how it is spoken to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from fedforge_runtime.errors import ConfigError, FedForgeError

TOKEN = "FEDFORGE_MONITOR_TOKEN"  # noqa: S105
"""Environment variable with the token of a monitor that listens beyond its machine."""
ENDED = ("completed", "failed", "stopped")
"""States of a run, as the monitor names them, that only a new attempt leaves."""
_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 30.0


class MonitorAwayError(FedForgeError):
    """The monitor cannot be reached now, or cannot do its work; trying again makes sense."""


class MonitorRefusedError(FedForgeError):
    """The monitor has answered and does not do what was asked."""


@dataclass(frozen=True)
class MonitorAddress:
    """A monitor's URL, for example `http://127.0.0.1:8400`."""

    url: str

    @classmethod
    def parse(cls, text: str) -> MonitorAddress:
        """The address, or `ConfigError`."""
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ConfigError(
                f"{text!r} is not the address of a monitor.", remedy="Write it like http://127.0.0.1:8400."
            )
        return cls(f"{parts.scheme}://{parts.netloc}")


class MonitorClient:
    """Speaks to a monitor; one thread uses it at a time."""

    def __init__(self, address: MonitorAddress) -> None:
        self.address = address
        token = os.environ.get(TOKEN)
        self._http = httpx.Client(
            base_url=address.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            trust_env=False,
        )

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The answer's JSON.

        Raises:
            MonitorAwayError, MonitorRefusedError: see there.
        """
        try:
            response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise MonitorAwayError(
                f"the monitor at {self.address.url} cannot be reached: {error or type(error).__name__}.",
                remedy="Start it with: fedforge monitor",
            ) from error
        if response.is_success:
            return response.json() if response.content else None
        text = _error_of(response)
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise MonitorAwayError(f"the monitor at {self.address.url} cannot do its work: {text}")
        raise MonitorRefusedError(text)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> MonitorClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _error_of(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        return f"HTTP {response.status_code}"
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, str) else f"HTTP {response.status_code}: {str(document)[:300]}"
