"""Coloured shapes with captions and masks, drawn by this module: data of any size and resolution, with known truth."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from gen_jax.errors import UserError, unknown
from gen_jax.types import DataInfo

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "crescent", "heart")
COLOURS = {
    "red": (220, 40, 40),
    "orange": (240, 140, 30),
    "yellow": (245, 220, 60),
    "green": (50, 160, 70),
    "cyan": (60, 200, 210),
    "blue": (40, 80, 210),
    "purple": (130, 50, 170),
    "pink": (245, 150, 190),
    "white": (245, 245, 245),
    "black": (25, 25, 25),
}
CONTRAST = 150
"""The least Euclidean distance in RGB between a shape's colour and its background's."""

SUPERSAMPLING = 4
MEMORY = 2**30
"""Drawn examples are kept as long as the whole data set fits in this many bytes."""

SPLITS = {"train": 0, "test": 1}


def shapes(split: str = "train", resolution: int = 32, size: int = 10_000, seed: int = 0) -> "Drawn":
    """Images of one shape on a contrasting background, at a random place, size, rotation and colour.

    Fields: x uint8 [r, r, 3], label int32 (the kind of shape), caption ("a large red circle on a blue background"),
    mask uint8 [r, r, 1]: 1 where the shape covers at least half of the pixel, else 0.
    Example i depends on (seed, split, i) only; it is drawn when it is first read.

    Raises:
      UserError: no such split; a resolution below 8; a size below 1.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if resolution < 8:
        raise UserError(f"shapes: resolution {resolution} is too small, the least is 8")
    if size < 1:
        raise UserError(f"shapes: size {size} must be 1 or more")
    return Drawn(resolution, size, (seed, SPLITS[split]))


class Choice(NamedTuple):
    """All that is random about an example. Lengths are fractions of the picture's side."""

    label: int
    caption: str
    colour: tuple[int, int, int]
    ground: tuple[int, int, int]
    radius: float
    x: float
    y: float
    turn: float


class Drawn:
    """The Source that `shapes` returns."""

    def __init__(self, resolution: int, size: int, seed: tuple[int, int]):
        mask = {"mask": ((resolution, resolution, 1), "uint8")}
        self.info = DataInfo((resolution, resolution, 3), SHAPES, conditions=mask)
        self._size, self._seed = size, seed
        kept = size if size * resolution**2 * 4 <= MEMORY else 0
        self._x = np.zeros((kept, resolution, resolution, 3), np.uint8)
        self._mask = np.zeros((kept, resolution, resolution, 1), np.uint8)
        self._label = np.zeros(kept, np.int32)
        self._done = np.zeros(kept, bool)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self._size:
            raise IndexError(index)
        choice = _choose(*self._seed, index)
        x, mask = self._pixels(index, choice)
        return {"x": x, "label": np.int32(choice.label), "caption": choice.caption, "mask": mask}

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices` [b], stacked, without their captions. See gen_jax.data.load."""
        if not len(self._done):
            examples = [self[int(i)] for i in indices]
            return {k: np.stack([e[k] for e in examples]) for k in ("x", "label", "mask")}
        for i in indices[~self._done[indices]].tolist():
            self._pixels(i, _choose(*self._seed, i))
        return {"x": self._x[indices], "label": self._label[indices], "mask": self._mask[indices]}

    def _pixels(self, index: int, choice: Choice) -> tuple[np.ndarray, np.ndarray]:
        if len(self._done) and self._done[index]:
            return self._x[index], self._mask[index]
        x, mask = _draw(self.info.shape[0], choice)
        if len(self._done):  # two threads may draw the same example: they write the same bytes
            self._x[index], self._mask[index], self._label[index] = x, mask, choice.label
            self._done[index] = True
        return x, mask


def _choose(seed: int, split: int, index: int) -> Choice:
    rng = np.random.default_rng([seed, split, index])
    label = int(rng.integers(len(SHAPES)))
    names = list(COLOURS)
    colour = names[int(rng.integers(len(names)))]
    others = [n for n in names if math.dist(COLOURS[n], COLOURS[colour]) >= CONTRAST]
    ground = others[int(rng.integers(len(others)))]
    radius, u, v = float(rng.uniform(0.15, 0.42)), float(rng.uniform()), float(rng.uniform())
    x, y = (radius + (1 - 2 * radius) * place for place in (u, v))  # the whole shape is in the picture
    size = "small" if radius < 0.24 else "large" if radius >= 0.33 else "medium"
    caption = f"a {size} {colour} {SHAPES[label]} on {'an' if ground[0] in 'aeiou' else 'a'} {ground} background"
    return Choice(label, caption, COLOURS[colour], COLOURS[ground], radius, x, y, float(rng.uniform(0, 2 * math.pi)))


def _draw(resolution: int, choice: Choice) -> tuple[np.ndarray, np.ndarray]:
    """The picture [r, r, 3] and its mask [r, r, 1], drawn at a multiple of the resolution and averaged."""
    scale = resolution * SUPERSAMPLING
    canvas = Image.new("L", (scale, scale), 0)
    pen = ImageDraw.Draw(canvas)
    c, s = choice.radius * math.cos(choice.turn), choice.radius * math.sin(choice.turn)
    for outline, ink in _outlines(SHAPES[choice.label]):
        points = [((choice.x + c * p - s * q) * scale, (choice.y + s * p + c * q) * scale) for p, q in outline]
        pen.polygon(points, fill=ink)
    coverage = np.asarray(canvas.reduce(SUPERSAMPLING), np.float32)[..., None] / 255
    blend = coverage * np.asarray(choice.colour) + (1 - coverage) * np.asarray(choice.ground)
    return np.round(blend).astype(np.uint8), (coverage >= 0.5).astype(np.uint8)


@functools.cache
def _outlines(shape: str) -> list[tuple[list[tuple[float, float]], int]]:
    """Polygons within the unit circle, each filled (255) or cut out (0), in this order."""
    if shape == "circle":
        return [(_regular(64), 255)]
    if shape == "square":
        return [(_regular(4), 255)]
    if shape == "triangle":
        return [(_regular(3), 255)]
    if shape == "star":
        outer, inner = _regular(5), _regular(5, radius=0.4, turn=math.pi / 5)
        return [([p for pair in zip(outer, inner, strict=True) for p in pair], 255)]
    if shape == "ring":
        return [(_regular(64), 255), (_regular(64, radius=0.6), 0)]
    if shape == "cross":
        a, b = 0.95, 0.3
        return [([(-a, -b), (a, -b), (a, b), (-a, b)], 255), ([(-b, -a), (b, -a), (b, a), (-b, a)], 255)]
    if shape == "crescent":
        return [(_regular(64), 255), ([(p + 0.45, q) for p, q in _regular(64, radius=0.8)], 0)]
    angles = [2 * math.pi * i / 64 for i in range(64)]  # a heart
    heart = [
        (math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17)
        for t in angles
    ]
    return [([(0.95 * p, 0.95 * q) for p, q in heart], 255)]


def _regular(corners: int, radius: float = 1.0, turn: float = 0.0) -> list[tuple[float, float]]:
    angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]
