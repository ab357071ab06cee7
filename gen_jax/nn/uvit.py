"""U-ViT: Bao et al. 2023, "All are Worth Words: A ViT Backbone for Diffusion Models" (arXiv:2209.12152)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.attention import SelfAttention
from gen_jax.nn.conditioning import Context
from gen_jax.nn.dit import patch_size, patchify, prepend, unpatchify
from gen_jax.nn.layers import Dense, Dropout, image_size, xavier_uniform

_SMALL = nn.initializers.truncated_normal(0.02)


class UViT(nn.Module):
    """A transformer on patches with long skips: [b, h, w, c] -> [b, h, w, c * channels_per_value], float32.

    All conditions are tokens: context.vector one, projected where its width is not `width`, and context.tokens
    [b, m, d] with their mask one each, before those of the image; every place has a learned position, which binds the
    network to one size of images and one number of tokens. depth // 2 blocks down, one in the middle, depth // 2 up,
    each of which joins its opposite's output by concatenation and a linear layer; a 3x3 convolution ends it.
    context.spatial [b, h, w, k] is concatenated on the channels. The published sizes on 32x32 (table 1):

        S/2, 44M parameters: the defaults    M: width 768, depth 16, heads 12    L: width 1024, depth 20, heads 16

    with nn.Conditioning(width=width), which embeds the noise by two layers more than the paper's CIFAR-10 network and
    adds the label to it where the paper gives it a token of its own.

    patch: as in nn.DiT. dropout: after attention and MLP, in training; 0 as published. remat: recompute the blocks'
    activations in the backward pass, to save memory. scan: the blocks' parameters are stacked [depth // 2, ...] and XLA
    compiles one block down and one up; the function is the same. attention_impl: nn/attention.py.

    Raises UserError when x is not images, for an odd depth, and for a patch or heads that do not divide.
    """

    width: int = 512
    depth: int = 12
    heads: int = 8
    patch: int | None = None
    mlp_ratio: float = 4.0
    channels_per_value: int = 1
    dropout: float = 0.0
    attention_impl: str = "auto"
    remat: bool = False
    scan: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, c = image_size(x, "UViT")
        if self.depth % 2:
            raise UserError(f"UViT: depth={self.depth} counts the blocks down and up and must be even")
        patch = patch_size(self.patch, h, w, "UViT")
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        x = self._dense("patches")(patchify(x, patch))
        n, mask = x.shape[1], None
        if context.tokens is not None:
            x, mask, _ = prepend(self._dense("tokens"), context, x)
        if context.vector is not None:
            vector = context.vector
            vector = vector if vector.shape[-1] == self.width else self._dense("vector")(vector)
            x = jnp.concatenate([vector[:, None].astype(x.dtype), x], axis=1)
            mask = None if mask is None else jnp.pad(mask, [(0, 0), (1, 0)], constant_values=True)
        x = x + self.param("position", _SMALL, x.shape[1:]).astype(x.dtype)  # [b, 1 + m + n, d]

        x = self._blocks(x, mask, train)[:, -n:]
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm")(x)
        out = c * self.channels_per_value
        x = Dense(patch * patch * out, dtype=self.dtype, kernel_init=_SMALL, name="pixels")(x)
        x = unpatchify(x, h, w, patch)
        return nn.Conv(out, (3, 3), dtype="float32", kernel_init=xavier_uniform, name="out")(x)

    def _blocks(self, x: jax.Array, mask: jax.Array | None, train: bool) -> jax.Array:
        """x [b, n, d] down, through the middle and up, with the skips of those down."""

        def block(name: str, scanned: bool = False) -> nn.Module:
            cls = nn.remat(UViTBlock, static_argnums=(4,), prevent_cse=not scanned) if self.remat else UViTBlock
            return cls(self.heads, self.mlp_ratio, self.dropout, self.attention_impl, self.dtype, name=name)

        half = self.depth // 2
        if not self.scan or not half:
            skips = []
            for i in range(half):
                x = block(f"down_{i}")(x, None, mask, train)  # type: ignore[operator]
                skips.append(x)
            x = block("middle")(x, None, mask, train)  # type: ignore[operator]
            for i in range(half):
                x = block(f"up_{i}")(x, skips.pop(), mask, train)  # type: ignore[operator]
            return x

        options: dict[str, Any] = {
            "variable_axes": {"params": 0},
            "split_rngs": {"params": True, "dropout": True},
            "in_axes": (0, nn.broadcast),
            "length": half,
        }

        def down(block, x, _, mask):
            x = block(x, None, mask, train)
            return x, x

        def up(block, x, skip, mask):
            return block(x, skip, mask, train), None

        x, outputs = nn.scan(down, **options)(block("down", True), x, jnp.zeros(half), mask)
        x = block("middle")(x, None, mask, train)  # type: ignore[operator]
        return nn.scan(up, **options)(block("up", True), x, outputs[::-1], mask)[0]

    def _dense(self, name: str) -> Dense:
        return Dense(self.width, dtype=self.dtype, kernel_init=_SMALL, name=name)


class UViTBlock(nn.Module):
    """A block of attention and an MLP on tokens x [b, n, d], read by `mask` [b, n]; skip [b, n, d] is joined first."""

    heads: int
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    attention_impl: str = "auto"
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: jax.Array, skip: jax.Array | None, mask: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        d = x.shape[-1]

        def dense(features: int, name: str) -> Dense:
            return Dense(features, dtype=self.dtype, kernel_init=_SMALL, name=name)

        if skip is not None:
            x = dense(d, "join")(jnp.concatenate([x, skip], axis=-1))
        y = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm_0")(x)
        impl = self.attention_impl
        y = SelfAttention(
            self.heads, self.dtype, _SMALL, _SMALL, qkv_bias=False, attention_impl=impl, name="attention"
        )(y, mask)
        x = x + Dropout(self.dropout)(y, train)
        y = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm_1")(x)
        y = nn.gelu(dense(int(d * self.mlp_ratio), "mlp_in")(y), approximate=False)
        return x + Dropout(self.dropout)(dense(d, "mlp_out")(y), train)
