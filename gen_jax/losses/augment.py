"""Augmentation of what a discriminator is shown, against overfitting little data.

An augmentation is (keys [b], x [b, h, w, c] in [-1, 1], p []) -> x: differentiable in x, random by each example's own
key, and the identity with probability 1 - p. Real and generated examples go through the same law, so that generated
ones do not learn it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
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


def diff_augment(
    keys: jax.Array,
    x: jax.Array,
    p: jax.Array | float = 1.0,
    policy: tuple[str, ...] = ("color", "translation", "cutout"),
) -> jax.Array:
    """Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training" (arXiv:2006.10738): all of the
    policy, in its order, to x [b, h, w, c] with probability p [].

    color: brightness + U(-0.5, 0.5), saturation times U(0, 2), contrast times U(0.5, 1.5). translation: by whole
    pixels, up to an eighth of the size each way, zeros behind. cutout: a hole of half the size, zero, its centre
    anywhere in the image. Ranges as in the authors' program.

    Raises:
      UserError: x is no batch of images, or a policy that is not known.
    """
    check_images(x, "diff_augment")
    for name in policy:
        if name not in POLICIES:
            raise unknown("diff_augment policy", name, POLICIES)

    def one(key: jax.Array, image: jax.Array) -> jax.Array:
        done = image
        for i, name in enumerate(policy):
            done = POLICIES[name](jax.random.fold_in(key, 1 + i), done)
        return jnp.where(jax.random.bernoulli(key, p), done, image)

    return jax.vmap(one)(keys, x)


def _color(key: jax.Array, x: jax.Array) -> jax.Array:
    brighter, saturation, contrast = jax.random.uniform(key, (3,))
    x = x + brighter - 0.5
    grey = x.mean(axis=2, keepdims=True)
    x = grey + 2 * saturation * (x - grey)
    return x.mean() + (0.5 + contrast) * (x - x.mean())


def _translation(key: jax.Array, x: jax.Array, ratio: float = 0.125) -> jax.Array:
    h, w, c = x.shape
    reach = [int(n * ratio + 0.5) for n in (h, w)]
    down, right = (
        jax.random.randint(k, (), -most, most + 1) for k, most in zip(jax.random.split(key), reach, strict=True)
    )
    padded = jnp.pad(x, [(reach[0], reach[0]), (reach[1], reach[1]), (0, 0)])
    return jax.lax.dynamic_slice(padded, (reach[0] - down, reach[1] - right, 0), (h, w, c))


def _cutout(key: jax.Array, x: jax.Array, ratio: float = 0.5) -> jax.Array:
    inside = []
    for n, k in zip(x.shape[:2], jax.random.split(key), strict=True):
        size = int(n * ratio + 0.5)
        first = jax.random.randint(k, (), 0, n + 1 - size % 2) - size // 2
        inside.append((jnp.arange(n) >= first) & (jnp.arange(n) < first + size))
    return jnp.where((inside[0][:, None] & inside[1])[:, :, None], 0.0, x)


POLICIES = {"color": _color, "translation": _translation, "cutout": _cutout}


def check_images(x: jax.Array, name: str) -> None:
    """Raises UserError unless x is a batch of images."""
    if x.ndim != 4:
        raise UserError(f"{name} takes images [b, h, w, c], got an array of shape {list(x.shape)}")
