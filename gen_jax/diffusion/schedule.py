"""Noise schedules: t in [0, 1] -> (alpha, sigma), with x_t = alpha x0 + sigma eps. t = 0 is data, t = 1 is noise.

A schedule is a function of one argument; the classes here are such functions with their numbers as fields. What else
is known of a process (its velocity, its signal-to-noise ratio) follows from (alpha, sigma) and is computed here once.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

Schedule = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Cosine:
    """Variance preserving, alpha = cos(pi t / 2), sigma = sin(pi t / 2): the continuous form of the schedule of
    Nichol & Dhariwal 2021 (arXiv:2102.09672, eq. 17), as in Salimans & Ho 2022 (arXiv:2202.00512)."""

    def __call__(self, t):
        return jnp.cos(jnp.pi / 2 * t), jnp.sin(jnp.pi / 2 * t)


@dataclasses.dataclass(frozen=True)
class LinearBeta:
    """Variance preserving with beta(t) = beta_min + t (beta_max - beta_min), Song et al. 2021 (arXiv:2011.13456, eq.
    33). The defaults are DDPM's 1e-4 to 0.02 over 1000 steps (Ho et al. 2020) in continuous time."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __call__(self, t):
        log_alpha = -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min
        # expm1, since 1 - alpha^2 would lose all digits of sigma near t = 0
        return jnp.exp(log_alpha), jnp.sqrt(-jnp.expm1(2 * log_alpha))


@dataclasses.dataclass(frozen=True)
class RectifiedFlow:
    """The straight path alpha = 1 - t, sigma = t of Liu et al. 2022 (arXiv:2209.03003) and of the conditional optimal
    transport of Lipman et al. 2022 (arXiv:2210.02747), with time running from data to noise."""

    def __call__(self, t):
        return 1 - t, jnp.asarray(t)


def derivative(schedule: Schedule, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(d alpha / dt, d sigma / dt) at t [...]."""
    return jax.jvp(schedule, (t,), (jnp.ones_like(t),))[1]


def velocity(schedule: Schedule, t: jax.Array, x0: jax.Array, eps: jax.Array) -> jax.Array:
    """dx/dt of the probability flow ODE, alpha' x0 + sigma' eps, for t [b] and x0, eps [b, ...]."""
    d_alpha, d_sigma = derivative(schedule, t)
    return expand(d_alpha, x0) * x0 + expand(d_sigma, x0) * eps


def expand(a: jax.Array, x: jax.Array) -> jax.Array:
    """a [b] as [b, 1, ...], with as many axes as x [b, ...]."""
    return jnp.reshape(a, a.shape + (1,) * (x.ndim - a.ndim))
