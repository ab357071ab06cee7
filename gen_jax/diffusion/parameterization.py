"""What the network predicts: two numbers (a, b) with network target F = a x0 + b eps; and what it is shown.

Together with x = alpha x0 + sigma eps this is a 2x2 linear system in (x0, eps), with determinant
det = a sigma - b alpha. One inverse serves every parameterization; there are no converters between pairs of them.

The inputs are a second, independent choice: a function (t, alpha, sigma) -> (scale, noise), by which x is multiplied
before the network sees it, and the number that tells the network the noise level.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Parameterization = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""(alpha, sigma) -> (a, b), each of alpha's shape."""

Inputs = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""(t, alpha, sigma) -> (scale, noise), each [b]."""


class Prediction(NamedTuple):
    """What a denoiser says of x: the data and the noise in it, x = alpha x0 + sigma eps, each [b, ...].

    variance: for networks that learn it, in [0, 1]: where the reverse step's log variance lies between its bounds."""

    x0: jax.Array
    eps: jax.Array
    variance: jax.Array | None = None


def eps(alpha, sigma):
    """The noise, Ho et al. 2020 (arXiv:2006.11239, eq. 14). Not invertible where alpha = 0."""
    return jnp.zeros_like(alpha), jnp.ones_like(sigma)


def x0(alpha, sigma):
    """The clean data. Not invertible where sigma = 0."""
    return jnp.ones_like(alpha), jnp.zeros_like(sigma)


def v(alpha, sigma):
    """v = alpha eps - sigma x0, Salimans & Ho 2022 (arXiv:2202.00512, sec. 4)."""
    return -sigma, alpha


def flow(alpha, sigma):
    """eps - x0, the velocity of the straight path, Liu et al. 2022 (arXiv:2209.03003)."""
    return -jnp.ones_like(alpha), jnp.ones_like(sigma)


def edm(alpha, sigma, sigma_data: float = 0.5):
    """Karras et al. 2022 (arXiv:2206.00364, tab. 1), of unit variance at every noise level if the data's is sigma_data.

    In x / alpha = x0 + s eps, s = sigma / alpha, the paper's x0 = c_skip x + c_out F; with r = sqrt(s^2 + sigma_data^2)
    that is a = s / (sigma_data r), b = -sigma_data / r. Not invertible where s = 0."""
    s = sigma / alpha
    r = jnp.sqrt(jnp.square(s) + sigma_data**2)
    return s / (sigma_data * r), -sigma_data / r


def plain(t, alpha, sigma):
    """x as it is, and the time t."""
    return jnp.ones_like(alpha), t


def edm_inputs(t, alpha, sigma, sigma_data: float = 0.5):
    """x scaled to unit variance, and log(sigma / alpha) / 4, Karras et al. 2022 (arXiv:2206.00364, tab. 1)."""
    return 1 / jnp.sqrt(jnp.square(sigma) + jnp.square(alpha * sigma_data)), jnp.log(sigma / alpha) / 4


def log_snr_input(t, alpha, sigma):
    """x as it is, and log(alpha / sigma), half the log signal-to-noise ratio."""
    return jnp.ones_like(alpha), jnp.log(alpha / sigma)


def step_input(t, alpha, sigma, steps: int = 1000):
    """x as it is, and the number 0 ... steps - 1 of the step, as the published networks of discrete time count them.

    Give the conditioning noise_scale=1 with it."""
    return jnp.ones_like(alpha), t * steps - 1


def determinant(parameterization: Parameterization, alpha: jax.Array, sigma: jax.Array) -> jax.Array:
    """det = a sigma - b alpha: where it is zero, the prediction does not fix x0 and eps."""
    a, b = parameterization(alpha, sigma)
    return a * sigma - b * alpha


def target(parameterization: Parameterization, alpha, sigma, x0: jax.Array, eps: jax.Array) -> jax.Array:
    """F = a x0 + b eps; alpha and sigma broadcast against x0."""
    a, b = parameterization(alpha, sigma)
    return a * x0 + b * eps


def invert(parameterization: Parameterization, alpha, sigma, x: jax.Array, out: jax.Array) -> Prediction:
    """x0 and eps from the noisy x and the network's output; alpha and sigma broadcast against x."""
    a, b = parameterization(alpha, sigma)
    det = a * sigma - b * alpha
    return Prediction((sigma * out - b * x) / det, (a * x - alpha * out) / det)
