"""Where a monitor is and how it is spoken to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx
from pydantic import TypeAdapter

from fedforge_runtime.clock import monotonic, utc_now
from fedforge_runtime.errors import AskError, ConfigError, MonitorAwayError, MonitorRefusedError
from fedforge_runtime.processes.environment import secret
from fedforge_runtime.telemetry.trust import trust_of

TOKEN = "FEDFORGE_MONITOR_TOKEN"  # noqa: S105
"""Environment variable with the token of a monitor that listens beyond its machine."""
INGEST_TOKEN = "FEDFORGE_MONITOR_INGEST_TOKEN"  # noqa: S105
"""Environment variable with the token of those who emit and claim, where there is one; else `TOKEN` is theirs."""
ENDED = ("completed", "failed", "stopped")
"""States of a run, as the monitor names them, that only a new attempt leaves."""
LOST = "lost"
"""Nothing is heard of it: it may come back, or another attempt take its place."""
_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 30.0
_LARGEST_ANSWER = 64 * 1024 * 1024
_FOR_NOW = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS)
"""Refusals that are not those of the same request later."""

AnswerT = TypeVar("AnswerT")


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
    """Speaks to a monitor; one thread uses it at a time.

    Args:
        patience: seconds that an answer may take.
        emits: it delivers events or takes up what is asked for, for which the emitters' token is enough. Where only
            one of both tokens is set, that is used.
    """

    def __init__(self, address: MonitorAddress, *, patience: float = _ANSWER_SECONDS, emits: bool = False) -> None:
        self.address = address
        self._patience = patience
        names = (INGEST_TOKEN, TOKEN) if emits else (TOKEN, INGEST_TOKEN)
        self._token, token = next(((name, value) for name in names if (value := secret(name))), (TOKEN, ""))
        self._tokenless = not token
        self._http = httpx.Client(
            base_url=address.url,
            verify=trust_of(address.url),
            headers=_authorization(self._token, token),
            timeout=httpx.Timeout(patience, connect=min(patience, _CONNECT_SECONDS)),
            trust_env=False,
        )

    def ask(self, method: str, path: str, shape: type[AnswerT], **request: Any) -> AnswerT:
        """The answer's JSON.

        Args:
            shape: what it must have at least.

        Raises:
            MonitorAwayError, MonitorRefusedError: see there; nothing else, whatever comes over the wire.
        """
        response, body = self._exchange(method, path, **request)
        try:
            answer: AnswerT = json.loads(body)
            _adapter(cast("Any", shape)).validate_python(answer)
        except (ValueError, RecursionError) as error:
            raise self._stranger(response) from error
        return answer

    def _exchange(self, method: str, path: str, **request: Any) -> tuple[httpx.Response, bytes]:
        """An answer that says that it was done, and its body."""
        try:
            with self._http.stream(method, path, **request) as response:
                body = self._body(response)
        # A proxy may send what its headers do not announce, in an encoding of its own, or no HTTP at all.
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError) as error:
            cause = str(error) or type(error).__name__
            raise MonitorAwayError(
                f"the monitor at {self.address.url} cannot be reached: {cause}.",
                cause=cause,
                remedy="Start it with: fedforge monitor",
            ) from error
        if not response.is_success:
            raise self._refusal(response, body)
        return response, body

    def tell(self, method: str, path: str, **request: Any) -> None:
        """As `ask`, of what is answered with nothing."""
        self._exchange(method, path, **request)

    def send_page(self, path: str, page: bytes) -> None:
        """Have it keep an HTML page.

        Raises:
            MonitorAwayError, MonitorRefusedError: as `ask`.
        """
        sha256, headers = hashlib.sha256(page).hexdigest(), {"Content-Type": "text/html"}
        self.tell("PUT", path, params={"sha256": sha256}, content=page, headers=headers)

    def _body(self, response: httpx.Response) -> bytes:
        """All of it, unless it goes on for ever."""
        until, parts, size = monotonic() + self._patience, [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > _LARGEST_ANSWER or monotonic() > until:
                raise httpx.ReadError("an answer without end")
        return b"".join(parts)

    def _refusal(self, response: httpx.Response, body: bytes) -> AskError:
        status, words = response.status_code, _words_of_monitor(body)
        if words is None and status < httpx.codes.INTERNAL_SERVER_ERROR:
            return self._stranger(response)
        text = words or f"HTTP {status}"
        if status == httpx.codes.UNAUTHORIZED:
            cause = (
                f"asks for a token, and {self._token} is not set"
                if self._tokenless
                else f"does not take the token of this process, {self._token}"
            )
            return MonitorAwayError(
                f"the monitor at {self.address.url} {cause}: {text}",
                cause=f"it {cause} (HTTP {status})",
                status=status,
            )
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in _FOR_NOW:
            return MonitorAwayError(
                f"the monitor at {self.address.url} cannot do its work: {text}",
                cause=f"it cannot do its work: {text.rstrip('.')}",
                status=status,
                retry_after=_retry_after(response),
            )
        return MonitorRefusedError(text, cause=f"it refuses: {text.rstrip('.')}", status=status)

    def _stranger(self, response: httpx.Response) -> MonitorAwayError:
        status = response.status_code
        kind = response.headers.get("content-type", "").partition(";")[0] or "nothing"
        target = response.headers.get("location", "")[:200] if response.is_redirect else ""
        where = f" to {target}" if target else ""
        cause = f"what answers there is not a monitor: HTTP {status}{where}, {kind}"
        moved = f" If the monitor has moved to {target}, name that by --monitor." if target else ""
        return MonitorAwayError(
            f"the monitor at {self.address.url} cannot be reached: {cause}.",
            cause=cause,
            remedy=f"See whether a proxy stands in between, and whether the address is right.{moved}",
            status=status,
            retry_after=_retry_after(response),
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> MonitorClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _authorization(name: str, token: str) -> dict[str, str]:
    if not token:
        return {}
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(f"{name} has a character that HTTP does not carry.", remedy="Use letters and digits.")
    return {"Authorization": f"Bearer {token}"}


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _words_of_monitor(body: bytes) -> str | None:
    """Why it refuses; `None` where it is not the monitor that does."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not {"error", "state", "allowed"} <= document.keys():
        return None
    return document["error"] if isinstance(document["error"], str) else None


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, from a number of them or a date."""
    text = response.headers.get("retry-after", "").strip()
    try:
        if text.isdecimal():
            return float(text)
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - utc_now()).total_seconds())
