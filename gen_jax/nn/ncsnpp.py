"""DDPM++ and NCSN++, the U-Nets of score-based models, one class.

Song et al. 2021, "Score-Based Generative Modeling through Stochastic Differential Equations" (arXiv:2011.13456),
appendix H, as retrained by Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models"
(arXiv:2206.00364), appendix F.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.nn.attention import SelfAttention
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import Dense, Dropout, check_levels, image_size, xavier_uniform
from gen_jax.nn.resample import fir_downsample, fir_upsample, resampled

ENCODERS = ("standard", "skip", "residual")
DECODERS = ("standard", "skip")


class NCSNpp(nn.Module):
    """A U-Net on images: [b, h, w, c] -> [b, h, w, c * channels_per_value], float32; its output starts near zero.

    Residual blocks whose sums are scaled by sqrt(1/2), and which also change the sizes, by a FIR filter; attention of
    one head where the level's height is in `attention`, of the way up in the last block of a level only, and in the
    middle. context.vector enters every block; context.spatial [b, h, w, k] is concatenated on the channels.

    The networks of EDM for CIFAR-10 (dropout 0.13), whose mapping from the noise to the vector is nn.Conditioning's
    with mix="mlp" and width 512:

        DDPM++: the defaults, noise_features=128                                             55.7M parameters
        NCSN++: encoder="residual", taps=(1, 3, 3, 1), embedding="fourier", noise_features=256       56.4M

    width, multipliers: channels of level i are width * multipliers[i], and each level halves the last one's size.
    blocks: residual blocks per level, one more on the way up. scale_shift: as in nn.UNet; False as published.
    encoder: "standard"; or the input enters every level too, smaller: as it is and projected ("skip"), or through a
    chain of convolutions of its own ("residual"). decoder: "standard"; or the output is the sum of every level's,
    larger ("skip"). taps: of the filter, (1, 1) averages and repeats.
    attention_impl: nn/attention.py. remat: recompute the blocks' activations in the backward pass, to save memory.

    Raises UserError when x is not images, for sizes that cannot be halved so often, for channels that the groups of
    the norm do not divide (32 groups, or fewer of 4 channels), and for unknown names.
    """

    width: int = 128
    multipliers: tuple[int, ...] = (2, 2, 2)
    blocks: int = 4
    attention: tuple[int, ...] = (16,)
    dropout: float = 0.0
    encoder: str = "standard"
    decoder: str = "standard"
    taps: tuple[int, ...] = (1, 1)
    heads: int = 1
    scale_shift: bool = False
    channels_per_value: int = 1
    attention_impl: str = "auto"
    remat: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        c = self._check(x, context)
        block_class = nn.remat(NCSNppBlock, static_argnums=(3,)) if self.remat else NCSNppBlock
        widths, last = [self.width * m for m in self.multipliers], len(self.multipliers) - 1

        def block(x: jax.Array, features: int, name: str, attend: bool = False, resample: str = "keep") -> jax.Array:
            options = (features, attend, resample, self.taps, self.heads, self.scale_shift, self.dropout)
            return block_class(*options, self.attention_impl, self.dtype, name=name)(x, context.vector, train)

        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        aside = x
        x = _conv(self.width, self.dtype, "in")(x)
        skips = [x]
        for i in range(last + 1):
            if i > 0:
                x = block(x, x.shape[-1], f"downsample_{i}", resample="down")
                x, aside = self._enter(x, aside, f"input_{i}")
                skips.append(x)
            for j in range(self.blocks):
                x = block(x, widths[i], f"down_{i}_{j}", attend=x.shape[1] in self.attention)
                skips.append(x)

        x = block(x, x.shape[-1], "middle_0", attend=True)
        x = block(x, x.shape[-1], "middle_1")

        out: jax.Array | None = None
        for i in reversed(range(last + 1)):
            if i < last:
                x = block(x, x.shape[-1], f"upsample_{i}", resample="up")
            for j in range(self.blocks + 1):
                attend = j == self.blocks and x.shape[1] in self.attention
                x = block(jnp.concatenate([x, skips.pop()], axis=-1), widths[i], f"up_{i}_{j}", attend=attend)
            if i == 0 or self.decoder == "skip":
                y = nn.silu(_norm(x, self.dtype, f"norm_{i}"))
                y = _conv(c * self.channels_per_value, "float32", f"out_{i}", gain=1e-5)(y)
                out = y if out is None else fir_upsample(out, self.taps) + y
        return out  # type: ignore[return-value]

    def _enter(self, x: jax.Array, aside: jax.Array, name: str) -> tuple[jax.Array, jax.Array]:
        """x [b, h, w, d] with the input added, and the input's smaller self from `aside` [b, 2h, 2w, k]."""
        if self.encoder == "skip":
            aside = fir_downsample(aside, self.taps)
            x = x + Dense(x.shape[-1], dtype=self.dtype, kernel_init=xavier_uniform, name=name)(aside)
        elif self.encoder == "residual":
            # Convolved before it is filtered: all that the filter would read beyond the border is convolved as well.
            border = 1 + (len(self.taps) - 1) // 2
            y = _conv(x.shape[-1], self.dtype, name, padding=border)(aside)
            x = aside = (x + fir_downsample(y, self.taps, pad=False)) * math.sqrt(0.5)
        return x, aside

    def _check(self, x: jax.Array, context: Context) -> int:
        """The image's channels, when all fits."""
        _, h, w, c = image_size(x, "NCSNpp")
        context.only("vector", "spatial", network="NCSNpp")
        check_levels(h, w, len(self.multipliers), "NCSNpp")
        for name, known in (("encoder", ENCODERS), ("decoder", DECODERS)):
            if getattr(self, name) not in known:
                raise unknown(f"NCSNpp {name}", getattr(self, name), known)
        return c


class NCSNppBlock(nn.Module):
    """A residual block, x [b, h, w, c] and vector [b, d] or None -> [b, h, w, features], with attention behind it.

    resample: "keep", or "down" or "up" to halve or double the size inside, before the first convolution.
    """

    features: int
    attend: bool = False
    resample: str = "keep"
    taps: Sequence[float] = (1, 1)
    heads: int = 1
    scale_shift: bool = False
    dropout: float = 0.0
    attention_impl: str = "auto"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None, train: bool = False) -> jax.Array:
        y = resampled(nn.silu(_norm(x, self.dtype, "norm_0")), self.resample, self.taps)
        y = _conv(self.features, self.dtype, "conv_0")(y)
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
        y = nn.silu(_norm(y, self.dtype, "norm_1") * (1 + scale) + shift)
        y = _conv(self.features, self.dtype, "conv_1", gain=1e-5)(Dropout(self.dropout)(y, train))
        if self.resample != "keep" or x.shape[-1] != self.features:
            x = resampled(x, self.resample, self.taps)
            x = Dense(self.features, dtype=self.dtype, kernel_init=xavier_uniform, name="skip")(x)
        x = (x + y) * math.sqrt(0.5)
        if not self.attend:
            return x
        b, h, w, c = x.shape
        y = _norm(x, self.dtype, "norm_2").reshape(b, h * w, c)
        inits: dict[str, Any] = {"out_init": _xavier(1e-5), "qkv_init": _xavier(math.sqrt(0.2))}
        y = SelfAttention(self.heads, self.dtype, **inits, attention_impl=self.attention_impl, name="attention")(y)
        return (x + y.reshape(b, h, w, c)) * math.sqrt(0.5)


def _xavier(gain: float) -> nn.initializers.Initializer:
    return lambda key, shape, dtype=jnp.float32: gain * xavier_uniform(key, shape, dtype)


def _conv(features: int, dtype: str, name: str, gain: float = 1.0, padding: int = 1) -> nn.Conv:
    return nn.Conv(features, (3, 3), padding=padding, dtype=dtype, kernel_init=_xavier(gain), name=name)


def _norm(x: jax.Array, dtype: str, name: str) -> jax.Array:
    groups = min(32, x.shape[-1] // 4)
    if groups == 0 or x.shape[-1] % groups:
        raise UserError(
            f"NCSNpp: the norm cannot group {x.shape[-1]} channels; those of all levels must be multiples of 32, "
            "or of 4 while below 64"
        )
    return nn.GroupNorm(groups, epsilon=1e-6, dtype=dtype, name=name)(x)
