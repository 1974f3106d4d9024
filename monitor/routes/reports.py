"""The HTML reports of runs and audits, for links: those that were sent here, else those of this home."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool

from monitor.reports import AUDIT, RUN, keep_report, sent_report
from monitor.schema import Identifier, Sha256
from monitor.service import Service, Serviced

router = APIRouter(tags=["reports"])
_HTML = {"text/html": {"schema": {"type": "string"}}}
_PAGE: dict[int | str, dict[str, Any]] = {200: {"content": _HTML}}
_TAKES = {"requestBody": {"required": True, "content": _HTML}}
_HEADERS = {
    # A report shows names that came with the data: it may draw itself, and do nothing else.
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-cache",
}
Key = Annotated[str, Path(pattern=r"^[0-9a-f]{20}$")]
Digest = Annotated[Sha256, Query(description="of the bytes that are sent")]


@router.get("/api/runs/{run_id}/report", responses=_PAGE, response_class=Response)
async def show_run_report(run_id: Identifier, service: Serviced) -> Response:
    """What a completed run wrote about itself."""
    file = service.settings.home / "runs" / run_id / "report.html"
    return await _page(service, RUN, run_id, file)


@router.put("/api/runs/{run_id}/report", status_code=status.HTTP_204_NO_CONTENT, openapi_extra=_TAKES)
async def send_run_report(run_id: Identifier, sha256: Digest, request: Request, service: Serviced) -> None:
    """For a run: its page, complete in itself, where the monitor stands elsewhere."""
    await _keep(service, RUN, run_id, await request.body(), sha256)


@router.get("/api/audits/{key}/report", responses=_PAGE, response_class=Response)
async def show_audit_report(key: Key, service: Serviced) -> Response:
    """What was found in a dataset, with pictures."""
    return await _page(service, AUDIT, key, service.settings.home / "assets" / "audit" / key / "report.html")


@router.put("/api/audits/{key}/report", status_code=status.HTTP_204_NO_CONTENT, openapi_extra=_TAKES)
async def send_audit_report(key: Key, sha256: Digest, request: Request, service: Serviced) -> None:
    """For whoever has audited: the page, complete in itself."""
    await _keep(service, AUDIT, key, await request.body(), sha256)


async def _keep(service: Service, kind: str, key: str, body: bytes, sha256: str) -> None:
    now = service.now()
    await service.write(lambda transaction: keep_report(transaction, kind, key, body, sha256, now))


async def _page(service: Service, kind: str, key: str, file: FilePath) -> Response:
    sent = await service.read(lambda session: sent_report(session, kind, key))
    body = sent.body if sent is not None else await run_in_threadpool(_read, file)
    if body is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            f"there is no report of the {kind} {key!r} here. It is written when that has completed, and sent here by "
            "whoever carries it out.",
        )
    return Response(body, media_type="text/html", headers=_HEADERS)


def _read(file: FilePath) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
