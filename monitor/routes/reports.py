"""The HTML reports of runs and audits in this home, for links from other pages."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, status
from fastapi.responses import FileResponse

from monitor.schema import Identifier
from monitor.service import Serviced

router = APIRouter(tags=["reports"], default_response_class=FileResponse)
_PAGE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}
_HEADERS = {
    # A report shows names that came with the data: it may draw itself, and do nothing else.
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-cache",
}
Key = Annotated[str, Path(pattern=r"^[0-9a-f]{20}$")]


@router.get("/api/runs/{run_id}/report", responses=_PAGE)
async def show_run_report(run_id: Identifier, service: Serviced) -> FileResponse:
    """What a completed run wrote about itself."""
    return _page(service.settings.home / "runs" / run_id / "report.html", f"the run {run_id!r}")


@router.get("/api/audits/{key}/report", responses=_PAGE)
async def show_audit_report(key: Key, service: Serviced) -> FileResponse:
    """What was found in a dataset, with pictures."""
    return _page(service.settings.home / "assets" / "audit" / key / "report.html", f"the audit {key!r}")


def _page(file: FilePath, subject: str) -> FileResponse:
    if not file.is_file():
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            f"there is no report of {subject} in this monitor's home. It is written when that has completed, in the "
            "home of whoever carries it out.",
        )
    return FileResponse(file, media_type="text/html", headers=_HEADERS)
