"""The augmentation of ADA: Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data"
(arXiv:2006.06676), appendix B.

Every transformation is made of its own with probability p times its multiplier, in the order of the paper: pixel
blitting, general geometry, colour, filtering, corruptions. Geometry is one affine map, read bilinearly from an image
that the orthogonal wavelet filter sym6 has enlarged twice, and brought back by the same filter; colour is one matrix.
All of it is differentiable in x, twice, and an example's transformations depend on its own key alone.

What blitting alone has done is copied, without the filter. Beyond the border the image goes on mirrored at the
outermost pixels' centres. The authors' program mirrors it before it is enlarged, by as much as the batch at hand needs
and by one image at most, and zeros follow; here it is mirrored before by an eighth, and what lies further out is read
from the enlarged image, mirrored: there the two differ by the asymmetry of the filter.
"""

import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from gen_jax.errors import UserError
from gen_jax.losses.augment import check_images
from gen_jax.nn.resample import fir_downsample, fir_upsample
from gen_jax.random import fold

# Daubechies' least asymmetric orthogonal wavelets (Ten Lectures on Wavelets, 1992, table 6.3): low-pass filters.
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
REACH = len(SYM6) // 4
"""Pixels beside an image that enlarging it and bringing it back need, each."""
GREY = np.ones((3, 3)) / 3
"""Projects colours on the grey axis."""


def ada(
    keys: jax.Array,
    x: jax.Array,
    p: jax.Array | float = 1.0,
    *,
    xflip: float = 1.0,
    rotate90: float = 1.0,
    xint: float = 1.0,
    scale: float = 1.0,
    rotate: float = 1.0,
    aniso: float = 1.0,
    xfrac: float = 1.0,
    brightness: float = 1.0,
    contrast: float = 1.0,
    lumaflip: float = 1.0,
    hue: float = 1.0,
    saturation: float = 1.0,
    imgfilter: float = 0.0,
    noise: float = 0.0,
    cutout: float = 0.0,
) -> jax.Array:
    """x [b, h, w, c] of 1 or 3 channels, each transformation made with probability p [] times its number; 0: never.

    The default is the paper's "bgc": blitting (xflip, rotate90 for square images, xint by up to an eighth), geometry
    (scale by 2^N(0, 0.2^2), rotate by any angle before and after aniso, a stretch by 2^N(0, 0.2^2), xfrac by N(0,
    0.125^2) of the size), colour (brightness + N(0, 0.2^2), contrast times 2^N(0, 0.5^2), lumaflip, hue turned by any
    angle, saturation times 2^N(0, 1)). imgfilter: four bands amplified by 2^N(0, 1) each; noise: of standard deviation
    |N(0, 0.1^2)|; cutout: a hole of half the size anywhere.

    Raises:
      UserError: x is no batch of images, of other channels where colour is changed, not square where it is turned by
        quarters; a number outside [0, 1].
    """
    check_images(x, "ada")
    blit = {"xflip": xflip, "rotate90": rotate90, "xint": xint}
    geometry = blit | {"scale": scale, "rotate": rotate, "aniso": aniso, "xfrac": xfrac}
    colours = {"brightness": brightness, "contrast": contrast, "lumaflip": lumaflip, "hue": hue}
    colours |= {"saturation": saturation}
    others = {"imgfilter": imgfilter, "noise": noise, "cutout": cutout}
    for name, chance in (geometry | colours | others).items():
        if not 0 <= chance <= 1:
            raise UserError(f"ada {name}={chance}: the share of p lies in [0, 1]")
    _, h, w, c = x.shape
    if any(colours.values()) and c not in (1, 3):
        raise UserError(f"ada changes the colours of images of 1 or 3 channels, and x has {c}; set its colours to 0")
    if rotate90 and h != w:
        raise UserError(f"ada turns square images by quarters, and x is {h}x{w}; set rotate90=0")

    parts = [fold(keys, i) for i in range(5)]
    if any(geometry.values()):
        matrices = jax.vmap(lambda key: geometric_matrix(key, p, geometry, h, w))(parts[0])
        x = warp(x, matrices)
    if any(colours.values()):
        matrices = jax.vmap(lambda key: colour_matrix(key, p, colours))(parts[1])
        x = recolour(x, matrices)
    if imgfilter:
        gains = jax.vmap(lambda key: band_gains(key, imgfilter * p))(parts[2])
        x = amplify(x, gains)
    if noise:
        x = jax.vmap(lambda key, x: _noisy(key, x, noise * p))(parts[3], x)
    if cutout:
        x = jax.vmap(lambda key, x: _cut(key, x, cutout * p))(parts[4], x)
    return x


def geometric_matrix(key: jax.Array, p: jax.Array | float, chances: Mapping[str, float], h: int, w: int) -> jax.Array:
    """A random map [3, 3] from a place (right, down, 1), in pixels from the centre, of the new image to that of the old
    one: the product of the inverses, what is done to the image first on the left. chances: by transformation, of p."""
    gates, flat, bell = _draw(key, 12)
    size = jnp.array([w, h], jnp.float32)

    def some(i: int, name: str, value, nothing):
        return jnp.where(gates[i] < chances[name] * p, value, nothing)

    # Either of the two rotations is done with probability `rotate` times p.
    either = 1 - jnp.sqrt(jnp.clip(1 - chances["rotate"] * p, 0, 1))
    angles = jnp.where(gates[4:6] < either, jnp.pi * flat[4:6], 0.0)
    quarters = some(1, "rotate90", jnp.floor(2 * (flat[1] + 1)), 0.0)
    zoom, stretch = some(3, "scale", 2 ** (0.2 * bell[3]), 1.0), some(6, "aniso", 2 ** (0.2 * bell[6]), 1.0)
    factors = [
        _scaling(some(0, "xflip", jnp.where(flat[0] < 0, -1.0, 1.0), 1.0), 1.0),
        _rotation(quarters * jnp.pi / 2),
        _translation(*-some(2, "xint", jnp.round(0.125 * flat[2:4] * size), 0.0)),
        _scaling(1 / zoom, 1 / zoom),
        _rotation(angles[0]),
        _scaling(1 / stretch, stretch),
        _rotation(angles[1]),
        _translation(*-some(7, "xfrac", 0.125 * bell[7:9] * size, 0.0)),
    ]
    return jnp.linalg.multi_dot(factors, precision="highest")


def warp(x: jax.Array, matrices: jax.Array) -> jax.Array:
    """The image whose place (right, down, 1) shows what x [b, h, w, c] has at matrices [b, 3, 3] times it.

    Maps of whole pixels to whole pixels (flips, quarter turns, whole moves) copy them."""
    _, h, w, _ = x.shape
    margins = _margin(h), _margin(w)
    enlarged = fir_upsample(jnp.pad(x, [(0, 0), *((m, m) for m in margins), (0, 0)], mode="reflect"), SYM6)

    def sources(matrix: jax.Array, scale: int, border: int) -> list[jax.Array]:
        """Rows and columns of x, for each pixel of the new image, `scale` times enlarged and with a border around."""
        down, right = (jnp.arange(scale * (n + 2 * border)) / scale - border - (n - 1) / 2 for n in (h, w))
        down, right = jnp.meshgrid(down, right, indexing="ij")
        places = jnp.stack([right, down, jnp.ones_like(right)])
        right, down = jnp.einsum("ij,jhw->ihw", matrix[:2], places, precision="highest")
        return [down + (h - 1) / 2, right + (w - 1) / 2]

    def copy(image: jax.Array, matrix: jax.Array) -> jax.Array:
        rows, columns = (
            jnp.round(_mirrored(s, n)).astype(int) for s, n in zip(sources(matrix, 1, 0), (h, w), strict=True)
        )
        return image[rows, columns]

    def move(image: jax.Array, matrix: jax.Array) -> jax.Array:
        # Tap 5 is next to the filter's centre of mass (5.1): pixel i of an image is pixel 2 i of the enlarged one. The
        # authors' program counts from between taps 5 and 6.
        places = [
            2 * (jnp.where((s >= -_known(n)) & (s <= n - 1 + _known(n)), s, _mirrored(s, n)) + _margin(n))
            for s, n in zip(sources(matrix, 2, REACH), (h, w), strict=True)
        ]
        read = lambda channel: map_coordinates(channel, places, order=1, mode="nearest")  # noqa: E731
        return jax.vmap(read, in_axes=2, out_axes=2)(image)

    moved = fir_downsample(jax.vmap(move)(enlarged, matrices), SYM6)[:, REACH:-REACH, REACH:-REACH]
    whole = jnp.abs(matrices - jnp.round(matrices)).max(axis=(1, 2)) < 1e-5
    return jnp.where(whole[:, None, None, None], jax.vmap(copy)(x, matrices), moved)


def colour_matrix(key: jax.Array, p: jax.Array | float, chances: Mapping[str, float]) -> jax.Array:
    """A random affine map [3, 4] of colours (r, g, b, 1). chances: by transformation, of p."""
    gates, flat, bell = _draw(key, 5)

    def some(i: int, name: str, value, nothing):
        return jnp.where(gates[i] < chances[name] * p, value, nothing)

    brighter, contrast = some(0, "brightness", 0.2 * bell[0], 0.0), some(1, "contrast", 2 ** (0.5 * bell[1]), 1.0)
    flip = some(2, "lumaflip", jnp.where(flat[2] < 0, 1.0, 0.0), 0.0)
    hue, saturation = some(3, "hue", jnp.pi * flat[3], 0.0), some(4, "saturation", 2 ** bell[4], 1.0)
    eye = np.eye(3)
    across = np.cross(eye, np.ones(3) / math.sqrt(3)).T  # across @ colour = grey axis x colour
    turn = jnp.cos(hue) * eye + (1 - jnp.cos(hue)) * GREY + jnp.sin(hue) * across
    matrix = (GREY + saturation * (eye - GREY)) @ turn @ (eye - 2 * flip * GREY) * contrast
    return jnp.concatenate([matrix, brighter * matrix.sum(axis=1, keepdims=True)], axis=1)


def recolour(x: jax.Array, matrices: jax.Array) -> jax.Array:
    """x [b, h, w, 3 or 1] with its colours mapped by matrices [b, 3, 4]; of grey images, what happens to grey."""
    if x.shape[-1] == 1:
        matrices = matrices.mean(axis=1, keepdims=True)  # [b, 1, 4]
        matrices = jnp.concatenate([matrices[..., :3].sum(axis=2, keepdims=True), matrices[..., 3:]], axis=2)
    mapped = jnp.einsum("bhwc,bdc->bhwd", x, matrices[..., :-1], precision="highest")
    return mapped + matrices[:, None, None, :, -1]


def band_gains(key: jax.Array, p: jax.Array | float) -> jax.Array:
    """Random factors [4] of four bands of frequency, the lowest first, that keep the expected power of a picture, which
    falls with the square of the frequency's inverse."""
    gates, _, bell = _draw(key, 4)
    power = jnp.array([10.0, 1.0, 1.0, 1.0]) / 13
    factors = jnp.where(gates < p, 2**bell, 1.0)
    temporary = jnp.where(jnp.eye(4, dtype=bool), factors, 1.0)  # a row for each amplified band
    return jnp.prod(temporary / jnp.sqrt((power * temporary**2).sum(axis=1, keepdims=True)), axis=0)


def amplify(x: jax.Array, gains: jax.Array) -> jax.Array:
    """x [b, h, w, c] with its four bands times gains [b, 4]."""
    rows, columns = (jnp.einsum("bk,kij->bij", gains, jnp.asarray(_bands(n))) for n in x.shape[1:3])
    return jnp.einsum("bij,bjkc,blk->bilc", rows, x, columns, precision="highest")


def filter_bank() -> np.ndarray:
    """Four symmetric filters [4, taps], each of an octave, the lowest first, that add up to the identity: of sym2."""
    low = np.array(SYM2)
    high = low * (-1.0) ** np.arange(len(low))
    low2, high2 = np.convolve(low, low[::-1]) / 2, np.convolve(high, high[::-1]) / 2
    bank = [np.ones(1)]
    for _ in range(3):
        spread = [np.kron(f, [1.0, 0.0])[:-1] for f in bank]  # zeros between the taps: an octave lower
        bank = [np.convolve(f, low2) for f in spread]
        highest = np.zeros(len(bank[0]))
        start = (len(highest) - len(high2)) // 2
        highest[start : start + len(high2)] = high2
        bank.append(highest)
    return np.stack(bank)


@functools.cache
def _bands(n: int) -> np.ndarray:
    """The filters as matrices [4, n, n] on the n pixels of a row, which goes on mirrored."""
    bank = filter_bank()
    taps = bank.shape[1]
    mirrored = np.pad(np.eye(n), ((taps // 2, taps // 2), (0, 0)), mode="reflect")
    shifts = np.stack([mirrored[i : i + n] for i in range(taps)])  # [taps, n, n]
    return np.einsum("kt,tij->kij", bank, shifts).astype(np.float32)


def _noisy(key: jax.Array, x: jax.Array, p: jax.Array | float) -> jax.Array:
    gates, _, bell = _draw(jax.random.fold_in(key, 0), 1)
    grain = jax.random.normal(jax.random.fold_in(key, 1), (x.size,)).reshape(x.shape)
    return x + jnp.where(gates[0] < p, 0.1 * jnp.abs(bell[0]), 0.0) * grain


def _cut(key: jax.Array, x: jax.Array, p: jax.Array | float) -> jax.Array:
    gates, flat, _ = _draw(key, 2)
    rows, columns = (jnp.abs((jnp.arange(n) + 0.5) / n - (flat[i] + 1) / 2) < 0.25 for i, n in enumerate(x.shape[:2]))
    hole = (gates[0] < p) & rows[:, None] & columns
    return jnp.where(hole[:, :, None], 0.0, x)


def _draw(key: jax.Array, n: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """n numbers each: uniform in [0, 1), uniform in [-1, 1), normal."""
    a, b, c = jax.random.split(key, 3)
    return jax.random.uniform(a, (n,)), jax.random.uniform(b, (n,), minval=-1.0), jax.random.normal(c, (n,))


def _margin(n: int) -> int:
    """By how many pixels a row of n is mirrored before it is enlarged."""
    return n // 8 + 2 * REACH + 1


def _known(n: int) -> int:
    """How far beyond a row of n pixels the enlarged row is what enlarging the mirrored row gives."""
    return _margin(n) - REACH


def _mirrored(s: jax.Array, n: int) -> jax.Array:
    """Places of a row of n pixels, folded into it."""
    folded = s % max(2 * (n - 1), 1)
    return jnp.minimum(folded, 2 * (n - 1) - folded)


def _scaling(right: jax.Array | float, down: jax.Array | float) -> jax.Array:
    return jnp.diag(jnp.stack([jnp.asarray(right), jnp.asarray(down), jnp.float32(1)]))


def _translation(right: jax.Array, down: jax.Array) -> jax.Array:
    return jnp.eye(3).at[:2, 2].set(jnp.stack([right, down]))


def _rotation(angle: jax.Array) -> jax.Array:
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.eye(3).at[:2, :2].set(jnp.array([[cos, -sin], [sin, cos]]))
