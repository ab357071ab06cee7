"""BigGAN and BigGAN-deep, Brock et al. 2019 (arXiv:1809.11096), appendix B.

Widths are `width` times multipliers, from the finest level to the coarsest; the published ones, with width=96 for
BigGAN and 128 for BigGAN-deep:

    128x128   (1, 2, 4, 8, 16, 16)            256x256   (1, 2, 4, 8, 8, 16, 16)
    512x512   (1, 1, 2, 4, 8, 8, 16, 16)

BigGAN's discriminator is nn.ResNetDiscriminator(widths=(96, 192, 384, 768, 1536), flat=1, wide=True, attention=(64,),
outputs=None, kernel_init="orthogonal") in an nn.Projection. Spectral normalization of both players is GAN.spectral, the
batch norm is cross-replica (nn/batch_norm.py), truncation and standing statistics are GAN.truncation and
GAN.standing.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.batch_norm import ConditionalBatchNorm
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import downsample, image_size, initializer, orthogonal_init, upsample
from gen_jax.nn.non_local import NonLocal
from gen_jax.nn.resnet_gan import GeneratorBlock, check_attention, conv, first_size, pooled


class SharedEmbedding(nn.Module):
    """vector [b, n] -> [b, width], linear: one embedding of a one-hot label that all layers share (section 3).

    Spectral normalization and the orthogonal penalty leave it alone."""

    width: int

    @nn.compact
    def __call__(self, vector: jax.Array) -> jax.Array:
        return vector @ self.param("table", orthogonal_init, (vector.shape[-1], self.width))


class BigGANGenerator(nn.Module):
    """z [b, latent] and context.vector -> images [b, h, w, c] in (-1, 1), figure 15.

    z is cut into as many parts as there are blocks and one (hierarchical latents): the first goes through a dense
    layer, each other goes, with the label's shared embedding, into the norms of one block. hierarchical=False: z is
    not cut, and the norms read the embedding alone.

    shared: width of the embedding of a one-hot label (conditioning.OneHot); None: context.vector as it is.
    multipliers, width: see above, one block less than multipliers. attention: sizes of the blocks' outputs that
    NonLocal follows. kernel_init: of all kernels. shape: one example's, filled from the data. Output float32.

    Raises UserError when z cannot be cut so, or shape is not that of an image that can be halved so often.
    """

    shape: tuple[int, ...]
    width: int = 96
    multipliers: tuple[int, ...] = (1, 2, 4, 8, 16, 16)
    attention: tuple[int, ...] = (64,)
    shared: int | None = 128
    hierarchical: bool = True
    kernel_init: str = "orthogonal"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        context.only("vector", network="BigGANGenerator")
        *widths, first = (self.width * m for m in self.multipliers)
        h, w, c = first_size(self.shape, len(widths), "BigGANGenerator")
        check_attention(self.attention, [h * 2**i for i in range(1, len(widths) + 1)], "BigGANGenerator")
        z, vector = x.reshape(x.shape[0], -1), shared_embedding(self.shared, context)
        parts = len(widths) + 1 if self.hierarchical else 1
        if z.shape[-1] % parts:
            raise UserError(
                f"BigGANGenerator cuts latents into {parts} parts, and has latent={z.shape[-1]}: take a multiple of "
                f"{parts}, or hierarchical=False"
            )
        z, *rest = jnp.split(z, parts, axis=-1)
        x = nn.Dense(h * w * first, dtype=self.dtype, kernel_init=initializer(self.kernel_init), name="in")(z)
        x = x.reshape(-1, h, w, first)
        for i in reversed(range(len(widths))):
            told = joined(vector, rest[len(widths) - 1 - i]) if self.hierarchical else vector
            x = GeneratorBlock(widths[i], "orthogonal", self.kernel_init, self.dtype, name=f"block_{i}")(x, told, train)
            if x.shape[1] in self.attention:
                x = NonLocal(self.kernel_init, self.dtype, name=f"attention_{i}")(x)
        return drawn(x, c, self.kernel_init, self.dtype, train)


class DeepGeneratorBlock(nn.Module):
    """x [b, h, w, c] -> [b, h, w, width], or of twice the size: a bottleneck of c / 4 channels, figure 16b.

    Beside it x itself, of which the surplus channels are dropped."""

    width: int
    up: bool
    kernel_init: str = "orthogonal"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array, train: bool = False) -> jax.Array:
        hidden, out = x.shape[-1] // 4, x
        for i, (size, width) in enumerate(((1, hidden), (3, hidden), (3, hidden), (1, self.width))):
            norm = ConditionalBatchNorm("orthogonal", dtype=self.dtype, name=f"norm_{i}")
            out = nn.relu(norm(out, vector, train))
            out = conv(size, width, self.kernel_init, self.dtype, f"conv_{i}")(
                upsample(out) if self.up and i == 1 else out
            )
        x = x[..., : self.width]
        return out + (upsample(x) if self.up else x)


class BigGANDeepGenerator(nn.Module):
    """z [b, latent] and context.vector -> images [b, h, w, c] in (-1, 1), table 7a.

    z and the label's shared embedding together are what the dense layer and all norms read. For each doubling there
    are `depth` blocks, of which the last doubles. The last convolution keeps its channels, of which the first c are the
    image: so in the authors' weights and in their count of parameters, though table 7a has it otherwise.
    Fields, output and errors otherwise as of BigGANGenerator.
    """

    shape: tuple[int, ...]
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 8, 16, 16)
    depth: int = 2
    attention: tuple[int, ...] = (64,)
    shared: int | None = 128
    kernel_init: str = "orthogonal"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        context.only("vector", network="BigGANDeepGenerator")
        *widths, first = (self.width * m for m in self.multipliers)
        h, w, c = first_size(self.shape, len(widths), "BigGANDeepGenerator")
        check_attention(self.attention, [h * 2**i for i in range(1, len(widths) + 1)], "BigGANDeepGenerator")
        vector = joined(shared_embedding(self.shared, context), x.reshape(x.shape[0], -1))
        x = nn.Dense(h * w * first, dtype=self.dtype, kernel_init=initializer(self.kernel_init), name="in")(vector)
        x = x.reshape(-1, h, w, first)
        for i in reversed(range(len(widths))):
            for j in range(self.depth):
                last = j == self.depth - 1
                width = widths[i] if last else x.shape[-1]
                x = DeepGeneratorBlock(width, last, self.kernel_init, self.dtype, name=f"block_{i}_{j}")(
                    x, vector, train
                )
            if x.shape[1] in self.attention:
                x = NonLocal(self.kernel_init, self.dtype, name=f"attention_{i}")(x)
        return drawn(x, max(c, x.shape[-1]), self.kernel_init, self.dtype, train)[..., :c]


class DeepCriticBlock(nn.Module):
    """x [b, h, w, c] -> [b, h, w, width], or of half the size: a bottleneck of width / 4 channels, figure 16c.

    Beside it x itself, and a 1x1 convolution of it for the channels that are missing."""

    width: int
    down: bool
    kernel_init: str = "orthogonal"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        hidden, c, out = self.width // 4, x.shape[-1], x
        for i, size in enumerate((1, 3, 3)):
            out = conv(size, hidden, self.kernel_init, self.dtype, f"conv_{i}")(nn.relu(out))
        out = nn.relu(out)
        if self.down:
            out, x = downsample(out), downsample(x)
        if c < self.width:
            x = jnp.concatenate([x, conv(1, self.width - c, self.kernel_init, self.dtype, "skip")(x)], axis=-1)
        return conv(1, self.width, self.kernel_init, self.dtype, "conv_3")(out) + x


class BigGANDeepDiscriminator(nn.Module):
    """Images [b, h, w, c] -> [b, outputs], table 7b: a convolution, DeepCriticBlocks, ReLU, the sum over all places.

    For each halving there are `depth` blocks, of which the first halves. outputs: None for the features [b, d], for
    nn.Projection. attention: sizes that NonLocal follows. Output float32. Raises UserError when x is not images that
    can be halved so often.
    """

    outputs: int | None = 1
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 8, 16, 16)
    depth: int = 2
    attention: tuple[int, ...] = (64,)
    kernel_init: str = "orthogonal"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, _ = image_size(x, "BigGANDeepDiscriminator")
        context.only(network="BigGANDeepDiscriminator")
        first, *widths = (self.width * m for m in self.multipliers)
        first_size((h, w, 1), len(widths), "BigGANDeepDiscriminator")
        check_attention(self.attention, [h // 2**i for i in range(1, len(widths) + 1)], "BigGANDeepDiscriminator")
        x = conv(3, first, self.kernel_init, self.dtype, "in")(x)
        for i, width in enumerate(widths):
            for j in range(self.depth):
                x = DeepCriticBlock(width, j == 0, self.kernel_init, self.dtype, name=f"block_{i}_{j}")(x)
            if x.shape[1] in self.attention:
                x = NonLocal(self.kernel_init, self.dtype, name=f"attention_{i}")(x)
        x = pooled(x)
        if self.outputs is None:
            return x
        return nn.Dense(self.outputs, kernel_init=initializer(self.kernel_init), name="out")(x)


def shared_embedding(width: int | None, context: Context) -> jax.Array | None:
    """The label's embedding that all layers share: of that width, or the vector itself. Call it in a compact method."""
    if width is None or context.vector is None:
        return context.vector
    return SharedEmbedding(width, name="shared")(context.vector)


def joined(vector: jax.Array | None, z: jax.Array) -> jax.Array:
    """[vector, z] on the last axis; z alone without a vector."""
    return z if vector is None else jnp.concatenate([vector.astype(z.dtype), z], axis=-1)


def drawn(x: jax.Array, channels: int, init: str, dtype: str, train: bool) -> jax.Array:
    """The last layers of a generator: norm, ReLU, convolution, tanh. Call it in a compact method."""
    x = nn.relu(ConditionalBatchNorm(dtype=dtype, name="norm_out")(x, None, train))
    return jnp.tanh(conv(3, channels, init, "float32", "out")(x))
