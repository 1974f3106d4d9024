"""Scanner shifts: the same images for the same draw, none at strength nought, and never out of bounds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pydantic import ValidationError

from fedforge_runtime.config.presets import FeatureSkewConfig
from fedforge_runtime.data.scanner import ScannerRanges, ScannerShift, apply_shift, draw_shift, shift_image

images = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
seeds, sites = st.integers(0, 2**31 - 1), st.integers(0, 500)
shifts = st.builds(
    ScannerShift,
    stain=st.tuples(st.floats(0, 4), st.floats(0, 4)),
    gain=st.tuples(*[st.floats(0, 4)] * 3),
    brightness=st.floats(-255, 255),
    contrast=st.floats(0, 4),
    blur=st.floats(0, 0.25),
)
ONE_CHANGE = [
    {"stain": (1.4, 1.0)},
    {"stain": (1.0, 0.6)},
    {"gain": (1.2, 1.0, 0.9)},
    {"brightness": 20.0},
    {"contrast": 0.7},
    {"blur": 0.05},
]


@pytest.fixture
def picture() -> np.ndarray:
    """A dark blob on a pale, uneven ground."""
    x, y = np.meshgrid(np.linspace(-1, 1, 28), np.linspace(-1, 1, 28))
    blob = np.exp(-6 * (x**2 + y**2))[..., np.newaxis]
    return np.rint((1 - blob) * [235, 205, 190] + blob * [90, 50, 130] + 5 * np.sin(9 * x)[..., np.newaxis]).astype(
        np.uint8
    )


@given(images)
def test_no_shift_leaves_every_byte(pixels: np.ndarray) -> None:
    assert np.array_equal(apply_shift(pixels, ScannerShift()), pixels)


@given(seeds, sites)
def test_strength_nought_is_no_shift(seed: int, site: int) -> None:
    assert draw_shift(FeatureSkewConfig(strength=0), seed=seed, site=site).is_identity


@given(images, shifts)
@settings(deadline=None)
def test_a_shifted_image_keeps_its_shape_and_type_and_is_the_same_every_time(
    pixels: np.ndarray, shift: ScannerShift
) -> None:
    before = pixels.copy()
    shown = apply_shift(pixels, shift)
    assert (shown.shape, shown.dtype) == (pixels.shape, np.uint8)
    assert np.array_equal(shown, apply_shift(pixels, shift))
    assert np.array_equal(pixels, before)


@given(seeds, sites, st.floats(0.01, 1))
def test_a_draw_depends_on_seed_and_site_alone_and_stays_within_its_ranges(
    seed: int, site: int, strength: float
) -> None:
    config = FeatureSkewConfig(strength=strength)
    shift, ranges = draw_shift(config, seed=seed, site=site), ScannerRanges.of(config)
    assert shift == draw_shift(config, seed=seed, site=site)
    assert shift != draw_shift(config, seed=seed, site=site + 1)
    assert shift != draw_shift(config, seed=seed + 1, site=site)
    for values, (lowest, highest) in [
        (shift.stain, ranges.stain),
        (shift.gain, ranges.gain),
        ((shift.brightness,), ranges.brightness),
        ((shift.contrast,), ranges.contrast),
        ((shift.blur,), ranges.blur),
    ]:
        assert all(lowest <= value <= highest for value in values)


def test_twice_the_strength_is_twice_the_shift() -> None:
    weak, strong = (draw_shift(FeatureSkewConfig(strength=strength), seed=17, site=3) for strength in (0.4, 0.8))
    assert strong.brightness == pytest.approx(2 * weak.brightness)
    assert strong.contrast - 1 == pytest.approx(2 * (weak.contrast - 1))
    assert strong.blur == pytest.approx(2 * weak.blur)
    assert np.array(strong.gain) - 1 == pytest.approx(2 * (np.array(weak.gain) - 1))


def test_a_given_range_replaces_the_one_of_the_strength() -> None:
    config = FeatureSkewConfig(strength=0, brightness=[40, 40], blur=[0.1, 0.2])
    shift = draw_shift(config, seed=17, site=0)
    assert shift.brightness == 40
    assert 0.1 <= shift.blur <= 0.2
    assert replace(shift, brightness=0.0, blur=0.0).is_identity


def test_two_sites_show_the_same_picture_differently(picture: np.ndarray) -> None:
    config = FeatureSkewConfig(strength=0.5)
    shown = [apply_shift(picture, draw_shift(config, seed=17, site=site)).astype(int) for site in range(5)]
    for number, one in enumerate(shown):
        assert all(np.abs(one - other).mean() > 1 for other in shown[number + 1 :])


def test_each_part_of_a_shift_does_what_its_name_says(picture: np.ndarray) -> None:
    levels = picture.astype(float)

    def shown(**change: Any) -> np.ndarray:
        return apply_shift(picture, ScannerShift(**change)).astype(float)

    assert (shown(brightness=10.0) - levels == 10).all()
    assert shown(contrast=0.5).std() == pytest.approx(levels.std() / 2, rel=0.05)
    assert np.allclose(shown(gain=(0.5, 1.0, 1.0))[..., 0], levels[..., 0] / 2, atol=0.51)
    assert np.array_equal(shown(gain=(0.5, 1.0, 1.0))[..., 1:], levels[..., 1:])
    more, less = shown(stain=(1.5, 1.0)), shown(stain=(0.5, 1.0))
    assert (more <= levels).all()
    assert (less >= levels).all()
    # Haematoxylin absorbs red more than blue, eosin green above all.
    pale = levels - more
    assert pale[..., 0].mean() > pale[..., 2].mean()
    eosin = levels - shown(stain=(1.0, 1.5))
    assert eosin[..., 1].mean() > eosin[..., [0, 2]].mean()


def test_a_blur_smooths_and_keeps_an_even_picture(picture: np.ndarray) -> None:
    blurred = apply_shift(picture, ScannerShift(blur=0.05)).astype(float)
    assert np.abs(np.diff(blurred, axis=1)).mean() < np.abs(np.diff(picture.astype(float), axis=1)).mean()
    assert blurred.mean() == pytest.approx(picture.mean(), abs=1)
    even = np.full((9, 9, 3), 77, dtype=np.uint8)
    assert np.array_equal(apply_shift(even, ScannerShift(blur=0.2)), even)


def test_a_blur_means_the_same_at_any_size(picture: np.ndarray) -> None:
    shift = ScannerShift(blur=0.06)
    large = np.repeat(np.repeat(picture, 4, axis=0), 4, axis=1)
    shrunk = apply_shift(large, shift).reshape(28, 4, 28, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - apply_shift(picture, shift)).mean() < 1.5


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), dtype=np.uint8), np.zeros((4, 4, 4), dtype=np.uint8), np.zeros((4, 4, 3))]
)
def test_what_is_no_rgb_image_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 of shape \(height, width, 3\)"):
        apply_shift(pixels, ScannerShift(brightness=1.0))


def test_a_pil_image_is_shifted_as_its_pixels_are(picture: np.ndarray) -> None:
    image, shift = Image.fromarray(picture), ScannerShift(brightness=-30.0)
    assert np.array_equal(np.asarray(shift_image(image, shift)), apply_shift(picture, shift))
    assert shift_image(image, ScannerShift()) is image
    assert shift_image(image.convert("L"), shift).mode == "RGB"


@given(shifts)
def test_a_shift_reads_back_as_it_was_written(shift: ScannerShift) -> None:
    assert ScannerShift.from_json(json.loads(json.dumps(shift.to_json()))) == shift


@pytest.mark.parametrize("change", ONE_CHANGE)
def test_a_shift_is_described_in_words(change: dict[str, Any]) -> None:
    words = ScannerShift(**change).describe()
    expected = {"stain": ("haematoxylin +40%", "eosin -40%"), "gain": ("more red",), "brightness": ("brighter by 20",),
                "contrast": ("contrast -30%",), "blur": ("blur 5.0%",)}  # fmt: skip
    assert any(word in words for word in expected[next(iter(change))])


def test_no_shift_and_next_to_none_have_words_of_their_own() -> None:
    assert ScannerShift().describe() == "no shift"
    assert ScannerShift(brightness=0.5).describe() == "hardly a shift"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"strength": 1.5}, "less than or equal to 1"),
        ({"strength": -0.1}, "greater than or equal to 0"),
        ({"blur": [0.2, 0.1]}, "two ascending numbers"),
        ({"gain": [0.9]}, "two ascending numbers"),
        ({"gain": [0.9, 9]}, "gain must lie within 0 and 4"),
        ({"contrast": "more"}, "two ascending numbers"),
        ({"hue": [0, 1]}, "Extra inputs"),
    ],
)
def test_a_wrong_feature_skew_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        FeatureSkewConfig.model_validate(fields)
