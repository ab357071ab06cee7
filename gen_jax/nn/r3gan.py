"""R3GAN's generator and discriminator: Huang et al. 2025, "The GAN is dead; long live the GAN! A Modern Baseline GAN"
(arXiv:2501.05441), section 4.

Both are a residual trunk per resolution and nothing else: no normalization, no noise, no style. A stage holds blocks
x + W3 a(W2 a(W1 x)): 1x1 to `expansion` times the width, 3x3 in groups, 1x1 back; a adds a bias and is a leaky ReLU.
W3 starts at zero and W1, W2 are scaled by L^(-1/4) for L blocks (Fixup, Zhang et al. 2019, arXiv:1901.09321). Between
stages images are resampled by the FIR filter (1, 3, 3, 1), with a 1x1 convolution where the width changes. The two
networks mirror each other. Layers, initial values and what computes in bfloat16 are those of the authors' program.

Published sizes, as (widths, groups) from the coarsest stage, each stage 2 blocks of expansion 2, latent 64:

    CIFAR-10        (768, 768, 768, 768), (96, 96, 96, 96)
    FFHQ-256        (768, 768, 768, 768, 384, 192, 96), (96, 96, 96, 96, 48, 24, 12)
    ImageNet-32     (1536, 1536, 1536, 1536), (96, 96, 96, 96); ImageNet-64: five of each
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import activation, image_size
from gen_jax.nn.resample import resampled

TAPS = (1, 3, 3, 1)
"""The authors' filter (1, 2, 1) with the pixel repetition of interpolation in it."""


class R3GANGenerator(nn.Module):
    """z [b, latent] -> images [b, h, w, c], float32, without an activation at the end.

    widths, groups: of each stage, from the coarsest; a stage is twice as large as the one before it, so that the first
    is of h / 2^(stages - 1): 4x4 as published. blocks: in each stage. expansion: the middle of a block over its ends.
    shape: one example's, (h, w, c); filled from the data.
    embedding: context.vector enters by a linear layer of that width, beside z; None: as wide as z, as published. With
    nn.OneHot as conditioning this layer is the published embedding of the label.
    dtype: of the stages but the first `float32_stages`; as published bfloat16 with 1 (CIFAR-10) or 3 (FFHQ-256).

    Raises UserError for a shape that cannot be halved so often, and for groups that do not divide.
    """

    shape: tuple[int, ...]
    widths: tuple[int, ...] = (768, 768, 768, 768)
    groups: tuple[int, ...] = (96, 96, 96, 96)
    blocks: int = 2
    expansion: int = 2
    embedding: int | None = None
    dtype: str = "float32"
    float32_stages: int = 1

    @nn.compact
    def __call__(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        context.only("vector", network="R3GANGenerator")
        if len(self.shape) != 3:
            raise UserError(f"R3GANGenerator draws images of shape (h, w, c), got shape={self.shape}")
        h0, w0 = _coarsest("R3GANGenerator", *self.shape[:2], self.widths, self.groups, self.expansion)
        z = z.reshape(z.shape[0], -1)
        if context.vector is not None:
            embed = nn.Dense(self.embedding or z.shape[1], use_bias=False, kernel_init=_scaled(1.0), name="embedding")
            z = jnp.concatenate([z, embed(context.vector.astype(z.dtype))], axis=-1)

        dtypes = _dtypes(self.dtype, self.float32_stages, len(self.widths))
        basis = self.param("basis", nn.initializers.normal(1.0), (h0, w0, self.widths[0]))
        x = nn.Dense(self.widths[0], use_bias=False, dtype=dtypes[0], kernel_init=_scaled(1.0), name="in")(z)
        x = x[:, None, None, :] * basis.astype(dtypes[0])
        for i, (width, groups, dtype) in enumerate(zip(self.widths, self.groups, dtypes, strict=True)):
            x = x.astype(dtype)
            if i:
                if x.shape[-1] != width:
                    x = _conv(width, dtype, name=f"widen_{i}")(x)
                x = resampled(x, "up", TAPS)
            for j in range(self.blocks):
                x = GroupedBlock(groups, self.expansion, self.blocks * len(self.widths), dtype, name=f"block_{i}_{j}")(
                    x
                )
        return _conv(self.shape[-1], dtypes[-1], name="out")(x).astype(jnp.float32)


class R3GANDiscriminator(nn.Module):
    """Images [b, h, w, c] -> logits [b, outputs], float32.

    widths, groups, blocks, expansion, dtype, float32_stages: as of the generator, from the coarsest stage too.
    With context.vector the logit is the inner product of `embedding` features, None: as many as the coarsest stage is
    wide, with a linear layer of the vector (projection, Miyato & Koyama 2018, arXiv:1802.05637, without the
    unconditional part); it needs outputs=1.

    Raises UserError as the generator does, and for a vector with other outputs than 1.
    """

    outputs: int = 1
    widths: tuple[int, ...] = (768, 768, 768, 768)
    groups: tuple[int, ...] = (96, 96, 96, 96)
    blocks: int = 2
    expansion: int = 2
    embedding: int | None = None
    dtype: str = "float32"
    float32_stages: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, _ = image_size(x, "R3GANDiscriminator")
        context.only("vector", network="R3GANDiscriminator")
        h0, w0 = _coarsest("R3GANDiscriminator", h, w, self.widths, self.groups, self.expansion)
        vector = context.vector
        if vector is not None and self.outputs != 1:
            raise UserError(f"R3GANDiscriminator: outputs={self.outputs}; with a label it gives one logit, outputs=1")

        dtypes = _dtypes(self.dtype, self.float32_stages, len(self.widths))
        x = _conv(self.widths[-1], dtypes[-1], name="in")(x.astype(dtypes[-1]))
        for i in reversed(range(len(self.widths))):
            x = x.astype(dtypes[i])
            for j in range(self.blocks):
                layers = self.blocks * len(self.widths)
                x = GroupedBlock(self.groups[i], self.expansion, layers, dtypes[i], name=f"block_{i}_{j}")(x)
            if i:
                x = resampled(x, "down", TAPS)
                if x.shape[-1] != self.widths[i - 1]:
                    x = _conv(self.widths[i - 1], dtypes[i], name=f"widen_{i}")(x)
        # One number of each channel: a convolution by channel, as large as the image is by now.
        basis = self.param("basis", nn.initializers.normal(1 / math.sqrt(h0 * w0)), (h0, w0, self.widths[0]))
        x = jnp.einsum("bhwc,hwc->bc", x, basis.astype(x.dtype))
        embedding = self.embedding or self.widths[0]
        features = self.outputs if vector is None else embedding
        x = nn.Dense(features, use_bias=False, dtype=dtypes[0], kernel_init=_scaled(1.0), name="out")(x)
        x = x.astype(jnp.float32)
        if vector is None:
            return x
        init = _scaled(1 / math.sqrt(embedding))
        embed = nn.Dense(embedding, use_bias=False, kernel_init=init, name="embedding")
        return (x * embed(vector.astype(jnp.float32))).sum(axis=-1, keepdims=True)


class GroupedBlock(nn.Module):
    """x [b, h, w, c] + W3 a(W2 a(W1 x)), the identity at the start: the module's docstring. layers: blocks of the whole
    network, L there."""

    groups: int
    expansion: int = 2
    layers: int = 8
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        act, width = activation("leaky_relu"), x.shape[-1]
        # Keeps the variance through a leaky ReLU of slope 0.2, and makes all layers' updates of one size together.
        gain = math.sqrt(2 / (1 + 0.2**2)) * self.layers ** (-1 / 4)
        inner = width * self.expansion
        y = _conv(inner, self.dtype, gain, name="conv_0")(x)
        y = act(y + self.param("bias_0", nn.initializers.zeros, (inner,)).astype(y.dtype))
        y = _conv(inner, self.dtype, gain, kernel=3, groups=self.groups, name="conv_1")(y)
        y = act(y + self.param("bias_1", nn.initializers.zeros, (inner,)).astype(y.dtype))
        return x + _conv(width, self.dtype, 0.0, name="conv_2")(y)


def _conv(
    features: int, dtype: str, gain: float = 1.0, kernel: int = 1, groups: int = 1, name: str | None = None
) -> nn.Conv:
    return nn.Conv(
        features,
        (kernel, kernel),
        feature_group_count=groups,
        use_bias=False,
        dtype=dtype,
        kernel_init=_scaled(gain),
        # On a CPU, XLA takes more than ten times as long for the gradients of a grouped convolution.
        conv_general_dilated=_block_diagonal if groups > 1 and jax.default_backend() == "cpu" else None,
        name=name,
    )


def _block_diagonal(x, kernel, *args, feature_group_count, **options) -> jax.Array:
    """The grouped convolution as a dense one, whose kernel [k, k, c, d] is zero between the groups."""
    (_, _, i, d), groups = kernel.shape, feature_group_count
    same = np.arange(i * groups)[:, None] // i == np.arange(d) // (d // groups)  # [c, d]
    kernel = jnp.where(same, jnp.tile(kernel, (1, 1, groups, 1)), 0)
    return jax.lax.conv_general_dilated(x, kernel, *args, **options)


def _scaled(gain: float) -> nn.initializers.Initializer:
    """Kernels [..., d_in, d_out] normal with standard deviation gain / sqrt(fan_in)."""

    def init(key: jax.Array, shape: Sequence[int], dtype=jnp.float32) -> jax.Array:
        std = gain / math.sqrt(math.prod(shape[:-1]))
        # Drawn flat, as in layers.xavier_uniform: XLA's CPU compiler is slow with random bits of short axes.
        return std * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)

    return init


def _dtypes(dtype: str, float32_stages: int, stages: int) -> list[str]:
    return ["float32" if i < float32_stages else dtype for i in range(stages)]


def _coarsest(
    network: str, h: int, w: int, widths: Sequence[int], groups: Sequence[int], expansion: int
) -> tuple[int, int]:
    """The size of the coarsest stage. Raises UserError for what does not divide."""
    if len(widths) != len(groups):
        raise UserError(
            f"{network}: widths={tuple(widths)} and groups={tuple(groups)} must be of one length, a stage each"
        )
    unit = 2 ** (len(widths) - 1)
    if h % unit or w % unit:
        raise UserError(
            f"{network}: with {len(widths)} stages, heights and widths must be multiples of {unit}, and the images are "
            f"{h}x{w}; sizes that work: {-(-h // unit) * unit}x{-(-w // unit) * unit}, or fewer widths and groups"
        )
    for width, group in zip(widths, groups, strict=True):
        if width * expansion % group:
            raise UserError(f"{network}: groups={group} must divide the {width * expansion} channels inside its blocks")
    return h // unit, w // unit
