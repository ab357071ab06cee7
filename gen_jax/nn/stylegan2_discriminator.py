"""StyleGAN2's discriminator, layer for layer as the authors' PyTorch program has it; nn/stylegan2.py says how.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (arXiv:1912.04958).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.nn.conditioning import Context
from gen_jax.nn.equalized import (
    EqualizedConv,
    EqualizedDense,
    channels_at,
    check_group,
    check_power_of_two,
    minibatch_stddev,
)
from gen_jax.nn.layers import image_size
from gen_jax.nn.mapping import MappingNetwork
from gen_jax.nn.resample import fir_downsample
from gen_jax.nn.stylegan2 import ARCHITECTURES, GAIN, SLOPE, activated, clamped, dtype_at


class StyleGAN2Discriminator(nn.Module):
    """Images [b, h, w, c] -> [b, outputs], float32; None: [b, channels at 4x4], before the last layer.

    channel_base, channel_max, taps, clamp, reduced: as the generator's. architecture: "residual", or "skip" or "plain"
    (figure 7). group, stddev_features: of minibatch_stddev, 0 features for none.
    context.vector, a label as one of so many (nn.OneHot) or any other, is mapped by `layers` layers to a vector that
    the last features are projected on; then outputs must be 1.

    Raises UserError for images that do not halve to 4x4, a batch that does not divide into groups, an unknown
    architecture, or conditions that it cannot use.
    """

    outputs: int | None = 1
    channel_base: int = 32768
    channel_max: int = 512
    architecture: str = "residual"
    taps: tuple[float, ...] = (1, 3, 3, 1)
    clamp: float | None = None
    group: int | None = 4
    stddev_features: int = 1
    layers: int = 8
    lr_multiplier: float = 0.01
    reduced: int = 4
    dtype: str = "float32"

    @nn.nowrap
    def check_batch(self, batch_size: int) -> None:
        """Raises UserError for a batch size that does not divide into groups."""
        if self.stddev_features:
            check_group(batch_size, self.group)

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, _ = image_size(x, "StyleGAN2Discriminator")
        if self.architecture not in ARCHITECTURES:
            raise unknown("StyleGAN2 architecture", self.architecture, ARCHITECTURES)
        context.only("vector", network="StyleGAN2Discriminator")
        if context.vector is not None and self.outputs != 1:
            raise UserError(f"StyleGAN2Discriminator: with a label outputs={self.outputs} must be 1")
        levels = check_power_of_two(h, w, 8, "StyleGAN2Discriminator") + 1
        c = [channels_at(level, self.channel_base, self.channel_max) for level in range(levels)]
        y, image = None, x
        for level in reversed(range(1, levels)):
            dtype = dtype_at(level, levels, self.reduced, self.dtype)
            block = DiscriminatorBlock(
                c[level], c[level - 1], self.architecture, self.taps, self.clamp, dtype, name=f"b{4 * 2**level}"
            )
            y, image = block(y, image)
        mapped = None
        if context.vector is not None:
            mapping = MappingNetwork(c[0], self.layers, lr_multiplier=self.lr_multiplier, name="mapping_network")
            mapped = mapping(None, context.vector)
        epilogue = DiscriminatorEpilogue(
            c[0], self.outputs, self.architecture, self.group, self.stddev_features, self.clamp, name="b4"
        )
        return epilogue(y, image, mapped)


class DiscriminatorBlock(nn.Module):
    """A level of the discriminator: x [b, h, w, c] or None, and the image -> x [b, h/2, w/2, after], and the image."""

    features: int
    after: int
    architecture: str
    taps: tuple[float, ...]
    clamp: float | None
    dtype: str

    @nn.compact
    def __call__(self, x, image):
        def conv(x, features: int, name: str, gain: float = 1.0, **options):
            x = EqualizedConv(features, taps=self.taps, dtype=self.dtype, name=name, **options)(x)
            return clamped(nn.leaky_relu(x, SLOPE) * (GAIN * gain), self.clamp, gain)

        if x is None or self.architecture == "skip":
            y = conv(image, self.features, "fromrgb", size=1)
            x = y if x is None else x.astype(y.dtype) + y
            image = fir_downsample(image, self.taps) if self.architecture == "skip" else None
        if self.architecture != "residual":
            return conv(conv(x, self.features, "conv0"), self.after, "conv1", how="down"), image
        gain = math.sqrt(0.5)
        skip = EqualizedConv(self.after, 1, use_bias=False, how="down", taps=self.taps, dtype=self.dtype, name="skip")(
            x
        )
        x = conv(conv(x, self.features, "conv0"), self.after, "conv1", gain, how="down")
        return skip * gain + x, image


class DiscriminatorEpilogue(nn.Module):
    """What follows at 4x4, in float32: x [b, 4, 4, c], the image and the mapped label [b, c] -> [b, outputs]."""

    features: int
    outputs: int | None
    architecture: str
    group: int | None
    stddev_features: int
    clamp: float | None

    @nn.compact
    def __call__(self, x, image, mapped: jax.Array | None) -> jax.Array:
        x = x.astype(jnp.float32)
        if self.architecture == "skip":
            x = x + activated(EqualizedConv(self.features, 1, name="fromrgb")(image))
        if self.stddev_features:
            x = minibatch_stddev(x, self.group, self.stddev_features)
        x = clamped(activated(EqualizedConv(self.features, name="conv")(x)), self.clamp)
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)  # [b, 4, 4, c] -> [b, c * 16], in the authors' order
        x = activated(EqualizedDense(self.features, name="fc")(x))
        if self.outputs is None:
            return x
        x = EqualizedDense(self.outputs if mapped is None else self.features, name="out")(x)
        return x if mapped is None else (x * mapped).sum(1, keepdims=True) / math.sqrt(self.features)
