"""The diffusion transformer: Peebles & Xie 2022, "Scalable Diffusion Models with Transformers" (arXiv:2212.09748)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError, unknown
from gen_jax.nn.attention import CrossAttention, SelfAttention, rotary_2d, silence
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import Dense, Dropout, Modulation, image_size, sincos_2d, xavier_uniform

MAX_TOKENS = 256  # what `patch=None` aims at, the 16x16 tokens of the published DiT-*/2 on 32x32 latents
NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
MLPS = ("gelu", "swiglu")
TOKENS = ("none", "in_context", "cross")


class DiT(nn.Module):
    """A transformer on the patches of an image: [b, h, w, c] -> [b, h, w, c * channels_per_value], float32.

    Blocks with AdaLN-zero on context.vector (section 3.2), fixed sine and cosine positions, a last layer that starts
    at zero: the network's output is zero at the start. context.spatial [b, h, w, k] is concatenated on the channels.
    The published sizes, with nn.Conditioning(width=width, noise_features=256) and channels_per_value=2:

        S: width 384, depth 12, heads 6      B: width 768, depth 12, heads 12
        L: width 1024, depth 24, heads 16    XL: width 1152, depth 28, heads 16

    patch: side of a patch in pixels, a divisor of h and of w; None: the smallest that leaves at most 256 tokens.
    dropout: after attention and MLP, in training; 0 as published.
    qk_norm: nn/attention.py. norm: "layer" or "rms". mlp: "gelu", or "swiglu" with 2/3 of the hidden width, which keeps
    the number of parameters (Shazeer 2020, arXiv:2002.05202).
    rope: places enter as rotations of queries and keys (`rotary_2d`), not as fixed positions. learn_position: positions
    [h * w / patch^2, width] are learned, from the fixed ones on; they bind the network to one size of images.
    tokens: what is done with context.tokens [b, n, d]: "in_context", put before those of the image (section 3.2);
    "cross", attended to in every block, from a start at zero (Chen et al. 2023, arXiv:2310.00426); "none", refused.

    remat: recompute the blocks' activations in the backward pass, less memory for about a third more time. scan: the
    blocks' parameters are stacked [depth, ...] and XLA compiles one block; the function is the same.
    attention_impl: nn/attention.py.

    Raises UserError when x is not images, for a patch or heads that do not divide, for unknown names, and for tokens
    that are to be read and are not in the context, or the other way round.
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
    qk_norm: bool = False
    norm: str = "layer"
    mlp: str = "gelu"
    rope: bool = False
    learn_position: bool = False
    tokens: str = "none"
    scan: bool = False
    attention_impl: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, c = image_size(x, "DiT")
        self._check(context)
        patch = patch_size(self.patch, h, w, "DiT")
        rows, columns = h // patch, w // patch
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        x = Dense(self.width, dtype=self.dtype, kernel_init=xavier_uniform, name="patches")(patchify(x, patch))
        x = self._place(x, rows, columns)  # [b, n, d]
        angles = rotary_2d(rows, columns, self.width // self.heads) if self.rope else None

        mask, extra, cross, cross_mask = None, 0, None, None
        if self.tokens == "cross":
            cross, cross_mask = context.tokens, context.token_mask
        elif self.tokens == "in_context":
            x, mask, extra = prepend(
                Dense(self.width, dtype=self.dtype, kernel_init=xavier_uniform, name="tokens"), context, x
            )
            if angles is not None:
                angles = np.concatenate([np.zeros((extra, angles.shape[1]), np.float32), angles])

        x = self._blocks(x, train, context.vector, mask, angles, cross, cross_mask)[:, extra:]
        shift, scale = Modulation(2, self.width, self.dtype, name="modulation")(context.vector, x.ndim)
        x = _normalize(x, shift, scale, self.norm, self.dtype)
        out = patch * patch * c * self.channels_per_value
        x = Dense(out, dtype="float32", kernel_init=nn.initializers.zeros, name="out")(x)
        return unpatchify(x, h, w, patch)

    def _blocks(self, x: jax.Array, train: bool, *inputs: Any) -> jax.Array:
        """x [b, n, d] through all blocks, which share `inputs`."""
        # Inside a scan nothing can be merged across the blocks, so remat need not guard against it.
        block = nn.remat(DiTBlock, static_argnums=(2,), prevent_cse=not self.scan) if self.remat else DiTBlock
        options = (self.heads, self.mlp_ratio, self.dropout, self.dtype)
        more = (self.qk_norm, self.norm, self.mlp, self.attention_impl)
        if not self.scan:
            for i in range(self.depth):
                x = block(*options, *more, name=f"block_{i}")(x, train, *inputs)
            return x
        scan = nn.scan(
            lambda block, x, *inputs: (block(x, train, *inputs), None),
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,
            length=self.depth,
        )
        return scan(block(*options, *more, name="blocks"), x, *inputs)[0]

    def _place(self, x: jax.Array, rows: int, columns: int) -> jax.Array:
        """Tokens [b, rows * columns, d] with their positions added, unless rope tells them."""
        if self.learn_position:
            fixed = sincos_2d(rows, columns, self.width)
            return x + self.param("position", lambda _: jnp.asarray(fixed)).astype(x.dtype)
        return x if self.rope else x + jnp.asarray(sincos_2d(rows, columns, self.width), x.dtype)

    def _check(self, context: Context) -> None:
        for name, known in (("norm", NORMS), ("mlp", MLPS), ("tokens", TOKENS)):
            if getattr(self, name) not in known:
                raise unknown(f"DiT {name}", getattr(self, name), known)
        reads = ("vector", "spatial") if self.tokens == "none" else ("vector", "spatial", "tokens", "token_mask")
        context.only(*reads, network="DiT")
        if self.tokens != "none" and context.tokens is None:
            raise UserError(
                f"DiT with tokens='{self.tokens}' reads tokens, and the context has none; take tokens='none'"
            )
        if self.width % self.heads:
            raise UserError(f"heads={self.heads} must divide the width {self.width} of the attention")


class DiTBlock(nn.Module):
    """Attention and an MLP on tokens x [b, n, d], each shifted, scaled and gated by the vector [b, d] or None.

    mask [b, n] and angles: of the self-attention. tokens [b, m, e] with their mask [b, m]: attended to in between.
    The gates start at zero, and so does what is read from the tokens: the block starts as the identity
    (arXiv:2212.09748, figure 3).
    """

    heads: int
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    dtype: str = "float32"
    qk_norm: bool = False
    norm: str = "layer"
    mlp: str = "gelu"
    attention_impl: str = "auto"

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        train: bool = False,
        vector: jax.Array | None = None,
        mask: jax.Array | None = None,
        angles: jax.Array | np.ndarray | None = None,
        tokens: jax.Array | None = None,
        token_mask: jax.Array | None = None,
    ) -> jax.Array:
        d = x.shape[-1]
        shift1, scale1, gate1, shift2, scale2, gate2 = Modulation(6, d, self.dtype, name="modulation")(vector, x.ndim)
        attention: dict[str, Any] = {"qk_norm": self.qk_norm, "attention_impl": self.attention_impl}

        y = _normalize(x, shift1, scale1, self.norm, self.dtype)
        y = SelfAttention(self.heads, self.dtype, **attention, name="attention")(y, mask, angles)
        x = x + gate1 * Dropout(self.dropout)(y, train)

        if tokens is not None:
            zero = nn.initializers.zeros
            y = _normalize(x, 0.0, 0.0, self.norm, self.dtype)
            x = x + CrossAttention(self.heads, self.dtype, zero, **attention, name="cross")(y, tokens, token_mask)

        y = self._mlp(_normalize(x, shift2, scale2, self.norm, self.dtype))
        return x + gate2 * Dropout(self.dropout)(y, train)

    def _mlp(self, y: jax.Array) -> jax.Array:
        d, hidden = y.shape[-1], int(y.shape[-1] * self.mlp_ratio)
        if self.mlp == "swiglu":
            hidden = 8 * max(round(hidden / 12), 1)  # two thirds, in whole eights for the matrix units
            y = Dense(2 * hidden, dtype=self.dtype, kernel_init=xavier_uniform, name="mlp_in")(y)
            gate, y = jnp.split(y, 2, axis=-1)
            y = nn.silu(gate) * y
        else:
            y = Dense(hidden, dtype=self.dtype, kernel_init=xavier_uniform, name="mlp_in")(y)
            y = nn.gelu(y, approximate=True)
        return Dense(d, dtype=self.dtype, kernel_init=xavier_uniform, name="mlp_out")(y)


def prepend(dense: nn.Module, context: Context, x: jax.Array) -> tuple[jax.Array, jax.Array | None, int]:
    """(dense(context.tokens) before x [b, n, d], the mask of all or None, how many they are)."""
    tokens, mask = context.tokens, context.token_mask
    assert tokens is not None
    x = jnp.concatenate([dense(silence(tokens, mask)), x], axis=1)  # type: ignore[operator]
    if mask is not None:
        mask = jnp.pad(mask != 0, [(0, 0), (0, x.shape[1] - tokens.shape[1])], constant_values=True)
    return x, mask, tokens.shape[1]


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


def patch_size(patch: int | None, h: int, w: int, network: str) -> int:
    """The side of the patches of images of h x w; None: the smallest that leaves at most MAX_TOKENS tokens.

    Raises UserError, with the sides that do, where `patch` does not divide both.
    """
    divisors = [p for p in range(1, min(h, w) + 1) if h % p == 0 and w % p == 0]
    known = ", ".join(map(str, divisors))
    if patch is None:
        fitting = [p for p in divisors if (h // p) * (w // p) <= MAX_TOKENS]
        if not fitting:
            raise UserError(
                f"{network}: no patch leaves at most {MAX_TOKENS} tokens of {h}x{w}; give patch, one of: {known}"
            )
        return fitting[0]
    if patch not in divisors:
        raise UserError(
            f"{network}: patch={patch} does not divide images of {h}x{w}; patches that do: {known}; "
            f"sizes that work with it: multiples of {patch}"
        )
    return patch


def _normalize(x: jax.Array, shift: jax.Array | float, scale: jax.Array | float, norm: str, dtype: str) -> jax.Array:
    bias = {"use_bias": False} if norm == "layer" else {}
    return NORMS[norm](epsilon=1e-6, use_scale=False, dtype=dtype, **bias)(x) * (1 + scale) + shift
