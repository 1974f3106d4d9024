"""Phantom images: drawn by arithmetic in MedMNIST's format, for trying things out without any real data.

They have the classes and the class balance of the real sets, and are told apart by the same kinds of signs:
the shape, texture and colour of blood cells, of skin lesions, of tissue. They are not medical images, and a
score on them says nothing about a score on real ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.stratification import apportion
from fedforge_runtime.errors import DataError
from fedforge_runtime.seeds import derive_seed

GENERATOR_VERSION = 1
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

Pixels = NDArray[np.float64]
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
    counts = CLASS_COUNTS[flag]
    at_once = max(1, _PIXELS_AT_ONCE // size**2)
    arrays: dict[str, NDArray[np.uint8]] = {}
    for split, (labels, random) in _drawn_labels(flag, size, rows).items():
        images = np.empty((len(labels), size, size, 3), dtype=np.uint8)
        for class_id in range(len(counts)):
            places = np.flatnonzero(labels == class_id)
            for start in range(0, len(places), at_once):
                some = places[start : start + at_once]
                images[some] = _draw(flag, class_id, _Canvas(random, len(some), size))
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


class _Canvas:
    """A batch of images, drawn on in parallel, in lengths of half an image's width: a scene has no size."""

    def __init__(self, random: np.random.RandomState, count: int, size: int) -> None:
        axis = (np.arange(size) + 0.5) * 2 / size - 1
        self.random = random
        self.count = count
        self.x, self.y = axis[np.newaxis, np.newaxis, :], axis[np.newaxis, :, np.newaxis]
        self.pixel = 2 / size
        self.pixels: Pixels = np.zeros((count, size, size, 3))

    def uniform(self, between: Range) -> Pixels:
        """One number an image, shape (count, 1, 1)."""
        return self.random.uniform(*between, size=(self.count, 1, 1))

    def colour(self, base: Colour, spread: float = 12) -> Pixels:
        """One colour an image near `base`, lighter or darker more than of another hue, (count, 1, 1, 3)."""
        lighter = self.random.normal(0, spread, (self.count, 1, 1, 1))
        return np.asarray(base) + lighter + self.random.normal(0, spread / 3, (self.count, 1, 1, 3))

    def paint(self, mask: Pixels, colour: Pixels) -> None:
        """Lay `colour` over the images, opaque where `mask` (count, size, size) is one."""
        self.pixels += mask[..., np.newaxis] * (colour - self.pixels)

    def shade(self, field: Pixels, amount: Colour) -> None:
        """Add `field` (count, size, size) times `amount` to the channels."""
        self.pixels += field[..., np.newaxis] * np.asarray(amount)

    def disc(
        self,
        radius: Pixels,
        x: Pixels | float = 0.0,
        y: Pixels | float = 0.0,
        *,
        stretch: Range = (1.0, 1.0),
        wobble: float = 0.0,
        softness: Pixels | float = 0.0,
    ) -> Pixels:
        """The mask of a blob: a disc, stretched in a random direction, with a border that wobbles."""
        u, v = self._turned(self.uniform((0, math.pi)), x, y)
        ratio = np.sqrt(self.uniform(stretch))
        u, v = u * ratio, v / ratio
        border: Pixels = radius
        if wobble:
            angle = np.arctan2(v, u)
            waves = sum(
                np.sin(frequency * angle + self.uniform((0, 2 * math.pi))) / frequency for frequency in (2, 3, 5)
            )
            border = radius * (1 + wobble * waves)
        return np.clip((border - np.hypot(u, v)) / np.maximum(softness, self.pixel) + 0.5, 0, 1)

    def noise(self, cells: float, *, angle: Pixels | None = None, stretch: float = 1.0) -> Pixels:
        """Smooth random values in 0..1: `cells` hills across, `stretch` times longer along `angle`."""
        u, v = self._turned(self.uniform((0, math.pi)) if angle is None else angle)
        # A turned image reaches to the square root of 2, plus a shift so that lattice lines fall anywhere.
        across, along = cells * (v + 1.5) / 2, cells / stretch * (u + 1.5) / 2
        across, along = across + self.uniform((0, 1)), along + self.uniform((0, 1))
        edge = math.ceil(cells * 1.5) + 3
        lattice = self.random.uniform(0, 1, (self.count, edge, edge))
        row, column = across.astype(np.int64), along.astype(np.int64)
        image = np.arange(self.count)[:, np.newaxis, np.newaxis]
        down, right = (part * part * (3 - 2 * part) for part in (across - row, along - column))
        above = lattice[image, row, column] * (1 - right) + lattice[image, row, column + 1] * right
        below = lattice[image, row + 1, column] * (1 - right) + lattice[image, row + 1, column + 1] * right
        values: Pixels = above * (1 - down) + below * down
        return values

    def stroke(self, offset: Pixels) -> Pixels:
        """The mask of a line in a random direction, `offset` from the centre; it may miss the image."""
        across = self._turned(self.uniform((0, math.pi)))[1]
        mask: Pixels = np.clip(1 - np.abs(across - offset) / max(0.07, self.pixel), 0, 1)
        return mask

    def walls(self, cells: int, width: float) -> Pixels:
        """The mask of the borders between the areas that lie nearest to each of `cells` random points."""
        distances = np.stack(
            [np.hypot(self.x - self.uniform((-1.2, 1.2)), self.y - self.uniform((-1.2, 1.2))) for _ in range(cells)]
        )
        nearest = np.partition(distances, 1, axis=0)
        mask: Pixels = np.clip((width - (nearest[1] - nearest[0])) / self.pixel + 0.5, 0, 1)
        return mask

    def above(self, field: Pixels, threshold: Pixels | float, softness: float = 0.08) -> Pixels:
        """The mask of where `field` is higher than `threshold`."""
        return np.clip((field - threshold) / softness + 0.5, 0, 1)

    def finish(self, noise: float) -> NDArray[np.uint8]:
        """What every camera adds, whatever the class: light, a cast, uneven lighting, noise."""
        light = self.random.normal(1, 0.05, (self.count, 1, 1, 1))
        cast = self.random.normal(1, 0.02, (self.count, 1, 1, 3))
        slope_x, slope_y = self.random.normal(0, 0.03, (2, self.count, 1, 1))
        uneven = 1 + slope_x * self.x + slope_y * self.y
        pixels = self.pixels * light * cast * uneven[..., np.newaxis]
        pixels = pixels + self.random.normal(0, noise, self.pixels.shape)
        levels: NDArray[np.uint8] = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
        return levels

    def _turned(self, angle: Pixels | float, x: Pixels | float = 0.0, y: Pixels | float = 0.0) -> tuple[Pixels, Pixels]:
        along, across = np.cos(angle), np.sin(angle)
        u = (self.x - x) * along + (self.y - y) * across
        v = (self.y - y) * along - (self.x - x) * across
        shape = self.pixels.shape[:3]
        return np.broadcast_to(u, shape), np.broadcast_to(v, shape)


def _draw(flag: str, class_id: int, canvas: _Canvas) -> NDArray[np.uint8]:
    if flag == "bloodmnist":
        _draw_cell(canvas, _CELLS[class_id])
    elif flag == "dermamnist":
        _draw_lesion(canvas, _LESIONS[class_id])
    else:
        _TISSUES[class_id](canvas)
    return canvas.finish(noise=6)


@dataclass(frozen=True)
class _Cell:
    """How a kind of blood cell looks; lengths of the nucleus are parts of the cell's radius."""

    radius: Range
    cytoplasm: Colour
    nucleus: Colour
    lobes: tuple[int, int]
    lobe_radius: Range
    lobe_distance: Range
    wobble: float
    granules: float
    granule: Colour


_CELLS = (
    # basophil: dark granules that hide the nucleus
    _Cell(
        radius=(0.48, 0.66),
        cytoplasm=(150, 95, 155),
        nucleus=(92, 50, 128),
        lobes=(2, 3),
        lobe_radius=(0.45, 0.6),
        lobe_distance=(0.2, 0.4),
        wobble=0.12,
        granules=0.9,
        granule=(66, 34, 104),
    ),
    # eosinophil: two lobes in brick-red granules
    _Cell(
        radius=(0.54, 0.76),
        cytoplasm=(208, 125, 120),
        nucleus=(88, 48, 130),
        lobes=(2, 3),
        lobe_radius=(0.36, 0.48),
        lobe_distance=(0.36, 0.52),
        wobble=0.1,
        granules=0.6,
        granule=(196, 92, 92),
    ),
    # erythroblast: a small cell with a small, round, very dark nucleus
    _Cell(
        radius=(0.34, 0.52),
        cytoplasm=(160, 148, 178),
        nucleus=(58, 32, 96),
        lobes=(1, 1),
        lobe_radius=(0.5, 0.7),
        lobe_distance=(0.0, 0.25),
        wobble=0.08,
        granules=0.1,
        granule=(120, 105, 150),
    ),
    # immature granulocytes: one large oval nucleus, some granules
    _Cell(
        radius=(0.56, 0.8),
        cytoplasm=(172, 142, 178),
        nucleus=(100, 58, 134),
        lobes=(1, 2),
        lobe_radius=(0.58, 0.74),
        lobe_distance=(0.1, 0.3),
        wobble=0.12,
        granules=0.4,
        granule=(130, 85, 150),
    ),
    # lymphocyte: a nucleus that almost fills a small cell
    _Cell(
        radius=(0.4, 0.56),
        cytoplasm=(158, 148, 188),
        nucleus=(74, 42, 118),
        lobes=(1, 1),
        lobe_radius=(0.78, 0.92),
        lobe_distance=(0.0, 0.14),
        wobble=0.12,
        granules=0.1,
        granule=(100, 75, 140),
    ),
    # monocyte: a folded nucleus in wide grey-blue cytoplasm
    _Cell(
        radius=(0.58, 0.84),
        cytoplasm=(168, 158, 186),
        nucleus=(100, 60, 136),
        lobes=(2, 2),
        lobe_radius=(0.46, 0.58),
        lobe_distance=(0.22, 0.36),
        wobble=0.24,
        granules=0.15,
        granule=(190, 182, 204),
    ),
    # neutrophil: three to five small lobes in pale pink
    _Cell(
        radius=(0.5, 0.72),
        cytoplasm=(216, 180, 190),
        nucleus=(78, 42, 118),
        lobes=(3, 5),
        lobe_radius=(0.26, 0.36),
        lobe_distance=(0.42, 0.58),
        wobble=0.08,
        granules=0.3,
        granule=(196, 146, 168),
    ),
    # platelet: a fragment without a nucleus
    _Cell(
        radius=(0.14, 0.28),
        cytoplasm=(170, 132, 176),
        nucleus=(120, 80, 142),
        lobes=(0, 0),
        lobe_radius=(0.3, 0.4),
        lobe_distance=(0.0, 0.2),
        wobble=0.25,
        granules=0.7,
        granule=(108, 66, 134),
    ),
)


def _draw_cell(canvas: _Canvas, cell: _Cell) -> None:
    canvas.pixels[:] = canvas.colour((252, 226, 202), 6)
    red_cell = canvas.colour((206, 168, 156), 8)
    for _ in range(6):
        direction, distance = canvas.uniform((0, 2 * math.pi)), canvas.uniform((0.8, 1.25))
        x, y, radius = np.cos(direction) * distance, np.sin(direction) * distance, canvas.uniform((0.2, 0.3))
        whole, pale = (
            canvas.disc(radius, x, y, stretch=(1, 1.4)),
            canvas.disc(0.45 * radius, x, y, softness=0.1),
        )
        canvas.paint(np.clip(whole - 0.7 * pale, 0, 1), red_cell)

    x, y = canvas.uniform((-0.14, 0.14)), canvas.uniform((-0.14, 0.14))
    radius = canvas.uniform(cell.radius)
    body = canvas.disc(radius, x, y, stretch=(1, 1.3), wobble=cell.wobble)
    canvas.paint(body, canvas.colour(cell.cytoplasm))
    nucleus, start = canvas.colour(cell.nucleus, 8), canvas.uniform((0, 2 * math.pi))
    lobes = canvas.random.randint(cell.lobes[0], cell.lobes[1] + 1, (canvas.count, 1, 1))
    step = canvas.uniform((1.1, 1.5))
    chromatin = canvas.noise(9)
    for lobe in range(cell.lobes[1]):
        direction, distance = start + lobe * step, radius * canvas.uniform(cell.lobe_distance)
        lobe_x, lobe_y = x + np.cos(direction) * distance, y + np.sin(direction) * distance
        lobe_radius = radius * canvas.uniform(cell.lobe_radius)
        mask = canvas.disc(lobe_radius, lobe_x, lobe_y, stretch=(1, 1.35), wobble=0.1)
        canvas.paint(mask * body * (lobe < lobes), nucleus + 30 * (chromatin[..., np.newaxis] - 0.5))
    spots = canvas.above(canvas.noise(11), canvas.uniform((0.45, 0.6)), 0.2)
    canvas.paint(cell.granules * spots * body, canvas.colour(cell.granule, 8))


@dataclass(frozen=True)
class _Lesion:
    """How a kind of skin lesion looks."""

    radius: Range
    colour: Colour
    patches: Colour
    patchiness: float
    wobble: float
    softness: Range
    opacity: Range
    texture: float
    pale_centre: float


_LESIONS = (
    # actinic keratoses: faint, scaly, reddish, without a clear border
    _Lesion(
        radius=(0.4, 0.7),
        colour=(176, 104, 92),
        patches=(214, 176, 150),
        patchiness=0.6,
        wobble=0.5,
        softness=(0.25, 0.6),
        opacity=(0.45, 0.75),
        texture=46,
        pale_centre=0.1,
    ),
    # basal cell carcinoma: pink and pearly, with dark specks
    _Lesion(
        radius=(0.3, 0.6),
        colour=(204, 118, 138),
        patches=(120, 78, 92),
        patchiness=0.35,
        wobble=0.4,
        softness=(0.2, 0.45),
        opacity=(0.5, 0.8),
        texture=26,
        pale_centre=0.2,
    ),
    # benign keratosis: grey-brown, sharply bordered, coarse
    _Lesion(
        radius=(0.3, 0.65),
        colour=(138, 106, 92),
        patches=(98, 80, 78),
        patchiness=0.5,
        wobble=0.3,
        softness=(0.04, 0.2),
        opacity=(0.6, 0.9),
        texture=34,
        pale_centre=0.0,
    ),
    # dermatofibroma: a soft ring around a pale centre
    _Lesion(
        radius=(0.35, 0.6),
        colour=(164, 108, 104),
        patches=(190, 140, 130),
        patchiness=0.3,
        wobble=0.12,
        softness=(0.3, 0.6),
        opacity=(0.6, 0.85),
        texture=10,
        pale_centre=0.85,
    ),
    # melanoma: dark, ragged, of several colours
    _Lesion(
        radius=(0.4, 0.8),
        colour=(86, 56, 48),
        patches=(52, 48, 66),
        patchiness=0.85,
        wobble=0.6,
        softness=(0.06, 0.25),
        opacity=(0.75, 1.0),
        texture=28,
        pale_centre=0.1,
    ),
    # naevi: round, brown, even
    _Lesion(
        radius=(0.2, 0.6),
        colour=(130, 84, 64),
        patches=(112, 68, 52),
        patchiness=0.3,
        wobble=0.15,
        softness=(0.08, 0.35),
        opacity=(0.6, 0.95),
        texture=12,
        pale_centre=0.0,
    ),
    # vascular lesions: red to violet, small, sharp
    _Lesion(
        radius=(0.18, 0.45),
        colour=(172, 44, 84),
        patches=(106, 34, 94),
        patchiness=0.5,
        wobble=0.15,
        softness=(0.04, 0.2),
        opacity=(0.7, 1.0),
        texture=12,
        pale_centre=0.0,
    ),
)


def _draw_lesion(canvas: _Canvas, lesion: _Lesion) -> None:
    canvas.pixels[:] = canvas.colour((220, 170, 158), 14)
    canvas.shade(canvas.noise(4) - 0.5, (16, 22, 22))
    canvas.shade(canvas.noise(12) - 0.5, (10, 12, 12))
    x, y = canvas.uniform((-0.18, 0.18)), canvas.uniform((-0.18, 0.18))
    radius, softness = canvas.uniform(lesion.radius), canvas.uniform(lesion.softness)
    opacity = canvas.uniform(lesion.opacity)
    body = canvas.disc(radius, x, y, stretch=(1, 1.6), wobble=lesion.wobble, softness=softness)
    centre = canvas.disc(0.55 * radius, x, y, softness=0.3) * lesion.pale_centre
    body = body * opacity * (1 - centre)
    canvas.paint(body, canvas.colour(lesion.colour, 16))
    patches = canvas.above(canvas.noise(5), canvas.uniform((0.45, 0.6)), 0.15)
    canvas.paint(body * patches * lesion.patchiness, canvas.colour(lesion.patches, 14))
    canvas.shade((canvas.noise(10) - 0.5) * body * lesion.texture, (2, 2, 2))
    hair = canvas.stroke(canvas.uniform((-2, 2)))
    canvas.paint(hair * 0.5, canvas.colour((90, 60, 50)))
    corners = np.clip((np.hypot(canvas.x, canvas.y) - canvas.uniform((1.05, 1.9))) / 0.2, 0, 1)
    canvas.paint(corners, canvas.colour((30, 22, 24), 4))


_WHITE: Colour = (240, 232, 240)
_PINK: Colour = (214, 128, 176)
_HAEMATOXYLIN: Colour = (98, 58, 122)


def _draw_adipose(canvas: _Canvas) -> None:
    canvas.pixels[:] = canvas.colour((234, 226, 236), 8)
    canvas.paint(canvas.walls(8, 0.09) * canvas.uniform((0.6, 1.0)), canvas.colour((186, 120, 166), 14))
    canvas.paint(canvas.above(canvas.noise(6), 0.84) * 0.8, canvas.colour((198, 120, 168)))


def _draw_background(canvas: _Canvas) -> None:
    canvas.pixels[:] = canvas.colour((136, 92, 148), 14)
    canvas.paint(canvas.above(canvas.noise(9), canvas.uniform((0.84, 1.0))), canvas.colour((70, 40, 76)))


def _draw_debris(canvas: _Canvas) -> None:
    canvas.pixels[:] = canvas.colour((200, 112, 158), 16)
    canvas.shade(canvas.noise(4) - 0.5, (40, 40, 40))
    canvas.shade(canvas.noise(13) - 0.5, (80, 90, 80))
    canvas.paint(canvas.above(canvas.noise(8), canvas.uniform((0.65, 0.85))) * 0.8, canvas.colour(_WHITE))
    canvas.paint(canvas.above(canvas.noise(13), 0.74) * 0.5, canvas.colour(_HAEMATOXYLIN))


def _draw_lymphocytes(canvas: _Canvas) -> None:
    canvas.pixels[:] = canvas.colour((216, 178, 210), 14)
    for _ in range(2):
        nuclei = canvas.above(canvas.noise(13), canvas.uniform((0.5, 0.62)), 0.16)
        canvas.paint(nuclei, canvas.colour((104, 62, 126)))
    canvas.paint(canvas.above(canvas.noise(5), canvas.uniform((0.72, 0.95))) * 0.7, canvas.colour(_PINK))


def _draw_mucus(canvas: _Canvas) -> None:
    canvas.pixels[:] = canvas.colour((200, 180, 210), 12)
    angle = canvas.uniform((0, math.pi)) + 0.5 * (canvas.noise(2) - 0.5)
    canvas.shade(canvas.noise(7, angle=angle, stretch=3) - 0.5, (54, 60, 44))
    strands = canvas.above(canvas.noise(8, angle=angle, stretch=4), 0.8)
    canvas.paint(strands * 0.7, canvas.colour((190, 110, 160)))
    canvas.paint(canvas.above(canvas.noise(3), canvas.uniform((0.68, 0.95))) * 0.6, canvas.colour(_WHITE))


def _draw_muscle(canvas: _Canvas) -> None:
    _draw_fibres(canvas, (212, 120, 172), waviness=0.3, stretch=4, depth=52, nuclei=(0.74, 0.86))


def _draw_stroma(canvas: _Canvas) -> None:
    _draw_fibres(canvas, (202, 134, 182), waviness=1.4, stretch=2.5, depth=70, nuclei=(0.62, 0.74))
    canvas.paint(canvas.above(canvas.noise(5), canvas.uniform((0.72, 0.95))) * 0.6, canvas.colour(_WHITE))


def _draw_fibres(
    canvas: _Canvas, colour: Colour, *, waviness: float, stretch: float, depth: float, nuclei: Range
) -> None:
    canvas.pixels[:] = canvas.colour(colour, 14)
    angle = canvas.uniform((0, math.pi)) + waviness * (canvas.noise(2) - 0.5)
    canvas.shade((canvas.noise(9, angle=angle, stretch=stretch) - 0.5) * depth, (0.9, 1.1, 0.8))
    elongated = canvas.noise(12, angle=angle, stretch=2.5)
    canvas.paint(canvas.above(elongated, canvas.uniform(nuclei)) * 0.9, canvas.colour(_HAEMATOXYLIN))


def _draw_mucosa(canvas: _Canvas) -> None:
    canvas.pixels[:] = canvas.colour((206, 132, 180), 14)
    nuclei = canvas.above(canvas.noise(13), canvas.uniform((0.6, 0.72)), 0.16)
    canvas.paint(nuclei, canvas.colour((128, 78, 146)))
    x, y = canvas.uniform((-0.5, 0.0)), canvas.uniform((-0.5, 0.0))
    for step_x, step_y in ((0.0, 0.0), (1.0, 0.2), (-0.1, 1.0), (1.0, 1.1)):
        at_x, at_y = x + step_x + canvas.uniform((-0.1, 0.1)), y + step_y + canvas.uniform((-0.1, 0.1))
        radius = canvas.uniform((0.36, 0.5))
        wall = canvas.disc(radius, at_x, at_y, stretch=(1, 1.4), wobble=0.15)
        canvas.paint(wall, canvas.colour((112, 62, 132)))
        canvas.paint(canvas.disc(0.68 * radius, at_x, at_y, softness=0.12), canvas.colour((206, 166, 206)))
        canvas.paint(canvas.disc(0.25 * radius, at_x, at_y), canvas.colour(_WHITE, 6))


def _draw_adenocarcinoma(canvas: _Canvas) -> None:
    canvas.pixels[:] = canvas.colour((150, 86, 146), 16)
    canvas.shade(canvas.noise(12) - 0.5, (80, 70, 60))
    glands = canvas.above(canvas.noise(4), canvas.uniform((0.5, 0.66)))
    canvas.paint(glands * 0.7, canvas.colour((106, 58, 124)))
    canvas.paint(canvas.above(canvas.noise(3), canvas.uniform((0.62, 0.88))), canvas.colour((226, 196, 220)))


_TISSUES: tuple[Callable[[_Canvas], None], ...] = (
    _draw_adipose,
    _draw_background,
    _draw_debris,
    _draw_lymphocytes,
    _draw_mucus,
    _draw_muscle,
    _draw_mucosa,
    _draw_stroma,
    _draw_adenocarcinoma,
)
