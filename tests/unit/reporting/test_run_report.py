"""The report of a run: every section, every warning, nothing from outside, whatever state the run is in."""

from __future__ import annotations

import re

import pytest

from fedforge_runtime.config import change_run_config, read_run_config
from fedforge_runtime.errors import DataError
from fedforge_runtime.reporting.run_report import write_report
from fedforge_runtime.storage.artifacts import read_json, write_json
from tests.support.html_page import HtmlPage
from tests.support.run_folders import CLASSES, SHA256, MakeRun, bounds

SECTIONS = ["result", "bounds", "test", "rounds", "clients", "partition", "costs", "failures", "provenance"]
NUMBERED = 5  # of which so many show scores


def _read(source: str) -> HtmlPage:
    page = HtmlPage(source)
    assert page.problems == []
    assert page.tags["script"] == 0
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert not re.search(r"https?://", source)
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    assert all(role.get("aria-label") for role in page.roles if role["role"] in ("img", "region"))
    return page


def test_a_completed_run_is_told_in_full(make_run: MakeRun) -> None:
    folder = make_run()
    write_json(folder.bounds, bounds(3))
    path = write_report(folder)
    assert path == folder.report
    page = _read(path.read_text())
    accuracy = read_json(folder.metrics)["test"]["accuracy"]
    for expected in (
        f"test accuracy {accuracy:.4f}",
        "(95% interval)",
        "Confusion matrix, test images counted: 60 in all.",
        "Worst client: client 2",
        "worst alone: client 0",
        "all rows in one place",
        "client-1 train 1 it raised",
        SHA256,
        "cd" * 32,
        "0123",
        "c0ffee",
        "torch 2.14.1",
        "version: 1 phase: blood",
        "2026-11-24 09:30:00 UTC",
        "2 min 10 s",
        "6.0 MB",
    ):
        assert expected in page.text
    assert "Not computed" not in page.text


def test_the_report_is_the_same_to_the_byte_when_made_again(make_run: MakeRun) -> None:
    folder = make_run()
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() != b""
    assert folder.report.read_bytes() == first


def test_hostile_class_names_and_reasons_stay_text(make_run: MakeRun) -> None:
    source = write_report(make_run()).read_text()
    page = _read(source)
    visible = CLASSES[1].replace("\x01", "")
    assert visible[:40] in page.text
    assert "<script" not in source


def test_banners_stand_on_top_and_beside_every_section_with_scores(make_run: MakeRun) -> None:
    source = write_report(make_run()).read_text()
    page = _read(source)
    for banner in ("PHANTOM DATA:", "UNTRAINED BACKBONE:"):
        assert page.text.index(banner) < page.text.index("test accuracy")
    assert source.count('<span class="stamp">PHANTOM DATA, UNTRAINED BACKBONE</span>') == NUMBERED


def test_official_images_need_no_stamp(make_run: MakeRun) -> None:
    folder = make_run(source="official", official=True, licence="CC BY 4.0")
    inputs = read_json(folder.inputs)
    write_json(folder.inputs, inputs | {"backbone_trained": True, "backbone_name": "facebook/deit"})
    source = write_report(folder).read_text()
    assert 'class="stamp"' not in source
    assert 'class="banner"' not in source
    assert "CC BY 4.0" in source


@pytest.mark.parametrize("licence", ["CC BY-NC 4.0", "not stated (the official archive: CC BY-NC 4.0)"])
def test_a_non_commercial_licence_is_a_banner(make_run: MakeRun, licence: str) -> None:
    page = _read(write_report(make_run(source="local", licence=licence)).read_text())
    assert "Non-commercial use only:" in page.text
    assert "UNOFFICIAL DATA:" in page.text
    assert licence in page.text


def test_a_run_over_the_sites_own_data_shows_what_they_report_and_no_partition(make_run: MakeRun) -> None:
    folder = make_run(source="official", official=True, licence="CC BY-NC 4.0", rows={"validation": 9, "test": 60})
    document = read_run_config(folder.config).model_dump(mode="json")
    folder.config.write_text(change_run_config(document, {"federation.site_data": "own"}, []).to_yaml())
    write_json(folder.inputs, read_json(folder.inputs) | {"partition": None, "backbone_trained": True})

    page = _read(write_report(folder).read_text())

    assert "EACH SITE'S OWN DATA:" in page.text
    assert page.text.count("each site's own data, scored on official") >= NUMBERED
    assert "each site's own for training, 9 validation, 60 test" in page.text
    assert "There are none: they would need the rows of all sites" in page.text
    assert "The server has seen none of it" in page.text
    assert "Jensen-Shannon" not in page.text
    assert "dirichlet" not in page.text
    assert "Non-commercial" not in page.text


def test_bounds_that_were_not_computed_are_said_to_be_missing(make_run: MakeRun) -> None:
    page = _read(write_report(make_run()).read_text())
    assert "Not computed" in page.text
    assert "fedforge bounds a-run" in page.text


def test_a_failed_run_is_labelled_and_shows_what_there_is(make_run: MakeRun) -> None:
    folder = make_run(rounds=1, completed=False)
    write_json(folder.bounds, bounds(3))
    page = _read(write_report(folder).read_text())
    assert "FAILED after 1 of 2 rounds: too few clients." in page.text
    assert "fedforge resume a-run" in page.text
    assert "validation accuracy 0.5000" in page.text
    assert "test accuracy" not in page.text
    assert "model, scored on the validation split" in page.text
    assert "recorded when the run is completed" in page.text


def test_a_run_that_never_began_has_a_page_too(make_run: MakeRun) -> None:
    page = _read(write_report(make_run(started=False)).read_text())
    assert "INTERRUPTED after 0 of 2 rounds" in page.text
    assert "No round is done yet." in page.text


def test_a_run_of_many_clients_shows_their_spread(make_run: MakeRun) -> None:
    page = _read(write_report(make_run(clients=12)).read_text())
    assert "clients (their spread)" in page.text
    assert "upper quartile" in page.text


def test_a_run_of_before_predictions_were_kept_says_so(make_run: MakeRun) -> None:
    folder = make_run()
    folder.test_predictions.unlink()
    page = _read(write_report(folder).read_text())
    assert "were not recorded" in page.text
    assert "test accuracy" in page.text


def test_broken_predictions_are_an_error_and_leave_the_old_page(make_run: MakeRun) -> None:
    folder = make_run()
    before = write_report(folder).read_bytes()
    folder.test_predictions.write_bytes(b"not a tensor")
    with pytest.raises(DataError, match="cannot read the predictions"):
        write_report(folder)
    assert folder.report.read_bytes() == before
