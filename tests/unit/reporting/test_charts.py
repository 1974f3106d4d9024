"""Charts are inline SVG: well formed, the same to the byte, themed, and honest about odd values."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from fedforge_runtime.reporting.charts import bar_chart, heat_map, histogram, line_chart
from tests.support.html_page import HtmlPage

HOSTILE = '<b onclick="x">&\'$\\frac$ \x00\x1b'


def _lines(name: str = "accuracy") -> Markup:
    series = {name: [(1, 0.5), (2, 0.7)], "_" + name: [(1.0, 0.2)]}
    return line_chart(series, x_label=name, y_label=name, references={"all rows": 0.9})


def _bars(name: str = "accuracy") -> Markup:
    values = {name: [0.5, float("nan")], "b": [0.1, 0.2]}
    return bar_chart([name, "other"], values, y_label=name, errors={name: [(0.4, 0.6), (np.nan, np.nan)]})


def _stacked(name: str = "accuracy") -> Markup:
    return bar_chart([name] * 20, {str(each): range(20) for each in range(10)}, y_label=name, stacked=True)


def _heat(name: str = "accuracy") -> Markup:
    values = np.array([[1.0, np.nan], [0.0, 3.0]])
    return heat_map(values, rows=[name, "b"], columns=[name, "d"], value_format=".0f", x_label=name, y_label=name)


def _histogram(name: str = "accuracy") -> Markup:
    return histogram({name: [1.0, 2.0, 2.5], "empty": []}, bins=4, x_label=name, y_label=name)


DRAWINGS = [_lines, _bars, _stacked, _heat, _histogram]
drawn = pytest.mark.parametrize("draw", DRAWINGS, ids=lambda draw: draw.__name__)


@drawn
def test_a_chart_says_what_it_is_and_scales(draw: Callable[..., Markup]) -> None:
    root = ElementTree.fromstring(draw())
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert root[0].tag == "title"
    assert root[0].text == root.get("aria-label")
    assert root.get("viewBox")
    assert root.get("width") is None
    assert root.get("height") is None


@drawn
def test_hostile_names_stay_text(draw: Callable[..., Markup]) -> None:
    chart = draw(HOSTILE)
    read = HtmlPage(chart)
    assert read.problems == []
    assert read.tags["b"] == 0
    assert "onclick" in read.text
    ElementTree.fromstring(chart)


@drawn
def test_a_chart_refers_to_nothing_but_itself(draw: Callable[..., Markup]) -> None:
    chart = draw()
    read = HtmlPage(chart)
    assert all(address.startswith("#") for address in read.addresses)
    referred = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', chart))
    assert referred == set(read.ids)
    assert "http" not in chart


def test_two_charts_on_a_page_share_no_id() -> None:
    ids = [set(HtmlPage(draw()).ids) for draw in DRAWINGS]
    assert sum(map(len, ids)) == len(set().union(*ids))


@drawn
def test_colours_follow_the_theme(draw: Callable[..., Markup]) -> None:
    outside = re.sub(r"var\(--[\w-]+, #[0-9a-f]{6}\)", "", draw())
    assert set(re.findall(r"#[0-9a-f]{6}\b", outside)) <= {"#000000"}


def test_text_is_text_in_the_readers_own_font() -> None:
    chart = _lines("accuracy")
    assert "accuracy" in HtmlPage(chart).words
    assert "font-family" not in chart
    assert "DejaVu" not in chart


def test_a_chart_is_the_same_to_the_byte_in_another_process() -> None:
    program = (
        "from fedforge_runtime.reporting.charts import line_chart;"
        "print(line_chart({'a': [(1, 2), (2, 3)]}, x_label='x', y_label='y'))"
    )
    here = line_chart({"a": [(1, 2), (2, 3)]}, x_label="x", y_label="y")
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert there == here + "\n"


def test_drawing_leaves_matplotlibs_settings_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    _heat()
    assert dict(matplotlib.rcParams) == before


def test_a_heat_map_writes_its_numbers_and_leaves_unknown_cells_empty() -> None:
    words = [word for word in HtmlPage(_heat()).words if word.strip().isdigit()]
    assert sorted(words) == ["0", "1", "3"]


def test_charts_of_nothing_are_drawn() -> None:
    for chart in (
        line_chart({}, x_label="x", y_label="y"),
        bar_chart([], {}, y_label="y"),
        heat_map(np.full((2, 2), np.nan), rows=["a", "b"], columns=["c", "d"], value_format=".0f"),
        heat_map(np.zeros((1, 3)), rows=["a"], columns=["b", "c", "d"], value_format=".0f"),
        histogram({}, bins=3, x_label="x", y_label="y"),
    ):
        assert HtmlPage(chart).problems == []
