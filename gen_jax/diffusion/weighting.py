"""Loss weightings: w(alpha, sigma, det, rate), the factor on the squared error of the network's own output.

Papers state weights for the error of x0, of eps or of what their network predicts. The errors differ by known factors,
|x0 error| = |sigma / det| |F error| and |eps error| = |alpha / det| |F error| (det: see parameterization.py), so each
function here is stated in its paper's space, says so, and returns the factor for F. rate is -d log_snr / dt >= 0.
"""

import jax.numpy as jnp


def constant(alpha, sigma, det, rate):
    """Weight 1 in the network's own space: DDPM's simple loss for eps, conditional flow matching for flow, and EDM's
    weight for EDM's parameterization."""
    return jnp.ones_like(det)


def snr(alpha, sigma, det, rate):
    """Weight alpha^2 / sigma^2 in x0's space, which is weight 1 in eps's, whatever the network predicts: DDPM's simple
    loss, and the denoising score matching of Song & Ermon 2019 (arXiv:1907.05600, eq. 6), sigma^2 in score space."""
    return jnp.square(alpha / det)


def min_snr(alpha, sigma, det, rate, gamma: float = 5.0):
    """Weight min(snr, gamma) in x0's space, Hang et al. 2023 (arXiv:2303.09556, eq. 7)."""
    # sigma^2 min(alpha^2 / sigma^2, gamma), written so that it is finite at sigma = 0
    return jnp.minimum(jnp.square(alpha), gamma * jnp.square(sigma)) / jnp.square(det)


def p2(alpha, sigma, det, rate, k: float = 1.0, gamma: float = 1.0):
    """Weight 1 / (k + snr)^gamma in eps's space, Choi et al. 2022 (arXiv:2204.00227, eq. 8)."""
    # snr = alpha^2 / sigma^2 is infinite at sigma = 0, where the weight is 0
    noise = jnp.square(sigma)
    return jnp.square(alpha / det) * (noise / (k * noise + jnp.square(alpha))) ** gamma


def sigmoid(alpha, sigma, det, rate, bias: float = 0.0):
    """Weight -d log_snr/dt sigmoid(bias - log_snr) in eps's space, so that it is the same loss for any schedule with
    uniform times: Kingma & Gao 2023 (arXiv:2303.00848), Hoogeboom et al. 2024 (arXiv:2410.19324)."""
    noise, signal = jnp.square(sigma), jnp.square(alpha)
    return jnp.square(alpha / det) * rate * noise / (noise + signal * jnp.exp(-bias))


def edm_weight(alpha, sigma, det, rate, sigma_data: float = 0.5):
    """Weight (s^2 + sigma_data^2) / (s sigma_data)^2 in x0's space, s = sigma / alpha, Karras et al. 2022
    (arXiv:2206.00364, tab. 1)."""
    # (sigma / det)^2 times it, with the sigma^2 of the factor cancelled
    return (jnp.square(sigma) + jnp.square(alpha * sigma_data)) / jnp.square(det * sigma_data)


def elbo_weight(alpha, sigma, det, rate):
    """Weight -1/2 d log_snr/dt in eps's space: with uniform times and summed over the values of an example it is the
    diffusion term of the negative ELBO in nats, Song et al. 2021 (arXiv:2101.09258), Kingma et al. 2021
    (arXiv:2107.00630, eq. 17)."""
    return 0.5 * rate * jnp.square(alpha / det)
