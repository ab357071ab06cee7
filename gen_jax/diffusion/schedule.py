"""Noise schedules: t -> (alpha, sigma), with x_t = alpha x0 + sigma eps. t = 0 is data, the largest t is noise.

A schedule is a function of one argument; the classes here are such functions with their numbers as fields. Times end
at 1, or at the schedule's `horizon`. What else is known of a process (its velocity, its SDE, its signal-to-noise ratio
and the time that has a given one) follows from (alpha, sigma) and is computed here once.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

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
        log_alpha = _log_alpha(self, t)
        # expm1, since 1 - alpha^2 would lose all digits of sigma near t = 0
        return jnp.exp(log_alpha), jnp.sqrt(-jnp.expm1(2 * log_alpha))


@dataclasses.dataclass(frozen=True)
class SubVP:
    """Song et al. 2021 (arXiv:2011.13456, eq. 29): LinearBeta's alpha, and sigma = 1 - alpha^2, below LinearBeta's."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __call__(self, t):
        log_alpha = _log_alpha(self, t)
        return jnp.exp(log_alpha), -jnp.expm1(2 * log_alpha)


@dataclasses.dataclass(frozen=True)
class VE:
    """Variance exploding, alpha = 1 and sigma geometric from sigma_min to sigma_max, Song et al. 2021
    (arXiv:2011.13456, eq. 30 and app. C). Data is taken for noisy by sigma_min already, so sigma(0) is not 0."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __call__(self, t):
        t = jnp.asarray(t)
        return jnp.ones_like(t), self.sigma_min * (self.sigma_max / self.sigma_min) ** t


@dataclasses.dataclass(frozen=True)
class EDM:
    """alpha = 1, sigma = t: the time is the noise level itself, Karras et al. 2022 (arXiv:2206.00364, sec. 4)."""

    horizon = math.inf

    def __call__(self, t):
        t = jnp.asarray(t)
        return jnp.ones_like(t), t


@dataclasses.dataclass(frozen=True)
class RectifiedFlow:
    """The straight path alpha = 1 - t, sigma = t of Liu et al. 2022 (arXiv:2209.03003) and of the conditional optimal
    transport of Lipman et al. 2022 (arXiv:2210.02747), with time running from data to noise."""

    def __call__(self, t):
        t = jnp.asarray(t)
        return 1 - t, t


@dataclasses.dataclass(frozen=True)
class TrigFlow:
    """alpha = cos(t), sigma = sin(t) for t up to pi / 2, Lu & Song 2024 (arXiv:2410.11081, sec. 3)."""

    horizon = math.pi / 2

    def __call__(self, t):
        return jnp.cos(t), jnp.sin(t)


@dataclasses.dataclass(frozen=True)
class DiscreteLinear:
    """Ho et al. 2020 (arXiv:2006.11239, sec. 4): `steps` variances beta from beta_start to beta_end at equal distances,
    and alpha^2 = prod(1 - beta). Step i = 1 ... steps is at t = i / steps; between steps log alpha is a line.

    power: beta^power is what has equal distances; 0.5 is the "scaled linear" schedule of latent diffusion (Rombach et
    al. 2022), with beta_start=0.00085, beta_end=0.012."""

    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    power: float = 1.0

    def __call__(self, t):
        return _discrete(_linear_log_alphas(self.steps, self.beta_start, self.beta_end, self.power), t)


@dataclasses.dataclass(frozen=True)
class DiscreteCosine:
    """Nichol & Dhariwal 2021 (arXiv:2102.09672, eq. 17): alpha^2 = f(t) / f(0), f(t) = cos^2(pi/2 (t + s) / (1 + s)),
    with each step's beta at most max_beta. Step i = 1 ... steps is at t = i / steps; between, log alpha is a line."""

    steps: int = 4000
    s: float = 0.008
    max_beta: float = 0.999

    def __call__(self, t):
        return _discrete(_cosine_log_alphas(self.steps, self.s, self.max_beta), t)


def horizon(schedule: Schedule) -> float:
    """The largest time of a schedule: its own `horizon`, or 1."""
    return getattr(schedule, "horizon", 1.0)


def derivative(schedule: Schedule, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(d alpha / dt, d sigma / dt) at t [...]."""
    return jax.jvp(schedule, (t,), (jnp.ones_like(t),))[1]


def velocity(schedule: Schedule, t: jax.Array, x0: jax.Array, eps: jax.Array) -> jax.Array:
    """dx/dt of the probability flow ODE, alpha' x0 + sigma' eps, for t [b] and x0, eps [b, ...]."""
    d_alpha, d_sigma = derivative(schedule, t)
    return expand(d_alpha, x0) * x0 + expand(d_sigma, x0) * eps


def sde(schedule: Schedule, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(f, g^2) of the process dx = f x dt + g dw that has this schedule's marginals: f = (log alpha)', and
    g^2 = (sigma^2)' - 2 f sigma^2, Kingma et al. 2021 (arXiv:2107.00630, app. A)."""
    (alpha, sigma), (d_alpha, d_sigma) = schedule(t), derivative(schedule, t)
    f = d_alpha / alpha
    return f, 2 * sigma * (d_sigma - f * sigma)


def log_snr(schedule: Schedule, t: jax.Array) -> jax.Array:
    """log(alpha^2 / sigma^2); infinite at the ends of some schedules."""
    alpha, sigma = schedule(t)
    return 2 * (jnp.log(alpha) - jnp.log(sigma))


def log_snr_rate(schedule: Schedule, t: jax.Array) -> jax.Array:
    """-d log_snr / dt, which is not negative: how fast information is lost."""
    (alpha, sigma), (d_alpha, d_sigma) = schedule(t), derivative(schedule, t)
    return 2 * (d_sigma / sigma - d_alpha / alpha)


def time_of(schedule: Schedule, wanted: jax.Array, low: float = 0.0, high: float | None = None) -> jax.Array:
    """The times t [...] at which log_snr is `wanted` [...], by bisection in [low, high]; the nearer end outside of it.

    high: None for the schedule's horizon, or 1e5 where that is infinite. Exact to the last bits of float32."""
    end = horizon(schedule) if high is None else high
    lows = jnp.full_like(wanted, low)
    highs = jnp.full_like(wanted, end if math.isfinite(end) else 1e5)

    def halve(_, bounds):
        lows, highs = bounds
        middle = (lows + highs) / 2
        too_clean = log_snr(schedule, middle) > wanted
        return jnp.where(too_clean, middle, lows), jnp.where(too_clean, highs, middle)

    lows, highs = jax.lax.fori_loop(0, 60, halve, (lows, highs))
    return (lows + highs) / 2


def expand(a: jax.Array, x: jax.Array) -> jax.Array:
    """a [b] as [b, 1, ...], with as many axes as x [b, ...]."""
    return jnp.reshape(a, a.shape + (1,) * (x.ndim - a.ndim))


def _log_alpha(schedule: LinearBeta | SubVP, t):
    """-1/2 of the integral of beta, Song et al. 2021, eq. 33."""
    return -0.25 * t**2 * (schedule.beta_max - schedule.beta_min) - 0.5 * t * schedule.beta_min


def _discrete(log_alphas: np.ndarray, t):
    """(alpha, sigma) at t, from log alpha at 0, 1 / steps, ..., 1."""
    places = np.linspace(0, 1, len(log_alphas))
    log_alpha = jnp.interp(t, jnp.asarray(places), jnp.asarray(log_alphas))
    return jnp.exp(log_alpha), jnp.sqrt(-jnp.expm1(2 * log_alpha))


@functools.cache
def _linear_log_alphas(steps: int, start: float, end: float, power: float) -> np.ndarray:
    betas = np.linspace(start**power, end**power, steps) ** (1 / power)
    return np.concatenate([[0.0], np.cumsum(np.log1p(-betas)) / 2])


@functools.cache
def _cosine_log_alphas(steps: int, s: float, max_beta: float) -> np.ndarray:
    f = np.cos(np.pi / 2 * (np.arange(steps + 1) / steps + s) / (1 + s)) ** 2
    betas = np.minimum(1 - f[1:] / f[:-1], max_beta)
    return np.concatenate([[0.0], np.cumsum(np.log1p(-betas)) / 2])
