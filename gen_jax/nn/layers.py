"""The small layers that several networks share."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError, unknown

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "none": lambda x: x,
    "relu": jax.nn.relu,
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2),  # the slope of DCGAN and of most discriminators since
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
}


def activation(name: str) -> Callable[[jax.Array], jax.Array]:
    """The activation of that name. Raises UserError with the known names."""
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def image_size(x: jax.Array, network: str) -> tuple[int, int, int, int]:
    """The four sizes b, h, w, c of a batch of images. Raises UserError when x is something else."""
    if x.ndim != 4:
        raise UserError(f"{network} takes images [b, h, w, c], got an array of shape {list(x.shape)}")
    b, h, w, c = x.shape
    return b, h, w, c


def check_levels(h: int, w: int, levels: int, network: str) -> None:
    """Raises UserError unless images of h x w can be halved levels - 1 times, with the sizes that can."""
    unit = 2 ** (levels - 1)
    if h % unit or w % unit:
        raise UserError(
            f"{network}: with {levels} levels, heights and widths must be multiples of {unit}, and the images are "
            f"{h}x{w}; sizes that work: {-(-h // unit) * unit}x{-(-w // unit) * unit}, or fewer multipliers"
        )


def sinusoidal(x: jax.Array, features: int, max_period: float = 10_000.0) -> jax.Array:
    """Cosines and sines of x [b] at geometric frequencies from 1 down to 1 / max_period: [b, features] float32.

    Vaswani et al. 2017 (arXiv:1706.03762), section 3.5, in the order and with the frequencies of DiT. `features`
    must be even.
    """
    half = _halves(features, "sinusoidal features")
    frequencies = np.exp(-math.log(max_period) * np.arange(half) / half).astype(np.float32)
    angles = x.astype(jnp.float32)[:, None] * frequencies  # [b, half]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def sincos_2d(h: int, w: int, features: int) -> np.ndarray:
    """A fixed embedding of the h*w places of a grid, row by row: [h*w, features] float32.

    Half of the features tell the row and half the column. `features` must be a multiple of 4.
    """
    quarter = _halves(_halves(features, "position features"), "position features, halved")
    frequencies = 10_000.0 ** (-np.arange(quarter) / quarter)
    rows, columns = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")  # [h, w] each
    angles = [place.reshape(-1, 1) * frequencies for place in (columns, rows)]  # [h*w, quarter] each
    return np.concatenate([f(a) for a in angles for f in (np.sin, np.cos)], axis=-1).astype(np.float32)


def to_rgb(x: jax.Array) -> jax.Array:
    """Images [b, h, w, 3] as they are, grey ones [b, h, w, 1] three times over. Raises UserError for other channels."""
    if x.ndim != 4 or x.shape[-1] not in (1, 3):
        raise UserError(f"this network sees images of 1 or 3 channels, [b, h, w, c], not {list(x.shape)}")
    return jnp.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x


def upsample(x: jax.Array) -> jax.Array:
    """Every pixel twice in both directions: [b, h, w, c] -> [b, 2h, 2w, c]."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (b, h, 2, w, 2, c))
    return x.reshape(b, 2 * h, 2 * w, c)


def downsample(x: jax.Array) -> jax.Array:
    """The mean of every 2x2 pixels: [b, h, w, c] -> [b, h/2, w/2, c], for even h and w."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def xavier_uniform(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Kernels [..., d_in, d_out] uniform in +-sqrt(6 / (fan_in + fan_out)), the values of flax's initializer.

    Glorot & Bengio 2010, equation 16. Drawn flat, then reshaped: XLA's CPU compiler unrolls the random bits of an array
    with short axes, and takes seconds for each 3x3 kernel of a small network.
    """
    window = math.prod(shape[:-2])
    limit = math.sqrt(6 / (window * (shape[-2] + shape[-1])))
    return jax.random.uniform(key, (math.prod(shape),), dtype, -limit, limit).reshape(shape)


class Dense(nn.Dense):
    """flax's Dense, over all leading axes as one: x [..., d] -> [..., features].

    The same function and parameters. Of a product over one axis, XLA's CPU compiler gives the kernel's gradient without
    a transposed copy of the output's: a small transformer's train step takes a fifth less time.
    """

    def __call__(self, x: jax.Array) -> jax.Array:
        out = super().__call__(x.reshape(-1, x.shape[-1]))  # [b * ..., d] -> [b * ..., features]
        return out.reshape(*x.shape[:-1], self.features)


def orthogonal_init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Kernels [..., d_in, d_out] that are orthogonal as matrices [in, out], Saxe et al. 2014 (arXiv:1312.6120)."""
    matrix = (math.prod(shape[:-1]), shape[-1])
    return nn.initializers.orthogonal()(key, matrix, dtype).reshape(shape)


def small_normal(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Kernels of standard deviation 0.02, Radford et al. 2016 (arXiv:1511.06434, section 4); drawn flat, as above."""
    return 0.02 * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


INITIALIZERS: dict[str, nn.initializers.Initializer] = {
    "xavier_uniform": xavier_uniform,
    "xavier_relu": lambda key, shape, dtype=jnp.float32: math.sqrt(2) * xavier_uniform(key, shape, dtype),
    "orthogonal": orthogonal_init,
    "small_normal": small_normal,
}


def initializer(name: str) -> nn.initializers.Initializer:
    """The initializer of kernels of that name. Raises UserError with the known names."""
    if name not in INITIALIZERS:
        raise unknown("init", name, INITIALIZERS)
    return INITIALIZERS[name]


class Modulation(nn.Module):
    """`parts` arrays [b, 1, ..., features] read from silu(vector), for tensors of `ndim` axes.

    Starts at zero whatever the vector is: shift, scale - 1 and gate of AdaLN-zero (arXiv:2212.09748, section 3.2).
    Without a vector the parts are learned constants [1, 1, ..., features].
    """

    parts: int
    features: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, vector: jax.Array | None, ndim: int) -> list[jax.Array]:
        size = self.parts * self.features
        if vector is None:
            out = self.param("bias", nn.initializers.zeros, (size,)).astype(self.dtype)[None]
        else:
            out = nn.Dense(size, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="dense")(nn.silu(vector))
        out = out.reshape(out.shape[:1] + (1,) * (ndim - 2) + out.shape[1:])  # [b, d] -> [b, 1, ..., d]
        return jnp.split(out, self.parts, axis=-1)


class FiLM(nn.Module):
    """x [b, ..., d] * (1 + scale) + shift, both read from the vector; x itself without one.

    Perez et al. 2018 (arXiv:1709.07871), equation 1. It starts as the identity.
    """

    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None) -> jax.Array:
        if vector is None:
            return x
        shift, scale = Modulation(2, x.shape[-1], self.dtype, name="modulation")(vector, x.ndim)
        return x * (1 + scale) + shift


class Dropout(nn.Module):
    """Zeroes values at `rate` in training, divides the others by 1 - rate: x [b, ...] -> [b, ...].

    Srivastava et al. 2014 (jmlr.org/papers/v15/srivastava14a.html). Reads the key "dropout", and only when it drops.
    Drawn flat, as in `xavier_uniform`, for the same reason. Raises UserError unless 0 <= rate < 1.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if not 0 <= self.rate < 1:
            raise UserError(f"dropout={self.rate}: a rate lies in [0, 1)")
        if not train or self.rate == 0:
            return x
        keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, (x.size,)).reshape(x.shape)
        return jnp.where(keep, x / (1 - self.rate), jnp.zeros((), x.dtype))


def _halves(features: int, what: str) -> int:
    if features % 2:
        raise UserError(f"{what} must be even, got {features}")
    return features // 2
