"""Penalties that keep an adversarial game well behaved, each a function (game) -> [b] or [] of what it adds to a loss.

A `Game` is what a step has at hand. In a config a penalty stands with its weight, and with how often it is paid:

    disc_penalties=dict(r1=dict(name="losses.Penalty", of=dict(name="losses.r1"), weight=10.0, every=16))

Gradients are taken per example: a critic whose batch norm mixes examples has no gradient of its own for each (Gulrajani
et al. 2017, section 4), and group-wise statistics enter as constants of the others.

One that carries something from step to step is a frozen dataclass with init() -> memory and (game, memory) -> (value,
memory). Clipped weights are no penalty but a projection of the optimizer (training/optim.py), and spectral
normalization is one of the parameters (nn/spectral.py).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.random import fold, normal
from gen_jax.types import PyTree

Augment = Callable[[jax.Array, jax.Array], jax.Array]
"""(keys [b], x [b, ...]) -> x."""


@dataclasses.dataclass(frozen=True)
class Game:
    """One step of the game, as a penalty sees it.

    critic: x [b, ...] -> logits [b], with the batch's conditions; real, fake: what it was shown, [b, ...], augmented if
    the family augments; real_logit, fake_logit: [b], what it said. decode: latents [b, ...] -> x, and latent: those
    that `fake` was made of (w of a style-based generator, else z). params: of the player that pays. keys: [b].
    """

    critic: Callable[[jax.Array], jax.Array]
    real: jax.Array
    fake: jax.Array
    real_logit: jax.Array
    fake_logit: jax.Array
    decode: Callable[[jax.Array], jax.Array]
    latent: jax.Array
    params: PyTree
    keys: jax.Array


@dataclasses.dataclass(frozen=True)
class Penalty:
    """`weight` times a penalty, in every `every`-th step; it then counts `every` times, so that the mean is the same
    (lazy regularization, Karras et al. 2020, arXiv:1912.04958, appendix B).

    Raises:
      UserError: every < 1.
    """

    of: Callable[..., Any]
    weight: float = 1.0
    every: int = 1

    def __post_init__(self):
        if self.every < 1:
            raise UserError(f"Penalty every={self.every}: it is paid every 1, 2, 3, ... steps")

    def init(self) -> PyTree:
        """What the penalty carries, before the first step."""
        return self.of.init() if hasattr(self.of, "init") else ()

    def __call__(self, game: Game, memory: PyTree, step: jax.Array) -> tuple[jax.Array, jax.Array, PyTree]:
        """What is added to the loss in this step [], the penalty's own mean (NaN where it was not computed), memory."""

        def pay(memory):
            found = self.of(game, memory) if hasattr(self.of, "init") else (self.of(game), memory)
            value = found[0].astype(jnp.float32).mean()
            return self.weight * self.every * value, jax.lax.stop_gradient(value), jax.lax.stop_gradient(found[1])

        if self.every == 1:
            return pay(memory)
        return jax.lax.cond(
            step % self.every == 0, pay, lambda memory: (jnp.float32(0), jnp.float32(jnp.nan), memory), memory
        )


def r1(game: Game) -> jax.Array:
    """|grad D(x)|^2 / 2 at real x [b], Mescheder et al. 2018 (arXiv:1801.04406, eq. 9): with weight gamma."""
    return squared_slopes(game.critic, game.real) / 2


def r2(game: Game) -> jax.Array:
    """|grad D(x)|^2 / 2 at generated x [b], Mescheder et al. 2018 (arXiv:1801.04406, eq. 10): with weight gamma."""
    return squared_slopes(game.critic, game.fake) / 2


def gradient_penalty(game: Game, target: float = 1.0, one_sided: bool = False) -> jax.Array:
    """(|grad D(x)| - target)^2 at random points x between real and generated examples [b], Gulrajani et al. 2017
    (arXiv:1704.00028, eq. 3), with weight 10 there.

    one_sided: only slopes above the target are penalized (same, section 4; Petzka et al. 2018, arXiv:1709.08894, eq.
    8)."""
    share = jax.vmap(jax.random.uniform)(fold(game.keys, 0)).reshape((-1,) + (1,) * (game.real.ndim - 1))
    excess = slopes(game.critic, share * game.real + (1 - share) * game.fake) - target
    return jnp.square(jax.nn.relu(excess) if one_sided else excess)


def zero_centred(game: Game) -> jax.Array:
    """|grad D(x)|^2 at random points x between real and generated examples [b], Thanh-Tung et al. 2019
    (arXiv:1902.03984, eq. 8)."""
    return gradient_penalty(game, target=0.0)


def dragan(game: Game, target: float = 1.0, spread: float = 0.5) -> jax.Array:
    """(|grad D(x)| - target)^2 around real examples [b], Kodali et al. 2017 (arXiv:1705.07215, eq. 3 and algorithm 1).

    x = real + a * spread * std * u, with u uniform in [0, 1) for each value, std the standard deviation of the batch's
    values and a in [0, 1) one number per example, as in the authors' program."""
    std = game.real.std()
    shape = game.real.shape[1:]
    u = jax.vmap(lambda key: jax.random.uniform(key, (game.real[0].size,)))(fold(game.keys, 0)).reshape(-1, *shape)
    share = jax.vmap(jax.random.uniform)(fold(game.keys, 1)).reshape((-1,) + (1,) * len(shape))
    return jnp.square(slopes(game.critic, game.real + share * spread * std * u) - target)


def drift(game: Game) -> jax.Array:
    """D(x)^2 at real x [b], which keeps a Wasserstein critic's outputs near zero, Karras et al. 2018 (arXiv:1710.10196,
    appendix A.1), with weight 0.001 there."""
    return jnp.square(game.real_logit)


def consistency(game: Game, augment: Augment) -> jax.Array:
    """(D(x) - D(T(x)))^2 at real x [b], for a random augmentation T that keeps what the image is: CR, Zhang et al. 2020
    (arXiv:1910.12027, eq. 2)."""
    return jnp.square(game.real_logit - game.critic(augment(fold(game.keys, 0), game.real)))


def balanced_consistency(game: Game, augment: Augment, fake_weight: float = 1.0) -> jax.Array:
    """The same at real and at generated x [b]: bCR, Zhao et al. 2020 (arXiv:2002.04724, algorithm 1), its weights 10
    for both: `weight` and fake_weight times it."""
    fake = jnp.square(game.fake_logit - game.critic(augment(fold(game.keys, 1), game.fake)))
    return consistency(game, augment) + fake_weight * fake


@dataclasses.dataclass(frozen=True)
class LeCam:
    """(D(real) - a_fake)^2 + (D(fake) - a_real)^2 [b], with a the running mean of the logits of the other kind: Tseng
    et al. 2021 (arXiv:2104.03310, eq. 4). decay: of the running means."""

    decay: float = 0.99

    def init(self) -> dict[str, jax.Array]:
        """The running means, from zero."""
        return {"real": jnp.float32(0), "fake": jnp.float32(0)}

    def __call__(self, game: Game, memory: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The penalty against the means so far, and these with the step's logits in them."""
        value = jnp.square(game.real_logit - memory["fake"]) + jnp.square(game.fake_logit - memory["real"])
        logits = {"real": game.real_logit, "fake": game.fake_logit}
        return value, {k: self.decay * memory[k] + (1 - self.decay) * logits[k].mean() for k in memory}


@dataclasses.dataclass(frozen=True)
class PathLength:
    """(|J_w^T y| - a)^2 [b], for the generator: how far the image moves with w should not depend on w, Karras et al.
    2020 (arXiv:1912.04958, eq. 4), with weight 2 and every=4 there.

    y is normal noise over the root of the number of an image's pixels, per image: it knows of no batch and no devices.
    a is the running mean of the lengths, which moves by `rate` of the difference."""

    rate: float = 0.01

    def init(self) -> jax.Array:
        """The running mean of the lengths, from zero."""
        return jnp.float32(0)

    def __call__(self, game: Game, memory: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The penalty, and the running mean with this step's lengths in it."""
        lengths = path_lengths(game.decode, game.latent, game.keys)
        mean = memory + self.rate * (jax.lax.stop_gradient(lengths).mean() - memory)
        return jnp.square(lengths - mean), mean


def orthogonal(game: Game) -> jax.Array:
    """The sum over kernels W [in, out] of |W^T W (1 - I)|^2 []: filters may have any length but should differ, Brock et
    al. 2019 (arXiv:1809.11096, eq. 3), with weight 1e-4 there."""
    total = jnp.float32(0)
    for path, leaf in jax.tree_util.tree_leaves_with_path(game.params):
        if leaf.ndim > 1 and jax.tree_util.keystr(path[-1:], simple=True) in ("kernel", "weight"):
            gram = jnp.matmul(leaf.reshape(-1, leaf.shape[-1]).T, leaf.reshape(-1, leaf.shape[-1]))
            total += jnp.square(gram).sum() - jnp.square(jnp.diag(gram)).sum()
    return total


def squared_slopes(critic: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """|grad D(x)|^2 [b], summed over all values of an example."""
    grads = jax.grad(lambda x: critic(x).sum())(x)
    return jnp.square(grads.astype(jnp.float32)).reshape(x.shape[0], -1).sum(1)


def slopes(critic: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """|grad D(x)| [b]; its own gradient is finite where it is 0."""
    return safe_sqrt(squared_slopes(critic, x))


def path_lengths(decode: Callable[[jax.Array], jax.Array], latent: jax.Array, keys: jax.Array) -> jax.Array:
    """|J^T y| [b] of `decode` at latent [b, ..., d]: with several w (one a layer) the root mean square over them."""
    x, pull = jax.vjp(decode, latent)
    h, w = (*x.shape[1:], 1, 1)[:2]
    y = normal(keys, x.shape[1:]).astype(x.dtype) / (h * w) ** 0.5
    squares = jnp.square(pull(y)[0].astype(jnp.float32)).sum(-1)  # [b, ...]
    return safe_sqrt(squares.reshape(squares.shape[0], -1).mean(1))


def safe_sqrt(x: jax.Array) -> jax.Array:
    """sqrt(x), with derivative 0 instead of infinity at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)
