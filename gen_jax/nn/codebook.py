"""A codebook: vectors that others are replaced by, and how it learns them.

By moving averages, van den Oord et al. 2017 (arXiv:1711.00937, app. A.1): of code i's share of each batch, the number
N_i <- d N_i + (1 - d) n_i and the sum m_i <- d m_i + (1 - d) sum of h, and the code is m_i / N_i. Each step is one of
k-means with memory; at d = 0 it is k-means. Or by gradient, of |sg(h) - code|^2.
"""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.types import PyTree

TINY = 1e-6
"""A code whose number is below keeps its place: what is left of its sum is rounding."""


@dataclasses.dataclass(frozen=True)
class Codebook:
    """num_codes vectors of `width` numbers.

    beta: of the commitment loss. decay: d of the moving averages; None: the codes are trained by gradient.
    revive: a code whose number falls below this share of the even one is dead, and takes the place of one of the
    batch's vectors (Dhariwal et al. 2020, arXiv:2005.00341, sec. 3.1, random restarts); before the first batch all are.
    0: none is revived. cosine: vectors and codes have length 1 (Yu et al. 2021, arXiv:2110.04627, sec. 3.2).

    Raises:
      UserError: fewer than 2 codes or 1 number, a decay beyond [0, 1), or revived codes without moving averages.
    """

    num_codes: int = 512
    width: int = 64
    beta: float = 0.25
    decay: float | None = 0.99
    revive: float = 0.0
    cosine: bool = False

    def __post_init__(self):
        name = type(self).__name__
        if self.num_codes < 2:
            raise UserError(f"{name} num_codes={self.num_codes}: a codebook needs at least 2 codes")
        if self.width < 1:
            raise UserError(f"{name} width={self.width}: at least 1")
        if self.decay is not None and not 0 <= self.decay < 1:
            raise UserError(
                f"{name} decay={self.decay}: it must be 0 or more and below 1, or None to train by gradient"
            )
        if not 0 <= self.revive < 1:
            raise UserError(f"{name} revive={self.revive}: a share of the even number, 0 or more and below 1")
        if self.revive and self.decay is None:
            raise UserError(f"{name} revive={self.revive}: only codes of moving averages are revived; give decay too")

    def init(self, key: jax.Array, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]:
        """Codes from a normal of the standard deviation 1 / sqrt(width): as parameters, or as state."""
        codes = jax.random.normal(key, (self.num_codes * self.width,)).reshape(self.num_codes, self.width)
        codes = unit(codes) if self.cosine else codes / self.width**0.5
        if self.decay is None:
            return {"codes": codes}, {}
        # a number of 0 says that the code has no place yet; one of 1, that its place counts as one vector's
        number = jnp.full((self.num_codes,), 0.0 if self.revive else 1.0, jnp.float32)
        return {}, {"codes": codes, "number": number, "sum": jnp.copy(codes)}

    def codes(self, params: PyTree, state: PyTree) -> jax.Array:
        """The codes [num_codes, width]."""
        if self.decay is not None:
            return jax.lax.stop_gradient(state["codes"])
        return unit(params["codes"]) if self.cosine else params["codes"]

    def rows(self, h: jax.Array) -> jax.Array:
        """h [b, ..., width] as the vectors [n, width] that are compared with codes."""
        return unit(flat(h)) if self.cosine else flat(h)

    def moved(self, state: PyTree, rows: jax.Array, tokens: jax.Array, score: jax.Array | None) -> PyTree:
        """The state with vectors `rows` [n, width] in it, of which each is nearest to the code `tokens` [n].

        score: [n] random numbers, which say whose places dead codes take; None: none does."""
        assert self.decay is not None
        rows = jax.lax.stop_gradient(rows)
        one_hot = jax.nn.one_hot(
            tokens, self.num_codes
        )  # a product, unlike a scatter, sums in the same order each time
        sums = jnp.matmul(one_hot.T, rows, precision="highest")
        number = self.decay * state["number"] + (1 - self.decay) * one_hot.sum(0)
        sums = self.decay * state["sum"] + (1 - self.decay) * sums
        codes = jnp.where(number[:, None] > TINY, sums / jnp.maximum(number, TINY)[:, None], state["codes"])
        if self.revive and score is not None:
            even = rows.shape[0] / self.num_codes
            dead = number < self.revive * even
            # The vectors in a random order that is theirs, whatever place in the batch they have.
            order = jnp.argsort(score)[jnp.arange(self.num_codes) % rows.shape[0]]
            codes = jnp.where(dead[:, None], rows[order], codes)
            number = jnp.where(dead, even, number)
            sums = jnp.where(dead[:, None], codes * even, sums)
        return {"codes": unit(codes) if self.cosine else codes, "number": number, "sum": sums}


def nearest(rows: jax.Array, codes: jax.Array) -> jax.Array:
    """The index of the nearest of codes [k, d] to each of rows [n, d], int32 [n]; the first of equally near ones."""
    rows, codes = jax.lax.stop_gradient((rows, codes))
    # |row|^2 is the same for all codes
    distance = jnp.square(codes).sum(1) - 2 * jnp.matmul(rows, codes.T, precision="highest")
    return jnp.argmin(distance, axis=1).astype(jnp.int32)


def usage(tokens: jax.Array, num_codes: int) -> dict[str, jax.Array]:
    """Of tokens [n]: `perplexity`, exp of their entropy, num_codes where all are used alike; and `used`, the share of
    the codes that occur."""
    share = jnp.bincount(tokens, length=num_codes) / tokens.shape[0]
    entropy = -jax.scipy.special.xlogy(share, share).sum()
    return {"perplexity": jnp.exp(entropy), "used": (share > 0).mean()}


def scores(keys: jax.Array | None, h: jax.Array) -> jax.Array | None:
    """A random number for each vector of h [b, ..., d], those of example i from keys[i]: [n]; None without keys."""
    if keys is None:
        return None
    places = flat(h[:1]).shape[0]
    return jax.vmap(lambda key: jax.random.uniform(key, (places,)))(keys).reshape(-1)


def flat(h: jax.Array) -> jax.Array:
    """[b, ..., d] -> float32 [n, d]."""
    return h.astype(jnp.float32).reshape(-1, h.shape[-1])


def unit(rows: jax.Array) -> jax.Array:
    """Rows [n, d] of length 1; zeros stay zeros."""
    return rows * jax.lax.rsqrt(jnp.square(rows).sum(-1, keepdims=True) + 1e-12)
