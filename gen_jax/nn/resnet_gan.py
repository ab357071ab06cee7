"""Residual generators and discriminators: WGAN-GP's, SNGAN's and, with self-attention, SAGAN's.

Gulrajani et al. 2017 (arXiv:1704.00028, appendix C), Miyato et al. 2018 (arXiv:1802.05957, appendix B.4), Zhang et al.
2019 (arXiv:1805.08318). They differ in their widths and in what becomes of the last features:

    WGAN-GP, 32x32      widths=(128,) * 4; (128, 128), flat=2, pool="mean"
    SNGAN, 32x32        widths=(256,) * 4; (128, 128), flat=2, without a bias of the logit
    SNGAN, 128x128      widths=(64, 128, 256, 512, 1024, 1024); (64, 128, 256, 512, 1024)
    SAGAN, 128x128      the same, with wide=True and attention=(32,) in both

Convolutions of 3x3 inside of a block start sqrt(2) times as large as Glorot's, as ReLU asks for. Spectral normalization
is the family's (GAN.spectral), and so is the label of the discriminator (nn.Projection).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.nn.batch_norm import ConditionalBatchNorm
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import downsample, image_size, initializer, upsample
from gen_jax.nn.non_local import NonLocal

POOLS = ("sum", "mean")


class GeneratorBlock(nn.Module):
    """x [b, h, w, c] -> [b, 2h, 2w, width]: norm, ReLU, doubling, convolution, norm, ReLU, convolution; and a 1x1
    convolution beside them. The norms are conditional on `vector`; start: theirs."""

    width: int
    start: str = "identity"
    kernel_init: str = "xavier_uniform"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None, train: bool = False) -> jax.Array:
        out = x
        for i in (0, 1):
            norm = ConditionalBatchNorm(self.start, dtype=self.dtype, name=f"norm_{i}")
            out = nn.relu(norm(out, vector, train))
            out = conv(3, self.width, inner(self.kernel_init), self.dtype, f"conv_{i}")(
                upsample(out) if i == 0 else out
            )
        # A 1x1 convolution of repeated pixels repeats those of the convolution.
        return out + upsample(conv(1, self.width, self.kernel_init, self.dtype, "skip")(x))


class CriticBlock(nn.Module):
    """x [b, h, w, c] -> [b, h, w, width], or of half the size: ReLU, convolution, ReLU, convolution, mean of 2x2.

    Beside them a 1x1 convolution, where size or channels change. first: the block that sees the image, which has no
    ReLU before its first convolution. hidden: channels in between.
    """

    width: int
    hidden: int
    down: bool = True
    first: bool = False
    kernel_init: str = "xavier_uniform"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        out = x if self.first else nn.relu(x)
        out = conv(3, self.hidden, inner(self.kernel_init), self.dtype, "conv_0")(out)
        out = conv(3, self.width, inner(self.kernel_init), self.dtype, "conv_1")(nn.relu(out))
        skip = self.down or x.shape[-1] != self.width
        if self.down:  # the mean of a 1x1 convolution is the convolution of the mean
            out, x = downsample(out), downsample(x)
        return out + (conv(1, self.width, self.kernel_init, self.dtype, "skip")(x) if skip else x)


class ResNetGenerator(nn.Module):
    """z [b, latent] -> images [b, h, w, c] in (-1, 1): a dense layer, a GeneratorBlock for each doubling, then norm,
    ReLU, convolution and tanh.

    widths: channels from the finest level to the coarsest, which the dense layer gives: one block less than widths.
    attention: sizes of the blocks' outputs that NonLocal follows. context.vector enters by conditional batch norm.
    shape: one example's, filled from the data. Output float32.

    Raises UserError when shape is not that of an image that can be halved so often, or for an unknown init.
    """

    shape: tuple[int, ...]
    widths: tuple[int, ...] = (256, 256, 256, 256)
    attention: tuple[int, ...] = ()
    kernel_init: str = "xavier_uniform"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        context.only("vector", network="ResNetGenerator")
        h, w, c = first_size(self.shape, len(self.widths) - 1, "ResNetGenerator")
        check_attention(self.attention, [h * 2**i for i in range(1, len(self.widths))], "ResNetGenerator")
        *blocks, first = self.widths
        dense = nn.Dense(h * w * first, dtype=self.dtype, kernel_init=initializer(self.kernel_init), name="in")
        x = dense(x.reshape(x.shape[0], -1)).reshape(-1, h, w, first)
        for i in reversed(range(len(blocks))):
            block = GeneratorBlock(blocks[i], kernel_init=self.kernel_init, dtype=self.dtype, name=f"block_{i}")
            x = block(x, context.vector, train)
            if x.shape[1] in self.attention:
                x = NonLocal(self.kernel_init, self.dtype, name=f"attention_{i}")(x)
        x = nn.relu(ConditionalBatchNorm(dtype=self.dtype, name="norm_out")(x, None, train))
        return jnp.tanh(conv(3, c, self.kernel_init, "float32", "out")(x))


class ResNetDiscriminator(nn.Module):
    """Images [b, h, w, c] -> [b, outputs]: CriticBlocks, ReLU, the sum (or mean) over all places, a dense layer.

    widths: of the blocks that halve the size, from the finest level on; flat: how many more of the last width keep it.
    wide: the first convolution of a block already has its output's channels (SAGAN, BigGAN), not its input's (SNGAN).
    attention: sizes of the blocks' outputs that NonLocal follows. outputs: None for the features [b, d], for
    nn.Projection. bias: of the last layer. kernel_init: "orthogonal" for BigGAN's. The network does not read a label.
    Output float32.

    Raises UserError when x is not images that can be halved so often, or for an unknown init or pool.
    """

    outputs: int | None = 1
    widths: tuple[int, ...] = (128, 128)
    flat: int = 2
    wide: bool = False
    pool: str = "sum"
    bias: bool = True
    attention: tuple[int, ...] = ()
    kernel_init: str = "xavier_uniform"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, _ = image_size(x, "ResNetDiscriminator")
        context.only("spatial", network="ResNetDiscriminator")
        if self.pool not in POOLS:
            raise unknown("ResNetDiscriminator pool", self.pool, POOLS)
        first_size((h, w, 1), len(self.widths), "ResNetDiscriminator")
        check_attention(self.attention, [h // 2**i for i in range(1, len(self.widths) + 1)], "ResNetDiscriminator")
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        for i, width in enumerate((*self.widths, *self.widths[-1:] * self.flat)):
            hidden = width if self.wide or i == 0 else x.shape[-1]
            down = i < len(self.widths)
            x = CriticBlock(width, hidden, down, i == 0, self.kernel_init, self.dtype, name=f"block_{i}")(x)
            if down and x.shape[1] in self.attention:
                x = NonLocal(self.kernel_init, self.dtype, name=f"attention_{i}")(x)
        x = pooled(x, self.pool)
        if self.outputs is None:
            return x
        return nn.Dense(self.outputs, self.bias, kernel_init=initializer(self.kernel_init), name="out")(x)


def pooled(x: jax.Array, pool: str = "sum") -> jax.Array:
    """The sum, or mean, of ReLU(x) [b, h, w, c] over all places: [b, c] float32."""
    x = nn.relu(x.astype(jnp.float32))
    return x.sum((1, 2)) if pool == "sum" else x.mean((1, 2))


def conv(size: int, width: int, init: str, dtype: str, name: str) -> nn.Conv:
    """A convolution of size x size with the kernel initializer of that name."""
    return nn.Conv(width, (size, size), dtype=dtype, kernel_init=initializer(init), name=name)


def inner(init: str) -> str:
    """The initializer of the convolutions that a ReLU precedes."""
    return "xavier_relu" if init == "xavier_uniform" else init


def first_size(shape: tuple[int, ...], doublings: int, network: str) -> tuple[int, int, int]:
    """The height and width from which so many doublings lead to images of `shape`, and their channels.

    Raises UserError where none does."""
    if len(shape) != 3:
        raise UserError(f"{network} draws images (h, w, c), and the data's shape is {tuple(shape)}")
    (h, w, c), unit = shape, 2**doublings
    if h % unit or w % unit:
        raise UserError(
            f"{network}: its widths halve images {doublings} times, so sizes must be multiples of {unit}, and the "
            f"images are {h}x{w}; sizes that work: {-(-h // unit) * unit}x{-(-w // unit) * unit}, or fewer widths"
        )
    return h // unit, w // unit, c


def check_attention(sizes: tuple[int, ...], there: list[int], network: str) -> None:
    """Raises UserError for attention at a size that no block gives."""
    for size in sizes:
        if size not in there:
            raise UserError(f"{network} attention={tuple(sizes)}: its blocks give sizes {', '.join(map(str, there))}")
