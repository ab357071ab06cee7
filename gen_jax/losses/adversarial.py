"""Adversarial losses: (real [b], fake [b]) -> (disc [b], gen [b]), from the discriminator's logits to both losses.

The train step differentiates the first for the discriminator only and the second for the generator only.
"""

import jax
import jax.numpy as jnp
from jax.nn import relu, softplus


def minimax(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Goodfellow et al. 2014 (arXiv:1406.2661, eq. 1): gen minimizes log(1 - D(fake)), which saturates when D wins."""
    return softplus(-real) + softplus(fake), -softplus(fake)


def non_saturating(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Goodfellow et al. 2014 (arXiv:1406.2661, sec. 3): gen minimizes -log D(fake).

    StyleGAN's "logistic" loss, written with softplus, is this one."""
    return softplus(-real) + softplus(fake), softplus(-fake)


def least_squares(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mao et al. 2017 (arXiv:1611.04076, eq. 2 and 9, with labels 0 and 1): squared distance of the logit to them."""
    return (jnp.square(real - 1) + jnp.square(fake)) / 2, jnp.square(fake - 1) / 2


def hinge(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Lim & Ye 2017 (arXiv:1705.02894) and Miyato et al. 2018 (arXiv:1802.05957, eq. 16 and 17): what is beyond a
    margin of 1 is good enough."""
    return relu(1 - real) + relu(1 + fake), -fake


def wasserstein(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Arjovsky et al. 2017 (arXiv:1701.07875, eq. 2 and 3): a difference of means. The critic has to be kept
    1-Lipschitz: by a gradient penalty, spectral normalization, or clipped weights."""
    return fake - real, -fake


def relativistic(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Jolicoeur-Martineau 2018 (arXiv:1807.00734, eq. 3 and 4), the pairing loss of R3GAN (arXiv:2501.05441, eq. 2):
    is this real example more real than this generated one?"""
    return softplus(fake - real), softplus(real - fake)


def relativistic_average(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Jolicoeur-Martineau 2018 (arXiv:1807.00734, eq. 6 to 9): against the mean of the other kind in the batch."""
    real, fake = real - fake.mean(), fake - real.mean()
    return softplus(-real) + softplus(fake), softplus(real) + softplus(-fake)
