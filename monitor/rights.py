"""What whoever has the emitters' token may do: deliver, claim and tell. What commands or starts is for operators."""

from __future__ import annotations

import re

_RUN = r"/api/runs/[^/]+"
_ALLOWED = tuple(
    (method, re.compile(path))
    for method, path in (
        ("POST", r"/api/events(/import)?"),
        ("GET", r"/api/runs"),
        ("GET", rf"{_RUN}(/snapshot|/desired)?"),
        ("POST", rf"{_RUN}/claim"),
        ("POST", rf"{_RUN}/leases/[^/]+"),
        ("PUT", r"/api/offers/[^/]+"),
        ("DELETE", r"/api/offers/[^/]+"),
        ("GET", r"/api/offers/[^/]+/runs"),
        ("GET", r"/api/checks/next"),
        ("POST", r"/api/checks/[^/]+"),
        ("PUT", r"/api/(runs|audits)/[^/]+/report"),
        ("PUT", r"/api/sites"),
        ("PUT", r"/api/phases/[^/]+"),
    )
)


def emitter_may(method: str, path: str) -> bool:
    """Whether a request is one of emitters and claimants."""
    return any(method == allowed and pattern.fullmatch(path) for allowed, pattern in _ALLOWED)
