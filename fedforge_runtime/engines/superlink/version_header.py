"""The header by which a node says its version of FedForge to its SuperLink, with each request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from fedforge_runtime import __version__

VERSION_HEADER = "X-FedForge-Version"


class VersionHttpInterceptor:
    """Has each request of one of Flower's clients say it."""

    def intercept(self, context: Any, call_next: Callable[[Any], httpx.Response]) -> httpx.Response:
        """Flower's `ProtobufClientInterceptor`."""
        context.request.headers[VERSION_HEADER] = __version__
        return call_next(context)
