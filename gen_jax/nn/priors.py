"""Priors p(z) of VAEs: modules prior(latent, encode, cond) -> Mixture, whose parameters belong to the model.

latent: the width d of z. encode: pseudo-inputs [k, ...] -> (mean, log_var) [k, d], the posterior of inputs that have no
label. cond: what the examples are conditioned on. What is returned is asked for `log_prob` and `draw`, and, where it
is one normal, for `divergence`; `closed` says beforehand whether it is.
"""

import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from gen_jax.errors import UserError
from gen_jax.random import fold, normal
from gen_jax.types import Cond

Encode = Callable[[jax.Array], tuple[jax.Array, jax.Array]]
"""x [k, ...] -> mean and log variance [k, d]."""


class Mixture(NamedTuple):
    """sum_k exp(log_weight_k) N(mean_k, diag exp(log_var_k)): log_weight [b, k], mean and log_var [b, k, d], where b
    may be 1 for a law that is the same for all examples."""

    log_weight: jax.Array
    mean: jax.Array
    log_var: jax.Array

    def log_prob(self, z: jax.Array) -> jax.Array:
        """log p(z) [..., b] of z [..., b, d], in nats."""
        by_part = normal_log_prob(z[..., None, :], self.mean, self.log_var).sum(-1)  # [..., b, k]
        return logsumexp(self.log_weight + by_part, axis=-1)

    def draw(self, keys: jax.Array) -> jax.Array:
        """One z [n, d] per key [n]; n is b where b is not 1."""
        n, (_, k, d) = len(keys), self.mean.shape
        mean, log_var, log_weight = (jnp.broadcast_to(a, (n, *a.shape[1:])) for a in (self.mean, self.log_var, self[0]))
        if k > 1:
            chosen = jax.vmap(jax.random.categorical)(fold(keys, 1), log_weight)[:, None, None]  # [n, 1, 1]
            mean, log_var = (jnp.take_along_axis(a, chosen, axis=1) for a in (mean, log_var))
        return mean[:, 0] + jnp.exp(log_var[:, 0] / 2) * normal(keys, (d,))

    def divergence(self, mean: jax.Array, log_var: jax.Array) -> jax.Array:
        """KL(N(mean, exp(log_var)) || p) by dimension [b, d], in closed form, which one normal alone has."""
        if self.mean.shape[1] != 1:
            raise UserError(f"a prior of {self.mean.shape[1]} normals has no divergence by dimension")
        prior_mean, prior_log_var = self.mean[:, 0], self.log_var[:, 0]
        ratio = jnp.exp(log_var - prior_log_var) + jnp.square(mean - prior_mean) * jnp.exp(-prior_log_var)
        return 0.5 * (ratio - 1 - log_var + prior_log_var)


class StandardNormal(nn.Module):
    """N(0, 1) in every dimension, Kingma & Welling 2013 (arXiv:1312.6114); without parameters."""

    closed: ClassVar[bool] = True

    def __call__(self, latent: int, encode: Encode, cond: Cond) -> Mixture:
        zeros = jnp.zeros((1, 1, latent))
        return Mixture(jnp.zeros((1, 1)), zeros, zeros)


class ClassNormal(nn.Module):
    """A normal law for each class, p(z|y), learned: the prior of conditional VAEs, Sohn et al. 2015 (Learning
    Structured Output Representation using Deep Conditional Generative Models, eq. 4), whose network is a table here.

    It starts as the standard normal. num_classes is filled from the data; the null label -1 has a row of its own.
    Raises UserError where the examples have no label.
    """

    num_classes: int
    closed: ClassVar[bool] = True

    @nn.compact
    def __call__(self, latent: int, encode: Encode, cond: Cond) -> Mixture:
        if "label" not in cond:
            raise UserError("family.prior=ClassNormal reads a label: set family.conditioning.num_classes")
        rows = (self.num_classes + 1, latent)
        row = jnp.maximum(cond["label"], -1) + 1
        mean = jnp.take(self.param("mean", nn.initializers.zeros, rows), row, axis=0)
        log_var = jnp.take(self.param("log_var", nn.initializers.zeros, rows), row, axis=0)
        return Mixture(jnp.zeros((1, 1)), mean[:, None], log_var[:, None])


class MixtureOfNormals(nn.Module):
    """`components` normals with learned means, variances and weights, as in Dilokthanakul et al. 2016
    (arXiv:1611.02648) and Tomczak & Welling 2017 (arXiv:1705.07120, there MoG). The means start at normal draws of
    standard deviation `spread`. Raises UserError for components < 1."""

    components: int = 10
    spread: float = 1.0
    closed: ClassVar[bool] = False

    @nn.compact
    def __call__(self, latent: int, encode: Encode, cond: Cond) -> Mixture:
        _check_components(self)
        shape = (self.components, latent)
        logits = self.param("logits", nn.initializers.zeros, (self.components,))
        mean = self.param("mean", nn.initializers.normal(self.spread), shape)
        log_var = self.param("log_var", nn.initializers.zeros, shape)
        return Mixture(jax.nn.log_softmax(logits)[None], mean[None], log_var[None])


class VampPrior(nn.Module):
    """The mean of the posteriors of `components` pseudo-inputs, which are learned, Tomczak & Welling 2017
    (arXiv:1705.07120, eq. 9).

    shape: one example's; filled from the data. mean, std: of the normal draws that the pseudo-inputs start from, in
    units of x's [-1, 1]; the paper's for MNIST. They are clipped to [-1, 1], by the paper's hard tanh. Where the
    encoder is conditional, pseudo-inputs have the null label. Raises UserError for components < 1.
    """

    shape: tuple[int, ...]
    components: int = 500
    mean: float = -0.9
    std: float = 0.02
    closed: ClassVar[bool] = False

    @nn.compact
    def __call__(self, latent: int, encode: Encode, cond: Cond) -> Mixture:
        _check_components(self)

        def start(key: jax.Array) -> jax.Array:
            return self.mean + self.std * jax.random.normal(key, (self.components, *self.shape))

        mean, log_var = encode(jnp.clip(self.param("inputs", start), -1, 1))
        return Mixture(jnp.full((1, self.components), -math.log(self.components)), mean[None], log_var[None])


def kl_to_standard_normal(mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """KL(N(mean, exp(log_var)) || N(0, 1)) of each number in nats, [b, ...]; Kingma & Welling 2013 (arXiv:1312.6114,
    app. B)."""
    return 0.5 * (jnp.exp(log_var) + jnp.square(mean) - 1 - log_var)


def normal_log_prob(z: jax.Array, mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """log N(z; mean, exp(log_var)) in nats, value by value."""
    return -0.5 * (jnp.square(z - mean) * jnp.exp(-log_var) + log_var + math.log(2 * math.pi))


def _check_components(prior: MixtureOfNormals | VampPrior) -> None:
    if prior.components < 1:
        raise UserError(f"{type(prior).__name__} components={prior.components}: at least 1")
