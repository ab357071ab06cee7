"""Multi-head attention over tokens, and the choice of what computes it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError, unknown
from gen_jax.nn.layers import Dense, xavier_uniform

IMPLEMENTATIONS = ("auto", "xla", "cudnn")


def attention_implementation(
    impl: str = "auto",
    dtype: str = "bfloat16",
    head_width: int = 64,
    queries: int = 2,
    keys: int = 2,
    masked: bool = False,
) -> str:
    """What computes attention here, "xla" or "cudnn", when a network's `attention_impl` is `impl`.

    cuDNN's fused attention never holds the [queries, keys] scores in memory, and it has no forward-mode derivative
    (jax.jvp): ask for "xla" where one is taken. "auto" takes cuDNN wherever it runs.

    Raises UserError for an unknown `impl`, and for "cudnn" where it cannot run, with what is missing.
    """
    if impl not in IMPLEMENTATIONS:
        raise unknown("attention_impl", impl, IMPLEMENTATIONS)
    if impl == "xla":
        return "xla"
    missing = _missing_for_cudnn(dtype, head_width, queries, keys, masked)
    if impl == "cudnn" and missing:
        raise UserError(f"attention_impl='cudnn' needs {missing}; take 'auto' or 'xla'")
    return "xla" if missing else "cudnn"


def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    mask: jax.Array | None = None,
    impl: str = "auto",
    bias: jax.Array | None = None,
) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v of every head, Vaswani et al. 2017 (arXiv:1706.03762), equation 1.

    q: [b, n, heads, d]; k, v: [b, m, heads, d]; mask: [b, m], nonzero for the keys that are read, None for all; bias:
    [heads, n, m], added to the scores, by XLA whatever `impl` says -> [b, n, heads, d]. Where all keys are masked they
    are read alike.
    """
    (b, n, _, d), m = q.shape, k.shape[1]
    if bias is not None:
        impl, bias = "xla", bias[None].astype(q.dtype)
    impl = attention_implementation(impl, q.dtype.name, d, n, m, mask is not None)
    if mask is not None:
        mask = jnp.broadcast_to((mask != 0)[:, None, None, :], (b, 1, n, m))
    return jax.nn.dot_product_attention(q, k, v, bias, mask, implementation=impl)  # type: ignore[call-overload]


class SelfAttention(nn.Module):
    """Multi-head self-attention over tokens: [b, n, d] -> [b, n, d].

    mask: [b, n], nonzero for the tokens that are read, None for all. angles: [n, d / heads / 2] of `rotate`, None for
    none. qk_norm: queries and keys are divided by their root mean square, with a learned scale (Dehghani et al. 2023,
    arXiv:2302.05442, section 2.1). grid: rows and columns, the tokens being the places of an image; a learned number
    for each head and each difference of two places is then added to the scores (Liu et al. 2021, arXiv:2103.14030, eq.
    4). qkv's columns are ordered by q, k, v, then by head.

    Raises UserError unless heads divide d.
    """

    heads: int = 1
    dtype: str = "float32"
    out_init: nn.initializers.Initializer = xavier_uniform
    qkv_init: nn.initializers.Initializer = xavier_uniform
    qkv_bias: bool = True
    qk_norm: bool = False
    attention_impl: str = "auto"
    grid: tuple[int, int] | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array | None = None, angles: jax.Array | np.ndarray | None = None
    ) -> jax.Array:
        b, n, d = x.shape
        width = _head_width(self.heads, d)
        qkv = Dense(3 * d, self.qkv_bias, dtype=self.dtype, kernel_init=self.qkv_init, name="qkv")(x)
        # The gradients of what `split` gives are concatenated; those of slices would each be padded, then summed.
        q, k, v = (a.reshape(b, n, self.heads, width) for a in jnp.split(qkv, 3, axis=-1))
        if self.qk_norm:
            q, k = (nn.RMSNorm(dtype=self.dtype, name=f"{name}_norm")(a) for name, a in (("query", q), ("key", k)))
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        x = attend(q, k, v, mask, self.attention_impl, self._bias()).reshape(b, n, d)
        return Dense(d, dtype=self.dtype, kernel_init=self.out_init, name="out")(x)

    def _bias(self) -> jax.Array | None:
        """What is added to the scores [heads, n, n], by the difference of the places."""
        if self.grid is None:
            return None
        rows, columns = self.grid
        size = (self.heads, 2 * rows - 1, 2 * columns - 1)
        table = self.param("position_bias", nn.initializers.normal(0.02), size)
        places = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
        apart = places[:, None] - places + [rows - 1, columns - 1]  # [n, n, 2], from 0
        return table[:, apart[..., 0], apart[..., 1]]


class CrossAttention(nn.Module):
    """Multi-head attention of x [b, n, d] to tokens [b, m, e], of any width: [b, n, d].

    mask: [b, m], nonzero for the tokens that are read, None for all. Masked tokens have no influence at all; where all
    are masked, the output is a learned constant. qk_norm: as in SelfAttention. Raises UserError unless heads divide d.
    """

    heads: int = 1
    dtype: str = "float32"
    out_init: nn.initializers.Initializer = xavier_uniform
    qk_norm: bool = False
    attention_impl: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        (b, n, d), m = x.shape, tokens.shape[1]
        width = _head_width(self.heads, d)
        tokens = silence(tokens, mask)
        q = Dense(d, dtype=self.dtype, kernel_init=xavier_uniform, name="query")(x).reshape(b, n, -1, width)
        kv = Dense(2 * d, dtype=self.dtype, kernel_init=xavier_uniform, name="key_value")(tokens)
        k, v = (a.reshape(b, m, self.heads, width) for a in jnp.split(kv, 2, axis=-1))
        if self.qk_norm:
            q, k = (nn.RMSNorm(dtype=self.dtype, name=f"{name}_norm")(a) for name, a in (("query", q), ("key", k)))
        x = attend(q, k, v, mask, self.attention_impl).reshape(b, n, d)
        return Dense(d, dtype=self.dtype, kernel_init=self.out_init, name="out")(x)


def heads_of(channels: int, head_width: int) -> int:
    """How many heads of that width the channels make. Raises UserError unless it divides them."""
    if channels % head_width:
        raise UserError(f"head_width={head_width} must divide the {channels} channels of the attention")
    return channels // head_width


def silence(tokens: jax.Array, mask: jax.Array | None) -> jax.Array:
    """tokens [b, m, e] with the masked ones zero: even when all are masked, or not finite, what they held is lost."""
    return tokens if mask is None else jnp.where((mask != 0)[:, :, None], tokens, 0)


def rotary_2d(h: int, w: int, features: int, base: float = 100.0) -> np.ndarray:
    """Angles [h * w, features / 2] of the places of an image, row by row, for `rotate`.

    Half of them grow with the column, half with the row, at geometric frequencies from 1 to 1 / base: Su et al. 2021
    (arXiv:2104.09864), in the axial form and with the base of Heo et al. 2024 (arXiv:2403.13298). Raises UserError
    unless `features`, a head's width, is a multiple of 4.
    """
    if features % 4:
        raise UserError(f"rope needs heads whose width is a multiple of 4, got {features}")
    quarter = features // 4
    frequencies = base ** (-np.arange(quarter) / quarter)
    rows, columns = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")  # [h, w] each
    angles = [place.reshape(-1, 1) * frequencies for place in (columns, rows)]  # [h * w, quarter] each
    return np.concatenate(angles, axis=-1).astype(np.float32)


def rotate(x: jax.Array, angles: jax.Array | np.ndarray) -> jax.Array:
    """x [b, n, heads, d], the pair of features (i, i + d/2) of token n turned by angles [n, d/2].

    Scores of turned queries and keys depend on the difference of their angles alone (arXiv:2104.09864, equation 16).
    """
    angles = jnp.asarray(angles)[:, None, :]  # [n, 1, d / 2]
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1).astype(x.dtype)


def _head_width(heads: int, d: int) -> int:
    if d % heads:
        raise UserError(f"heads={heads} must divide the width {d} of the attention")
    return d // heads


def _missing_for_cudnn(dtype: str, head_width: int, queries: int, keys: int, masked: bool) -> str | None:
    """What cuDNN's attention would need, None where it runs."""
    capability = _compute_capability()
    if capability < 8:
        return "an NVIDIA GPU of compute capability 8.0 or more"
    if dtype not in ("bfloat16", "float16"):
        return f"dtype bfloat16 or float16, not {dtype}"
    widest = 256 if capability >= 9 else 128
    if head_width % 8 or head_width > widest:
        return f"heads whose width is a multiple of 8 up to {widest}, not {head_width}"
    if masked and (queries % 2 or keys % 2):
        return f"even numbers of tokens where some are masked, not {queries} and {keys}"
    return None


def _compute_capability() -> float:
    """The first device's, 0 where it is not an NVIDIA GPU."""
    try:
        return float(jax.local_devices()[0].compute_capability)
    except (AttributeError, ValueError):  # no GPU; AMD's give a name
        return 0.0
