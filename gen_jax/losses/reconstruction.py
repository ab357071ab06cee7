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
from jax.nn import log_sigmoid, log_softmax, sigmoid, softplus
from jax.scipy.special import logsumexp

from gen_jax.errors import UserError


class Likelihood(Protocol):
    """What a decoder's output says of x."""

    @property
    def channels(self) -> int: ...

    @property
    def discrete(self) -> bool: ...

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
        log_p = _log_level(x, mean, jnp.maximum(log_scale, self.min_log_scale), self.levels)
        return _sum(log_p)

    def mean(self, out):
        return jnp.clip(jnp.split(out, 2, axis=-1)[0], -1, 1)


@dataclasses.dataclass(frozen=True)
class DiscretizedLogisticMixture:
    """A mixture of `components` discretized logistics for all values of a pixel together, Salimans et al. 2017
    (arXiv:1701.05517, sec. 2.1 and 2.2): within a component the mean of channel j moves with the values of the channels
    before it, by a factor in (-1, 1) for each pair of them. Gives bits/dim.

    x: [b, ..., c] with c 1 or 3. The decoder gives 4 numbers per value and component: mean, log scale, one of a
    pixel's three factors (with one channel there are none, and it is not read), and a share of the component's logit,
    which is the sum over the pixel's values. The paper's logit is one number, and the law is the same.

    Raises:
      UserError: components < 1; while tracing, c not 1 or 3.
    """

    components: int = 10
    levels: int = 256
    min_log_scale: float = -7.0
    discrete: ClassVar[bool] = True

    def __post_init__(self):
        if self.components < 1:
            raise UserError(f"DiscretizedLogisticMixture components={self.components}: at least 1")

    @property
    def channels(self) -> int:
        return 4 * self.components

    def log_prob(self, x, out):
        log_share, mean, log_scale, factors = self._read(out)
        mean = _coupled(mean, factors, x[..., None])
        log_p = _log_level(x[..., None], mean, log_scale, self.levels).sum(-2)  # [b, ..., k]
        return _sum(logsumexp(log_share + log_p, axis=-1))

    def mean(self, out):
        """The mixture's mean, as if the components' tails were not cut off at the outermost levels."""
        log_share, own, _, factors = self._read(out)
        mean = own
        for _ in range(own.shape[-2] - 1):  # a channel more in each pass has the means of all before it
            mean = _coupled(own, factors, mean)
        return jnp.clip((jnp.exp(log_share)[..., None, :] * mean).sum(-1), -1, 1)

    def _read(self, out):
        """log of the components' shares [b, ..., k]; means and log scales [b, ..., c, k]; factors [b, ..., 3, k], or
        None for one channel."""
        k = self.components
        c = out.shape[-1] // (4 * k)
        if c not in (1, 3):
            raise UserError(f"DiscretizedLogisticMixture is for images of 1 or 3 channels, these have {c}")
        mean, log_scale, factors, logits = jnp.split(out.reshape(*out.shape[:-1], c, 4 * k), 4, axis=-1)
        log_share = log_softmax(logits.sum(-2), axis=-1)
        factors = jnp.tanh(factors) if c == 3 else None
        return log_share, mean, jnp.maximum(log_scale, self.min_log_scale), factors


def _coupled(mean: jax.Array, factors: jax.Array | None, x: jax.Array) -> jax.Array:
    """The means [b, ..., c, k] given the channels before, x [b, ..., c, k or 1], arXiv:1701.05517, eq. 3."""
    if factors is None:
        return mean
    red, green = x[..., 0, :], x[..., 1, :]
    moved = (
        mean[..., 0, :],
        mean[..., 1, :] + factors[..., 0, :] * red,
        mean[..., 2, :] + factors[..., 1, :] * red + factors[..., 2, :] * green,
    )
    return jnp.stack(moved, axis=-2)


def _log_level(x: jax.Array, mean: jax.Array, log_scale: jax.Array, levels: int) -> jax.Array:
    """log of the mass that a logistic has on x's level, of `levels` in [-1, 1], value by value; the outermost levels
    take the tails."""
    inv_scale = jnp.exp(-log_scale)
    half = 1 / (levels - 1)
    upper, lower = ((x + d - mean) * inv_scale for d in (half, -half))
    # log(sigmoid(u) - sigmoid(l)) = -l - softplus(-u) - softplus(-l) + log(1 - exp(l - u)): no difference of
    # two numbers near 1, so it stays finite far from the mean.
    inside = -lower - softplus(-upper) - softplus(-lower) + jnp.log(-jnp.expm1(lower - upper))
    return jnp.where(x <= -1 + half, log_sigmoid(upper), jnp.where(x >= 1 - half, log_sigmoid(-lower), inside))
