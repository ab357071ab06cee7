"""What a VAE pays for what its latents say of x: the divergence of q(z|x) from p(z), or what is put in its place.

Each is a function, or a frozen dataclass that is called, of the `Latents` of a batch -> (nats [b] or [], metrics). The
loss is beta times it, less the log likelihood.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from gen_jax.errors import UserError, unknown
from gen_jax.losses.annealing import Schedule, value_at
from gen_jax.nn.priors import Mixture, normal_log_prob
from gen_jax.types import Metrics


@dataclasses.dataclass(frozen=True)
class Latents:
    """q(z|x) = N(mean, exp(log_var)) [b, d] of a batch, draws z [s, b, d] of it, the prior, and the step [] of the
    training. The batch is the whole one, of all devices."""

    mean: jax.Array
    log_var: jax.Array
    z: jax.Array
    prior: Mixture
    step: jax.Array

    @property
    def log_posterior(self) -> jax.Array:
        """log q(z|x) [s, b]."""
        return normal_log_prob(self.z, self.mean, self.log_var).sum(-1)

    @property
    def log_prior(self) -> jax.Array:
        """log p(z) [s, b]."""
        return self.prior.log_prob(self.z)

    @property
    def kl(self) -> jax.Array:
        """KL(q(z|x) || p) [b]: in closed form where the prior is one normal, else its estimate from the draws."""
        if self.prior.mean.shape[1] == 1:
            return self.prior.divergence(self.mean, self.log_var).sum(-1)
        return (self.log_posterior - self.log_prior).mean(0)


Divergence = Callable[[Latents], tuple[jax.Array, Metrics]]


def kl(latents: Latents) -> tuple[jax.Array, Metrics]:
    """The divergence itself [b], Kingma & Welling 2013 (arXiv:1312.6114, eq. 3); weighted by beta, beta-VAE (Higgins et
    al. 2017, openreview.net/forum?id=Sy2fzU9gl, eq. 4)."""
    return latents.kl, {}


@dataclasses.dataclass(frozen=True)
class FreeBits:
    """sum_j max(nats, E KL_j) [] over the dimensions j, E the mean over the batch: a dimension may say so much of x for
    nothing, Kingma et al. 2016 (arXiv:1606.04934, app. C.8), with groups of one dimension.

    Raises:
      UserError: nats < 0.
    """

    nats: float = 0.5
    closed: ClassVar[bool] = True  # it needs the divergence by dimension

    def __post_init__(self):
        if self.nats < 0:
            raise UserError(f"FreeBits nats={self.nats}: a dimension's free nats cannot be below 0")

    def __call__(self, latents: Latents) -> tuple[jax.Array, Metrics]:
        return free_bits(latents.prior.divergence(latents.mean, latents.log_var), self.nats), {}


@dataclasses.dataclass(frozen=True)
class Capacity:
    """|E KL - C(step)| [], E the mean over the batch: the latents are held to a capacity of C nats, which is let rise,
    Burgess et al. 2018 (arXiv:1804.03599, sec. 5). The paper's gamma is the family's beta.

    nats: C, a number or a schedule, such as losses.linear from 0 to 25.

    Raises:
      UserError: nats < 0.
    """

    nats: float | Schedule

    def __post_init__(self):
        if not callable(self.nats) and self.nats < 0:
            raise UserError(f"Capacity nats={self.nats}: a capacity cannot be below 0")
        if callable(self.nats):
            jax.eval_shape(self.nats, jnp.int32(0))  # a schedule may refuse its own numbers

    def __call__(self, latents: Latents) -> tuple[jax.Array, Metrics]:
        capacity = value_at(self.nats, latents.step)
        return jnp.abs(latents.kl.mean() - capacity), {"capacity": capacity}


@dataclasses.dataclass(frozen=True)
class TotalCorrelation:
    """The divergence in three parts, each with its own weight [b], Chen et al. 2018 (arXiv:1802.04942, eq. 2):

    log q(z|x) - log q(z)              mutual information of x and z, alpha in the paper
    log q(z) - sum_j log q(z_j)        total correlation of the dimensions, beta
    sum_j log q(z_j) - log p(z)        divergence by dimension, gamma

    q(z) is the mean of q(z|x) over the `examples` of the training data, estimated from the batch. sampling:
    "stratified", unbiased: z's own example with weight 1/n, and the b - 1 others with (n - 1) / (n (b - 1)), which is
    the mean of the paper's weights (app. C.2) over the order of the batch, on which they depend; or "weighted" (sec.
    3.1), all with 1 / (n b). Their memory grows with b^2 d.

    Raises:
      UserError: examples < 1, an unknown sampling, or, while tracing, a batch of one example or of more than there are.
    """

    examples: int
    total_correlation: float = 6.0
    mutual_information: float = 1.0
    by_dimension: float = 1.0
    sampling: str = "stratified"

    def __post_init__(self):
        if self.examples < 1:
            raise UserError(f"TotalCorrelation examples={self.examples}: how many the training data are, at least 1")
        if self.sampling not in ("stratified", "weighted"):
            raise unknown("TotalCorrelation sampling", self.sampling, ("stratified", "weighted"))

    def __call__(self, latents: Latents) -> tuple[jax.Array, Metrics]:
        parts = self.parts(latents)
        weights = jnp.array([self.mutual_information, self.total_correlation, self.by_dimension])
        names = ("mutual_information", "total_correlation", "kl_by_dimension")
        metrics = {name: part.mean() for name, part in zip(names, parts, strict=True)}
        return weights @ jnp.stack(parts), metrics

    def parts(self, latents: Latents) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The three parts [b], unweighted, whose sum is log q(z|x) - log p(z); means over the draws."""
        log_weight = self._log_weights(len(latents.mean))

        def marginals(z: jax.Array) -> tuple[jax.Array, jax.Array]:
            log_q = normal_log_prob(z[:, None], latents.mean, latents.log_var)  # [b, b, d]: z_i under q(z|x_j)
            joint = logsumexp(log_weight + log_q.sum(-1), axis=1)
            return joint, logsumexp(log_weight[..., None] + log_q, axis=1).sum(-1)

        joint, product = jax.vmap(marginals)(latents.z)  # [s, b] each
        parts = latents.log_posterior - joint, joint - product, product - latents.log_prior
        return parts[0].mean(0), parts[1].mean(0), parts[2].mean(0)

    def _log_weights(self, b: int) -> jax.Array:
        """log of the weight [b, b] that example j has in the estimate of q(z_i)."""
        n = self.examples
        if not 1 < b <= n:
            raise UserError(
                f"TotalCorrelation examples={n}: a batch of {b} gives no estimate; it has 2 to {n} examples"
            )
        if self.sampling == "weighted":
            return jnp.full((b, b), -math.log(n * b))
        return jnp.log(jnp.where(jnp.eye(b, dtype=bool), 1 / n, (n - 1) / (n * (b - 1))))


def free_bits(divergence: jax.Array, nats: float) -> jax.Array:
    """sum_j max(nats, E kl_j) [] of kl = divergence [b, n], E the mean over the batch (arXiv:1606.04934, app. C.8)."""
    return jnp.maximum(divergence.mean(0), nats).sum()
