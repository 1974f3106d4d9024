"""Pages from Jinja templates: one file without scripts or external parts, which can be mailed and archived.

What a page shows is made by pure functions, as values: tables, figures, pictures, numbers.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from fedforge_runtime import __version__
from fedforge_runtime.learning.scores import Interval

_ENVIRONMENT = Environment(
    loader=PackageLoader("fedforge_runtime.reporting", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.globals["fedforge_version"] = __version__


def render_page(template: str, **values: object) -> str:
    """The HTML of `templates/<template>`, for example `run.html.j2`, which extends `base.html.j2`.

    Every value is escaped, except the `Markup` that `charts` and the macros of `components.html.j2` return.

    Raises:
        jinja2.UndefinedError: the template uses a value that was not given.
    """
    return _ENVIRONMENT.get_template(template).render(**values)


@dataclass(frozen=True)
class Table:
    """Text in rows and columns."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()
    """The columns of numbers."""
    marked: Sequence[int] = ()
    """The rows that stand out."""
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A chart and the sentence that says what it shows."""

    chart: Markup
    caption: str


@dataclass(frozen=True)
class Highlight:
    """A number that matters."""

    label: str
    value: str
    detail: str = ""


ABSENT = "–"
_METRICS = {"macro_f1": "macro F1", "auc": "AUC"}


def metric(name: str) -> str:
    """A metric's name in words."""
    return _METRICS.get(name, name.replace("_", " "))


def score(value: float | None) -> str:
    """Four digits after the point, as everywhere in FedForge; a dash where there is none."""
    return ABSENT if value is None else f"{value:.4f}"


def interval(value: Interval | None) -> str:
    """For example `0.9120 (0.9016 to 0.9213)`."""
    return ABSENT if value is None else f"{value.value:.4f} ({bounds(value)})"


def bounds(value: Interval) -> str:
    """For example `0.9016 to 0.9213`."""
    return f"{value.low:.4f} to {value.high:.4f}"


LARGEST = 64
"""Larger images are shrunk to so many pixels, so that a page can still be mailed."""


def shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of a dataset, at most `LARGEST` pixels high and wide.

    Args:
        pixels: (size, size, 3) RGB.
    """
    if pixels.shape[0] <= LARGEST:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((LARGEST, LARGEST), Image.Resampling.BOX), dtype=np.uint8)


def data_uri(pixels: NDArray[np.uint8], scale: int = 1) -> str:
    """A PNG of `pixels` as a `data:` URI; the same pixels give the same text.

    Args:
        pixels: (height, width, 3) RGB.
        scale: every pixel becomes a square of this many pixels, without smoothing.

    Raises:
        ValueError: the array is not an RGB image of uint8.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"a picture is uint8 (height, width, 3), not {pixels.dtype} {pixels.shape}")
    enlarged = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)
    content = io.BytesIO()
    Image.fromarray(enlarged).save(content, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")
