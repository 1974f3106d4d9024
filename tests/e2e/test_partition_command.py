"""`fedforge partition`: seen by a person and by a program, before anything heavy is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.command import Outcome, fedforge, refusal
from tests.e2e.forked import forked

TINY = ("--data", "phantom", "--set", "dataset.limit=360")
OPTIONS = ("blood", "--clients", "3", *TINY)
HEAVY = {"torch", "transformers", "medmnist", "sklearn", "evaluate"}


@dataclass(frozen=True)
class Preview:
    """A preview that was drawn and written as a page, and the modules that were imported for it."""

    home: Path
    outcome: Outcome
    page: str
    modules: set[str]


@pytest.fixture(scope="module")
def preview(tmp_path_factory: pytest.TempPathFactory) -> Preview:
    """Of phantom images under `hospital-skew`, with a page."""
    folder = tmp_path_factory.mktemp("preview")
    home, page = folder / "home", folder / "page.html"
    outcome = fedforge(
        *("partition", *OPTIONS, "--preview", "--partition", "hospital-skew", "--html", page, "--home", home),
        environment={"PYTHONPROFILEIMPORTTIME": "1"},
    )
    assert outcome.code == 0, outcome.errors
    lines = [line.rsplit("|", 1)[-1].strip() for line in outcome.errors.splitlines() if "import time:" in line]
    return Preview(home, outcome, page.read_text(), set(lines))


def test_a_preview_is_drawn_and_nothing_of_the_partition_is_stored(preview: Preview) -> None:
    for words in (
        "bloodmnist at 28 px (PHANTOM DATA), 252 training rows over 3 sites",
        "University hospitals and district hospitals",
        "site 0: university hospital",
        "haematoxylin",
    ):
        assert words in preview.outcome.output
    assert "PHANTOM DATA" in preview.outcome.errors
    assert not (preview.home / "assets" / "partition").exists()


def test_a_page_holds_story_map_and_pictures_in_one_file(preview: Preview) -> None:
    assert "PHANTOM DATA" in preview.page
    assert "A few university hospitals see half of all patients" in preview.page
    assert preview.page.count('src="data:image/png;base64,') == 3
    assert preview.page.count("<svg") == 3
    assert not re.search(r"(src|href)=\"(?!data:|#)", preview.page)


def test_neither_torch_nor_a_backbone_is_loaded_for_a_preview(preview: Preview) -> None:
    assert "flwr_datasets" in preview.modules
    assert {module.split(".")[0] for module in preview.modules}.isdisjoint(HEAVY)


def test_without_preview_the_same_is_shown_of_a_partition_that_is_stored(preview: Preview) -> None:
    options = ("partition", *OPTIONS, "--partition", "one-rare-site", "--json", "--home", preview.home)
    previewed, stored = forked(*options, "--preview").json, forked(*options).json
    assert previewed["artifact"] is None
    assert stored["artifact"]["created"]
    assert (Path(stored["artifact"]["path"]) / "skew.json").is_file()
    assert previewed["partition"] == stored["partition"]
    assert sum(stored["partition"]["skew"]["class_rows"]) == stored["dataset"]["rows"]["train"] == 252


def test_a_preset_of_ones_own_is_previewed_from_its_file(preview: Preview, tmp_path: Path) -> None:
    file = tmp_path / "two-wards.yaml"
    file.write_text(
        "title: Two wards\nstory: They share every patient.\n"
        "groups:\n- {name: ward, sites: 100%, rows: 100%, feature_skew: {strength: 0.2}}\n"
    )
    options = ("partition", "blood", "--preview", "--clients", "2", *TINY, "--home", preview.home)
    shown = forked(*options, "--partition", file, "--json").json["partition"]
    assert (shown["name"], shown["title"]) == ("two-wards", "Two wards")
    assert len(shown["scanners"]) == 2
    file.write_text(file.read_text().replace("rows: 100%", "rows: 90%"))
    line = refusal(forked(*options, "--partition", file))
    assert "two-wards.yaml: groups: their rows of all add up to 90%, not 100%; give one group the rest." in line


def test_partitioners_and_presets_are_listed_without_any_data(tmp_path: Path) -> None:
    listed = forked("partition", "--list", "--json", "--home", tmp_path / "home").json
    assert {"dirichlet", "geometric"} <= {each["name"] for each in listed["partitioners"]}
    assert {"hospital-skew", "one-rare-site", "sizes-vary", "label-shards"} <= {
        each["name"] for each in listed["presets"]
    }
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "no PHASE is given. Name blood, derma or path"),
        (("blood", "--partition", "none.yaml"), "cannot read the partition preset none.yaml"),
        (("blood", *TINY, "--partition", "sizes-vary", "--clients", "90"), "90 clients of at least 10 rows need 900"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: tuple[str, ...], complaint: str, preview: Preview) -> None:
    outcome = forked("partition", *arguments, "--preview", "--home", preview.home)
    assert outcome.error_lines
    assert complaint in outcome.error_lines[-1]
    assert outcome.output == ""


@pytest.mark.real_data
def test_real_data_are_previewed_with_their_imbalance(real_data: Path, tmp_path: Path) -> None:
    options = ("partition", "path", "--preview", "--data", real_data, "--home", tmp_path / "home", "--json")
    shown = forked(*options, "--partition", "one-rare-site").json
    sites = shown["partition"]["skew"]["clients"]
    rarest = min(range(9), key=lambda code: shown["partition"]["skew"]["class_rows"][code])
    assert sites[0]["class_rows"][rarest] == round(0.9 * shown["partition"]["skew"]["class_rows"][rarest])
    assert shown["dataset"]["official"] is False
    assert any("lack a class" in warning for warning in shown["partition"]["warnings"])
