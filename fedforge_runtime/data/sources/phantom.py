"""Phantom images: drawn by arithmetic in MedMNIST's format, for trying things out without any real data.

They have the classes and the class balance of the real sets, and each class has colours, a size, a texture and spots
of its own, as blood cells, skin lesions and tissue have. They are not medical images, and a score on them says nothing
about a score on real ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.stratification import apportion
from fedforge_runtime.errors import DataError
from fedforge_runtime.seeds import derive_seed

GENERATOR_VERSION = 2
"""Raised by any change to the pixels."""

DEFAULT_ROWS = 2_000

# Images of each class in the published training sets.
# Source: Yang et al., "MedMNIST v2", Scientific Data 10, 41 (2023).
CLASS_COUNTS: dict[str, tuple[int, ...]] = {
    "bloodmnist": (852, 2_181, 1_085, 2_026, 849, 993, 2_330, 1_643),
    "dermamnist": (228, 359, 769, 80, 779, 4_693, 99),
    "pathmnist": (9_366, 9_509, 10_360, 10_401, 8_006, 12_182, 7_886, 9_401, 12_885),
}
_SPLIT_SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
_ROWS_PER_CLASS_AND_SPLIT = 3
# Bounds memory at the larger sizes. Part of the order of random draws, hence of the version.
_PIXELS_AT_ONCE = 2_000_000

# What tells no class: by how many grey levels images of a class differ in lightness and in hue, a ground from place to
# place, and pixels; and how many specks lie about, without which images with little on them were duplicates.
_TONE, _HUE, _UNEVEN, _NOISE, _SPECKS = 16, 6, 30, 10, 4
_SPECK_COLOUR, _SPECK_RADIUS, _SPECK_OPACITY = (150, 110, 130), 0.13, 0.6
_SPOT_SOFTNESS = 0.1

Pixels = NDArray[np.float64]
Offset = Pixels | float
Range = tuple[float, float]
Colour = tuple[float, float, float]


def minimum_rows(flag: str) -> int:
    """The fewest rows that give every class three in every split."""
    return len(CLASS_COUNTS[flag]) * len(_SPLIT_SHARES) * _ROWS_PER_CLASS_AND_SPLIT


def generate(flag: str, size: int, rows: int) -> dict[str, NDArray[np.uint8]]:
    """Draw `rows` images, the same ones every time.

    Args:
        flag: `bloodmnist`, `dermamnist` or `pathmnist`.
        size: edge length in pixels.
        rows: images over all splits, divided 70/10/20 as far as three a class and split allow.

    Returns:
        The arrays of a MedMNIST archive: `train_images` (rows, size, size, 3), `train_labels` (rows, 1), and
        the same of `val` and `test`, all uint8.

    Raises:
        DataError: `rows` is below `minimum_rows`.
    """
    at_once = max(1, _PIXELS_AT_ONCE // size**2)
    arrays: dict[str, NDArray[np.uint8]] = {}
    for split, (labels, random) in _drawn_labels(flag, size, rows).items():
        images = np.empty((len(labels), size, size, 3), dtype=np.uint8)
        for class_id, look in enumerate(_LOOKS[flag]):
            places = np.flatnonzero(labels == class_id)
            for start in range(0, len(places), at_once):
                some = places[start : start + at_once]
                images[some] = _draw(look, _Canvas(random, len(some), size))
        arrays[f"{split}_images"] = images
        arrays[f"{split}_labels"] = labels[:, np.newaxis]
    return arrays


def generated_labels(flag: str, size: int, rows: int) -> dict[str, NDArray[np.uint8]]:
    """The labels that `generate` gives its images, by split (`train`, `val`, `test`), each of shape (rows,).

    Raises:
        DataError: as `generate`.
    """
    return {split: labels for split, (labels, _) in _drawn_labels(flag, size, rows).items()}


def _drawn_labels(flag: str, size: int, rows: int) -> dict[str, tuple[NDArray[np.uint8], np.random.RandomState]]:
    """By split the labels, and the generator that goes on to draw its images."""
    if rows < minimum_rows(flag):
        raise DataError(
            f"{rows} phantom images are too few for the {len(CLASS_COUNTS[flag])} classes of {flag}: "
            f"it takes {minimum_rows(flag)} to have {_ROWS_PER_CLASS_AND_SPLIT} of each in every split.",
            remedy=f"Use --set dataset.limit={minimum_rows(flag)} or more.",
        )
    counts = CLASS_COUNTS[flag]
    split_rows = apportion(list(_SPLIT_SHARES.values()), rows, minimum=len(counts) * _ROWS_PER_CLASS_AND_SPLIT)
    drawn = {}
    for split, total in zip(_SPLIT_SHARES, split_rows, strict=True):
        # RandomState: numpy keeps its streams the same for ever and does not promise that of others.
        random = np.random.RandomState(derive_seed(GENERATOR_VERSION, "phantom", flag, size, split))
        per_class = apportion(counts, total, minimum=_ROWS_PER_CLASS_AND_SPLIT)
        drawn[split] = random.permutation(np.repeat(np.arange(len(counts), dtype=np.uint8), per_class)), random
    return drawn


@dataclass(frozen=True)
class _Look:
    """What tells a class from the others: a disc on a ground, with a grain and smaller discs in it.

    Lengths are parts of half an image's edge, so that a scene has no size; colours and depth are grey levels.
    """

    ground: Colour
    disc: Colour
    radius: Range
    softness: float
    """Width of the disc's border."""
    spots: int
    spot: Colour
    spot_radius: float
    spread: float
    """How far from the disc's middle spots lie at most, across and down."""
    grain: tuple[int, int] = (9, 9)
    """Hills across and down."""
    depth: float = 20


_PALE, _SKIN, _WHITE, _DARK = (252, 226, 202), (220, 170, 158), (238, 230, 238), (100, 60, 124)
_ALL: Range = (2.0, 2.0)
"""A disc that leaves nothing of the ground."""

_LOOKS: dict[str, tuple[_Look, ...]] = {
    "bloodmnist": (
        _Look(_PALE, (140, 88, 150), (0.48, 0.66), 0.1, 3, (92, 50, 128), 0.30, 0.25, depth=90),  # basophil
        _Look(_PALE, (206, 118, 112), (0.54, 0.76), 0.1, 2, (88, 48, 130), 0.28, 0.30, depth=60),  # eosinophil
        _Look(_PALE, (160, 148, 178), (0.34, 0.52), 0.1, 1, (58, 32, 96), 0.26, 0.08),  # erythroblast
        _Look(_PALE, (172, 142, 178), (0.56, 0.80), 0.1, 2, (100, 58, 134), 0.42, 0.12, depth=40),  # immature
        _Look(_PALE, (158, 148, 188), (0.40, 0.56), 0.1, 1, (74, 42, 118), 0.40, 0.04),  # lymphocyte
        _Look(_PALE, (166, 160, 188), (0.58, 0.84), 0.1, 3, (104, 64, 138), 0.32, 0.26),  # monocyte
        _Look(_PALE, (216, 180, 190), (0.50, 0.72), 0.1, 5, (78, 42, 118), 0.17, 0.38, depth=30),  # neutrophil
        _Look(_PALE, (170, 132, 176), (0.14, 0.28), 0.1, 0, _DARK, 0.0, 0.0, depth=60),  # platelet
    ),
    "dermamnist": (
        _Look(_SKIN, (186, 124, 108), (0.40, 0.70), 0.5, 4, (206, 162, 140), 0.16, 0.40, depth=60),  # actinic keratosis
        _Look(_SKIN, (196, 120, 128), (0.30, 0.60), 0.3, 3, (136, 86, 92), 0.12, 0.30, depth=30),  # basal cell
        _Look(_SKIN, (138, 100, 86), (0.30, 0.65), 0.1, 2, (104, 80, 74), 0.16, 0.30, depth=50),  # benign keratosis
        _Look(_SKIN, (160, 108, 98), (0.30, 0.60), 0.4, 1, (204, 160, 150), 0.22, 0.04),  # dermatofibroma
        _Look(_SKIN, (104, 70, 58), (0.30, 0.75), 0.2, 4, (66, 52, 60), 0.20, 0.50, (5, 5), 50),  # melanoma
        _Look(_SKIN, (134, 88, 68), (0.20, 0.65), 0.2, 1, (112, 70, 54), 0.20, 0.20),  # naevus
        _Look(_SKIN, (164, 62, 86), (0.18, 0.45), 0.1, 2, (112, 48, 84), 0.12, 0.20),  # vascular lesion
    ),
    "pathmnist": (
        _Look(_WHITE, (216, 206, 218), _ALL, 0.1, 1, (196, 136, 176), 0.30, 1.0, (3, 3), 30),  # adipose
        _Look(_WHITE, (136, 92, 148), _ALL, 0.1, 1, (90, 56, 96), 0.16, 1.0),  # background
        _Look(_WHITE, (202, 124, 168), _ALL, 0.1, 3, _WHITE, 0.24, 0.9, (13, 13), 70),  # debris
        _Look(_WHITE, (212, 172, 206), _ALL, 0.1, 24, (112, 70, 134), 0.12, 1.1),  # lymphocytes
        _Look(_WHITE, (200, 180, 210), _ALL, 0.1, 2, (232, 224, 236), 0.34, 1.0, (3, 9), 60),  # mucus
        _Look(_WHITE, (208, 128, 178), _ALL, 0.1, 4, _DARK, 0.08, 1.0, (2, 11), 50),  # smooth muscle
        _Look(_WHITE, (206, 138, 184), _ALL, 0.1, 6, (126, 76, 144), 0.20, 1.0),  # normal mucosa
        _Look(_WHITE, (202, 134, 182), _ALL, 0.1, 8, _DARK, 0.08, 1.0, (4, 11), 60),  # stroma
        _Look(_WHITE, (150, 86, 146), _ALL, 0.1, 4, (214, 178, 208), 0.34, 1.0, (11, 11), 70),  # adenocarcinoma
    ),
}


class _Canvas:
    """A batch of images that are drawn on in parallel."""

    def __init__(self, random: np.random.RandomState, count: int, size: int) -> None:
        self._random = random
        self._count = count
        self._axis = (np.arange(size) + 0.5) * 2 / size - 1
        self.pixels: Pixels = np.empty((count, size, size, 3))

    def between(self, low: float, high: float, *shape: int) -> Pixels:
        """Random numbers of their own for each image, shape (count, *shape)."""
        return self._random.uniform(low, high, (self._count, *shape))

    def colour(self, base: Colour) -> Pixels:
        """One colour an image near `base`, lighter or darker more than of another hue, (count, 1, 1, 3)."""
        return np.asarray(base) + self.between(-_TONE, _TONE, 1, 1, 1) + self.between(-_HUE, _HUE, 1, 1, 3)

    def paint(self, mask: Pixels, colour: Pixels) -> None:
        """Lay `colour` over the images, opaque where `mask` (count, size, size) is one."""
        self.pixels += mask[..., np.newaxis] * (colour - self.pixels)

    def disc(self, x: Pixels, y: Pixels, radius: Pixels | float, softness: float) -> Pixels:
        """The mask of a disc, wider than high or higher than wide."""
        ratio = self.between(0.85, 1.18, 1, 1)
        across, down = (self._axis - x) * ratio, (self._axis[:, np.newaxis] - y) / ratio
        return np.clip((radius - np.sqrt(across * across + down * down)) / softness + 0.5, 0, 1)

    def scatter(
        self, count: int, colour: Colour, radius: float, x: Offset, y: Offset, spread: float, *, within: Offset
    ) -> None:
        """Paint so many discs, each at most `spread` from (x, y) across and down, as opaque as `within`."""
        for _ in range(count):
            beside, below = (self.between(-spread, spread, 1, 1) for _ in "xy")
            mask = self.disc(x + beside, y + below, radius * self.between(0.8, 1.2, 1, 1), _SPOT_SOFTNESS)
            self.paint(mask * within, self.colour(colour))

    def grain(self, hills: tuple[int, int], depth: float) -> Pixels:
        """Smooth ups and downs by `depth` grey levels, so many across and down, (count, size, size, 1)."""
        across, down = hills
        values = self.between(-depth / 2, depth / 2, down + 1, across + 1, 1)
        for axis, count in ((1, down), (2, across)):
            place = (self._axis + 1) / 2 * count
            before = place.astype(np.int64)
            part = (place - before).reshape((-1, 1, 1) if axis == 1 else (-1, 1))
            values = values.take(before, axis) * (1 - part) + values.take(before + 1, axis) * part
        return values

    def photograph(self) -> NDArray[np.uint8]:
        """The images with what every camera adds, whatever the class: light, a cast, noise."""
        pixels = self.pixels * self.between(0.9, 1.1, 1, 1, 1) * self.between(0.97, 1.03, 1, 1, 3)
        pixels += self.between(-_NOISE, _NOISE, *pixels.shape[1:])
        levels: NDArray[np.uint8] = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
        return levels


def _draw(look: _Look, canvas: _Canvas) -> NDArray[np.uint8]:
    x, y = canvas.between(-0.15, 0.15, 1, 1), canvas.between(-0.15, 0.15, 1, 1)
    canvas.pixels[:] = canvas.colour(look.ground) + canvas.grain((5, 5), _UNEVEN)
    disc = canvas.disc(x, y, canvas.between(*look.radius, 1, 1), look.softness)
    canvas.paint(disc, canvas.colour(look.disc) + canvas.grain(look.grain, look.depth))
    canvas.scatter(look.spots, look.spot, look.spot_radius, x, y, look.spread, within=disc)
    canvas.scatter(_SPECKS, _SPECK_COLOUR, _SPECK_RADIUS, 0.0, 0.0, 1.0, within=_SPECK_OPACITY)
    return canvas.photograph()
