"""The convolutional encoders and decoders of VQ-VAE and VQ-VAE-2, whose latents keep their places.

van den Oord et al. 2017, "Neural Discrete Representation Learning" (arXiv:1711.00937), section 4.1, with the residual
blocks of the authors' program; Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2"
(arXiv:1906.00446), section 3.1 and table 1.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import Dense, FiLM, check_levels, image_size, xavier_uniform
from gen_jax.nn.quantize import Coded, VectorQuantizer
from gen_jax.random import fold
from gen_jax.types import PyTree


class PlaceEncoder(nn.Module):
    """Images [b, h, w, c] -> [b, h / 2^downs, w / 2^downs, channels], float32.

    A convolution of stride 2 for each of `downs`, one of stride 1, residual blocks, and one of 1x1. width: channels,
    half as many after the first; hidden: inside the residual blocks. context.vector enters by FiLM before the blocks;
    context.spatial [b, h, w, k] is concatenated on the channels.

    Raises UserError when x is not images, or of a size that cannot be halved so often.
    """

    channels: int
    width: int = 128
    hidden: int = 32
    blocks: int = 2
    downs: int = 2
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, _ = image_size(x, "PlaceEncoder")
        context.only("vector", "spatial", network="PlaceEncoder")
        check_levels(h, w, self.downs + 1, "PlaceEncoder")
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        x = Down(self.width, self.downs, self.dtype, name="down")(x)
        x = FiLM(self.dtype, name="film")(x, context.vector)
        x = Residuals(self.hidden, self.blocks, self.dtype, name="residuals")(x)
        return Dense(self.channels, dtype="float32", kernel_init=xavier_uniform, name="out")(x)


class PlaceDecoder(nn.Module):
    """z [b, h, w, d] -> images [b, h 2^ups, w 2^ups, c * channels_per_value], float32: the mirror of PlaceEncoder, with
    transposed convolutions.

    shape: one example's, (h, w, c); filled from the data. context.vector enters by FiLM before the blocks.
    Raises UserError when z is not a map of places.
    """

    shape: tuple[int, ...]
    width: int = 128
    hidden: int = 32
    blocks: int = 2
    ups: int = 2
    channels_per_value: int = 1
    dtype: str = "float32"

    @nn.compact
    def __call__(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        image_size(z, "PlaceDecoder")
        context.only("vector", network="PlaceDecoder")
        x = nn.Conv(self.width, (3, 3), dtype=self.dtype, kernel_init=xavier_uniform, name="in")(z)
        x = FiLM(self.dtype, name="film")(x, context.vector)
        x = Residuals(self.hidden, self.blocks, self.dtype, name="residuals")(x)
        outputs = self.shape[-1] * self.channels_per_value
        for i in range(self.ups - 1):
            x = nn.relu(_up(self.width // 2, self.dtype, f"up_{i}")(x))
        if not self.ups:
            return nn.Conv(outputs, (3, 3), dtype="float32", kernel_init=xavier_uniform, name="out")(x)
        return _up(outputs, "float32", "out")(x)


class TwoLevelEncoder(nn.Module):
    """Images [b, h, w, c] -> [b, n, channels]: the places of the top level, row by row, then those of the bottom level,
    twice as many in both directions, as nn.TwoLevelQuantizer takes them.

    The bottom level is that of PlaceEncoder, the top level a further one of it, one halving down.
    """

    channels: int
    width: int = 128
    hidden: int = 32
    blocks: int = 2
    downs: int = 2
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        b, h, w, _ = image_size(x, "TwoLevelEncoder")
        context.only("vector", "spatial", network="TwoLevelEncoder")
        check_levels(h, w, self.downs + 2, "TwoLevelEncoder")
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        maps = []
        for i, downs in enumerate((self.downs, 1)):
            x = Down(self.width, downs, self.dtype, name=f"down_{i}")(x)
            x = FiLM(self.dtype, name=f"film_{i}")(x, context.vector)
            x = Residuals(self.hidden, self.blocks, self.dtype, name=f"residuals_{i}")(x)
            maps.append(Dense(self.channels, dtype="float32", kernel_init=xavier_uniform, name=f"out_{i}")(x))
        bottom, top = maps
        return jnp.concatenate([top.reshape(b, -1, self.channels), bottom.reshape(b, -1, self.channels)], axis=1)


class TwoLevelDecoder(nn.Module):
    """z [b, n, d] as nn.TwoLevelQuantizer gives it -> images [b, h, w, c * channels_per_value], float32.

    The top level is doubled by a transposed convolution and read beside the bottom level by a PlaceDecoder.
    shape: one example's, (h, w, c); filled from the data. Raises UserError for latents of another number of places.
    """

    shape: tuple[int, ...]
    width: int = 128
    hidden: int = 32
    blocks: int = 2
    ups: int = 2
    channels_per_value: int = 1
    dtype: str = "float32"

    @nn.compact
    def __call__(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        context.only("vector", network="TwoLevelDecoder")
        top, bottom = split_levels(z, two_levels(self.shape, self.ups))
        top = _up(z.shape[-1], self.dtype, "up")(top)
        decoder = PlaceDecoder(
            *(self.shape, self.width, self.hidden, self.blocks, self.ups, self.channels_per_value, self.dtype),
            name="bottom",
        )
        return decoder(jnp.concatenate([top, bottom], axis=-1), context, train)


@dataclasses.dataclass(frozen=True)
class TwoLevelQuantizer:
    """VQ-VAE-2's two levels in one sequence, a bottleneck (nn/quantize.py) of [b, n, channels]: h and w places of the
    top level, row by row, then 2h and 2w of the bottom level. tokens [b, n], of one vocabulary size: their place says
    of which codebook.

    The top level is quantized first; the bottom level's rows, with a transposed convolution of the top's codes beside
    them, go through a dense layer before they are.

    of: the quantizer of a level; its width is that of the encoder's outputs too. downs: of the bottom level. shape: one
    example's, filled from the data.
    """

    of: VectorQuantizer
    shape: tuple[int, ...]
    downs: int = 2

    @property
    def channels(self) -> int:
        return self.of.channels

    @property
    def width(self) -> int:
        return self.of.width

    @property
    def num_codes(self) -> int:
        return self.of.num_codes

    def token_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One token a place."""
        return shape[:-1]

    def init(self, key: jax.Array, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]:
        """Both levels' codebooks and the layers between them."""
        (h, w), _ = two_levels(self.shape, self.downs)
        keys = jax.random.split(key, 3)
        params, state = {}, {}
        for name, k in zip(("top", "bottom"), keys, strict=False):
            params[name], state[name] = self.of.init(k, shape)
        top, bottom = jnp.zeros((1, h, w, self.width)), jnp.zeros((1, 2 * h, 2 * w, self.channels))
        params["between"] = self._between.init(keys[2], top, bottom)["params"]
        return params, state

    def __call__(self, params, state, h, keys=None, train=False) -> Coded:
        """The top level's codes, then the bottom level's, given those."""
        b = h.shape[0]
        above, below = split_levels(h, two_levels(self.shape, self.downs))
        top_keys, bottom_keys = (None if keys is None else fold(keys, i) for i in (0, 1))
        top = self.of(params["top"], state["top"], above, top_keys, train)
        given: Any = self._between.apply({"params": params["between"]}, top.z, below)
        bottom = self.of(params["bottom"], state["bottom"], given, bottom_keys, train)
        levels = {"top": top, "bottom": bottom}
        metrics = {f"{name}_{level}": value for level, c in levels.items() for name, value in c.metrics.items()}
        metrics |= {"used": (top.metrics["used"] + bottom.metrics["used"]) / 2}
        return Coded(
            jnp.concatenate([c.z.reshape(b, -1, self.width) for c in levels.values()], axis=1),
            jnp.concatenate([c.tokens.reshape(b, -1) for c in levels.values()], axis=1),
            top.loss + bottom.loss,
            metrics,
            {level: c.state for level, c in levels.items()},
        )

    def deterministic(self, params, state, h) -> jax.Array:
        """The nearest codes of both levels."""
        return self(params, state, h).z

    def lookup(self, params, state, tokens: jax.Array) -> jax.Array:
        """tokens [b, n] -> codes [b, n, width]."""
        (h, w), _ = two_levels(self.shape, self.downs)
        levels = zip(("top", "bottom"), jnp.split(tokens, [h * w], axis=1), strict=True)
        return jnp.concatenate([self.of.lookup(params[name], state[name], t) for name, t in levels], axis=1)

    @property
    def _between(self) -> "Between":
        return Between(self.channels)


class Between(nn.Module):
    """The bottom level [b, 2h, 2w, c] beside what the codes of the top level [b, h, w, d] say -> [b, 2h, 2w, c]."""

    channels: int

    @nn.compact
    def __call__(self, top: jax.Array, bottom: jax.Array) -> jax.Array:
        x = jnp.concatenate([_up(self.channels, "float32", "up")(top), bottom], axis=-1)
        return Dense(self.channels, kernel_init=xavier_uniform, name="out")(x)


class Down(nn.Module):
    """[b, h, w, c] -> [b, h / 2^downs, w / 2^downs, width]: 4x4 convolutions of stride 2, then a 3x3 one."""

    width: int
    downs: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(self.downs):
            width = self.width // 2 if i == 0 else self.width
            x = nn.Conv(width, (4, 4), 2, dtype=self.dtype, kernel_init=xavier_uniform, name=f"down_{i}")(x)
            x = nn.relu(x)
        return nn.Conv(self.width, (3, 3), dtype=self.dtype, kernel_init=xavier_uniform, name="conv")(x)


class Residuals(nn.Module):
    """Blocks x + conv1x1(relu(conv3x3(relu(x)))), then a ReLU: [b, h, w, c] -> the same."""

    hidden: int
    blocks: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(self.blocks):
            y = nn.Conv(self.hidden, (3, 3), dtype=self.dtype, kernel_init=xavier_uniform, name=f"in_{i}")(nn.relu(x))
            x = x + Dense(x.shape[-1], dtype=self.dtype, kernel_init=xavier_uniform, name=f"out_{i}")(nn.relu(y))
        return nn.relu(x)


def two_levels(shape: tuple[int, ...], downs: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Height and width of the top and of the bottom level. Raises UserError for sizes that cannot be halved so."""
    check_levels(shape[0], shape[1], downs + 2, "two levels of latents")
    h, w = shape[0] >> downs, shape[1] >> downs
    return (h // 2, w // 2), (h, w)


def split_levels(z: jax.Array, sizes: tuple[tuple[int, int], tuple[int, int]]) -> tuple[jax.Array, jax.Array]:
    """[b, n, d] -> the maps of the top and of the bottom level. Raises UserError for another number of places."""
    b, d = z.shape[0], z.shape[-1]
    (h, w), (h2, w2) = sizes
    if z.shape[1:-1] != (h * w + h2 * w2,):
        raise UserError(f"two levels of {h}x{w} and {h2}x{w2} are {h * w + h2 * w2} places, not {list(z.shape[1:-1])}")
    top, bottom = jnp.split(z, [h * w], axis=1)
    return top.reshape(b, h, w, d), bottom.reshape(b, h2, w2, d)


def _up(features: int, dtype: str, name: str) -> nn.ConvTranspose:
    return nn.ConvTranspose(features, (4, 4), (2, 2), dtype=dtype, kernel_init=xavier_uniform, name=name)
