"""StyleGAN's generator. Its discriminator is ProgressiveDiscriminator with blur=(1, 2, 1).

Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks" (arXiv:1812.04948), in
its last configuration (table 1, F), layer for layer as the authors' program has it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.equalized import EqualizedConv, EqualizedDense, channels_at, check_power_of_two
from gen_jax.nn.growth import grow_image, grown
from gen_jax.nn.layers import upsample
from gen_jax.nn.mapping import MappingNetwork, layer_noise, styles
from gen_jax.nn.progressive import GAIN, blurred


class StyleGANGenerator(nn.Module):
    """z [b, latent] -> images [b, h, w, c], float32, in two parts: `mapping` and `synthesis` (nn/mapping.py).

    shape: one image's, square with a side of 4, 8, 16, ...; filled from the data.
    width: of w and of the mapping's layers. layers: of the mapping. channel_base, channel_max: min(base / side, max)
    channels at each side; 16384 and 512 in the paper (26.2M parameters at side 1024).
    blur: the taps of the filter after each doubling. noise: whether layers add noise, each example's from its own key.
    mixing: the probability of mixed styles in training (nn/mapping.py). decay: of the running mean of w.

    context.vector is embedded by the mapping: a label, as one of so many (nn.OneHot), or any other vector.
    context.progress: how far it has grown (nn/growth.py), from 8x8 on in the paper; None: wholly.

    Raises UserError for a shape that is not reached from 4x4 by doubling, or conditions that it cannot use.
    """

    shape: tuple[int, ...]
    width: int = 512
    layers: int = 8
    channel_base: int = 16384
    channel_max: int = 512
    blur: tuple[float, ...] = (1, 2, 1)
    noise: bool = True
    mixing: float = 0.9
    decay: float = 0.995
    lr_multiplier: float = 0.01
    dtype: str = "float32"

    def setup(self):
        if len(self.shape) != 3:
            raise UserError(f"StyleGANGenerator draws images of shape (h, w, c), got shape={self.shape}")
        self.stages = check_power_of_two(*self.shape[:2], 4, "StyleGANGenerator")
        self.mapping_network = MappingNetwork(self.width, self.layers, lr_multiplier=self.lr_multiplier, first=True)
        self.mean = self.variable("w_mean", "mean", jnp.zeros, (self.width,))
        features = [channels_at(level, self.channel_base, self.channel_max) for level in range(self.stages + 1)]
        self.blocks = [StyledBlock(width, i, self.blur, self.noise, self.dtype) for i, width in enumerate(features)]
        self.to_image = [EqualizedConv(self.shape[-1], 1, dtype=self.dtype) for _ in features]

    def __call__(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        return self.synthesis(self.mapping(z, context, train), context, train)

    def mapping(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        """z [b, latent] -> w [b, layers, width]; in training with mixed styles, and the mean of w is followed."""
        context.only("vector", network="StyleGANGenerator")
        layers = 2 * (self.stages + 1)
        ws, w = styles(self.mapping_network, z, context, layers, self.mixing if train else 0.0)
        if train and self.is_mutable_collection("w_mean") and not self.is_initializing():
            self.mean.value += (1 - self.decay) * (jax.lax.stop_gradient(w).mean(0) - self.mean.value)
        return ws

    def synthesis(self, w: jax.Array, context: Context, train: bool = False) -> jax.Array:
        """w [b, layers, width] -> images [b, h, w, c]."""

        def run(module: StyleGANGenerator, last: int, alpha: jax.Array | None, w: jax.Array) -> jax.Array:
            def draw(level: int, x: jax.Array | None) -> jax.Array:
                return module.blocks[level](x, w[:, 2 * level : 2 * level + 2], context)

            def to_image(level: int, x: jax.Array) -> jax.Array:
                return module.to_image[level](x).astype(jnp.float32)

            return grow_image(draw, to_image, last, alpha, module.stages)

        return grown(run, self, context.progress, self.stages, w)


class StyledBlock(nn.Module):
    """A level of the generator: x [b, h/2, w/2, c] (None at the first), w [b, 2, d] -> [b, h, w, features]."""

    features: int
    level: int
    blur: tuple[float, ...]
    noise: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array | None, w: jax.Array, context: Context) -> jax.Array:
        def finish(x: jax.Array, index: int) -> jax.Array:
            noise = layer_noise(context, 2 * self.level + index, *x.shape[1:3]) if self.noise else None
            return StyleEnd(self.noise, self.dtype, name=f"style{index}")(x, w[:, index], noise)

        def conv(x: jax.Array, name: str) -> jax.Array:
            return EqualizedConv(self.features, gain=GAIN, use_bias=False, dtype=self.dtype, name=name)(x)

        if x is None:
            constant = self.param("const", nn.initializers.ones, (4, 4, self.features)).astype(self.dtype)
            x = jnp.broadcast_to(constant, (w.shape[0], *constant.shape))
        else:
            x = blurred(conv(upsample(x), "conv0"), self.blur)
        return finish(conv(finish(x, 0), "conv1"), 1)


class StyleEnd(nn.Module):
    """What follows a convolution: noise, bias, leaky ReLU, instance norm and style (AdaIN, eq. 1): x [b, h, w, c]."""

    noise: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array, noise: jax.Array | None) -> jax.Array:
        c = x.shape[-1]
        if self.noise:
            strength = self.param("noise_strength", nn.initializers.zeros, (c,))
            x = x if noise is None else x + (noise * strength).astype(x.dtype)
        x = x + self.param("bias", nn.initializers.zeros, (c,)).astype(x.dtype)
        x = nn.leaky_relu(x, 0.2).astype(jnp.float32)
        x = x - x.mean((1, 2), keepdims=True)
        x = x * jax.lax.rsqrt(jnp.square(x).mean((1, 2), keepdims=True) + 1e-8)
        scale, shift = jnp.split(EqualizedDense(2 * c, name="affine")(w)[:, None, None], 2, axis=-1)
        return (x * (1 + scale) + shift).astype(self.dtype)
