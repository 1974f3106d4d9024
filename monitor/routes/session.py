"""The session of a person in a browser."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response, status
from pydantic import AwareDatetime

from monitor.schema import Person
from monitor.service import Serviced
from monitor.sessions import COOKIE, SESSION, Called, Caller, Right, Sessions
from monitor.settings import Settings
from monitor.shapes import Shape

router = APIRouter(prefix="/api/session", tags=["session"])


class SessionRequest(Shape):
    name: Person
    """Of whoever will give commands."""


class SessionView(Shape):
    required: bool
    """Whether this monitor has a token, so that nothing is shown without a session."""
    right: Right | None
    """What whoever asks may do; `null` of a stranger."""
    name: str | None
    expires_at: AwareDatetime | None
    """Unless it is looked at before."""


@router.get("")
async def show_session(service: Serviced, caller: Called, request: Request, response: Response) -> SessionView:
    """Who asks and what he may do; a session that is looked at lasts anew."""
    if caller is not None and caller.name is not None:
        caller = _begin(service.settings, caller.name, request, response)
    return _view(service.settings, caller)


@router.post("", status_code=status.HTTP_201_CREATED)
async def begin_session(
    body: SessionRequest, service: Serviced, caller: Called, request: Request, response: Response
) -> SessionView:
    """Trade the token, in the header `Authorization`, for a cookie; without a token it keeps a name."""
    if caller is None or caller.right is not Right.OPERATOR:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "a session is begun with the operators' token.")
    return _view(service.settings, _begin(service.settings, body.name, request, response))


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def end_session(service: Serviced, response: Response) -> None:
    """Have the browser forget it."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _begin(settings: Settings, name: str, request: Request, response: Response) -> Caller:
    sessions = Sessions(settings.token)
    value = sessions.begin(name)
    response.set_cookie(
        COOKIE,
        value,
        max_age=int(SESSION.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=settings.behind_proxy or request.url.scheme == "https",
    )
    begun = sessions.caller({"cookie": f"{COOKIE}={value}"})
    assert begun is not None
    return begun


def _view(settings: Settings, caller: Caller | None) -> SessionView:
    return SessionView(
        required=settings.token is not None,
        right=caller.right if caller else None,
        name=caller.name if caller else None,
        expires_at=caller.expires_at if caller else None,
    )
