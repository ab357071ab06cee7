"""What the network predicts: two numbers (a, b) with network target F = a x0 + b eps.

Together with x = alpha x0 + sigma eps this is a 2x2 linear system in (x0, eps), with determinant
det = a sigma - b alpha. One inverse serves every parameterization; there are no converters between pairs of them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Parameterization = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""(alpha, sigma) -> (a, b), each of alpha's shape."""


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


def determinant(parameterization: Parameterization, alpha: jax.Array, sigma: jax.Array) -> jax.Array:
    """det = a sigma - b alpha: where it is zero, the prediction does not fix x0 and eps."""
    a, b = parameterization(alpha, sigma)
    return a * sigma - b * alpha


def target(parameterization: Parameterization, alpha, sigma, x0: jax.Array, eps: jax.Array) -> jax.Array:
    """F = a x0 + b eps; alpha and sigma broadcast against x0."""
    a, b = parameterization(alpha, sigma)
    return a * x0 + b * eps


def invert(parameterization: Parameterization, alpha, sigma, x: jax.Array, out: jax.Array):
    """(x0, eps) from the noisy x and the network's output; alpha and sigma broadcast against x."""
    a, b = parameterization(alpha, sigma)
    det = a * sigma - b * alpha
    return (sigma * out - b * x) / det, (a * x - alpha * out) / det
