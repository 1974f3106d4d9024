"""Sessions of people in a browser: the token, once given, is traded for a cookie that no script of a page can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http.cookies import CookieError, SimpleCookie
from typing import Annotated

from fastapi import Depends
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import HTTPConnection

COOKIE = "fedforge_session"
SESSION = timedelta(hours=12)
"""How long one lasts after it was looked at last."""
_SALT = "fedforge-monitor-session"
_NO_SECRET = "whoever reaches this monitor may use it"  # noqa: S105


class Right(StrEnum):
    """What a caller may do."""

    OPERATOR = "operator"
    """Everything."""
    EMITTER = "emitter"
    """Deliver events, hold offers, and take up what is asked for; see `monitor.rights`."""


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Args:
        name: of the person, where a session is.
        expires_at: when the session ends unless it is looked at.
    """

    right: Right
    name: str | None = None
    expires_at: datetime | None = None
    by_browser: bool = False
    """A page asks, which knows nothing of the files of who carries runs out."""


def caller_of(connection: HTTPConnection) -> Caller | None:
    """Who asks, as the guard has seen; `None` of a stranger, to whom a few paths are open."""
    caller: Caller | None = connection.scope.get("caller")
    return caller


Called = Annotated[Caller | None, Depends(caller_of)]


class Sessions:
    """Signs sessions with the operators' token: another token ends them all, and a restart ends none.

    Args:
        token: `None` where there is none, so that everybody is an operator: then a session is a name, and no secret.
    """

    def __init__(self, token: str | None) -> None:
        self._serializer = URLSafeTimedSerializer(token or _NO_SECRET, salt=_SALT)

    def begin(self, name: str) -> str:
        """The cookie's value."""
        return str(self._serializer.dumps({"name": name}))

    def caller(self, headers: Mapping[str, str]) -> Caller | None:
        """Whose session a request's cookie is; `None` without one, or with one that has ended or is forged."""
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        if cookie is None:
            return None
        try:
            said, begun = self._serializer.loads(
                cookie.value, max_age=int(SESSION.total_seconds()), return_timestamp=True
            )
        except BadSignature:
            return None
        return Caller(Right.OPERATOR, str(said["name"]), begun + SESSION)
