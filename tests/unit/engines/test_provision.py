"""Secrets of a federation in containers: made once, each part given its own and no more."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fedforge_runtime.clock import utc_now
from fedforge_runtime.engines.superlink.certificates import load_node_key, make_certificates, open_certificates
from fedforge_runtime.engines.superlink.provision import provision
from fedforge_runtime.errors import ConfigError, StorageError

PARTS = {
    "superlink": {"ca.pem", "server.pem", "server.key", "sites.json", "ingest-token"},
    "monitor": {"operator-token", "ingest-token"},
    "run": {"ca.pem", "operator-token", "ingest-token"},
    "site-0": {"ca.pem", "site.key"},
    "site-1": {"ca.pem", "site.key"},
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The mount points of volumes, as an image has them."""
    for part in ("authority", *PARTS):
        (tmp_path / part).mkdir()
    return tmp_path


def test_each_part_is_given_what_it_needs_and_nothing_of_another(folder: Path) -> None:
    made = provision(folder, hosts=["superlink"], nodes=2, names=["berlin"])

    assert made.made
    for part, names in PARTS.items():
        files = list((folder / part).iterdir())
        assert {file.name for file in files} == names
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    link = open_certificates(folder / "superlink")
    assert [(site.site, site.name) for site in link.sites] == [(0, "berlin"), (1, "site-1")]
    secrets = [(folder / part / "site.key").read_bytes() for part in ("site-0", "site-1")]
    assert all(load_node_key(folder / part / "site.key") for part in ("site-0", "site-1"))
    assert len(set(secrets)) == 2
    of_link = contents(folder / "superlink").values()
    assert not any(secret in of_link for secret in secrets)
    assert (folder / "run" / "ingest-token").read_bytes() == (folder / "monitor" / "ingest-token").read_bytes()


def test_run_again_it_changes_nothing(folder: Path) -> None:
    provision(folder, hosts=["superlink"], nodes=2)
    before = contents(folder)

    again = provision(folder, hosts=["superlink"], nodes=2)

    assert (again.made, again.written) == (False, ())
    assert contents(folder) == before


def test_what_was_cut_off_or_lost_is_handed_out_again_and_nothing_is_made_anew(folder: Path) -> None:
    provision(folder, hosts=["superlink"], nodes=2)
    before = contents(folder)
    (folder / "site-1" / "site.key").unlink()
    (folder / "superlink" / "server.pem").write_text("half")

    again = provision(folder, hosts=["superlink"], nodes=2)

    assert set(again.written) == {"site-1/site.key", "superlink/server.pem"}
    assert contents(folder) == before


def test_renewed_keys_are_others_and_tokens_stay(folder: Path) -> None:
    provision(folder, hosts=["superlink"], nodes=2)
    before = contents(folder)

    renewed = provision(folder, hosts=["superlink", "link.example.org"], nodes=2, renew=True)

    after = contents(folder)
    assert renewed.made
    assert before.keys() == after.keys()
    same = {name for name, content in after.items() if before[name] == content}
    assert {Path(name).name for name in same} == {"operator-token", "ingest-token"}


@pytest.mark.parametrize(
    ("hosts", "nodes", "names", "words"),
    [
        (["elsewhere"], 2, [], "is not for elsewhere"),
        (["superlink"], 3, [], "keys for 2 sites, not for 3"),
        (["superlink"], 2, ["berlin"], "are named site-0, site-1"),
    ],
)
def test_those_of_another_federation_are_refused_and_stay(
    folder: Path, hosts: list[str], nodes: int, names: list[str], words: str
) -> None:
    provision(folder, hosts=["superlink"], nodes=2)
    before = contents(folder)

    with pytest.raises(ConfigError, match=words) as refused:
        provision(folder, hosts=hosts, nodes=nodes, names=names)

    assert "--renew" in refused.value.remedy
    assert contents(folder) == before


def test_expired_ones_are_refused_with_what_to_do(folder: Path) -> None:
    long_ago = utc_now().replace(year=utc_now().year - 2, day=1)
    make_certificates(folder / "authority" / "certificates", hosts=["superlink"], nodes=2, days=30, now=long_ago)

    with pytest.raises(ConfigError, match="expired on") as refused:
        provision(folder, hosts=["superlink"], nodes=2)

    assert "--renew" in refused.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "site-1").chmod(0o500)

    with pytest.raises(StorageError, match="site-1"):
        provision(folder, hosts=["superlink"], nodes=2)
