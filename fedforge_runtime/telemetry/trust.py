"""Whom a connection trusts: certificates are read where there are any to check, and not at each connection."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx


def trust_of(url: str, root_certificates: Path | None = None) -> ssl.SSLContext:
    """For an HTTP client that speaks to `url`, whoever the environment names.

    Over plain HTTP there is no certificate to check, and the context trusts nobody: to read those that httpx trusts
    costs 25 ms of computing, ten times as much as an answer.

    Args:
        root_certificates: PEM file of the one authority that is trusted; by default those that httpx comes with.
    """
    if not url.startswith("https://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return (
        ssl.create_default_context(cafile=str(root_certificates))
        if root_certificates
        else httpx.create_ssl_context(trust_env=False)
    )
