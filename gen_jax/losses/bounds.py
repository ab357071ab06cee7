"""Lower bounds of log p(x) that a VAE is trained on, and the estimate of log p(x) itself.

With log weights w_s = log p(x|z_s) + log p(z_s) - log q(z_s|x) of draws z_s from q(z|x):

ELBO     E mean_s w_s                          = E log p(x|z) - KL(q(z|x) || p)
IWAE     E log mean_s exp(w_s) <= log p(x)     tighter with every draw; Burda et al. 2015 (arXiv:1509.00519, eq. 8)

A bound is called with the Latents of a batch (divergence.py), the log likelihood (z [s, b, d] -> [s, b]) and what is
paid for the latents, [b] or []; it gives an `Objective`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from gen_jax.errors import UserError
from gen_jax.losses.divergence import Latents
from gen_jax.random import fold
from gen_jax.types import Metrics

LogLikelihood = Callable[[jax.Array], jax.Array]
"""z [s, b, d] -> log p(x|z) [s, b]."""


class Objective(NamedTuple):
    """loss: [b], what is minimized. log_likelihood: [s, b]. log_prob: [b], the bound of log p(x) that the loss has."""

    loss: jax.Array
    log_likelihood: jax.Array
    log_prob: jax.Array
    metrics: Metrics


class Bound(Protocol):
    """samples: draws of z per example. weighs_divergence: whether the divergence is a term of its own in it, which beta
    can weigh and a regularizer replace."""

    @property
    def samples(self) -> int: ...

    @property
    def weighs_divergence(self) -> bool: ...

    def __call__(self, latents: Latents, log_likelihood: LogLikelihood, paid: jax.Array) -> Objective: ...


@dataclasses.dataclass(frozen=True)
class Elbo:
    """The evidence lower bound, Kingma & Welling 2013 (arXiv:1312.6114, eq. 7), with the mean over `samples` draws.

    Raises:
      UserError: samples < 1.
    """

    samples: int = 1
    weighs_divergence: ClassVar[bool] = True

    def __post_init__(self):
        _check_samples(self)

    def __call__(self, latents: Latents, log_likelihood: LogLikelihood, paid: jax.Array) -> Objective:
        log_p = log_likelihood(latents.z)
        return Objective(paid - log_p.mean(0), log_p, log_p.mean(0) - latents.kl, {})


@dataclasses.dataclass(frozen=True)
class ImportanceWeighted:
    """The importance-weighted bound of `samples` draws, Burda et al. 2015 (arXiv:1509.00519, eq. 8), with its gradient;
    memory grows with `samples`.

    doubly: the encoder's gradient is the doubly reparameterized one, which does not drown in noise as draws get more:
    Tucker et al. 2018 (arXiv:1810.04152, sec. 4). It costs a second pass through the decoder, forwards.

    Raises:
      UserError: samples < 1.
    """

    samples: int = 50
    doubly: bool = False
    weighs_divergence: ClassVar[bool] = False

    def __post_init__(self):
        _check_samples(self)

    def __call__(self, latents: Latents, log_likelihood: LogLikelihood, paid: jax.Array) -> Objective:
        if not self.doubly:
            log_p = log_likelihood(latents.z)
            bound = log_mean(log_p + latents.log_prior - latents.log_posterior)
            return Objective(-bound, log_p, bound, {"iw_bound": bound.mean()})
        frozen = jax.lax.stop_gradient
        log_p = log_likelihood(frozen(latents.z))
        log_weight = frozen(log_p + latents.log_prior - latents.log_posterior)
        share, bound = jax.nn.softmax(log_weight, axis=0), log_mean(log_weight)  # [s, b], [b]
        # The value of z, with share times its gradient: with the sum's own share that makes the square of the paper.
        pulled = share[..., None] * latents.z
        z = frozen(latents.z) + (pulled - frozen(pulled))
        path = dataclasses.replace(latents, mean=frozen(latents.mean), log_var=frozen(latents.log_var), z=z)
        of_draw = log_likelihood(z) + path.log_prior - path.log_posterior
        surrogate = (share * of_draw).sum(0)
        return Objective(frozen(surrogate - bound) - surrogate, log_p, bound, {"iw_bound": bound.mean()})


def log_mean(log_weight: jax.Array) -> jax.Array:
    """log mean_s exp(log_weight_s) [b] of log_weight [s, b]."""
    return logsumexp(log_weight, axis=0) - math.log(len(log_weight))


def evidence(
    log_weight: Callable[[jax.Array], jax.Array], keys: jax.Array, samples: int, chunk: int
) -> tuple[jax.Array, jax.Array]:
    """(ELBO, IWAE's bound) [b], estimated from `samples` draws, of which `chunk` are made at a time: memory does not
    grow with `samples`, and draw i of example j depends on (keys[j], i) alone.

    log_weight: keys [b] -> log p(x, z) - log q(z|x) [b] of one draw of z per example.

    Raises:
      UserError: samples or chunk < 1.
    """
    if samples < 1 or chunk < 1:
        raise UserError(f"samples={samples}, chunk={chunk}: log p(x) is estimated from at least 1 draw")
    chunk = min(chunk, samples)

    def add(carry, first):
        log_total, total = carry
        index = first + jnp.arange(chunk)
        new = jax.vmap(lambda i: log_weight(fold(keys, i)))(index)  # [chunk, b]
        counted = (index < samples)[:, None]
        log_new = logsumexp(jnp.where(counted, new, -jnp.inf), axis=0)
        return (jnp.logaddexp(log_total, log_new), total + jnp.where(counted, new, 0).sum(0)), None

    start = jnp.full(len(keys), -jnp.inf), jnp.zeros(len(keys))
    (log_total, total), _ = jax.lax.scan(add, start, jnp.arange(0, samples, chunk))
    return total / samples, log_total - math.log(samples)


def _check_samples(bound: Bound) -> None:
    if bound.samples < 1:
        raise UserError(f"{type(bound).__name__} samples={bound.samples}: at least 1 draw of z per example")
