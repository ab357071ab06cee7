"""Generators that make an image of an image: the ResNet of CycleGAN and the U-Net of pix2pix.

Zhu et al. 2017 (arXiv:1703.10593), appendix 7.2, after Johnson et al. 2016 (arXiv:1603.08155); Isola et al. 2016
(arXiv:1611.07004), appendix 6.1.1. Kernels start normal with standard deviation 0.02, biases at zero.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import activation, image_size
from gen_jax.nn.patch import Normed, check_norm, has_bias, normal_002
from gen_jax.random import fold


class ResNetTranslator(nn.Module):
    """Images [b, h, w, c] -> images [b, h, w, shape[-1]]: halved, transformed by residual blocks, and doubled again.

    c7s1-width, `downs` convolutions of stride 2 that double the channels, `blocks` residual blocks of two 3x3
    convolutions, as many transposed convolutions of stride 1/2, c7s1 (in the paper's notation). 7x7 and the blocks' 3x3
    convolutions pad by reflection. The defaults are CycleGAN's network for 256x256, of 11.378M parameters; blocks=6 is
    that for 128x128. norm: one of patch.NORMS. final: name of the activation of the output.

    context.vector enters after every norm by a FiLM that starts as the identity; context.spatial [b, h, w, k] is
    concatenated on the channels. Output float32.

    shape: one output's, (h, w, c); filled from the data, and only c is read.

    Raises UserError when x is not images, for sizes that cannot be halved so often, and for an unknown norm.
    """

    shape: tuple[int, ...] = ()
    width: int = 64
    downs: int = 2
    blocks: int = 9
    norm: str = "instance"
    final: str = "tanh"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        x = translator_input(x, context, self.shape, self.downs, self.norm, "ResNetTranslator")
        if min(x.shape[1:3]) >> self.downs < 2 or min(x.shape[1:3]) < 4:
            raise UserError(
                f"ResNetTranslator: images of {x.shape[1]}x{x.shape[2]} are too small to be padded by reflection; it "
                f"takes {max(4, 2 << self.downs)} pixels or more to a side, or fewer downs"
            )

        def conv(x: jax.Array, features: int, size: int, name: str, stride: int = 1, bias: bool = True) -> jax.Array:
            reach = size // 2
            padding = ((reach, reach), (reach, reach))
            if stride == 1:
                x, padding = jnp.pad(x, ((0, 0), *padding, (0, 0)), mode="reflect"), ((0, 0), (0, 0))
            return nn.Conv(
                features,
                (size, size),
                stride,
                padding,
                use_bias=bias,
                dtype=self.dtype,
                kernel_init=normal_002,
                name=name,
            )(x)

        def normed(x: jax.Array, name: str, act: str = "relu") -> jax.Array:
            return Normed(self.norm, act, self.dtype, name=f"{name}_normed")(x, context.vector)

        bias = has_bias(self.norm)
        x = normed(conv(x, self.width, 7, "in", bias=bias), "in")
        for i in range(self.downs):
            x = normed(conv(x, self.width << (i + 1), 3, f"down_{i}", 2, bias), f"down_{i}")
        for i in range(self.blocks):
            y = normed(conv(x, x.shape[-1], 3, f"block_{i}_a", bias=bias), f"block_{i}_a")
            x = x + normed(conv(y, x.shape[-1], 3, f"block_{i}_b", bias=bias), f"block_{i}_b", "none")
        for i in reversed(range(self.downs)):
            # padding (1, 2) of the spread-out pixels: output 2i is centred on pixel i
            x = transposed(x, self.width << i, 3, (1, 2), bias, self.dtype, f"up_{i}")
            x = normed(x, f"up_{i}")
        return activation(self.final)(conv(x, self.shape[-1], 7, "out").astype(jnp.float32))


class UNetTranslator(nn.Module):
    """Images [b, h, w, c] -> images [b, h, w, shape[-1]]: halved `depth` times and doubled again, with skips.

    Convolutions of 4x4 and stride 2 down, with leaky ReLUs, and transposed ones up, with ReLUs; channels double up to
    eight times `width`. Each level up reads the level below and what its own level was on the way down. The defaults
    are pix2pix's network for 256x256, of 54.414M parameters, whose innermost level is one pixel; depth=7 is that for
    128x128. The outermost and the innermost level have no norm on the way down.

    norm: one of patch.NORMS. dropout: the rate after the first `dropped` levels up: with context.keys, so in training
    and in sampling alike, for it is the only noise there is (section 2.2 of the paper); without keys there is none.
    final: name of the activation of the output.

    context.vector enters after every norm by a FiLM that starts as the identity; context.spatial [b, h, w, k] is
    concatenated on the channels. Output float32.

    shape: one output's, (h, w, c); filled from the data, and only c is read.

    Raises UserError when x is not images, for sizes that cannot be halved so often, an unknown norm, or a rate out of
    range.
    """

    shape: tuple[int, ...] = ()
    width: int = 64
    depth: int = 8
    norm: str = "instance_affine"
    dropout: float = 0.5
    dropped: int = 3
    final: str = "tanh"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        if not 0 <= self.dropout < 1:
            raise UserError(f"UNetTranslator: dropout={self.dropout}: a rate lies in [0, 1)")
        if self.depth < 1:
            raise UserError(f"UNetTranslator: depth={self.depth}: it must be at least 1")
        x = translator_input(x, context, self.shape, self.depth, self.norm, "UNetTranslator")
        widths = [self.width * min(2**i, 8) for i in range(self.depth)]
        last = self.depth - 1

        skips = []
        for i, features in enumerate(widths):
            norm = self.norm if 0 < i < last else "none"
            x = nn.Conv(
                features,
                (4, 4),
                2,
                ((1, 1), (1, 1)),
                use_bias=has_bias(self.norm),
                dtype=self.dtype,
                kernel_init=normal_002,
                name=f"down_{i}",
            )(x)
            # The last level's only reader is a ReLU.
            x = Normed(norm, "leaky_relu" if i < last else "none", self.dtype, name=f"down_{i}_normed")(
                x, context.vector
            )
            skips.append(x)

        for i in reversed(range(1, self.depth)):
            x = transposed(nn.relu(x), widths[i - 1], 4, (2, 2), has_bias(self.norm), self.dtype, f"up_{i}")
            x = Normed(self.norm, "none", self.dtype, name=f"up_{i}_normed")(x, context.vector)
            if last - i < self.dropped and context.keys is not None and self.dropout:
                x = noise_dropout(fold(context.keys, i), x, self.dropout)
            x = jnp.concatenate([x, skips[i - 1]], axis=-1)
        x = transposed(nn.relu(x), self.shape[-1], 4, (2, 2), True, "float32", "out")
        return activation(self.final)(x.astype(jnp.float32))


def translator_input(
    x: jax.Array, context: Context, shape: tuple[int, ...], halvings: int, norm: str, network: str
) -> jax.Array:
    """The input with the context's spatial map. Raises UserError for what a translator cannot take."""
    _, h, w, _ = image_size(x, network)
    context.only("vector", "spatial", network=network)
    check_norm(norm, network)
    if len(shape) != 3:
        raise UserError(f"{network} draws images of shape (h, w, c), got shape={shape}")
    unit = 2**halvings
    if h % unit or w % unit:
        raise UserError(
            f"{network}: images of {h}x{w} cannot be halved {halvings} times; sizes that can are multiples of {unit}, "
            f"such as {-(-h // unit) * unit}x{-(-w // unit) * unit}; or halve them less often"
        )
    return x if context.spatial is None else jnp.concatenate([x, context.spatial.astype(x.dtype)], axis=-1)


def transposed(
    x: jax.Array, features: int, size: int, pad: tuple[int, int], bias: bool, dtype: str, name: str
) -> jax.Array:
    """x [b, h, w, c] -> [b, 2h, 2w, features] by a transposed convolution of stride 2; pad: around the pixels spread
    out by zeros."""
    return nn.ConvTranspose(
        features, (size, size), (2, 2), (pad, pad), use_bias=bias, dtype=dtype, kernel_init=normal_002, name=name
    )(x)


def noise_dropout(keys: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """x [b, ...] with values zeroed at `rate`, those of example i by keys[i]; the others are divided by 1 - rate."""
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, (x[0].size,)))(keys).reshape(x.shape)
    return jnp.where(keep, x / (1 - rate), jnp.zeros((), x.dtype))
