"""`fedforge shards`: a folder for each site, and nothing when it is refused."""

from __future__ import annotations

from pathlib import Path

from fedforge_runtime.sites.shards import check_shard, find_shard, folder_bytes
from tests.e2e.command import refusal
from tests.e2e.conftest import ROWS
from tests.e2e.forked import forked


def test_each_site_gets_a_folder_of_its_own_rows(home: Path, tiny_backbone: Path, tmp_path: Path) -> None:
    options = [
        *("--home", home, "--data", "phantom", "--backbone", tiny_backbone, "--clients", "3"),
        *("--set", f"dataset.limit={ROWS}", "--set", "runtime.workers=2", "--mode", "last_block"),
    ]
    outcome = forked("shards", "blood", tmp_path / "out" / "shards", *options, "--json")
    assert outcome.code == 0, outcome.errors
    result = outcome.json

    assert [site["site"] for site in result["sites"]] == [0, 1, 2]
    assert sum(sum(site["rows"].values()) for site in result["sites"]) == 168
    for number, site in enumerate(result["sites"]):
        shard = find_shard(tmp_path / "out" / "shards", key=result["key"], site=number)
        check_shard(shard)
        assert site["folder"] == str(tmp_path / "out" / "shards" / f"site-{number:05d}") == str(shard.path)
        assert site["rows"] == {"train": shard.train_rows, "validation": shard.validation_rows}
        assert site["bytes"] == folder_bytes(shard.path)
        contents = b"".join(path.read_bytes() for path in shard.path.rglob("*") if path.is_file())
        assert str(home).encode() not in contents
        assert str(tiny_backbone).encode() not in contents

    before = folder_bytes(tmp_path)
    line = refusal(forked("shards", "blood", tmp_path / "out" / "shards", *options))
    assert "is not an empty folder. Choose another DIR" in line
    assert folder_bytes(tmp_path) == before

    volumes = tmp_path / "out" / "volumes"
    for _ in range(2):  # what is there already stays
        into = forked("shards", "blood", volumes, *options, "--into", "--json")
        assert into.code == 0, into.errors
        for number, site in enumerate(into.json["sites"]):
            assert Path(site["folder"]) == volumes / f"site-{number:05d}" / result["key"]
    assert "site-00000/" in forked("shards", "blood", volumes, *options, "--into").output

    (tmp_path / "again").mkdir()
    drawn = forked("shards", "blood", tmp_path / "again", *options)
    assert drawn.code == 0, drawn.errors
    for site in result["sites"]:
        row = next(line for line in drawn.output.splitlines() if Path(site["folder"]).name in line)
        assert all(f"{number:,}" in row for number in (*site["rows"].values(), site["bytes"]))
    assert str(tmp_path / "again") in drawn.output
    assert result["key"] in drawn.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["shards", "volumes"]


def test_an_unknown_backbone_is_refused_and_leaves_no_folder(tmp_path: Path) -> None:
    arguments = ("--home", tmp_path / "home", "--data", "phantom", "--backbone", tmp_path / "none")
    line = refusal(forked("shards", "blood", tmp_path / "out", *arguments))
    assert "does not exist" in line
    assert list(tmp_path.iterdir()) == []
