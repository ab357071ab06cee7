"""A transformer over the tokens of a codec, which sees all of them, or only those before.

Chang et al. 2022, MaskGIT (arXiv:2202.04200); Esser et al. 2021, Taming Transformers (arXiv:2012.09841, section 3.2).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.attention import attend
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import Dense, Dropout

_SMALL = nn.initializers.normal(0.02)
Cache = tuple[tuple[jax.Array, jax.Array], ...]
"""Of each block the keys and values [b, 1 + n, heads, d] of the places so far."""


class TokenTransformer(nn.Module):
    """tokens int32 [b, n] -> logits float32 [b, n, num_codes], n the product of token_shape.

    A place before the tokens holds what is known of the whole, a learned vector and a linear map of context.vector.
    causal=False: the logits of place i are read at place i, from everything; the code num_codes is the mask's. causal:
    they are read at the place before, and depend on the tokens before i alone. Pre-norm blocks as in GPT-2, learned
    positions; parameters start at 0.02 normal.

    The published sizes: MaskGIT's 24 blocks of width 768 with 8 heads (arXiv:2202.04200, section 4.1); of the taming
    transformer 48 blocks of width 1536 with 24 heads for ImageNet's 16x16 codes (its released model).

    dropout: of embeddings, attention's output and MLP. remat: recompute the blocks in the backward pass.

    Raises UserError for heads that do not divide the width, and for conditions that it cannot read.
    """

    num_codes: int
    token_shape: tuple[int, ...]
    width: int = 768
    depth: int = 24
    heads: int = 8
    mlp_ratio: float = 4.0
    dropout: float = 0.1
    causal: bool = False
    remat: bool = False
    dtype: str = "float32"

    @property
    def length(self) -> int:
        """How many tokens there are."""
        return math.prod(self.token_shape)

    def setup(self):
        if self.width % self.heads:
            raise UserError(f"TokenTransformer: heads={self.heads} must divide the width {self.width}")
        # The mask has a code of its own.
        self.codes = nn.Embed(self.num_codes + 1, self.width, embedding_init=_SMALL)
        self.position = self.param("position", _SMALL, (1 + self.length, self.width))
        self.first = self.param("first", _SMALL, (self.width,))
        self.known = Dense(self.width, kernel_init=_SMALL)
        block = nn.remat(Block, static_argnums=(3, 4)) if self.remat else Block
        self.blocks = [block(self.heads, self.mlp_ratio, self.dropout, self.dtype) for _ in range(self.depth)]
        self.norm = nn.LayerNorm(epsilon=1e-6)
        self.out = Dense(self.num_codes, dtype="float32", kernel_init=_SMALL)
        self.drop = Dropout(self.dropout)

    def __call__(self, tokens: jax.Array, context: Context, train: bool = False) -> jax.Array:
        x = jnp.concatenate([self._first(context, len(tokens)), self.codes(tokens)], axis=1) + self.position
        if self.causal:
            x = x[:, :-1]
        x = self.drop(x.astype(self.dtype), train)
        for block in self.blocks:
            x, _ = block(x, None, self.causal, train)
        return self._read(x if self.causal else x[:, 1:])

    def start(self, tokens: jax.Array, context: Context, train: bool = False) -> tuple[jax.Array, Cache]:
        """The logits [b, num_codes] of the first token, before any is known, and the cache that `step` goes on with.

        tokens: [b, n], of which only the size is read."""
        x = (self._first(context, len(tokens)) + self.position[:1]).astype(self.dtype)
        shape = (len(tokens), 1 + self.length, self.heads, self.width // self.heads)
        empty = jnp.zeros(shape, self.dtype)
        return self._go_on(x, jnp.int32(0), ((empty, empty),) * self.depth)

    def step(
        self, inputs: tuple[jax.Array, jax.Array, Cache], context: Context, train: bool = False
    ) -> tuple[jax.Array, Cache]:
        """(token i [b], i [], cache) -> the logits [b, num_codes] of token i + 1, and the cache with place i in it.

        For causal networks; the sum over all places is that of __call__, at the cost of one place."""
        token, i, cache = inputs
        x = self.codes(token)[:, None] + jax.lax.dynamic_slice_in_dim(self.position, i + 1, 1)
        return self._go_on(x.astype(self.dtype), i + 1, cache)

    def _go_on(self, x: jax.Array, place: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """One place more: x [b, 1, d]."""
        kept = []
        for block, known in zip(self.blocks, cache, strict=True):
            x, new = block(x, (*known, place), True, False)
            kept.append(new)
        return self._read(x)[:, 0], tuple(kept)

    def _first(self, context: Context, count: int) -> jax.Array:
        """What stands before the tokens [b, 1, d]."""
        context.only("vector", network="TokenTransformer")
        x = jnp.broadcast_to(self.first, (count, self.width))
        return (x if context.vector is None else x + self.known(context.vector))[:, None]

    def _read(self, x: jax.Array) -> jax.Array:
        return self.out(self.norm(x.astype(jnp.float32)))


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)): [b, n, d] -> [b, n, d], and the keys and values that were read.

    known: (keys, values [b, m, heads, d / heads], place): x is the one place of that number, of which keys and values
    are put among the known; those of later places are not read. None: x is all places.
    """

    heads: int
    mlp_ratio: float
    dropout: float
    dtype: str

    @nn.compact
    def __call__(
        self, x: jax.Array, known: tuple[jax.Array, jax.Array, jax.Array] | None, causal: bool, train: bool
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        b, n, d = x.shape
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm_1")(x)
        qkv = Dense(3 * d, dtype=self.dtype, kernel_init=_SMALL, name="qkv")(y)
        q, k, v = (a.reshape(b, n, self.heads, d // self.heads) for a in jnp.split(qkv, 3, axis=-1))
        if known is None:
            y = jax.nn.dot_product_attention(q, k, v, is_causal=causal)
        else:
            keys, values, place = known
            k = jax.lax.dynamic_update_slice_in_dim(keys, k, place, axis=1)
            v = jax.lax.dynamic_update_slice_in_dim(values, v, place, axis=1)
            seen = jnp.broadcast_to(jnp.arange(k.shape[1]) <= place, (b, k.shape[1]))
            y = attend(q, k, v, seen)
        y = Dense(d, dtype=self.dtype, kernel_init=_SMALL, name="attention_out")(y.reshape(b, n, d))
        x = x + Dropout(self.dropout)(y, train)
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm_2")(x)
        y = nn.gelu(Dense(int(d * self.mlp_ratio), dtype=self.dtype, kernel_init=_SMALL, name="mlp_in")(y))
        y = Dense(d, dtype=self.dtype, kernel_init=_SMALL, name="mlp_out")(y)
        return x + Dropout(self.dropout)(y, train), (k, v)
