"""The diffusion transformer: Peebles & Xie 2022, "Scalable Diffusion Models with Transformers" (arXiv:2212.09748)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import Modulation, SelfAttention, image_size, sincos_2d, xavier_uniform

MAX_TOKENS = 256  # what `patch=None` aims at, the 16x16 tokens of the published DiT-*/2 on 32x32 latents


class DiT(nn.Module):
    """A transformer on the patches of an image: [b, h, w, c] -> [b, h, w, c * channels_per_value], float32.

    Blocks with AdaLN-zero on context.vector (section 3.2), fixed sine and cosine positions, a last layer that starts
    at zero: the network's output is zero at the start. context.spatial [b, h, w, k] is concatenated on the channels.
    The published sizes, with nn.Conditioning(width=width, noise_features=256) and channels_per_value=2:

        S: width 384, depth 12, heads 6      B: width 768, depth 12, heads 12
        L: width 1024, depth 24, heads 16    XL: width 1152, depth 28, heads 16

    patch: side of a patch in pixels, a divisor of h and of w; None: the smallest that leaves at most 256 tokens.
    dropout: after attention and MLP, in training; 0 as published. remat: recompute the blocks' activations in the
    backward pass, less memory for about a third more time.

    Raises UserError when x is not images, and for a patch or heads that do not divide.
    """

    width: int = 384
    depth: int = 12
    heads: int = 6
    patch: int | None = None
    mlp_ratio: float = 4.0
    channels_per_value: int = 1
    dropout: float = 0.0
    remat: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, c = image_size(x, "DiT")
        context.only("vector", "spatial", network="DiT")
        patch = _patch(self.patch, h, w)
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        x = nn.Dense(self.width, dtype=self.dtype, kernel_init=xavier_uniform, name="patches")(patchify(x, patch))
        x = x + jnp.asarray(sincos_2d(h // patch, w // patch, self.width), x.dtype)  # [b, n, d]
        block = nn.remat(DiTBlock, static_argnums=(3,)) if self.remat else DiTBlock
        for i in range(self.depth):
            x = block(self.heads, self.mlp_ratio, self.dropout, self.dtype, name=f"block_{i}")(x, context.vector, train)
        shift, scale = Modulation(2, self.width, self.dtype, name="modulation")(context.vector, x.ndim)
        x = _normalize(x, shift, scale, self.dtype)
        out = patch * patch * c * self.channels_per_value
        x = nn.Dense(out, dtype="float32", kernel_init=nn.initializers.zeros, name="out")(x)
        return unpatchify(x, h, w, patch)


class DiTBlock(nn.Module):
    """Attention and an MLP on tokens x [b, n, d], each shifted, scaled and gated by the vector [b, d] or None.

    The gates start at zero, so the block starts as the identity (arXiv:2212.09748, figure 3).
    """

    heads: int
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None, train: bool = False) -> jax.Array:
        d = x.shape[-1]
        shift1, scale1, gate1, shift2, scale2, gate2 = Modulation(6, d, self.dtype, name="modulation")(vector, x.ndim)

        y = _normalize(x, shift1, scale1, self.dtype)
        y = SelfAttention(self.heads, self.dtype, name="attention")(y)
        x = x + gate1 * nn.Dropout(self.dropout, deterministic=not train)(y)

        y = _normalize(x, shift2, scale2, self.dtype)
        y = nn.Dense(int(d * self.mlp_ratio), dtype=self.dtype, kernel_init=xavier_uniform, name="mlp_in")(y)
        y = nn.Dense(d, dtype=self.dtype, kernel_init=xavier_uniform, name="mlp_out")(nn.gelu(y, approximate=True))
        return x + gate2 * nn.Dropout(self.dropout, deterministic=not train)(y)


def patchify(x: jax.Array, patch: int) -> jax.Array:
    """Images [b, h, w, c] -> tokens [b, (h/patch) * (w/patch), patch * patch * c], row by row."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // patch, patch, w // patch, patch, c)
    x = x.transpose(0, 1, 3, 2, 4, 5)  # [b, h/p, w/p, p, p, c]
    return x.reshape(b, (h // patch) * (w // patch), patch * patch * c)


def unpatchify(x: jax.Array, h: int, w: int, patch: int) -> jax.Array:
    """The inverse of `patchify`: tokens [b, n, patch * patch * c] -> images [b, h, w, c]."""
    b = x.shape[0]
    x = x.reshape(b, h // patch, w // patch, patch, patch, -1)
    x = x.transpose(0, 1, 3, 2, 4, 5)  # [b, h/p, p, w/p, p, c]
    return x.reshape(b, h, w, -1)


def _normalize(x: jax.Array, shift: jax.Array, scale: jax.Array, dtype: str) -> jax.Array:
    return nn.LayerNorm(epsilon=1e-6, use_bias=False, use_scale=False, dtype=dtype)(x) * (1 + scale) + shift


def _patch(patch: int | None, h: int, w: int) -> int:
    divisors = [p for p in range(1, min(h, w) + 1) if h % p == 0 and w % p == 0]
    known = ", ".join(map(str, divisors))
    if patch is None:
        fitting = [p for p in divisors if (h // p) * (w // p) <= MAX_TOKENS]
        if not fitting:
            raise UserError(f"DiT: no patch leaves at most {MAX_TOKENS} tokens of {h}x{w}; give patch, one of: {known}")
        return fitting[0]
    if patch not in divisors:
        raise UserError(
            f"DiT: patch={patch} does not divide images of {h}x{w}; patches that do: {known}; "
            f"sizes that work with it: multiples of {patch}"
        )
    return patch
