"""Two domains of images, A and B, for image-to-image translation: embedded pairs, or the user's folders."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from gen_jax.data.digits import digits
from gen_jax.data.domains import Domain, read_domains
from gen_jax.data.shapes import shapes
from gen_jax.errors import UserError, unknown
from gen_jax.types import DataInfo, Source

DIRECTIONS = ("AB", "BA")


def pairs(
    split: str = "train",
    *,
    of: str = "digits",
    kind: str = "inverted",
    path: str | None = None,
    paired: bool = True,
    direction: str = "AB",
    resolution: int | None = None,
    channels: int | None = None,
    on_error: str = "refuse",
    cache_mb: int = 1024,
    size: int = 10_000,
    seed: int = 0,
) -> "Pairs":
    """Examples with an image of one domain, `image`, and its partner in the other, `x`.

    Fields: x and image uint8 [h, w, c] of one size; label int32 of x, for embedded pairs.

    Embedded pairs (path None): A is an example of `of`, "digits" (8x8 grey) or "shapes" (resolution x resolution in
    colour, 32 by default, `size` of them), and B the same one "inverted" (255 - value), "rotated" (by 90 degrees
    counter-clockwise), or as "edges": of digits the largest less the smallest value of the 3x3 pixels around each, of
    shapes the outline in the shape's colour on its ground.

    The user's own (path: a folder, .tar or .zip; of="folder" says that one is needed): trainA/, trainB/, testA/,
    testB/ as CycleGAN's data sets; or A/ and B/, by themselves or with train/ and test/ (or val/) above or below; or,
    as pix2pix's data sets, images twice as wide as high that show A on the left and B on the right. Partners have the
    same name, but for its ending.

    Args:
      paired: False gives each x in the train split the image of another example, one and the same by `seed`, so that
        no pair is ever seen. The test split stays paired, so that translations can be compared with the truth; where
        A and B of the user's own have different names in it, it is not, and info.paired says so.
      direction: "AB": image is of domain A and x of domain B; "BA": the other way round.
      resolution, channels, on_error, cache_mb: as for image_folder; resolution of embedded shapes too.

    Raises:
      UserError: no such split, embedded data or kind; a domain that is missing; partners that are missing or of another
        size; images that cannot be used (see image_folder).
    """
    if direction not in DIRECTIONS:
        raise unknown("direction of pairs", direction, DIRECTIONS)
    if path is None and of != "folder":
        domains, matched = _embedded(split, of, kind, resolution, channels, size), True
    else:
        domains, matched = read_domains(str(path or ""), split, resolution, channels, on_error, cache_mb, paired)
    a, b = domains if direction == "AB" else domains[::-1]
    if a.source.info.shape[:2] != b.source.info.shape[:2]:
        sizes = ", ".join(f"{d.name}'s are {_size(d.source.info)}" for d in sorted(domains, key=lambda d: d.name))
        raise UserError(f"pairs of {path}: {sizes}; they must be of one size: give resolution=64, say")
    mixed = split == "train" and not paired
    return Pairs(a.source, b.source, matched and not mixed, seed if mixed or not matched else None)


class Pairs:
    """The Source that `pairs` returns. shuffled: the seed by which images are given to others' x; None: example i has
    image i."""

    def __init__(self, image: Source, x: Source, paired: bool, shuffled: int | None = None):
        self._image, self._x = image, x
        n, m = len(x), len(image)
        self._x_at = np.arange(max(n, m)) % n
        self._image_at = np.arange(max(n, m)) % m
        if shuffled is not None:
            order = np.random.default_rng(shuffled).permutation(m)
            following = np.empty(m, int)
            following[order] = np.roll(order, 1)  # one cycle through all: no image stays where it was
            self._image_at = following[self._image_at]
        conditions = {"image": (image.info.shape, image.info.dtype)}
        self.info = DataInfo(x.info.shape, x.info.class_names, x.info.dtype, conditions, paired)
        if all(hasattr(source, "take") for source in (image, x)):
            self.take = self._take

    def __len__(self) -> int:
        return len(self._x_at)

    def __getitem__(self, index: int) -> dict[str, Any]:
        found = self._x[int(self._x_at[index])]
        kept = {name: found[name] for name in ("x", "label") if name in found}
        return kept | {"image": self._image[int(self._image_at[index])]["x"]}

    def _take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        found = self._x.take(self._x_at[indices])  # type: ignore[attr-defined]
        kept = {name: found[name] for name in ("x", "label") if name in found}
        return kept | {"image": self._image.take(self._image_at[indices])["x"]}  # type: ignore[attr-defined]


Fields = dict[str, np.ndarray]


def inverted(fields: Fields) -> np.ndarray:
    """255 - x."""
    return 255 - fields["x"]


def rotated(fields: Fields) -> np.ndarray:
    """x [b, h, w, c] by 90 degrees counter-clockwise."""
    return np.ascontiguousarray(np.rot90(fields["x"], axes=(1, 2)))


def edges(fields: Fields) -> np.ndarray:
    """The largest less the smallest value of the 3x3 pixels around each; of shapes, whose mask is known, what is left
    when all that is two pixels or more inside is painted over with the colour of the ground."""
    from scipy.ndimage import binary_erosion, maximum_filter, minimum_filter

    x = fields["x"]
    if "mask" not in fields:
        return maximum_filter(x, (1, 3, 3, 1)) - minimum_filter(x, (1, 3, 3, 1))
    inside = binary_erosion(fields["mask"][..., 0], np.ones((1, 3, 3), bool), iterations=2)[..., None]
    return np.where(inside, x[:, :1, :1], x)  # a corner shows the ground: shapes lie within a circle in the picture


KINDS: dict[str, Callable[[Fields], np.ndarray]] = {"inverted": inverted, "rotated": rotated, "edges": edges}
EMBEDDED = ("digits", "shapes")


class _Made:
    """The source of partners of `base`, made when they are read."""

    def __init__(self, base: Any, partner: Callable[[Fields], np.ndarray]):
        shape = partner(base.take(np.arange(1))).shape[1:]
        self.info = dataclasses.replace(base.info, shape=shape, conditions={})
        self._base, self._partner = base, partner

    def __len__(self) -> int:
        return len(self._base)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: values[0] for name, values in self.take(np.array([index])).items()}

    def take(self, indices: np.ndarray) -> Fields:
        """The partners of the examples at `indices` [b], with their labels."""
        found = self._base.take(indices)
        return {"x": self._partner(found), "label": found["label"]}


def _embedded(
    split: str, of: str, kind: str, resolution: int | None, channels: int | None, size: int
) -> tuple[Domain, Domain]:
    if of not in EMBEDDED:
        raise unknown("data to make pairs of", of, (*EMBEDDED, "folder"))
    if kind not in KINDS:
        raise unknown("kind of pairs", kind, KINDS)
    own = {"digits": (8, 1), "shapes": (resolution or 32, 3)}[of]
    for name, given, value in (("resolution", resolution, own[0]), ("channels", channels, own[1])):
        if given not in (None, value):
            raise UserError(f"pairs of {of}: {name}={given}, and theirs is {value}; leave it out, or give path")
    base: Source = digits(split) if of == "digits" else shapes(split, own[0], size)
    return Domain("A", base), Domain("B", _Made(base, KINDS[kind]))


def _size(info: DataInfo) -> str:
    return f"{info.shape[1]}x{info.shape[0]}"
