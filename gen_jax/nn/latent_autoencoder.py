"""The encoder and decoder of VQGAN and of Stable Diffusion's first stage, layer for layer.

Esser et al. 2021, "Taming Transformers for High-Resolution Image Synthesis" (arXiv:2012.09841), appendix B, table 7;
Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models" (arXiv:2112.10752), appendix E.1;
AutoencoderKL of diffusers is the same. The residual and attention blocks are those of nn/unet.py, whose last layers
start at zero where the published ones did not.

    Stable Diffusion, f8, 4 channels: multipliers (1, 2, 4, 4), blocks 2, no attention but in the middle, nn.KL
    VQGAN, f16, 256 channels: multipliers (1, 1, 2, 2, 4), blocks 2, attention (16,), nn.VectorQuantizer
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import Dense, check_levels, image_size, upsample, xavier_uniform
from gen_jax.nn.unet import AttentionBlock, ResBlock


class LatentEncoder(nn.Module):
    """Images [b, h, w, c] -> [b, h / f, w / f, channels], float32, with f = 2^(levels - 1).

    width, multipliers: channels of level i are width * multipliers[i]. blocks: residual blocks per level. attention:
    heights of the maps that have attention after each block, beside the middle. channels: of the output, with nn.KL
    twice as many as the latents have. A convolution of stride 2 halves the size, with a row and a column of zeros below
    and to the right alone. A 1x1 convolution comes last (quant_conv). context.vector enters inside the residual blocks.
    remat: recompute the blocks' activations in the backward pass, to save memory.

    Raises UserError when x is not images, or of a size that cannot be halved so often, or groups that do not divide.
    """

    channels: int
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    attention: tuple[int, ...] = ()
    dropout: float = 0.0
    groups: int = 32
    remat: bool = False
    attention_impl: str = "auto"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, _ = image_size(x, "LatentEncoder")
        context.only("vector", "spatial", network="LatentEncoder")
        check_levels(h, w, len(self.multipliers), "LatentEncoder")
        widths = _widths(self, "LatentEncoder")
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        x = _conv(self.width, self.dtype, "conv_in")(x)
        stage = functools.partial(Stage, self.dropout, self.groups, self.remat, self.attention_impl, self.dtype)
        for i, width in enumerate(widths):
            attended = x.shape[1] in self.attention
            x = stage(name=f"down_blocks_{i}")(x, context.vector, (width,) * self.blocks, attended, train)
            if i + 1 < len(widths):
                x = _conv(width, self.dtype, f"downsamplers_{i}", strides=2, padding=((0, 1), (0, 1)))(x)
        for i, attended in enumerate((True, False)):
            x = stage(name=f"mid_block_{i}")(x, context.vector, (widths[-1],), attended, train)
        x = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="conv_norm_out")(x))
        x = _conv(self.channels, "float32", "conv_out")(x)
        return Dense(self.channels, kernel_init=xavier_uniform, name="quant_conv")(x)


class LatentDecoder(nn.Module):
    """z [b, h, w, d] -> images [b, h f, w f, c * channels_per_value], float32: the mirror of LatentEncoder, with a
    further block per level, and pixels repeated before a convolution where sizes double.

    shape: one example's, (h, w, c); filled from the data. The other fields are the encoder's, and have to be the same.
    Raises UserError when z is not a map of places, or for groups that do not divide.
    """

    last_layer = "conv_out"

    shape: tuple[int, ...]
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    attention: tuple[int, ...] = ()
    dropout: float = 0.0
    groups: int = 32
    channels_per_value: int = 1
    remat: bool = False
    attention_impl: str = "auto"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        *_, d = image_size(z, "LatentDecoder")
        context.only("vector", network="LatentDecoder")
        widths = _widths(self, "LatentDecoder")
        x = Dense(d, kernel_init=xavier_uniform, name="post_quant_conv")(z)
        x = _conv(widths[-1], self.dtype, "conv_in")(x)
        stage = functools.partial(Stage, self.dropout, self.groups, self.remat, self.attention_impl, self.dtype)
        for i, attended in enumerate((True, False)):
            x = stage(name=f"mid_block_{i}")(x, context.vector, (widths[-1],), attended, train)
        for i, width in enumerate(reversed(widths)):
            attended = x.shape[1] in self.attention
            x = stage(name=f"up_blocks_{i}")(x, context.vector, (width,) * (self.blocks + 1), attended, train)
            if i + 1 < len(widths):
                x = _conv(width, self.dtype, f"upsamplers_{i}")(upsample(x))
        x = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="conv_norm_out")(x))
        return _conv(self.shape[-1] * self.channels_per_value, "float32", "conv_out")(x)


class Stage(nn.Module):
    """Residual blocks of one size, [b, h, w, c] -> [b, h, w, widths[-1]], each with attention after it if asked."""

    dropout: float
    groups: int
    remat: bool
    attention_impl: str
    dtype: str

    @nn.compact
    def __call__(
        self, x: jax.Array, vector: jax.Array | None, widths: tuple[int, ...], attention: bool, train: bool
    ) -> jax.Array:
        res_block = nn.remat(ResBlock, static_argnums=(3,)) if self.remat else ResBlock
        attention_block = nn.remat(AttentionBlock) if self.remat else AttentionBlock
        for i, width in enumerate(widths):
            x = res_block(width, self.groups, self.dropout, self.dtype, name=f"resnets_{i}")(x, vector, train)
            if attention:
                attend = functools.partial(attention_block, 1, self.groups, self.dtype)
                x = attend(attention_impl=self.attention_impl, name=f"attentions_{i}")(x)
        return x


def _widths(network: LatentEncoder | LatentDecoder, name: str) -> list[int]:
    widths = [network.width * m for m in network.multipliers]
    for channels in (network.width, *widths):
        if channels % network.groups:
            raise UserError(f"{name}: groups={network.groups} must divide the {channels} channels of every level")
    return widths


def _conv(features: int, dtype: str, name: str, **others: Any) -> nn.Conv:
    return nn.Conv(features, (3, 3), dtype=dtype, kernel_init=xavier_uniform, name=name, **others)
