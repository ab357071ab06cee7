"""The reverse Markov chain as a latent variable model: its posterior, and the terms of its variational bound.

For s < t, q(x_s | x_t, x0) is normal. With alpha_ts = alpha_t / alpha_s and var_ts = sigma_t^2 - alpha_ts^2 sigma_s^2,
the variance of the forward step, its mean is  alpha_ts sigma_s^2 / sigma_t^2 x_t + alpha_s var_ts / sigma_t^2 x0  and
its variance  var_ts sigma_s^2 / sigma_t^2  (Kingma et al. 2021, arXiv:2107.00630, app. A; Ho et al. 2020, eq. 7).
"""

import math

import jax
import jax.numpy as jnp

from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.schedule import Schedule, expand
from gen_jax.random import normal


def posterior_mean(schedule: Schedule, t: jax.Array, s: jax.Array, x: jax.Array, x0: jax.Array) -> jax.Array:
    """The mean of q(x_s | x_t = x, x0), for t, s [b] and x, x0 [b, ...]."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    alpha_ts = alpha_t / alpha_s
    of_x = alpha_ts * jnp.square(sigma_s / sigma_t)
    of_x0 = alpha_s * (1 - jnp.square(alpha_ts * sigma_s / sigma_t))
    return expand(of_x, x) * x + expand(of_x0, x) * x0


def draw_posterior(
    keys: jax.Array, schedule: Schedule, t: jax.Array, s: jax.Array, x: jax.Array, x0: jax.Array
) -> jax.Array:
    """x_s drawn from q(x_s | x_t = x, x0) by keys [b]; x0 itself, scaled, where s has no noise."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    kept = jnp.square(alpha_t * sigma_s / (alpha_s * sigma_t))
    std = sigma_s * jnp.sqrt(jnp.maximum(1 - kept, 0.0))
    return posterior_mean(schedule, t, s, x, x0) + expand(std, x) * normal(keys, x.shape[1:])


def draw_forward(keys: jax.Array, schedule: Schedule, s: jax.Array, t: jax.Array, x: jax.Array) -> jax.Array:
    """x_t drawn from q(x_t | x_s = x) for later times t [b] than s [b], by keys [b]; s = 0 stands for data."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    alpha_ts = alpha_t / alpha_s
    std = jnp.sqrt(jnp.maximum(jnp.square(sigma_t) - jnp.square(alpha_ts * sigma_s), 0.0))
    return expand(alpha_ts, x) * x + expand(std, x) * normal(keys, x.shape[1:])


def log_variances(schedule: Schedule, t: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(log of the posterior's variance, log of the forward step's), the lower and the upper bound of what a reverse
    step from t to s can need, each [b]. Where s has no noise the first is that of a step from t + (t - s) to t, as in
    Nichol & Dhariwal 2021 (arXiv:2102.09672)."""

    def both(t, s):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        forward = jnp.square(sigma_t) - jnp.square(alpha_t / alpha_s * sigma_s)
        return forward * jnp.square(sigma_s / sigma_t), forward

    (small, large), (next_small, _) = both(t, s), both(2 * t - s, t)
    return jnp.log(jnp.where(small > 0, small, next_small)), jnp.log(large)


def bound_term(
    schedule: Schedule, t: jax.Array, s: jax.Array, x0: jax.Array, x: jax.Array, prediction: Prediction
) -> jax.Array:
    """The bound's term for the step from t to s, in bits per value [b], Nichol & Dhariwal 2021, sec. 3.1: the
    divergence from the posterior to the model's step, and at the step to s = 0 the code length of x0 in 256 levels.

    prediction.variance (in [0, 1]) sets the model's log variance between the two of `log_variances` (eq. 15)."""
    low, high = (expand(v, x) for v in log_variances(schedule, t, s))
    assert prediction.variance is not None
    log_var = low + (high - low) * prediction.variance
    mean = posterior_mean(schedule, t, s, x, prediction.x0)
    divergence = normal_kl(posterior_mean(schedule, t, s, x, x0), low, mean, log_var)
    nats = jnp.where(expand(s, x) > 0, divergence, -log_levels(x0, mean, log_var))
    return nats.reshape(x.shape[0], -1).mean(1) / math.log(2)


def normal_kl(mean_a, log_var_a, mean_b, log_var_b) -> jax.Array:
    """KL(N(mean_a, exp(log_var_a)) || N(mean_b, exp(log_var_b))) in nats, value by value."""
    ratio = jnp.exp(log_var_a - log_var_b) + jnp.square(mean_a - mean_b) * jnp.exp(-log_var_b)
    return 0.5 * (ratio - 1 + log_var_b - log_var_a)


def log_levels(x: jax.Array, mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """log of the mass that N(mean, exp(log_var)) has on x's level, of 256 in [-1, 1], value by value; the outermost
    levels take what lies beyond them. Ho et al. 2020 (arXiv:2006.11239, eq. 13)."""
    scale = jnp.exp(-0.5 * log_var)
    above, below = ((x - mean + half) * scale for half in (1 / 255, -1 / 255))
    log_above, log_below = jax.scipy.stats.norm.logcdf(above), jax.scipy.stats.norm.logcdf(below)
    # log(cdf(above) - cdf(below)), from the side where both are small
    flip = above + below > 0
    high = jnp.where(flip, jax.scipy.stats.norm.logcdf(-below), log_above)
    low = jnp.where(flip, jax.scipy.stats.norm.logcdf(-above), log_below)
    inside = high + jnp.log(-jnp.expm1(jnp.minimum(low - high, -1e-7)))
    tail = jax.scipy.stats.norm.logcdf(-below)
    return jnp.where(x < -0.999, log_above, jnp.where(x > 0.999, tail, inside))
