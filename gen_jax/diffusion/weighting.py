"""Loss weightings: w(alpha, sigma, det), the factor on the squared error of the network's own output.

Papers state weights for the error of x0, of eps or of what their network predicts. The errors differ by known factors,
|x0 error| = |sigma / det| |F error| and |eps error| = |alpha / det| |F error| (det: see parameterization.py), so each
function here is stated in its paper's space, says so, and returns the factor for F.
"""

import jax.numpy as jnp


def constant(alpha, sigma, det):
    """Weight 1 in the network's own space: DDPM's simple loss for eps, conditional flow matching for flow."""
    return jnp.ones_like(det)


def snr(alpha, sigma, det):
    """Weight alpha^2 / sigma^2 in x0's space, which is weight 1 in eps's, whatever the network predicts."""
    return jnp.square(alpha / det)


def min_snr(alpha, sigma, det, gamma: float = 5.0):
    """Weight min(snr, gamma) in x0's space, Hang et al. 2023 (arXiv:2303.09556, eq. 7)."""
    # sigma^2 min(alpha^2 / sigma^2, gamma), written so that it is finite at sigma = 0
    return jnp.minimum(jnp.square(alpha), gamma * jnp.square(sigma)) / jnp.square(det)
