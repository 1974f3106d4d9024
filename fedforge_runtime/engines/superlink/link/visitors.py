"""Who comes to a SuperLink as a node: when, from where, with what version and clock, and why it was not let in last.

Flower says of a node that it is online or not. Why one that should be there is not, its operator learns here: the
SuperLink's process keeps it in a file beside its log, for `fedforge federation status`. Version and clock are shown to
people and decide nothing.
"""

from __future__ import annotations

import hashlib
import logging
import re
from base64 import b64decode
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from fedforge_runtime.clock import monotonic, utc_now
from fedforge_runtime.engines.superlink.node.fleet import VERSION_HEADER
from fedforge_runtime.engines.superlink.node.link_answers import refusal_in_words
from fedforge_runtime.flower import protocol
from fedforge_runtime.storage.artifacts import write_atomically

VISITORS_FILE = "visitors.json"
_FLEET = "/v1/fleet/"
_REFUSED, _BROKEN = 400, 500
_RUN_OVER = 403
_WRITE_SECONDS = 1.0
_REPEAT_SECONDS = 60.0
"""The same refusal of the same key is a line of the log at most so often."""
_MOST = 1000
"""Keys that are remembered: those that were here last."""
_VERSION = re.compile(r"[A-Za-z0-9.+_-]{1,100}")
_LATEST = 8
"""Requests of a node from which its clock is taken."""
_AHEAD_SECONDS, _BEHIND_SECONDS = 5.0, 300.0
"""What Flower allows a node's clock."""

log = logging.getLogger("flwr")


class Visitor(BaseModel, extra="forbid", frozen=True):
    """What is known of one key."""

    last_seen: datetime
    address: str
    refused_at: datetime | None = None
    """Of the last refusal, whatever came since."""
    refusal: str = ""
    version: str | None = None
    """Of FedForge, as it said when it was let in last; Flower's own nodes say none."""
    clock_offset_seconds: float | None = None
    """How far its clock is ahead of this machine's. What its latest requests took on their way, at the least, is in it,
    as if its clock were that much further behind."""


class Visitors(BaseModel, extra="forbid", frozen=True):
    """The whole file: visitors by the SHA-256 of their public key in PEM."""

    visitors: dict[str, Visitor] = {}


def key_fingerprint(public_key: bytes) -> str:
    """How the file names a public key, given in PEM."""
    return hashlib.sha256(public_key).hexdigest()


def read_visitors(folder: Path) -> dict[str, Visitor]:
    """Those of the SuperLink whose files are in `folder`; none where it has not written any, or not whole."""
    try:
        return Visitors.model_validate_json((folder / VISITORS_FILE).read_bytes()).visitors
    except (OSError, ValidationError):
        return {}


class VisitorBook:
    """ASGI middleware around a SuperLink: writes down who comes, and says in the log whom it did not let in."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self._app = app
        self._folder = folder
        self._visitors = read_visitors(folder)
        self._said: dict[str, tuple[str, float]] = {}
        self._offsets: dict[str, deque[float]] = {}
        self._write_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_FLEET):
            await self._app(scope, receive, send)
            return
        arrived_at, status, body = utc_now(), 0, b""

        async def hear(message: Any) -> None:
            nonlocal status, body
            status = message.get("status", status)
            if _REFUSED <= status < _BROKEN:
                body += message.get("body", b"")
            await send(message)

        await self._app(scope, receive, hear)
        if self._note(scope, arrived_at, status, _refusal(scope, status, body)):
            await run_in_threadpool(self._write)

    def _note(self, scope: Scope, arrived_at: datetime, status: int, refusal: str) -> bool:
        """Whether the file is to be written again."""
        try:
            key = key_fingerprint(b64decode(Headers(scope=scope).get(protocol.NODE_KEY_HEADER, ""), validate=True))
        except ValueError:
            key = ""
        address = str((scope.get("client") or ["?"])[0])
        if refusal:
            self._say(key, address, refusal)
        if not key:
            return False
        now, before = utc_now(), self._visitors.get(key)
        kept = (before.refused_at, before.refusal) if before else (None, "")
        refused_at, reason = (now, refusal) if refusal else kept
        self._visitors.pop(key, None)  # the last one is the one that came last
        self._visitors[key] = Visitor(
            last_seen=now,
            address=address,
            refused_at=refused_at,
            refusal=reason,
            # Of whoever is not let in it is not known whether the key is his.
            version=_version(scope) if status < _REFUSED else before and before.version,
            clock_offset_seconds=self._offset(key, scope, arrived_at)
            if status < _REFUSED
            else before and before.clock_offset_seconds,
        )
        while len(self._visitors) > _MOST:
            gone = next(iter(self._visitors))
            del self._visitors[gone]
            self._offsets.pop(gone, None)
        return bool(refusal) or monotonic() >= self._write_at

    def _offset(self, key: str, scope: Scope, arrived_at: datetime) -> float | None:
        """Of the latest requests, by the one that was the least on its way."""
        signed_at = _signed_at(scope)
        latest = self._offsets.setdefault(key, deque(maxlen=_LATEST))
        if signed_at is not None:
            latest.append((signed_at - arrived_at).total_seconds())
        return round(max(latest), 3) if latest else None

    def _say(self, key: str, address: str, refusal: str) -> None:
        reason, until = self._said.get(key, ("", 0.0))
        if reason == refusal and monotonic() < until:
            return
        if len(self._said) > _MOST:
            self._said.clear()
        self._said[key] = (refusal, monotonic() + _REPEAT_SECONDS)
        log.warning("node at %s, key %s…, is not let in: %s", address, key[:12] or "none", refusal)

    def _write(self) -> None:
        self._write_at = monotonic() + _WRITE_SECONDS
        content = Visitors(visitors=dict(self._visitors)).model_dump_json(indent=2)
        try:
            write_atomically(self._folder / VISITORS_FILE, content.encode())
        except OSError as error:
            self._write_at = monotonic() + _REPEAT_SECONDS
            log.warning("who comes here cannot be written down: %s", error)


def _refusal(scope: Scope, status: int, body: bytes) -> str:
    """Why a node was not let in; empty where it was, where its run is over, or where its request was cut."""
    if not _REFUSED <= status < _BROKEN or status == _RUN_OVER:
        return ""
    text = body.decode(errors="replace")
    if protocol.NOT_AUTHENTIC in text:
        return _signature_refusal(scope)
    described = protocol.FlowerError.from_json(text)
    if described is None:
        return f"HTTP {status}"
    if described.code == protocol.ApiErrorCode.FLEET_SUPERNODE_REGISTRATION_DISABLED:
        return "it has no registered key, and would register itself"
    if described.code == protocol.ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:
        return ""  # a node that was here before says its key again
    return refusal_in_words(described)


def _version(scope: Scope) -> str | None:
    said = Headers(scope=scope).get(VERSION_HEADER, "")
    return said if _VERSION.fullmatch(said) else None


def _signed_at(scope: Scope) -> datetime | None:
    """When a node has signed its request, on its clock; `None` where it does not say so as a node does."""
    try:
        moment = datetime.fromisoformat(Headers(scope=scope).get(protocol.TIMESTAMP_HEADER, ""))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _signature_refusal(scope: Scope) -> str:
    signed_at = _signed_at(scope)
    if signed_at is None:
        return "it does not sign its requests as a node does"
    age = (utc_now() - signed_at).total_seconds()
    if -_AHEAD_SECONDS <= age <= _BEHIND_SECONDS:
        return "its key is not known here, or is not the one that it had"
    return f"its clock is {abs(age):,.0f} s {'behind' if age > 0 else 'ahead'}"
