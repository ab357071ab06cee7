"""StyleGAN2's generator, layer for layer as the authors' PyTorch program has them.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (arXiv:1912.04958), and 2020, "Training
Generative Adversarial Networks with Limited Data" (arXiv:2006.06676), for labels and the settings of small images.

Weights are [k, k, in, out] where the authors' are [out, in, k, k], and [in, out] where theirs are [out, in]; they are
otherwise the same, in layers of the same names (b4/conv1/affine, ...). Every leaky ReLU is followed by a gain of
sqrt(2), and convolutions that resample are fused with the filter (equalized.resampled_conv).
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
    check_power_of_two,
    resampled_conv,
    unit_normal,
)
from gen_jax.nn.mapping import MappingNetwork, layer_noise, styles
from gen_jax.nn.resample import fir_upsample

ARCHITECTURES = ("skip", "residual", "plain")
SLOPE, GAIN = 0.2, math.sqrt(2)


class StyleGAN2Generator(nn.Module):
    """z [b, latent] -> images [b, h, w, c], float32, in two parts: `mapping` and `synthesis` (nn/mapping.py).

    shape: one image's, square with a side of 8, 16, 32, ...; filled from the data.
    width: of w and of the mapping's layers. layers: of the mapping. channel_base, channel_max: min(base / side, max)
    channels at each side: 32768 in config F of the paper (30.4M parameters at side 1024), 16384 in config E, and at
    side 256 in the second paper (24.8M).
    architecture: how the image is made (figure 7): "skip", the sum of an image of every level; "residual"; or "plain".
    taps: of the filter. noise: whether layers add noise, of which each example's comes from its own key.
    clamp: every convolution's output is kept within it (256 in the authors' runs in float16); None: it is not.
    mixing: nn.styles; 0.9 in the first paper, 0 for CIFAR-10 in the second. decay: of the running mean of w.
    reduced: how many of the highest levels compute in `dtype`, always without the first; the others in float32.

    context.vector is embedded by the mapping: a label, as one of so many (nn.OneHot), or any other vector.

    Raises UserError for a shape that is not reached from 4x4 by doubling, an unknown architecture, or conditions that
    it cannot use.
    """

    shape: tuple[int, ...]
    width: int = 512
    layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    architecture: str = "skip"
    taps: tuple[float, ...] = (1, 3, 3, 1)
    noise: bool = True
    clamp: float | None = None
    mixing: float = 0.9
    decay: float = 0.995
    lr_multiplier: float = 0.01
    reduced: int = 4
    dtype: str = "float32"

    def setup(self):
        if len(self.shape) != 3:
            raise UserError(f"StyleGAN2Generator draws images of shape (h, w, c), got shape={self.shape}")
        if self.architecture not in ARCHITECTURES:
            raise unknown("StyleGAN2 architecture", self.architecture, ARCHITECTURES)
        self.levels = check_power_of_two(*self.shape[:2], 8, "StyleGAN2Generator") + 1
        self.mapping_network = MappingNetwork(self.width, self.layers, lr_multiplier=self.lr_multiplier)
        self.mean = self.variable("w_mean", "mean", jnp.zeros, (self.width,))
        self.blocks = [self._block(level) for level in range(self.levels)]

    @nn.nowrap
    def _block(self, level: int) -> "SynthesisBlock":
        channels = channels_at(level, self.channel_base, self.channel_max)
        dtype = dtype_at(level, self.levels, self.reduced, self.dtype)
        image = self.shape[-1] if self.architecture == "skip" or level == self.levels - 1 else 0
        residual = self.architecture == "residual"
        options = (self.taps, self.noise, self.clamp, dtype)
        return SynthesisBlock(channels, level, image, residual, *options, name=f"b{4 * 2**level}")

    def __call__(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        return self.synthesis(self.mapping(z, context, train), context, train)

    def mapping(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        """z [b, latent] -> w [b, layers, width]; in training with mixed styles, and the mean of w is followed."""
        context.only("vector", network="StyleGAN2Generator")
        ws, w = styles(self.mapping_network, z, context, 2 * self.levels, self.mixing if train else 0.0)
        if train and self.is_mutable_collection("w_mean") and not self.is_initializing():
            self.mean.value += (1 - self.decay) * (jax.lax.stop_gradient(w).mean(0) - self.mean.value)
        return ws

    def synthesis(self, w: jax.Array, context: Context, train: bool = False) -> jax.Array:
        """w [b, layers, width] -> images [b, h, w, c]."""
        x = image = None
        for level, block in enumerate(self.blocks):  # block i reads w 2i - 1, 2i and, for its image, 2i + 1
            x, image = block(x, image, w[:, max(2 * level - 1, 0) : 2 * level + 2], context)
        return image  # type: ignore[return-value]


class SynthesisBlock(nn.Module):
    """A level of the generator: x [b, h/2, w/2, c] or None, the image so far, w [b, 2 or 3, d] -> x and the image."""

    features: int
    level: int
    image: int
    residual: bool
    taps: tuple[float, ...]
    noise: bool
    clamp: float | None
    dtype: str

    @nn.compact
    def __call__(self, x, image, w: jax.Array, context: Context):
        def layer(x, index: int, name: str, how: str = "keep", gain: float = 1.0):
            noise = layer_noise(context, 2 * self.level + index, *self._side(x, how)) if self.noise else None
            arguments = (self.features, how, self.taps, self.noise, self.clamp, gain, self.dtype)
            return SynthesisLayer(*arguments, name=name)(x, w[:, index], noise)

        if x is None:
            constant = self.param("const", unit_normal(), (4, 4, self.features)).astype(self.dtype)
            x = layer(jnp.broadcast_to(constant, (w.shape[0], *constant.shape)), 0, "conv1")
        else:
            x, gain = x.astype(self.dtype), math.sqrt(0.5) if self.residual else 1.0
            skip = None
            if self.residual:
                conv = EqualizedConv(
                    self.features, 1, use_bias=False, how="up", taps=self.taps, dtype=self.dtype, name="skip"
                )
                skip = conv(x) * gain
            x = layer(x, 0, "conv0", "up")
            x = layer(x, 1, "conv1", gain=gain)
            x = x if skip is None else skip + x
        if image is not None:
            image = fir_upsample(image, self.taps)
        if self.image:
            y = ToImage(self.image, self.clamp, self.dtype, name="torgb")(x, w[:, -1])
            image = y if image is None else image + y
        return x, image

    @nn.nowrap
    def _side(self, x: jax.Array, how: str) -> tuple[int, int]:
        factor = 2 if how == "up" else 1
        return factor * x.shape[1], factor * x.shape[2]


class SynthesisLayer(nn.Module):
    """A modulated convolution, noise, bias and leaky ReLU: x [b, h, w, c], w [b, d], noise [b, h, w, 1] or None."""

    features: int
    how: str
    taps: tuple[float, ...]
    noise: bool
    clamp: float | None
    gain: float
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array, noise: jax.Array | None) -> jax.Array:
        style = EqualizedDense(x.shape[-1], bias_init=1.0, name="affine")(w)
        weight = self.param("weight", unit_normal(), (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
        x = modulated_conv(x, weight, style, self.how, self.taps)
        if self.noise:
            strength = self.param("noise_strength", nn.initializers.zeros, ())
            x = x if noise is None else x + (noise * strength).astype(x.dtype)
        return clamped(nn.leaky_relu(x + bias, SLOPE) * (GAIN * self.gain), self.clamp, self.gain)


class ToImage(nn.Module):
    """A modulated 1x1 convolution without demodulation: x [b, h, w, c], w [b, d] -> [b, h, w, features], float32."""

    features: int
    clamp: float | None
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array) -> jax.Array:
        c = x.shape[-1]
        style = EqualizedDense(c, bias_init=1.0, name="affine")(w) / math.sqrt(c)
        weight = self.param("weight", unit_normal(), (1, 1, c, self.features))
        x = modulated_conv(x, weight, style, demodulate=False)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
        return clamped(x + bias, self.clamp).astype(jnp.float32)


def modulated_conv(
    x: jax.Array,
    weight: jax.Array,
    style: jax.Array,
    how: str = "keep",
    taps: tuple[float, ...] = (1, 3, 3, 1),
    demodulate: bool = True,
) -> jax.Array:
    """A convolution of each image with weights of its own, arXiv:1912.04958 section 2.2: [b, h, w, c] -> [b, h', w',
    features], in x's dtype.

    The weights are weight [k, k, c, features] times style [b, c] (eq. 1) and, demodulated, over the root of the sum of
    their squares for each output (eq. 3), + 1e-8. The style multiplies x instead and the sum divides the output, which
    is the same.
    """
    if demodulate and x.dtype != jnp.float32:  # cancels out, and keeps what is computed in less precision near one
        weight = weight / (math.sqrt(math.prod(weight.shape[:3])) * jnp.abs(weight).max((0, 1, 2)))
        style = style / jnp.abs(style).max(1, keepdims=True)
    y = resampled_conv(x * style[:, None, None].astype(x.dtype), weight.astype(x.dtype), how, taps)
    if not demodulate:
        return y
    squares = jnp.square(style) @ jnp.square(weight).sum((0, 1))  # [b, features]
    return y * jax.lax.rsqrt(squares + 1e-8)[:, None, None].astype(y.dtype)


def dtype_at(level: int, levels: int, reduced: int, dtype: str) -> str:
    """What a level computes in: `dtype` for the `reduced` highest ones, the first (4x4) excepted, else float32."""
    return dtype if level >= max(levels - reduced, 1) else "float32"


def activated(x: jax.Array) -> jax.Array:
    """leaky_relu(x) sqrt(2), which keeps the variance of normal numbers nearly."""
    return nn.leaky_relu(x, SLOPE) * GAIN


def clamped(x: jax.Array, limit: float | None, gain: float = 1.0) -> jax.Array:
    """x within +-limit times gain; None: x."""
    return x if limit is None else jnp.clip(x, -limit * gain, limit * gain)
