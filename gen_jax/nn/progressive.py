"""The Progressive GAN's networks, which grow (nn/growth.py).

Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (arXiv:1710.10196),
with the blur of StyleGAN (arXiv:1812.04948) as an option of the discriminator.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.equalized import (
    EqualizedConv,
    EqualizedDense,
    channels_at,
    check_group,
    check_power_of_two,
    minibatch_stddev,
    unit_mean_square,
)
from gen_jax.nn.growth import grow_image, grown, shrink_image
from gen_jax.nn.layers import image_size, upsample
from gen_jax.nn.resample import fir_downsample, fir_filter

GAIN = math.sqrt(2)
"""Of the weights before a leaky ReLU (He et al. 2015, arXiv:1502.01852)."""


class ProgressiveGenerator(nn.Module):
    """z [b, latent], and the context's vector if there is one -> images [b, h, w, c], float32 (table 2).

    shape: one image's, square with a side of 4, 8, 16, ...; filled from the data. channel_base, channel_max:
    min(base / side, max) channels at each side; 16384 and 512 in the paper. context.vector, a label as one of so many
    (nn.OneHot), is put beside z. context.progress: how far it has grown; None: wholly.

    Raises UserError for a shape that is not reached from 4x4 by doubling, or conditions that it cannot use.
    """

    shape: tuple[int, ...]
    channel_base: int = 16384
    channel_max: int = 512
    dtype: str = "float32"

    def setup(self):
        if len(self.shape) != 3:
            raise UserError(f"ProgressiveGenerator draws images of shape (h, w, c), got shape={self.shape}")
        self.stages = check_power_of_two(*self.shape[:2], 4, "ProgressiveGenerator")
        features = [channels_at(level, self.channel_base, self.channel_max) for level in range(self.stages + 1)]
        self.blocks = [GrowingGeneratorBlock(width, level == 0, self.dtype) for level, width in enumerate(features)]
        self.to_image = [EqualizedConv(self.shape[-1], 1, dtype=self.dtype) for _ in features]

    def __call__(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        context.only("vector", network="ProgressiveGenerator")
        if context.vector is not None:
            z = jnp.concatenate([z, context.vector], axis=-1)

        def run(module: ProgressiveGenerator, last: int, alpha: jax.Array | None, z: jax.Array) -> jax.Array:
            def draw(level: int, x: jax.Array | None) -> jax.Array:
                return module.blocks[level](z if x is None else x)

            def to_image(level: int, x: jax.Array) -> jax.Array:
                return module.to_image[level](x).astype(jnp.float32)

            return grow_image(draw, to_image, last, alpha, module.stages)

        return grown(run, self, context.progress, self.stages, z)


class GrowingGeneratorBlock(nn.Module):
    """A level of the generator: z [b, d] for the first, else x [b, h/2, w/2, c] -> [b, h, w, features]."""

    features: int
    first: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.first:
            # A quarter of the gain: so it was in the program that the paper's results are of.
            dense = EqualizedDense(16 * self.features, GAIN / 4, use_bias=False, dtype=self.dtype, name="dense")
            x = dense(unit_mean_square(x)).reshape(-1, self.features, 4, 4).transpose(0, 2, 3, 1)
            x = self._finish(x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype))
        else:
            x = self._finish(EqualizedConv(self.features, gain=GAIN, dtype=self.dtype, name="conv0")(upsample(x)))
        return self._finish(EqualizedConv(self.features, gain=GAIN, dtype=self.dtype, name="conv1")(x))

    @nn.nowrap
    def _finish(self, x: jax.Array) -> jax.Array:
        return unit_mean_square(nn.leaky_relu(x, 0.2).astype(jnp.float32)).astype(self.dtype)


class ProgressiveDiscriminator(nn.Module):
    """Images [b, h, w, c] -> [b, outputs], float32; None: [b, channels at 2x2], before the last layer (table 2).

    channel_base, channel_max: as the generator's. group, stddev_features: of minibatch_stddev, 0 features for none.
    blur: the taps of a filter before each halving; None: none. StyleGAN's discriminator is this one with (1, 2, 1).
    context.vector, a label as one of so many (nn.OneHot), chooses which output is the logit (Mescheder et al. 2018,
    arXiv:1801.04406, as in StyleGAN); then outputs must be 1. context.progress: how far it has grown; None: wholly.

    Raises UserError for images that do not halve to 4x4, a batch that does not divide into groups, or conditions that
    it cannot use.
    """

    outputs: int | None = 1
    channel_base: int = 16384
    channel_max: int = 512
    group: int | None = 4
    stddev_features: int = 1
    blur: tuple[float, ...] | None = None
    dtype: str = "float32"

    @nn.nowrap
    def check_batch(self, batch_size: int) -> None:
        """Raises UserError for a batch size that does not divide into groups."""
        if self.stddev_features:
            check_group(batch_size, self.group)

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, _ = image_size(x, "ProgressiveDiscriminator")
        stages = check_power_of_two(h, w, 4, "ProgressiveDiscriminator")
        context.only("vector", network="ProgressiveDiscriminator")
        if context.vector is not None and self.outputs != 1:
            raise UserError(f"ProgressiveDiscriminator: with a label outputs={self.outputs} must be 1")
        widths = tuple(channels_at(level, self.channel_base, self.channel_max) for level in range(-1, stages + 1))
        x = ShrinkingLevels(widths[1:], self.blur, self.dtype, name="levels")(x, context.progress).astype(jnp.float32)
        if self.stddev_features:
            x = minibatch_stddev(x, self.group, self.stddev_features)
        x = nn.leaky_relu(EqualizedConv(widths[1], gain=GAIN, name="conv")(x), 0.2)
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)  # [b, 4, 4, c] -> [b, c * 16], in the authors' order
        x = nn.leaky_relu(EqualizedDense(widths[0], gain=GAIN, name="dense")(x), 0.2)
        if self.outputs is None:
            return x
        if context.vector is None:
            return EqualizedDense(self.outputs, name="out")(x)
        return (EqualizedDense(context.vector.shape[-1], name="out")(x) * context.vector).sum(1, keepdims=True)


class ShrinkingLevels(nn.Module):
    """Images [b, h, w, c] -> features [b, 4, 4, widths[0]] by the levels that have grown; widths: of each level."""

    widths: tuple[int, ...]
    blur: tuple[float, ...] | None
    dtype: str

    def setup(self):
        pairs = list(zip(self.widths[1:], self.widths, strict=False))
        self.blocks = [GrowingDiscriminatorBlock(width, after, self.blur, self.dtype) for width, after in pairs]
        self.from_image = [EqualizedConv(width, 1, GAIN, dtype=self.dtype) for width in self.widths]

    def __call__(self, x: jax.Array, progress: jax.Array | None) -> jax.Array:
        stages = len(self.widths) - 1

        def run(module: ShrinkingLevels, last: int, alpha: jax.Array | None, x: jax.Array) -> jax.Array:
            def read(level: int, x: jax.Array) -> jax.Array:
                return module.blocks[level - 1](x)

            def from_image(level: int, image: jax.Array) -> jax.Array:
                return nn.leaky_relu(module.from_image[level](image), 0.2)

            return shrink_image(read, from_image, x, last, alpha, stages)

        return grown(run, self, progress, stages, x)


class GrowingDiscriminatorBlock(nn.Module):
    """A level of the discriminator: [b, h, w, features] -> [b, h/2, w/2, after]."""

    features: int
    after: int
    blur: tuple[float, ...] | None
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.leaky_relu(EqualizedConv(self.features, gain=GAIN, dtype=self.dtype, name="conv0")(x), 0.2)
        x = x if self.blur is None else blurred(x, self.blur)
        x = fir_downsample(EqualizedConv(self.after, gain=GAIN, use_bias=False, dtype=self.dtype, name="conv1")(x))
        bias = self.param("bias", nn.initializers.zeros, (self.after,))
        return nn.leaky_relu(x + bias.astype(x.dtype), 0.2)


def blurred(x: jax.Array, taps: Sequence[float]) -> jax.Array:
    """x [b, h, w, c] filtered by an odd number of taps, zeros beyond the border; the size is kept."""
    return fir_filter(x, taps, padding=len(taps) // 2)
