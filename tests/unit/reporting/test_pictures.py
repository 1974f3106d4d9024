"""A picture in a page is the picture that it was made of."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fedforge_runtime.reporting.page import data_uri


def test_a_picture_is_enlarged_without_smoothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    uri = data_uri(pixels, 3)
    kind, content = uri.split(",")
    assert kind == "data:image/png;base64"
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    np.testing.assert_array_equal(read, np.kron(pixels, np.ones((3, 3, 1), np.uint8)))
    assert data_uri(pixels, 3) == uri


@pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8)])
def test_what_is_no_rgb_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a picture is uint8"):
        data_uri(pixels, 1)
