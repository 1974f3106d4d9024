"""How a site's scanner, laboratory and stain change its images: feature skew, deterministic and without learning.

A shift acts on the image as it was taken, before any processor: stain first, as it is in the specimen; then the
optics; then the sensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.config.presets import FeatureSkewConfig
from fedforge_runtime.seeds import derive_seed

if TYPE_CHECKING:
    from PIL import Image

_MID_GREY = 127.5
_CHANNELS = ("red", "green", "blue")
# Optical density of haematoxylin and eosin by channel, and what is left of the colour at a right angle to both.
# Source: Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution",
# Analytical and Quantitative Cytology and Histology 23 (2001).
_HAEMATOXYLIN = (0.65, 0.70, 0.29)
_EOSIN = (0.07, 0.99, 0.11)
# In pixels; below it a neighbour's weight is lost in rounding.
_SMALLEST_SIGMA = 0.05
# "No shift", and how far below and above it a draw may be at strength 1, in the units of `ScannerShift`.
_WIDEST = {
    "stain": (1.0, -0.4, 0.4),
    "gain": (1.0, -0.2, 0.2),
    "brightness": (0.0, -25.0, 25.0),
    "contrast": (1.0, -0.3, 0.3),
    "blur": (0.0, 0.0, 0.02),
}
# Below these a difference is not worth a word.
_VISIBLE_FACTOR = 0.03
_VISIBLE_LEVELS = 2.0
_VISIBLE_BLUR = 0.004


@dataclass(frozen=True)
class ScannerShift:
    """What one site's scanner does to every image of the site; as it stands by default, nothing."""

    stain: tuple[float, float] = (1.0, 1.0)
    """Factors on the concentration of haematoxylin and of eosin."""
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on red, green and blue."""
    brightness: float = 0.0
    """Grey levels of 255 that are added."""
    contrast: float = 1.0
    """Factor on the distance to mid-grey."""
    blur: float = 0.0
    """Standard deviation of a Gaussian blur in parts of the image's width, so that it means the same at any size."""

    @property
    def is_identity(self) -> bool:
        """Whether images pass unchanged."""
        return self == ScannerShift()

    def describe(self) -> str:
        """The shift in words, for a screen: `haematoxylin +18%, more blue (+6%), darker by 9 levels`."""
        if self.is_identity:
            return "no shift"
        words = [
            f"{name} {factor - 1:+.0%}"
            for name, factor in zip(("haematoxylin", "eosin"), self.stain, strict=True)
            if abs(factor - 1) >= _VISIBLE_FACTOR
        ]
        tint = self._tint()
        words += [tint] if tint else []
        light = (math.prod(self.gain) ** (1 / 3) - 1) * _MID_GREY + self.brightness
        if abs(light) >= _VISIBLE_LEVELS:
            words.append(f"{'brighter' if light > 0 else 'darker'} by {abs(light):.0f} levels")
        if abs(self.contrast - 1) >= _VISIBLE_FACTOR:
            words.append(f"contrast {self.contrast - 1:+.0%}")
        if self.blur >= _VISIBLE_BLUR:
            words.append(f"blur {self.blur:.1%} of width")
        return ", ".join(words) or "hardly a shift"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "stain": list(self.stain), "gain": list(self.gain)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ScannerShift:
        """The shift that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: the document is not one.
        """
        haematoxylin, eosin = map(float, document["stain"])
        red, green, blue = map(float, document["gain"])
        brightness, contrast, blur = (float(document[name]) for name in ("brightness", "contrast", "blur"))
        return cls((haematoxylin, eosin), (red, green, blue), brightness, contrast, blur)

    def _tint(self) -> str:
        """The channel that the gains favour or hold back most, against the mean of all three."""
        mean = sum(self.gain) / 3
        leaning = [gain / mean - 1 for gain in self.gain] if mean else [0.0] * 3
        channel = max(range(3), key=lambda number: abs(leaning[number]))
        if abs(leaning[channel]) < _VISIBLE_FACTOR:
            return ""
        return f"{'more' if leaning[channel] > 0 else 'less'} {_CHANNELS[channel]} ({leaning[channel]:+.0%})"


@dataclass(frozen=True)
class ScannerRanges:
    """Where the shifts of a partition's sites are drawn from; each a smallest and a largest value."""

    stain: tuple[float, float]
    gain: tuple[float, float]
    brightness: tuple[float, float]
    contrast: tuple[float, float]
    blur: tuple[float, float]

    @classmethod
    def of(cls, config: FeatureSkewConfig) -> ScannerRanges:
        """The ranges that follow from the strength, except those that are given."""
        ranges: dict[str, tuple[float, float]] = {}
        for name, (none, below, above) in _WIDEST.items():
            low, high = getattr(config, name) or (none + config.strength * below, none + config.strength * above)
            ranges[name] = low, high
        return cls(**ranges)


def draw_shift(config: FeatureSkewConfig, *, seed: int, site: int) -> ScannerShift:
    """The shift of one site; depends on the arguments alone.

    The same seed and site give the same directions at every strength: twice the strength is twice the shift.

    Args:
        config: how far the sites are apart.
        seed: the run's seed.
        site: the client's number, from 0.
    """
    ranges = ScannerRanges.of(config)
    # RandomState: numpy keeps its streams the same for ever and does not promise that of others.
    draws = np.random.RandomState(derive_seed(seed, "partition", "scanner", site)).uniform(size=8)

    def within(bounds: tuple[float, float], draw: float) -> float:
        return float(bounds[0] + (bounds[1] - bounds[0]) * draw)

    return ScannerShift(
        stain=(within(ranges.stain, draws[0]), within(ranges.stain, draws[1])),
        gain=(within(ranges.gain, draws[2]), within(ranges.gain, draws[3]), within(ranges.gain, draws[4])),
        brightness=within(ranges.brightness, draws[5]),
        contrast=within(ranges.contrast, draws[6]),
        blur=within(ranges.blur, draws[7]),
    )


def apply_shift(pixels: NDArray[np.uint8], shift: ScannerShift) -> NDArray[np.uint8]:
    """An image as the scanner shows it.

    Args:
        pixels: uint8 of shape (height, width, 3), RGB; it stays as it is.
        shift: what the scanner does.

    Returns:
        uint8 of the same shape; the same bytes where the shift is none.

    Raises:
        ValueError: pixels of another type or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 of shape (height, width, 3), not {pixels.dtype} {pixels.shape}")
    if shift.is_identity:
        return pixels.copy()
    levels = pixels.astype(np.float64)
    if shift.stain != (1.0, 1.0):
        levels = _restain(levels, shift.stain)
    sigma = shift.blur * pixels.shape[1]
    if sigma > _SMALLEST_SIGMA:
        levels = _blur(levels, sigma)
    levels = levels * np.asarray(shift.gain)
    levels = (levels - _MID_GREY) * shift.contrast + _MID_GREY + shift.brightness
    shown: NDArray[np.uint8] = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return shown


def shift_image(image: Image.Image, shift: ScannerShift) -> Image.Image:
    """`apply_shift` of a PIL image, which comes back as RGB; the very object where the shift is none."""
    if shift.is_identity:
        return image
    from PIL import Image

    return Image.fromarray(apply_shift(np.asarray(image.convert("RGB")), shift))


def _restain(levels: NDArray[np.float64], factors: tuple[float, float]) -> NDArray[np.float64]:
    """Scale the concentrations of the two stains: Beer and Lambert's law makes them additive in optical density."""
    directions = np.array([_HAEMATOXYLIN, _EOSIN, np.cross(_HAEMATOXYLIN, _EOSIN)])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    scaling = np.linalg.inv(directions) @ np.diag([*factors, 1.0]) @ directions
    density = -np.log((levels + 1) / 256)
    # Written out: a matrix product may round differently with the number of threads.
    scaled = sum(density[..., channel, np.newaxis] * scaling[channel] for channel in range(3))
    restained: NDArray[np.float64] = 256 * np.exp(-scaled) - 1
    return restained


def _blur(levels: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """A Gaussian blur in both directions; beyond its border the image goes on with its last pixels."""
    reach = max(1, math.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        length = levels.shape[axis]
        around = [(reach, reach) if each == axis else (0, 0) for each in range(3)]
        padded = np.pad(levels, around, mode="edge")
        levels = np.zeros_like(levels)
        for start, weight in enumerate(weights):
            levels += weight * np.take(padded, range(start, start + length), axis=axis)
    return levels
