"""Bringing images to a network's size, the three ways that published figures were made.

FID moves by several points with the resizer (Parmar et al. 2022, arXiv:2104.11222), so that its mode is part of a
figure's name. In one dimension, from n pixels to m, with scale s = n / m:

    clean        Pillow's bicubic filter: Keys' cubic (a = -1/2) around (i + 1/2) s, widened by s where s > 1, so that
                 nothing aliases. In float32 without rounding, then clipped to [0, 255] as the cubic overshoots.
    tf-legacy    TensorFlow 1's resize_bilinear: linear interpolation at i s; its grid is shifted by half a pixel, and
                 where s > 1 pixels are skipped.
    pytorch-fid  PyTorch's bilinear interpolation, at (i + 1/2) s - 1/2. It skips pixels too.

All three are linear and separable, so that each is a product with one matrix [m, n] from the left and one from the
right. `clean` is Pillow's resizing of mode "F". Its resizing of bytes also rounds and clips between the two products,
which moves pixels by a grey value, and by several where the cubic overshoots.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import unknown

MODES = ("clean", "tf-legacy", "pytorch-fid")


def resize(x: jax.Array, size: int, mode: str) -> jax.Array:
    """Images [b, h, w, c] with values 0 to 255, of any dtype, as float32 [b, size, size, c] of the same range.

    Both sides are brought to `size`, whatever the ratio. Raises UserError for an unknown mode.
    """
    _, h, w, _ = x.shape
    rows, columns = resize_matrix(h, size, mode), resize_matrix(w, size, mode)
    highest = jax.lax.Precision.HIGHEST
    y = jnp.einsum("qw,bhwc->bhqc", columns, x.astype(jnp.float32), precision=highest)
    y = jnp.einsum("ph,bhqc->bpqc", rows, y, precision=highest)
    return jnp.clip(y, 0, 255) if mode == "clean" else y


@functools.lru_cache(maxsize=64)
def resize_matrix(n: int, m: int, mode: str) -> np.ndarray:
    """The matrix [m, n] float32 that takes n pixels to m; its rows sum to 1. Raises UserError for an unknown mode."""
    if mode not in MODES:
        raise unknown("resize mode", mode, MODES)
    scale = n / m
    pixels = np.arange(n)
    if mode == "clean":
        width = max(scale, 1.0)
        centers = (np.arange(m)[:, None] + 0.5) * scale
        weights = cubic((pixels + 0.5 - centers) / width, a=-0.5)
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    at = np.arange(m) * scale if mode == "tf-legacy" else (np.arange(m) + 0.5) * scale - 0.5
    at = np.clip(at, 0, n - 1)[:, None]
    return np.maximum(1 - np.abs(pixels - at), 0).astype(np.float32)


def cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel (1981, equation 4) of slope a at 1; it is 0 from |x| = 2 on."""
    x = np.abs(x)
    inner = ((a + 2) * x - (a + 3)) * x**2 + 1
    outer = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))
