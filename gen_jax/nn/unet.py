"""The U-Nets of DDPM, improved DDPM and ADM, one class.

Ho et al. 2020, "Denoising Diffusion Probabilistic Models" (arXiv:2006.11239), appendix B. Nichol & Dhariwal 2021,
"Improved Denoising Diffusion Probabilistic Models" (arXiv:2102.09672). Dhariwal & Nichol 2021, "Diffusion Models Beat
GANs on Image Synthesis" (arXiv:2105.05233), section 3.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.attention import SelfAttention, heads_of
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import Dense, Dropout, check_levels, image_size, xavier_uniform
from gen_jax.nn.resample import resampled

_ZERO = nn.initializers.zeros


class UNet(nn.Module):
    """A U-Net on images: [b, h, w, c] -> [b, h, w, c * channels_per_value], float32; its output starts at zero.

    Residual blocks of group norm, swish and convolution, with Dense(silu(context.vector)) entering inside each;
    attention where the level's height is in `attention`, and in the middle. context.spatial [b, h, w, k] is
    concatenated on the channels. The defaults, with nn.Conditioning(width=512, noise_features=128, noise_scale=1), are
    the 35.7M parameter network of DDPM for CIFAR-10 (where dropout was 0.1). The published others, all with a vector
    4 * width wide, noise_features=width and channels_per_value=2:

        improved DDPM, CIFAR-10: blocks 3, attention (16, 8), heads 4, scale_shift, dropout 0.3
        improved DDPM, ImageNet-64: the same with multipliers (1, 2, 3, 4) and dropout 0
        ADM, ImageNet-64: width 192, multipliers (1, 2, 3, 4), blocks 3, attention (32, 16, 8), head_width 64,
            scale_shift, resblock_updown, dropout 0.1

    width, multipliers: channels of level i are width * multipliers[i], and each level halves the last one's size.
    blocks: residual blocks per level, one more on the way up. groups: of the norm, a divisor of all channels.
    heads: of the attention; head_width: channels of each head instead. scale_shift: the vector scales and shifts after
    the norm, where it is else added before. resblock_updown: sizes change inside residual blocks (BigGAN's); else by
    conv_resample: strided and nearest-neighbour convolutions, or without it plain averages and repeats.
    attention_impl: nn/attention.py. remat: recompute the blocks' activations in the backward pass, to save memory.

    Raises UserError when x is not images, and for sizes that cannot be halved so often or groups that do not divide.
    """

    width: int = 128
    multipliers: tuple[float, ...] = (1, 2, 2, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    dropout: float = 0.0
    groups: int = 32
    heads: int = 1
    channels_per_value: int = 1
    remat: bool = False
    dtype: str = "float32"
    head_width: int | None = None
    scale_shift: bool = False
    resblock_updown: bool = False
    conv_resample: bool = True
    attention_impl: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        c, widths = self._check(x, context)
        res_block = nn.remat(ResBlock, static_argnums=(3,)) if self.remat else ResBlock
        attention_block = nn.remat(AttentionBlock) if self.remat else AttentionBlock
        last = len(widths) - 1

        def residual(x: jax.Array, features: int, name: str, resample: str = "keep") -> jax.Array:
            block = res_block(features, self.groups, self.dropout, self.dtype, self.scale_shift, resample, name=name)
            return block(x, context.vector, train)

        def attend(x: jax.Array, name: str) -> jax.Array:
            return attention_block(
                self.heads, self.groups, self.dtype, self.head_width, self.attention_impl, name=name
            )(x)

        def block(x: jax.Array, level: int, name: str) -> jax.Array:
            x = residual(x, widths[level], name)
            return attend(x, f"{name}_attention") if x.shape[1] in self.attention else x

        def conv(x: jax.Array, features: int, name: str, stride: int = 1) -> jax.Array:
            return nn.Conv(features, (3, 3), stride, dtype=self.dtype, kernel_init=xavier_uniform, name=name)(x)

        def resize(x: jax.Array, how: str, name: str) -> jax.Array:
            if self.resblock_updown:
                return residual(x, x.shape[-1], name, how)
            if how == "down" and self.conv_resample:
                return conv(x, x.shape[-1], name, stride=2)
            x = resampled(x, how)
            return conv(x, x.shape[-1], name) if self.conv_resample else x

        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        x = conv(x, widths[0], "in")
        skips = [x]
        for i in range(last + 1):
            for j in range(self.blocks):
                x = block(x, i, f"down_{i}_{j}")
                skips.append(x)
            if i < last:
                x = resize(x, "down", f"downsample_{i}")
                skips.append(x)

        x = residual(x, widths[-1], "middle_0")
        x = attend(x, "middle_attention")
        x = residual(x, widths[-1], "middle_1")

        for i in reversed(range(last + 1)):
            for j in range(self.blocks + 1):
                x = block(jnp.concatenate([x, skips.pop()], axis=-1), i, f"up_{i}_{j}")
            if i > 0:
                x = resize(x, "up", f"upsample_{i}")

        x = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="norm")(x))
        out = c * self.channels_per_value
        return nn.Conv(out, (3, 3), dtype="float32", kernel_init=_ZERO, name="out")(x)

    def _check(self, x: jax.Array, context: Context) -> tuple[int, list[int]]:
        """The image's channels and every level's, when the sizes fit."""
        _, h, w, c = image_size(x, "UNet")
        context.only("vector", "spatial", network="UNet")
        check_levels(h, w, len(self.multipliers), "UNet")
        widths = [int(self.width * m) for m in self.multipliers]
        for channels in widths:
            if channels % self.groups:
                raise UserError(f"UNet: groups={self.groups} must divide the {channels} channels of every level")
        return c, widths


class ResBlock(nn.Module):
    """A residual block, x [b, h, w, c] and vector [b, d] or None -> [b, h, w, features].

    scale_shift: norm(y) (1 + scale) + shift, read from the vector, in place of y + Dense(vector) before the norm.
    resample: "keep", or "down" or "up" to halve or double the size inside, before the first convolution.
    """

    features: int
    groups: int = 32
    dropout: float = 0.0
    dtype: str = "float32"
    scale_shift: bool = False
    resample: str = "keep"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None, train: bool = False) -> jax.Array:
        y = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="norm_0")(x))
        x, y = resampled(x, self.resample), resampled(y, self.resample)
        y = nn.Conv(self.features, (3, 3), dtype=self.dtype, kernel_init=xavier_uniform, name="conv_0")(y)
        scale: jax.Array | float = 0.0
        shift: jax.Array | float = 0.0
        if vector is not None:
            size = self.features * (2 if self.scale_shift else 1)
            dense = nn.Dense(size, dtype=self.dtype, kernel_init=xavier_uniform, name="vector")
            parts = dense(nn.silu(vector))[:, None, None, :]
            if self.scale_shift:
                scale, shift = jnp.split(parts, 2, axis=-1)
            else:
                y = y + parts
        y = nn.GroupNorm(self.groups, dtype=self.dtype, name="norm_1")(y)
        y = Dropout(self.dropout)(nn.silu(y * (1 + scale) + shift), train)
        y = nn.Conv(self.features, (3, 3), dtype=self.dtype, kernel_init=_ZERO, name="conv_1")(y)
        if x.shape[-1] != self.features:
            x = Dense(self.features, dtype=self.dtype, kernel_init=xavier_uniform, name="skip")(x)
        return x + y


class AttentionBlock(nn.Module):
    """Self-attention over all places of x [b, h, w, c], added to it. It starts as the identity.

    head_width: channels of a head, in place of the number of heads. Raises UserError where they do not divide c.
    """

    heads: int = 1
    groups: int = 32
    dtype: str = "float32"
    head_width: int | None = None
    attention_impl: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, c = x.shape
        heads = heads_of(c, self.head_width) if self.head_width else self.heads
        y = nn.GroupNorm(self.groups, dtype=self.dtype, name="norm")(x).reshape(b, h * w, c)
        y = SelfAttention(heads, self.dtype, out_init=_ZERO, attention_impl=self.attention_impl, name="attention")(y)
        return x + y.reshape(b, h, w, c)
