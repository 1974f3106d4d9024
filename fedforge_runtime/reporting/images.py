"""Pictures inside a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

LARGEST = 64
"""Larger images are shrunk to so many pixels, so that a page can still be mailed."""


def shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of a dataset, at most `LARGEST` pixels high and wide.

    Args:
        pixels: (size, size, 3) RGB.
    """
    if pixels.shape[0] <= LARGEST:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((LARGEST, LARGEST), Image.Resampling.BOX), dtype=np.uint8)


def data_uri(pixels: NDArray[np.uint8], scale: int = 1) -> str:
    """A PNG of `pixels` as a `data:` URI; the same pixels give the same text.

    Args:
        pixels: (height, width, 3) RGB.
        scale: every pixel becomes a square of this many pixels, without smoothing.

    Raises:
        ValueError: the array is not an RGB image of uint8.
    """
    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"a picture is uint8 (height, width, 3), not {pixels.dtype} {pixels.shape}")
    enlarged = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)
    content = io.BytesIO()
    Image.fromarray(enlarged).save(content, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")
