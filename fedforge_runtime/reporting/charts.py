"""Charts as inline SVG: text stays text, colours follow the page's light or dark theme, bytes are reproducible.

Colours are CSS variables of `base.html.j2` with the light theme's value as fall-back (Okabe and Ito's palette,
which people with any colour vision can tell apart); series that share a colour differ in line style or hatching.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from fedforge_runtime.wording import shorten

_WIDTH = 440.0  # points, which are CSS pixels at scale 1: on a phone of 390 px text of 12 stays above 9
_HEIGHT = 280.0
_FONT_SIZE = 12.0
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b27700", "#4aa3d9", "#7a5fb0", "#5c6670")
_LINE_STYLES = ("-", "--", ":", "-.")
_HATCHES = (None, "///", "...", "xxx")
_INK, _MUTED, _GRID, _HEAT, _HEAT_INK = "#16202b", "#55626f", "#dde4eb", "#0b4f82", "#fefefe"
_VARIABLES = {
    **{colour: f"var(--series-{number}, {colour})" for number, colour in enumerate(_SERIES, start=1)},
    _INK: f"var(--ink, {_INK})",
    _MUTED: f"var(--muted, {_MUTED})",
    _GRID: f"var(--line, {_GRID})",
    _HEAT: f"var(--heat, {_HEAT})",
    _HEAT_INK: f"var(--heat-ink, {_HEAT_INK})",
}
_LABEL_WIDTH = 22
_LEGEND_WIDTH = 26


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_label: str,
    y_label: str,
    references: Mapping[str, float] | None = None,
    from_zero: bool = False,
    title: str = "",
) -> Markup:
    """Lines through (x, y) points, one for each name; a single point is a dot.

    Args:
        references: horizontal dashed lines by name, for example the centralized model's accuracy.
        from_zero: begin the vertical axis at 0, for amounts.
        title: what a screen reader says; by default it names both axes and the series.
    """
    with _canvas() as (figure, axes):
        for number, (name, points) in enumerate(series.items()):
            x, y = [point[0] for point in points], [point[1] for point in points]
            style = {"color": _colour(number), "linestyle": _line_style(number), **_markers(x)}
            axes.plot(x, y, label=_plain(name), linewidth=1.8, **style)
        for number, (name, value) in enumerate((references or {}).items(), start=len(series)):
            axes.axhline(value, label=_plain(name), color=_colour(number), linestyle=(0, (6, 3)), linewidth=1.2)
        if from_zero:
            axes.set_ylim(bottom=0)
        whole = all(float(x).is_integer() for points in series.values() for x, _ in points)
        axes.xaxis.get_major_locator().set_params(integer=whole)
        _explain(figure, axes, x_label, y_label)
        return _svg(figure, title or f"Line chart: {y_label} by {x_label} of {', '.join(series)}")


def bar_chart(
    categories: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    y_label: str,
    stacked: bool = False,
    errors: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    title: str = "",
) -> Markup:
    """Bars, one group for each category and one bar in it for each series; NaN leaves a gap.

    Args:
        series: a value for each category, by name.
        stacked: put a category's bars on one another.
        errors: (lower, upper) ends of an interval for each category, by the name of the series.
    """
    positions = np.arange(len(categories))
    width = 0.8 if stacked else 0.8 / max(len(series), 1)
    with _canvas() as (figure, axes):
        floor = np.zeros(len(categories))
        for number, (name, values) in enumerate(series.items()):
            heights = np.asarray(values, dtype=float)
            offset = 0.0 if stacked else (number - (len(series) - 1) / 2) * width
            axes.bar(
                positions + offset,
                heights,
                width * 0.95,
                bottom=floor if stacked else None,
                label=_plain(name),
                color=_colour(number),
                hatch=_HATCHES[number // len(_SERIES) % len(_HATCHES)],
            )
            if errors and name in errors:
                low, high = np.asarray(errors[name], dtype=float).T
                axes.errorbar(
                    positions + offset,
                    heights,
                    yerr=np.clip([heights - low, high - heights], 0, None),
                    fmt="none",
                    color=_INK,
                    elinewidth=1.1,
                    capsize=3,
                )
            floor = floor + np.nan_to_num(heights)
        _name_bars(figure, axes, categories)
        _explain(figure, axes, "", y_label)
        return _svg(figure, title or f"Bar chart: {y_label} of {', '.join(categories)}")


def _name_bars(figure: Any, axes: Any, categories: Sequence[str]) -> None:
    """Write the categories below their bars, slanted or upright where they would not fit beside each other."""
    crowded = len(categories) * max(map(len, categories), default=0) > 48
    steep = 40 if len(categories) < 16 else 90
    axes.set_xticks(
        np.arange(len(categories)),
        [_label(each, lines=1 if crowded else 2) for each in categories],
        size=11,
        rotation=steep if crowded else 0,
        ha="right" if crowded else "center",
        va="center" if crowded and steep == 90 else "top",
        rotation_mode="anchor" if crowded else "default",
    )
    if crowded:
        figure.set_figheight(1.2 * _HEIGHT / 72)


def heat_map(
    values: NDArray[Any],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    value_format: str,
    x_label: str = "",
    y_label: str = "",
    title: str = "",
) -> Markup:
    """A table of numbers on a ground that is the stronger the greater the number; NaN stays empty.

    Args:
        values: (rows, columns).
        value_format: of the number in a cell, for example `.0f` or `.0%`; empty for none.
    """
    grid = np.asarray(values, dtype=float)
    most = np.nanmax(grid) if grid.size and np.isfinite(grid).any() else 0.0
    with _canvas(min(max(150.0 + 24.0 * len(rows), 220.0), 1400.0)) as (figure, axes):
        from matplotlib.patches import Rectangle

        size = float(np.clip(_FONT_SIZE * 9 / max(grid.shape[1], 1), 7.0, 11.0))
        for (row, column), value in np.ndenumerate(grid):
            if not np.isfinite(value):
                continue
            strength = float(np.clip(value / most, 0, 1)) if most > 0 else 0.0
            axes.add_patch(
                Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=_HEAT, alpha=0.06 + 0.94 * strength)
            )
            if value_format:
                ink = _HEAT_INK if strength > 0.5 else _INK
                axes.text(column, row, format(value, value_format), ha="center", va="center", color=ink, size=size)
        axes.set_xlim(-0.5, grid.shape[1] - 0.5)
        axes.set_ylim(grid.shape[0] - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [_label(each) for each in rows], size=11)
        steep = max(map(len, columns), default=0) > 3
        axes.set_xticks(
            range(len(columns)),
            [_label(each, lines=1 if steep else 2) for each in columns],
            size=11,
            rotation=40 if steep else 0,
            ha="right" if steep else "center",
            rotation_mode="anchor",
        )
        axes.set_xlabel(_plain(x_label))
        axes.set_ylabel(_plain(y_label))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        return _svg(figure, title or f"Heat map: {y_label or 'rows'} by {x_label or 'columns'}")


def histogram(
    series: Mapping[str, Sequence[float]], *, bins: int | Sequence[float], x_label: str, y_label: str, title: str = ""
) -> Markup:
    """How often values fall into each bin; all series share the bins and are drawn as outlines over light grounds."""
    with _canvas() as (figure, axes):
        everything = np.concatenate([np.asarray(values, dtype=float) for values in series.values()] or [np.zeros(0)])
        edges = np.histogram_bin_edges(everything, bins=bins)
        for number, (name, values) in enumerate(series.items()):
            counts, _ = np.histogram(np.asarray(values, dtype=float), bins=edges)
            style = {"color": _colour(number), "linestyle": _line_style(number)}
            axes.stairs(counts, edges, label=_plain(name), linewidth=1.6, **style)
            axes.stairs(counts, edges, fill=True, color=_colour(number), alpha=0.18)
        _explain(figure, axes, x_label, y_label)
        return _svg(figure, title or f"Histogram: {y_label} by {x_label} of {', '.join(series)}")


@contextmanager
def _canvas(height: float = _HEIGHT) -> Iterator[tuple[Any, Any]]:
    """A figure with one set of axes, under settings that do not leak into the process."""
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "fedforge",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # shipped with matplotlib; the page shows the reader's own
        "font.size": _FONT_SIZE,
        "axes.edgecolor": _MUTED,
        "axes.labelcolor": _MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": _GRID,
        "hatch.linewidth": 0.8,
        "xtick.color": _MUTED,
        "ytick.color": _MUTED,
        "xtick.labelcolor": _INK,
        "ytick.labelcolor": _INK,
        "text.color": _INK,
        "text.parse_math": False,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(_WIDTH / 72, height / 72), dpi=72, layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        yield figure, axes


def _explain(figure: Any, axes: Any, x_label: str, y_label: str) -> None:
    """Name the axes, rule lines across, and tell several series apart."""
    axes.set_xlabel(_plain(x_label))
    axes.set_ylabel(_plain(y_label))
    axes.grid(axis="y")
    handles, names = axes.get_legend_handles_labels()
    if len(names) < 2:
        return
    names = [shorten(name, _LEGEND_WIDTH) for name in names]
    columns = int(np.clip(56 // (max(map(len, names)) + 6), 1, 6))
    lines = -(-len(names) // columns)
    figure.set_figheight(figure.get_figheight() + 18 * max(lines - 1, 0) / 72)
    figure.legend(
        handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=11, handlelength=1.8
    )


def _svg(figure: Any, title: str) -> Markup:
    """Draw `figure` and make it fit into a page: no fixed size, no metadata, no clashing ids, theme colours."""
    drawn, title = io.StringIO(), escape(_clean(title))
    figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
    text = drawn.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r"\bfont: (?:\w+ )*(\d+(?:\.\d+)?)px [^;\"]*", r"font-size: \1px", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = _own_ids(text, prefix="c" + hashlib.sha256(text.encode()).hexdigest()[:8])
    (size,) = re.findall(r'viewBox="[^"]*"', text[: text.index(">")])
    head = f'<svg class="chart" role="img" aria-label="{title}" {size}>\n<title>{title}</title>'
    body = text[text.index(">") + 1 :].strip()
    return Markup(head + "\n" + re.sub(r"\n\s*", "\n", body))  # noqa: S704 - matplotlib escapes its text


def _own_ids(text: str, *, prefix: str) -> str:
    """Keep only the ids that something refers to, under names of this chart's own."""
    used = set(re.findall(r'(?:url\(#|xlink:href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r'url\(#([^)"]+)', rf"url(#{prefix}-\1", text)
    return re.sub(r'xlink:href="#([^"]+)', rf'href="#{prefix}-\1', text)


def _colour(number: int) -> str:
    return _SERIES[number % len(_SERIES)]


def _line_style(number: int) -> str:
    return _LINE_STYLES[number // len(_SERIES) % len(_LINE_STYLES)]


def _markers(x: Sequence[float]) -> dict[str, Any]:
    """Few points are shown as such."""
    return {} if len(x) > 12 else {"marker": "o", "markersize": 3.5 if len(x) > 1 else 6}


def _plain(text: str) -> str:
    """`text` as a label; matplotlib hides those that begin with an underscore."""
    clean = _clean(text)
    return "\u200b" + clean if clean.startswith("_") else clean


def _clean(text: str) -> str:
    """Without the characters that an XML document cannot hold."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _label(text: str, *, lines: int = 2) -> str:
    """The tables of a page give the names in full."""
    return shorten(_plain(text), _LABEL_WIDTH, lines=lines)
