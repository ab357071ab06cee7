"""When in time to train: functions (key, index [b]) -> t [b], where `index` is each example's place in the global
batch, so that every device layout draws the same times. The times of sampling are in grids.py.
"""

import jax
import jax.numpy as jnp


def uniform(key, index, low: float = 0.0, high: float = 1.0):
    """Independent uniform times. low: above 0 for losses that are infinite at t = 0 (1e-5 in the score SDEs)."""
    return low + (high - low) * jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i)))(index)


def stratified(key, index):
    """Low-discrepancy uniform times: t_i = frac(u + i / golden ratio), with one u for the batch.

    Each t_i is uniform, and any batch is spread evenly, which lowers the variance of the loss as the 1/b grid of
    Kingma et al. 2021 (arXiv:2107.00630, app. I.1) does; but t_i does not depend on the batch size."""
    u = jax.random.uniform(key)
    return jnp.mod(u + index * 0.6180339887498949, 1.0)


def discrete(key, index, steps: int = 1000):
    """t = i / steps for i uniform in 1 ... steps, the times of a Markov chain: Ho et al. 2020 (arXiv:2006.11239)."""
    draw = lambda i: jax.random.randint(jax.random.fold_in(key, i), (), 1, steps + 1)  # noqa: E731
    return jax.vmap(draw)(index) / steps


def shifted_uniform(key, index, shift: float = 3.0):
    """shift u / (1 + (shift - 1) u) for u uniform: more noise for images of more pixels, Esser et al. 2024
    (arXiv:2403.03206, eq. 23). logit_normal is shifted the same way by adding log(shift) to its mean."""
    u = uniform(key, index)
    return shift * u / (1 + (shift - 1) * u)


def logit_normal(key, index, mean: float = 0.0, std: float = 1.0):
    """sigmoid(mean + std normal), Esser et al. 2024 (arXiv:2403.03206, eq. 19): more of the middle times."""
    return jax.nn.sigmoid(mean + std * _normal(key, index))


def log_normal(key, index, mean: float = -1.2, std: float = 1.2):
    """exp(mean + std normal), for schedules whose time is the noise level: Karras et al. 2022 (arXiv:2206.00364,
    tab. 1)."""
    return jnp.exp(mean + std * _normal(key, index))


def karras_levels(key, index, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0, low=0.02, high=0.98):
    """(numbers uniform between sigma_min^(1/rho) and sigma_max^(1/rho))^rho, for schedules whose time is the noise
    level: the grid of Karras et al. 2022 (arXiv:2206.00364, eq. 5) without its ends, as DMD2 draws from it (Yin et al.
    2024, arXiv:2405.14867). low, high: the shares of it where the draws begin and end."""
    u = uniform(key, index, low, high)
    a, b = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (a + u * (b - a)) ** rho


def _normal(key, index):
    return jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i)))(index)
