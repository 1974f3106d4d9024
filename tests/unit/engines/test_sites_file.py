"""Which key is which site's: written once, read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.engines.superlink.certificates import CertificateFolder, make_certificates
from fedforge_runtime.engines.superlink.site_keys import SiteKey, key_name, registrations, site_numbers, site_of
from fedforge_runtime.errors import ConfigError


class Info:
    """As Flower describes a node."""

    def __init__(self, node_id: int, name: str, public_key: bytes = b"key", status: str = "online") -> None:
        self.node_id, self.name, self.public_key, self.status = node_id, name, public_key, status


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> CertificateFolder:
    folder = tmp_path_factory.mktemp("certificates") / "made"
    return make_certificates(folder, hosts=[], nodes=3, names=["berlin", "site-1"])


def test_the_file_says_number_name_and_key_of_each_site(named: CertificateFolder) -> None:
    document = json.loads(named.sites_file.read_text())

    assert [(each["site"], each["name"]) for each in document["sites"]] == [(0, "berlin"), (1, "site-1"), (2, "site-2")]
    for each in document["sites"]:
        assert named.node_public_key(each["site"]).read_text().strip() == each["public_key"]
    assert named.nodes == (0, 1, 2)


def test_a_superlink_tells_number_name_and_key_again(named: CertificateFolder) -> None:
    infos = [Info(70 + each.site, key_name(each), each.public_key_pem) for each in named.sites]
    infos += [Info(90, "", b"own"), Info(91, "somebody's", b"another"), Info(92, "site-7", b"old", "unregistered")]

    found = registrations(infos, secured=True)

    assert {node: each.site for node, each in found.items()} == {70: 0, 71: 1, 72: 2, 90: None, 91: None}
    assert len({each.fingerprint for each in found.values()}) == 5
    assert {each.site for each in registrations(infos, secured=False).values()} == {None}
    assert site_numbers(infos) == {"berlin": 0, "site-1": 1, "site-2": 2}


@given(st.integers(0, 10**6), st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,39}", fullmatch=True))
def test_whatever_the_name_it_comes_back_with_its_number(site: int, name: str) -> None:
    key = SiteKey.model_construct(site=site, name=name, public_key="")

    assert site_of(key_name(key)) == site
    assert site_numbers([Info(1, key_name(key))]) == {name: site}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"site": 1}, "site 1 and site 1 both have the number 1"),
        ({"name": "SITE-1"}, "site 0 cannot be named SITE-1"),
        ({"name": "Site-2"}, "site 0 cannot be named Site-2"),
        ({"name": "a b"}, "string should match pattern"),
        ({"name": ""}, "string should match pattern"),
        ({"public_key": "ssh-rsa AAAA"}, "no public key in OpenSSH's format"),
        ({"public_key": ""}, "no public key in OpenSSH's format"),
        ({"site": -1}, "greater than or equal to 0"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_name_and_the_reason(
    named: CertificateFolder, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    document = json.loads(named.sites_file.read_text())
    document["sites"][0] |= change
    folder = CertificateFolder(tmp_path)
    folder.sites_file.write_text(json.dumps(document))

    with pytest.raises(ConfigError, match=r"sites\.json is wrong") as refused:
        _ = folder.sites

    assert words in str(refused.value)


def test_one_key_for_two_sites_is_refused_with_both(named: CertificateFolder, tmp_path: Path) -> None:
    document = json.loads(named.sites_file.read_text())
    document["sites"][2]["public_key"] = document["sites"][0]["public_key"] + " a comment"
    folder = CertificateFolder(tmp_path)
    folder.sites_file.write_text(json.dumps(document))

    with pytest.raises(ConfigError, match="site 0 and site 2 both have the public key"):
        _ = folder.sites


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "A"], "both have the name"),
        (["site-1"], "cannot be named site-1"),
        (["7"], "pattern"),
        (list("abcd"), "4 names for 3 sites"),
    ],
)
def test_names_that_sites_cannot_have_leave_nothing_behind(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_certificates(tmp_path / "made", hosts=[], nodes=3, names=names)

    assert list(tmp_path.iterdir()) == []
