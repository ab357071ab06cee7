"""Likelihoods p(x | decoder output), for x in [-1, 1]. Each is a frozen dataclass with

channels: how many numbers the decoder gives per value of x
discrete: whether log_prob is that of one of 256 levels, so that it can be given in bits/dim
log_prob(x [b, ...], out [b, ..., c * channels]) -> [b], nats per example
mean(out) -> x's shape, in [-1, 1]: the picture to show
"""

import dataclasses
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid, softplus


class Likelihood(Protocol):
    """What a decoder's output says of x."""

    channels: ClassVar[int]
    discrete: ClassVar[bool]

    def log_prob(self, x: jax.Array, out: jax.Array) -> jax.Array: ...

    def mean(self, out: jax.Array) -> jax.Array: ...


def _sum(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1).sum(1)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Density of a normal with the decoder's mean and a fixed standard deviation `std`, in units of x's [-1, 1]."""

    std: float = 0.1
    channels: ClassVar[int] = 1
    discrete: ClassVar[bool] = False

    def log_prob(self, x, out):
        return _sum(-0.5 * jnp.square((x - out) / self.std) - 0.5 * jnp.log(2 * jnp.pi * self.std**2))

    def mean(self, out):
        return jnp.clip(out, -1, 1)


@dataclasses.dataclass(frozen=True)
class Laplace:
    """Density of a Laplace law with the decoder's mean and a fixed scale, in units of x's [-1, 1]: at 1 the absolute
    difference, and log 2 for each value."""

    scale: float = 1.0
    channels: ClassVar[int] = 1
    discrete: ClassVar[bool] = False

    def log_prob(self, x, out):
        return _sum(-jnp.abs(x - out) / self.scale - jnp.log(2 * self.scale))

    def mean(self, out):
        return jnp.clip(out, -1, 1)


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Independent bits with the decoder's logits; x's [-1, 1] is read as a probability in [0, 1].

    A probability for binary images. On grey ones it is the usual cross-entropy (Kingma & Welling 2013,
    arXiv:1312.6114, app. C.1), which is no likelihood: do not compare its figure with others'."""

    channels: ClassVar[int] = 1
    discrete: ClassVar[bool] = False

    def log_prob(self, x, out):
        p = (x + 1) / 2
        return _sum(p * log_sigmoid(out) + (1 - p) * log_sigmoid(-out))

    def mean(self, out):
        return 2 * sigmoid(out) - 1


@dataclasses.dataclass(frozen=True)
class DiscretizedLogistic:
    """Probability of the nearest of 256 levels under a logistic with the decoder's mean and log scale, Salimans et
    al. 2017 (arXiv:1701.05517, sec. 2.1, one component); the outermost levels take the tails. Gives bits/dim."""

    levels: int = 256
    min_log_scale: float = -7.0
    channels: ClassVar[int] = 2
    discrete: ClassVar[bool] = True

    def log_prob(self, x, out):
        mean, log_scale = jnp.split(out, 2, axis=-1)
        inv_scale = jnp.exp(-jnp.maximum(log_scale, self.min_log_scale))
        half = 1 / (self.levels - 1)
        upper, lower = ((x + d - mean) * inv_scale for d in (half, -half))
        # log(sigmoid(u) - sigmoid(l)) = -l - softplus(-u) - softplus(-l) + log(1 - exp(l - u)): no difference of
        # two numbers near 1, so it stays finite far from the mean.
        inside = -lower - softplus(-upper) - softplus(-lower) + jnp.log(-jnp.expm1(lower - upper))
        log_p = jnp.where(x <= -1 + half, log_sigmoid(upper), jnp.where(x >= 1 - half, log_sigmoid(-lower), inside))
        return _sum(log_p)

    def mean(self, out):
        return jnp.clip(jnp.split(out, 2, axis=-1)[0], -1, 1)
