"""DDPM's U-Net: Ho et al. 2020, "Denoising Diffusion Probabilistic Models" (arXiv:2006.11239), appendix B."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import SelfAttention, image_size, upsample, xavier_uniform

_ZERO = nn.initializers.zeros


class UNet(nn.Module):
    """A U-Net on images: [b, h, w, c] -> [b, h, w, c * channels_per_value], float32; its output starts at zero.

    Residual blocks of group norm, swish and convolution, with Dense(silu(context.vector)) added inside each;
    attention where the level's height is in `attention`, and in the middle. context.spatial [b, h, w, k] is
    concatenated on the channels. The defaults, with nn.Conditioning(width=512, noise_features=128, noise_scale=1), are
    the 35.7M parameter network of the paper for CIFAR-10 (where dropout was 0.1).

    width, multipliers: channels of level i are width * multipliers[i], and each level halves the last one's size.
    blocks: residual blocks per level, one more on the way up. groups: of the norm, a divisor of all channels.
    heads: of the attention. remat: recompute the residual blocks' activations in the backward pass, to save memory.

    Raises UserError when x is not images, and for sizes that cannot be halved so often or groups that do not divide.
    """

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    dropout: float = 0.0
    groups: int = 32
    heads: int = 1
    channels_per_value: int = 1
    remat: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        c = self._check(x, context)
        res_block = nn.remat(ResBlock, static_argnums=(3,)) if self.remat else ResBlock
        last = len(self.multipliers) - 1

        def block(x: jax.Array, level: int, name: str) -> jax.Array:
            features = self.width * self.multipliers[level]
            x = res_block(features, self.groups, self.dropout, self.dtype, name=name)(x, context.vector, train)
            return attend(x, f"{name}_attention") if x.shape[1] in self.attention else x

        def attend(x: jax.Array, name: str) -> jax.Array:
            return AttentionBlock(self.heads, self.groups, self.dtype, name=name)(x)

        def conv(x: jax.Array, features: int, name: str, stride: int = 1) -> jax.Array:
            return nn.Conv(features, (3, 3), stride, dtype=self.dtype, kernel_init=xavier_uniform, name=name)(x)

        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        x = conv(x, self.width, "in")
        skips = [x]
        for i in range(last + 1):
            for j in range(self.blocks):
                x = block(x, i, f"down_{i}_{j}")
                skips.append(x)
            if i < last:
                x = conv(x, x.shape[-1], f"downsample_{i}", stride=2)
                skips.append(x)

        middle = self.width * self.multipliers[-1]
        x = res_block(middle, self.groups, self.dropout, self.dtype, name="middle_0")(x, context.vector, train)
        x = attend(x, "middle_attention")
        x = res_block(middle, self.groups, self.dropout, self.dtype, name="middle_1")(x, context.vector, train)

        for i in reversed(range(last + 1)):
            for j in range(self.blocks + 1):
                x = block(jnp.concatenate([x, skips.pop()], axis=-1), i, f"up_{i}_{j}")
            if i > 0:
                x = conv(upsample(x), x.shape[-1], f"upsample_{i}")

        x = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="norm")(x))
        out = c * self.channels_per_value
        return nn.Conv(out, (3, 3), dtype="float32", kernel_init=_ZERO, name="out")(x)

    def _check(self, x: jax.Array, context: Context) -> int:
        """The image's channels, when the sizes fit."""
        _, h, w, c = image_size(x, "UNet")
        context.only("vector", "spatial", network="UNet")
        unit = 2 ** (len(self.multipliers) - 1)
        if h % unit or w % unit:
            raise UserError(
                f"UNet: with {len(self.multipliers)} levels, heights and widths must be multiples of {unit}, "
                f"and the images are {h}x{w}; sizes that work: {-(-h // unit) * unit}x{-(-w // unit) * unit}, "
                "or fewer multipliers"
            )
        for channels in {self.width * m for m in (1, *self.multipliers)}:
            if channels % self.groups:
                raise UserError(f"UNet: groups={self.groups} must divide the {channels} channels of every level")
        return c


class ResBlock(nn.Module):
    """A residual block, x [b, h, w, c] and vector [b, d] or None -> [b, h, w, features]."""

    features: int
    groups: int = 32
    dropout: float = 0.0
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None, train: bool = False) -> jax.Array:
        y = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="norm_0")(x))
        y = nn.Conv(self.features, (3, 3), dtype=self.dtype, kernel_init=xavier_uniform, name="conv_0")(y)
        if vector is not None:
            dense = nn.Dense(self.features, dtype=self.dtype, kernel_init=xavier_uniform, name="vector")
            y = y + dense(nn.silu(vector))[:, None, None, :]
        y = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="norm_1")(y))
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        y = nn.Conv(self.features, (3, 3), dtype=self.dtype, kernel_init=_ZERO, name="conv_1")(y)
        if x.shape[-1] != self.features:
            x = nn.Dense(self.features, dtype=self.dtype, kernel_init=xavier_uniform, name="skip")(x)
        return x + y


class AttentionBlock(nn.Module):
    """Self-attention over all places of x [b, h, w, c], added to it. It starts as the identity."""

    heads: int = 1
    groups: int = 32
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, c = x.shape
        y = nn.GroupNorm(self.groups, dtype=self.dtype, name="norm")(x).reshape(b, h * w, c)
        y = SelfAttention(self.heads, self.dtype, out_init=_ZERO, name="attention")(y)
        return x + y.reshape(b, h, w, c)
