"""Whatever is refused is answered in one shape, `Problem`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from monitor.errors import DatabaseError, MonitorError, OverloadedError, first_error
from monitor.orders import ConflictError, UnknownRunError
from monitor.shapes import Problem

_CODES = (
    (UnknownRunError, status.HTTP_404_NOT_FOUND),
    (ConflictError, status.HTTP_409_CONFLICT),
    (DatabaseError, status.HTTP_503_SERVICE_UNAVAILABLE),
    (OverloadedError, status.HTTP_503_SERVICE_UNAVAILABLE),
    (MonitorError, status.HTTP_400_BAD_REQUEST),
)

_OF_THE_GUARD = (401, 403, 408, 413, 421)
_OF_ANY_REQUEST = (*_OF_THE_GUARD, status.HTTP_422_UNPROCESSABLE_CONTENT, status.HTTP_503_SERVICE_UNAVAILABLE)


def documented(*codes: int) -> dict[int | str, dict[str, Any]]:
    """For the description of the API: refusals that any request can meet, and those of a group of paths."""
    return {code: {"model": Problem} for code in (*_OF_ANY_REQUEST, *codes)}


def explain_errors(app: FastAPI) -> None:
    """Have an application answer every error that is expected."""
    app.add_exception_handler(MonitorError, _explain)
    app.add_exception_handler(HTTPException, _explain_http)
    app.add_exception_handler(RequestValidationError, _explain_validation)


async def _explain(request: Request, error: Exception) -> JSONResponse:
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    problem = Problem(error=str(error))
    if isinstance(error, ConflictError):
        problem = Problem(error=str(error), state=error.state, allowed=error.allowed)
    headers = {"Retry-After": "1"} if code == status.HTTP_503_SERVICE_UNAVAILABLE else None
    return _refused(code, problem, headers)


async def _explain_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _refused(error.status_code, Problem(error=str(error.detail)), error.headers)


async def _explain_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _refused(status.HTTP_422_UNPROCESSABLE_CONTENT, Problem(error=first_error(error.errors())))


def _refused(code: int, problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(mode="json"), status_code=code, headers=headers)
