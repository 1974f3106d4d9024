"""Whom a connection trusts."""

from __future__ import annotations

import ssl

import pytest

from fedforge_runtime.telemetry.trust import trust_of


@pytest.mark.parametrize("url", ["http://127.0.0.1:8400", "https://monitor.example"])
def test_no_certificate_is_taken_unchecked(url: str) -> None:
    context = trust_of(url)

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_without_tls_no_certificates_are_read() -> None:
    assert trust_of("http://127.0.0.1:8400").get_ca_certs() == []
    assert trust_of("https://monitor.example").get_ca_certs()
