"""Noise as what a discriminator is shown, of a level that it is told: Diffusion-GAN.

y = sqrt(a_t) x + sqrt(1 - a_t) std eps,   a_t = (1 - beta_1) ... (1 - beta_t),   t <= T
beta from beta_start to beta_end at equal distances in T steps;   T = t_min + p (t_max - t_min)

Wang et al. 2022, Diffusion-GAN: Training GANs with Diffusion (arXiv:2206.02262, eq. 6, 10 and 11). T follows the
overtraining of the discriminator as the p of adaptive augmentation does: family.adaptive=losses.AdaptiveProbability.
"""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.random import fold, normal

LEVELS = ("priority", "uniform")


@dataclasses.dataclass(frozen=True)
class Diffuse:
    """An augmentation that tells the discriminator something: tell(keys [b], p []) -> {"noise": t / t_max [b]}, which
    is added to its conditions, and (keys, x, p, noise) -> y.

    std: of the noise. clean: how many of the examples stay as they are, t = 0. levels: the law of the others' t in
    1 ... T, "priority" with a chance proportional to t, or "uniform".

    Raises:
      UserError: a number out of range, or unknown levels.
    """

    t_min: int = 10
    t_max: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    std: float = 0.05
    clean: float = 0.5
    levels: str = "priority"

    def __post_init__(self):
        if not 1 <= self.t_min <= self.t_max:
            raise UserError(f"Diffuse t_min={self.t_min}, t_max={self.t_max}: they need 1 <= t_min <= t_max")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise UserError(
                f"Diffuse beta_start={self.beta_start}, beta_end={self.beta_end}: they need 0 < start <= end < 1"
            )
        if self.std <= 0:
            raise UserError(f"Diffuse std={self.std}: it must be above 0; 0.05 as published")
        if not 0 <= self.clean <= 1:
            raise UserError(f"Diffuse clean={self.clean}: a share lies in [0, 1]")
        if self.levels not in LEVELS:
            raise unknown("Diffuse levels", self.levels, LEVELS)

    def length(self, p: jax.Array) -> jax.Array:
        """T [], a whole number as float32."""
        return jnp.round(self.t_min + p * (self.t_max - self.t_min))

    def tell(self, keys: jax.Array, p: jax.Array) -> dict[str, jax.Array]:
        """The level of each example's noise, as the discriminator's condition."""
        longest = self.length(p)
        u = jax.vmap(jax.random.uniform)(fold(keys, 0))  # in [0, 1)
        if self.levels == "uniform":
            t = jnp.floor(u * longest) + 1
        else:  # the number of i with i (i + 1) / 2 <= u T (T + 1) / 2, and one more
            t = jnp.floor((jnp.sqrt(1 + 4 * u * longest * (longest + 1)) - 1) / 2) + 1
        clean = jax.vmap(lambda key: jax.random.bernoulli(key, self.clean))(fold(keys, 1))
        return {"noise": jnp.where(clean, 0.0, jnp.clip(t, 1, longest)) / self.t_max}

    def __call__(self, keys: jax.Array, x: jax.Array, p: jax.Array, noise: jax.Array) -> jax.Array:
        """y [b, ...] in the scale of x [b, ...], for noise [b] as it was told."""
        t = jnp.round(noise * self.t_max).astype(jnp.int32)
        kept = self.signal(p)[t].reshape((-1,) + (1,) * (x.ndim - 1))
        return jnp.sqrt(kept) * x + jnp.sqrt(1 - kept) * self.std * normal(keys, x.shape[1:])

    def signal(self, p: jax.Array) -> jax.Array:
        """a_t for t = 0 ... t_max, of a chain of length T: [t_max + 1], constant beyond T."""
        longest, i = self.length(p), jnp.arange(self.t_max)
        beta = self.beta_start + (self.beta_end - self.beta_start) * i / jnp.maximum(longest - 1, 1)
        log_kept = jnp.where(i < longest, jnp.log1p(-jnp.minimum(beta, self.beta_end)), 0.0)
        return jnp.exp(jnp.concatenate([jnp.zeros(1), jnp.cumsum(log_kept)]))
