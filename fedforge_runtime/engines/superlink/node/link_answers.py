"""What comes back to a node's requests, and what it means.

Only an answer that a SuperLink gave is a refusal. Whatever else is there today, a proxy, a tunnel, a web server, or a
certificate that is not valid yet, may be gone tomorrow: a node tries again, and says what it saw.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from cryptography import x509

from fedforge_runtime.clock import utc_now
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.errors import cause_in_words
from fedforge_runtime.flower import protocol

_AWAY = (502, 503, 504)
_LOOK_SECONDS = 5.0
_TIME = "%Y-%m-%d %H:%M:%S UTC"

T = TypeVar("T")


class LinkAwayError(Exception):
    """The SuperLink cannot be reached now; trying again makes sense."""


class LinkForgotError(Exception):
    """The SuperLink answers and does not know this node: it was restarted without its database."""


class RunOverError(Exception):
    """The run that a message belongs to is no longer running."""


def understood(request: Callable[[], T], address: LinkAddress, *, active: bool) -> T:
    """What a request to a SuperLink gave.

    Args:
        active: the SuperLink has taken the node before.

    Raises:
        LinkAwayError, LinkForgotError, RunOverError: see there.
        httpx.HTTPStatusError: another refusal of the SuperLink's own.
    """
    try:
        return request()
    except httpx.ConnectError as error:
        raise LinkAwayError(_connection_trouble(error, address, active)) from error
    except (httpx.RemoteProtocolError, httpx.ReadError) as error:
        raise LinkAwayError(_broken_off(error, address, active)) from error
    except httpx.RequestError as error:
        raise LinkAwayError(f"{type(error).__name__}: {cause_in_words(error)}") from error
    except ValueError as error:
        raise LinkAwayError("what answers there is no SuperLink: it sends something else than messages") from error
    except httpx.HTTPStatusError as error:
        status, code = error.response.status_code, flower_code(error)
        if code == protocol.ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED or (code and status == httpx.codes.FORBIDDEN):
            raise RunOverError from error
        if status == httpx.codes.UNAUTHORIZED and protocol.NOT_AUTHENTIC in error.response.text:
            if active:
                raise LinkForgotError from error
            raise LinkAwayError(_clocks(error.response)) from error
        if status in _AWAY or code is None:
            raise LinkAwayError(f"what answers there is no SuperLink: HTTP {status}") from error
        raise


def refusal_in_words(described: protocol.FlowerError) -> str:
    """Why a SuperLink does not take a node, for its operator: Flower has one word for three reasons."""
    if described.code == protocol.ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
        return "nobody has registered its key there, or another process is connected with it, or was a moment ago"
    return cause_in_words(described)


def flower_code(error: httpx.HTTPStatusError) -> int | None:
    """The number of a SuperLink's own error; `None` when somebody else answered."""
    described = protocol.FlowerError.from_json(error.response.text)
    return described.code if described else None


def _connection_trouble(error: httpx.ConnectError, address: LinkAddress, active: bool) -> str:
    text = str(error)
    if "reset" in text or "EOF" in text:
        return _broken_off(error, address, active)
    if "certificate" not in text.lower():
        return text
    if "expired" in text or "not yet valid" in text:
        return (
            f"its certificate is valid {_validity(address)}, and this machine's clock says {_shown(utc_now())}. Set "
            "the clock that is wrong, or have its operator make a new certificate with: fedforge federation certs"
        )
    return (
        f"its certificate is not trusted: {error}. Give the ca.pem that it was made with by --root-certificates, and "
        "the name that it was made for"
    )


def _validity(address: LinkAddress) -> str:
    """From when to when the certificate that is shown there is valid."""
    try:
        shown = ssl.get_server_certificate((address.host.strip("[]"), address.port), timeout=_LOOK_SECONDS)
        certificate = x509.load_pem_x509_certificate(shown.encode())
    except (OSError, ValueError):
        return "at another time"
    return f"from {_shown(certificate.not_valid_before_utc)} to {_shown(certificate.not_valid_after_utc)}"


def _broken_off(error: Exception, address: LinkAddress, active: bool) -> str:
    seen = "the connection is taken, and closed without an answer"
    if active:
        return f"{seen} ({type(error).__name__})"
    if address.insecure:
        return (
            f"{seen}: its SuperLink may not be there yet, behind a proxy or a tunnel; or it talks TLS, and needs the "
            "ca.pem that its certificate was made with, by --root-certificates"
        )
    return f"{seen}: its SuperLink may not be there yet, behind a proxy or a tunnel"


def _clocks(response: httpx.Response) -> str:
    text = "it does not accept this node's signature, as when the clocks of the two machines are apart"
    try:
        there = parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        return f"{text}: it takes 5 s ahead to 5 minutes behind"
    return (
        f"{text}: it says {_shown(there)}, and this machine {_shown(utc_now())}; it takes 5 s ahead to 5 minutes behind"
    )


def _shown(moment: datetime) -> str:
    return moment.strftime(_TIME)
