"""TransGAN's generator and discriminator: Jiang et al. 2021, "TransGAN: Two Pure Transformers Can Make One Strong GAN,
and That Can Scale Up" (arXiv:2102.07074), sections 3.1 and 3.4, without a convolution that mixes places.

The networks of the authors' program for CIFAR-10, layer for layer, but for biases, which start at zero here. Its grid
self-attention, which cuts larger images into windows, is not here: every token attends to all others.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.attention import SelfAttention
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import image_size, xavier_uniform
from gen_jax.random import fold, normal

_SMALL = nn.initializers.normal(0.02)
_UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # within +-1 / sqrt(fan_in)


class TransGANGenerator(nn.Module):
    """z [b, latent] -> images [b, h, w, c], float32, without an activation at the end.

    z is mapped to the tokens of a small grid. After each stage every token of width d becomes 2x2 tokens of width d / 4
    (pixel shuffle), so that at the last stage a token is a pixel. depths: blocks of each stage; CIFAR-10: (5, 4, 2)
    from 8x8 tokens of width 1024 to 32x32 of width 64. width: at the first stage. shape: one example's, (h, w, c);
    filled from the data.
    context.vector is concatenated to z (the paper has no labels).

    Raises UserError for a shape that cannot be halved so often, and a width that cannot be divided so often.
    """

    shape: tuple[int, ...]
    width: int = 1024
    depths: tuple[int, ...] = (5, 4, 2)
    heads: int = 4
    mlp_ratio: float = 4.0
    dtype: str = "float32"

    @nn.compact
    def __call__(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        context.only("vector", network="TransGANGenerator")
        h, w = self._check()
        b = z.shape[0]
        z = z.reshape(b, -1)
        if context.vector is not None:
            z = jnp.concatenate([z, context.vector.astype(z.dtype)], axis=-1)
        x = nn.Dense(h * w * self.width, dtype=self.dtype, kernel_init=_UNIFORM, name="in")(z)
        x, d = x.reshape(b, h * w, self.width), self.width
        for i, depth in enumerate(self.depths):
            if i:
                # Of each token's channels, four in a row are one channel of the 2x2 tokens.
                x = x.reshape(b, h, w, d // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)  # [b, h, 2, w, 2, d / 4]
                h, w, d = 2 * h, 2 * w, d // 4
                x = x.reshape(b, h * w, d)
            x = x + self.param(f"position_{i}", _SMALL, (h * w, d)).astype(x.dtype)
            for j in range(depth):
                block = TransGANBlock(
                    self.heads, self.mlp_ratio, (h, w), _UNIFORM, dtype=self.dtype, name=f"block_{i}_{j}"
                )
                x = block(x)
        x = nn.Dense(self.shape[-1], dtype="float32", kernel_init=xavier_uniform, name="out")(x.astype(jnp.float32))
        return x.reshape(b, h, w, self.shape[-1])

    def _check(self) -> tuple[int, int]:
        """The first stage's rows and columns."""
        if len(self.shape) != 3:
            raise UserError(f"TransGANGenerator draws images of shape (h, w, c), got shape={self.shape}")
        (h, w, _), unit = self.shape, 2 ** (len(self.depths) - 1)
        if h % unit or w % unit:
            raise UserError(
                f"TransGANGenerator: with {len(self.depths)} stages, heights and widths must be multiples of {unit}, "
                f"and the images are {h}x{w}; sizes that work: {-(-h // unit) * unit}x{-(-w // unit) * unit}, or fewer "
                "depths"
            )
        if self.width % (unit**2 * self.heads):
            raise UserError(
                f"TransGANGenerator: width={self.width} must be a multiple of {unit**2 * self.heads}: it is divided by "
                f"4 at each of {len(self.depths) - 1} stages, then by heads={self.heads}"
            )
        return h // unit, w // unit


class TransGANDiscriminator(nn.Module):
    """Images [b, h, w, c] -> logits [b, outputs], float32.

    Patches of side `patch` are tokens of 3/4 of the width; after `depth` blocks they are averaged 2x2, patches of side
    2 `patch` join them with the last quarter, and after `depth` more blocks a token of its own reads them all in one
    more block, from which the logit is read. The defaults are CIFAR-10's. In training every attention sees its tokens
    with noise of a learned strength, which starts at 0.
    With context.vector the inner product of a linear layer of it with these features is added to the logit (projection,
    Miyato & Koyama 2018, arXiv:1802.05637, eq. 4; the paper has no labels); it needs outputs=1.

    Raises UserError when x is not images or not of whole patches, for widths that do not divide, and for a vector with
    other outputs than 1.
    """

    outputs: int = 1
    width: int = 384
    depth: int = 3
    patch: int = 2
    heads: int = 4
    mlp_ratio: float = 4.0
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        b, h, w, _ = image_size(x, "TransGANDiscriminator")
        context.only("vector", network="TransGANDiscriminator")
        self._check(h, w, context.vector is not None)
        h, w, part = h // self.patch, w // self.patch, self.width // 4
        x = x.astype(self.dtype)
        fine, coarse = self._patches(x, self.patch, 3 * part), self._patches(x, 2 * self.patch, part)
        keys = context.keys

        def blocks(x: jax.Array, count: int, grid: tuple[int, int] | None, stage: int) -> jax.Array:
            for j in range(count):
                noise = None if keys is None else normal(fold(fold(keys, stage), j), (x.shape[1], 1))
                block = TransGANBlock(
                    self.heads, self.mlp_ratio, grid, _SMALL, noisy=True, dtype=self.dtype, name=f"block_{stage}_{j}"
                )
                x = block(x, noise)
            return x

        x = fine + self.param("position_0", _SMALL, (h * w, 3 * part)).astype(self.dtype)
        x = blocks(x, self.depth, (h, w), 0)
        x = x.reshape(b, h // 2, 2, w // 2, 2, 3 * part).mean(axis=(2, 4)).reshape(b, -1, 3 * part)
        x = jnp.concatenate([x, coarse], axis=-1)
        x = x + self.param("position_1", _SMALL, (h * w // 4, self.width)).astype(self.dtype)
        x = blocks(x, self.depth, (h // 2, w // 2), 1)
        reader = self.param("reader", _SMALL, (1, self.width)).astype(self.dtype)
        x = jnp.concatenate([jnp.broadcast_to(reader, (b, 1, self.width)), x], axis=1)
        x = blocks(x, 1, None, 2)
        x = nn.LayerNorm(epsilon=1e-5, dtype="float32", name="norm")(x[:, 0].astype(jnp.float32))
        out = nn.Dense(self.outputs, kernel_init=_SMALL, name="out")(x)
        if context.vector is None:
            return out
        embed = nn.Dense(self.width, use_bias=False, kernel_init=_SMALL, name="embedding")
        return out + (x * embed(context.vector.astype(jnp.float32))).sum(axis=-1, keepdims=True)

    def _patches(self, x: jax.Array, side: int, width: int) -> jax.Array:
        """[b, h, w, c] -> [b, h * w / side^2, width]."""
        window = (side, side)
        conv = nn.Conv(
            width, window, window, "VALID", dtype=self.dtype, kernel_init=xavier_uniform, name=f"patch_{side}"
        )
        return conv(x).reshape(x.shape[0], -1, width)

    def _check(self, h: int, w: int, labelled: bool) -> None:
        unit = 2 * self.patch
        if h % unit or w % unit:
            raise UserError(
                f"TransGANDiscriminator: with patch={self.patch}, heights and widths must be multiples of {unit}, and "
                f"the images are {h}x{w}; sizes that work: {-(-h // unit) * unit}x{-(-w // unit) * unit}, or a smaller "
                "patch"
            )
        if self.width % (4 * self.heads):
            raise UserError(f"TransGANDiscriminator: width={self.width} must be a multiple of {4 * self.heads}")
        if labelled and self.outputs != 1:
            raise UserError(
                f"TransGANDiscriminator: outputs={self.outputs}; with a label it gives one logit, outputs=1"
            )


class TransGANBlock(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)), on tokens x [b, n, d].

    grid: of relative positions, attention.SelfAttention. linear_init: of the linear layers. noisy: the attention is
    given its tokens plus noise [b, n, 1] times a learned number, None: plus nothing.
    """

    heads: int
    mlp_ratio: float = 4.0
    grid: tuple[int, int] | None = None
    linear_init: nn.initializers.Initializer = _SMALL
    noisy: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, noise: jax.Array | None = None) -> jax.Array:
        d = x.shape[-1]
        y = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm_0")(x)
        if self.noisy:
            strength = self.param("noise_strength", nn.initializers.zeros, ())
            y = y if noise is None else y + (strength * noise).astype(y.dtype)
        attention = SelfAttention(
            self.heads, self.dtype, self.linear_init, self.linear_init, qkv_bias=False, grid=self.grid, name="attention"
        )
        x = x + attention(y)
        y = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm_1")(x)
        y = nn.Dense(int(d * self.mlp_ratio), dtype=self.dtype, kernel_init=self.linear_init, name="mlp_in")(y)
        y = nn.gelu(y, approximate=False)
        return x + nn.Dense(d, dtype=self.dtype, kernel_init=self.linear_init, name="mlp_out")(y)
