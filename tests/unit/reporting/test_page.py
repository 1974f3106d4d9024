"""Pages escape what they are given, need nothing from outside and refuse to be made of too little."""

from __future__ import annotations

import re

import numpy as np
import pytest
from jinja2 import DictLoader, UndefinedError
from markupsafe import Markup

from fedforge_runtime.reporting import page
from fedforge_runtime.reporting.page import data_uri, render_page
from tests.support.html_page import HtmlPage

HOSTILE = "<script>alert(1)</script>\" onload='x'"


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> str:
    """A page that uses every component, with hostile text in each."""
    source = """{% extends "base.html.j2" %}{% import "components.html.j2" as ui %}
    {% block title %}{{ text }}{% endblock %}{% block heading %}{{ text }}{% endblock %}
    {% block content %}{{ ui.banner(text) }}{{ ui.note(text) }}
    {{ ui.highlights([{"label": text, "value": text, "detail": text}]) }}{{ ui.facts({text: text}) }}
    {{ ui.table([text, "n"], [[text, 1], [text, 2]], numeric=[1], marked=[0], caption=text) }}
    {{ ui.figure(chart, text) }}{{ ui.pictures([{"source": picture, "caption": text}]) }}{% endblock %}"""
    environment = page._ENVIRONMENT
    loader = environment.loader
    assert loader is not None
    templates = {name: loader.get_source(environment, name)[0] for name in ("base.html.j2", "components.html.j2")}
    monkeypatch.setattr(environment, "loader", DictLoader(templates | {"sample.html.j2": source}))
    picture = data_uri(np.zeros((2, 2, 3), np.uint8), 2)
    return render_page("sample.html.j2", text=HOSTILE, chart=Markup("<svg></svg>"), picture=picture)


def test_hostile_text_stays_text_in_every_component(sample: str) -> None:
    read = HtmlPage(sample)
    assert read.problems == []
    assert read.tags["script"] == 0
    assert read.text.count("<script>alert(1)</script>") == 15


def test_a_page_loads_nothing_and_forbids_it(sample: str) -> None:
    read = HtmlPage(sample)
    assert [address for address in read.addresses if not address.startswith("data:image/png;base64,")] == []
    assert not re.search(r"https?://|@import|url\(", sample)
    assert "default-src 'none'" in sample
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(read.tags)


def test_a_page_fits_a_phone_and_follows_the_theme(sample: str) -> None:
    assert 'name="viewport" content="width=device-width' in sample
    assert "prefers-color-scheme: dark" in sample
    assert HtmlPage(sample).tags["table"] == 1
    assert '<div class="scroll" role="region" tabindex="0"' in sample


def test_colours_of_both_themes_have_the_same_names(sample: str) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", sample, flags=re.DOTALL)
    assert set(re.findall(r"--[\w-]+(?=:)", light)) == set(re.findall(r"--[\w-]+(?=:)", dark))


def test_a_value_that_was_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render_page("run.html.j2")
