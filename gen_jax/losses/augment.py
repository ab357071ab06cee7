"""Augmentation of what a discriminator is shown, against overfitting little data.

An augmentation is (keys [b], x [b, h, w, c] in [-1, 1], p []) -> x: differentiable in x, random by each example's own
key, and the identity with probability 1 - p. Real and generated examples go through the same law, so that generated
ones do not learn it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.types import PyTree


@dataclasses.dataclass(frozen=True)
class AdaptiveProbability:
    """p that rises while the discriminator is too sure of real examples, Karras et al. 2020 (arXiv:2006.06676,
    sec. 3.1).

    Every `interval` steps p moves towards r_t = E sign(D(real)) = target, so fast that it could go from 0 to 1 within
    `images` real examples.

    Raises:
      UserError: a number out of range.
    """

    target: float = 0.6
    interval: int = 4
    images: int = 500_000

    def __post_init__(self):
        if not -1 < self.target < 1:
            raise UserError(f"AdaptiveProbability target={self.target}: a mean of signs lies between -1 and 1")
        if self.interval < 1 or self.images < 1:
            raise UserError(f"AdaptiveProbability interval={self.interval}, images={self.images}: at least 1")

    def init(self) -> dict[str, jax.Array]:
        """p [] and the sum of r_t over the steps since it moved last."""
        return {"p": jnp.float32(0), "sum": jnp.float32(0), "steps": jnp.int32(0)}

    def update(self, state: PyTree, r_t: jax.Array, batch_size: int) -> dict[str, jax.Array]:
        """The state after a step in which the mean sign was r_t []."""
        total, steps = state["sum"] + r_t, state["steps"] + 1
        due = steps == self.interval
        move = jnp.sign(total / self.interval - self.target) * (batch_size * self.interval / self.images)
        p = jnp.clip(state["p"] + jnp.where(due, move, 0.0), 0.0, 1.0)
        return {"p": p, "sum": jnp.where(due, 0.0, total), "steps": jnp.where(due, 0, steps)}


@dataclasses.dataclass(frozen=True)
class ScheduledProbability:
    """p that rises from `start` to `end` along half a cosine within `images` real examples, whatever the discriminator
    says: R3GAN's, Huang et al. 2025 (arXiv:2501.05441), in the authors' program.

    Raises:
      UserError: a number out of range.
    """

    end: float
    images: int
    start: float = 0.0

    def __post_init__(self):
        if not (0 <= self.start <= 1 and 0 <= self.end <= 1):
            raise UserError(f"ScheduledProbability start={self.start}, end={self.end}: probabilities lie in [0, 1]")
        if self.images < 1:
            raise UserError(f"ScheduledProbability images={self.images}: at least 1")

    def init(self) -> dict[str, jax.Array]:
        """p [] and the share of the way that was gone."""
        return {"p": jnp.float32(self.start), "share": jnp.float32(0)}

    def update(self, state: PyTree, r_t: jax.Array, batch_size: int) -> dict[str, jax.Array]:
        """The state after a step."""
        share = jnp.minimum(state["share"] + batch_size / self.images, 1.0)
        return {"p": self.start + (1 - jnp.cos(jnp.pi * share)) / 2 * (self.end - self.start), "share": share}


def pseudo_augment(keys: jax.Array, real: jax.Array, fake: jax.Array, p: jax.Array) -> jax.Array:
    """real [b, ...], with generated examples in place of some, each with probability p: the deceit of APA, Jiang et al.
    2021 (arXiv:2111.06849, sec. 3.2)."""
    deceived = jax.vmap(lambda key: jax.random.bernoulli(key, p))(keys)
    return jnp.where(deceived.reshape((-1,) + (1,) * (real.ndim - 1)), jax.lax.stop_gradient(fake), real)
