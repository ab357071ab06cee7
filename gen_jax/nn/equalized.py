"""Layers with an equalized learning rate, and the two normalizations that came with them.

Karras et al. 2018, "Progressive Growing of GANs" (arXiv:1710.10196), section 4: weights start with unit variance and
are scaled when they are used, so that an optimizer which looks at the gradient's scale moves all layers equally fast.
"""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.nn.convolution import convolve
from gen_jax.nn.resample import fir_downsample, fir_filter, fir_upsample


def unit_normal(std: float = 1.0) -> Callable[..., jax.Array]:
    """Initializer of normal numbers, drawn flat (layers.xavier_uniform says why)."""

    def init(key: jax.Array, shape: Sequence[int], dtype=jnp.float32) -> jax.Array:
        return std * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)

    return init


class EqualizedDense(nn.Module):
    """x [b, d] -> [b, features], in `dtype`: weights N(0, 1 / lr_multiplier^2), used times gain * lr_multiplier /
    sqrt(d).

    lr_multiplier: how fast the layer learns beside others (Karras et al. 2019, arXiv:1812.04948, appendix C).
    bias_init: of the bias, which is multiplied by lr_multiplier as well.
    """

    features: int
    gain: float = 1.0
    lr_multiplier: float = 1.0
    use_bias: bool = True
    bias_init: float = 0.0
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        weight = self.param("weight", unit_normal(1 / self.lr_multiplier), (x.shape[-1], self.features))
        scale = self.gain * self.lr_multiplier / math.sqrt(x.shape[-1])
        x = x.astype(self.dtype) @ (weight * scale).astype(self.dtype)
        if not self.use_bias:
            return x
        bias = self.param("bias", nn.initializers.constant(self.bias_init), (self.features,))
        return x + (bias * self.lr_multiplier).astype(self.dtype)


class EqualizedConv(nn.Module):
    """Images [b, h, w, c] -> [b, h', w', features] in `dtype`, zeros beyond the border: weights N(0, 1), used times
    gain / sqrt(size^2 c).

    how: "keep", or "up" or "down" to double or halve the size by `resampled_conv` with `taps`.
    """

    features: int
    size: int = 3
    gain: float = 1.0
    use_bias: bool = True
    how: str = "keep"
    taps: tuple[float, ...] = (1, 3, 3, 1)
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        weight = self.param("weight", unit_normal(), shape) * (self.gain / math.sqrt(math.prod(shape[:3])))
        x = resampled_conv(x.astype(self.dtype), weight.astype(self.dtype), self.how, self.taps)
        if not self.use_bias:
            return x
        return x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)


def resampled_conv(
    x: jax.Array, weight: jax.Array, how: str = "keep", taps: Sequence[float] = (1, 3, 3, 1)
) -> jax.Array:
    """A convolution with weight [k, k, c, features], fused with doubling or halving the size: [b, h, w, c] -> [b, h',
    w', features], as StyleGAN2's (Karras et al. 2020, arXiv:1912.04958, appendix B).

    "down": the filter, then the convolution at every second pixel. "up": zeros between the pixels, the convolution,
    then the filter with gain 4; here kernel and filter are turned around (a convolution in the signal processor's
    sense), as the authors' weights have it. Beyond the border is zero, and between the two operations nothing is cut
    off.

    Raises:
      UserError: for another `how`, an even kernel, or an odd number of taps.
    """
    k = weight.shape[0]
    if k % 2 == 0:
        raise UserError(f"a convolution of size {k}: kernels here have an odd size")
    if how == "keep":
        return convolve(x, weight, padding=k // 2)
    if how == "up":
        if k == 1:
            return fir_upsample(convolve(x, weight), taps)
        x = convolve(x, weight[::-1, ::-1], padding=k - 1, dilation=2)  # [b, 2h + k - 2, 2w + k - 2, features]
        return fir_filter(x, taps[::-1], padding=len(taps) // 2 - k // 2, gain=4.0)
    if how == "down":
        if k == 1:
            return convolve(fir_downsample(x, taps), weight)
        x = fir_filter(x, taps, padding=(len(taps) - 2) // 2 + k // 2)
        return convolve(x, weight, stride=2)
    raise unknown("resampling", how, ("keep", "up", "down"))


def unit_mean_square(x: jax.Array) -> jax.Array:
    """x [..., c] over the root mean square of its channels, arXiv:1710.10196 section 4.2."""
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-8)


def minibatch_stddev(x: jax.Array, group: int | None = 4, features: int = 1) -> jax.Array:
    """x [b, h, w, c] with `features` further channels that tell how much the examples of a group differ: [b, h, w, c +
    features]. arXiv:1710.10196 section 3, in groups as the authors' programs.

    The batch is split into groups of `group` (of all examples, where there are fewer, or for None); example i is in one
    group with i + b / group, i + 2 b / group, ... Over each group the standard deviation of every value, then the mean
    over positions and the channels, which are split into `features` parts.

    Raises:
      UserError: from the shapes, a batch that does not divide into groups, or channels that do not into features.
    """
    b, h, w, c = x.shape
    if c % features:
        raise UserError(f"minibatch_stddev: {c} channels do not divide into {features} features")
    check_group(b, group)
    size = b if group is None else min(group, b)
    y = x.astype(jnp.float32).reshape(size, b // size, h, w, features, c // features)
    y = jnp.sqrt(jnp.square(y - y.mean(0)).mean(0) + 1e-8).mean((1, 2, 4))  # [b / size, features]
    y = jnp.broadcast_to(jnp.tile(y, (size, 1))[:, None, None], (b, h, w, features))
    return jnp.concatenate([x, y.astype(x.dtype)], axis=-1)


def check_group(batch_size: int, group: int | None) -> None:
    """Raises UserError, with what to do, for a batch that does not divide into groups of minibatch_stddev."""
    if group is not None and batch_size > group and batch_size % group:
        near = batch_size // group * group
        raise UserError(
            f"a batch of {batch_size} does not divide into groups of {group} for the minibatch standard deviation: "
            f"take train.batch_size={near}, or another discriminator.group (None: the whole batch)"
        )


def check_power_of_two(h: int, w: int, least: int, network: str) -> int:
    """The number of doublings from 4x4 to h x w. Raises UserError for images that are not reached by them."""
    levels = int(math.log2(max(h, 1)))
    if h != w or h != 2**levels or h < least:
        near = max(least, 2 ** math.ceil(math.log2(max(h, w))))
        raise UserError(
            f"{network} doubles from 4x4: images must be square with a side of {least}, {2 * least}, {4 * least}, ..., "
            f"and these are {h}x{w}; resize them to {near}x{near} (data.resolution={near})"
        )
    return levels - 2


def channels_at(level: int, base: int, limit: int) -> int:
    """How many channels a network has at side 4 * 2^level: base / side, at most `limit`."""
    return max(1, min(int(base / (4 * 2.0**level)), limit))
