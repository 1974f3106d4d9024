"""Addresses of SuperLinks, as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.errors import ConfigError


@pytest.mark.parametrize("text", ["127.0.0.1:9092", "link.example.org:1", "[::1]:65535", " localhost:80 "])
def test_an_address_is_host_and_port(text: str) -> None:
    address = LinkAddress.parse(text)

    assert str(address) == text.strip()
    assert address.insecure
    assert address.url == f"http://{text.strip()}"


@pytest.mark.parametrize(
    "text", ["", "localhost", "localhost:", ":9092", "http://localhost:9092", "a:0", "a:65536", "::1:80"]
)
def test_anything_else_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not the address of a SuperLink\. Write HOST:PORT") as error:
        LinkAddress.parse(text)

    assert repr(text) in str(error.value)


def test_certificates_make_it_tls_and_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"cannot read the root certificates .*ca\.pem"):
        LinkAddress.parse("localhost:9092", file)
    file.write_text("here")

    address = LinkAddress.parse("localhost:9092", file)

    assert not address.insecure
    assert address.url == "https://localhost:9092"
    assert address.root_certificate_bytes() == b"here"
