"""Adversarial losses: (real [b], fake [b]) -> (disc [b], gen [b]), from the discriminator's logits to both losses.

The train step differentiates the first for the discriminator only and the second for the generator only.
"""

import jax
from jax.nn import softplus


def minimax(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Goodfellow et al. 2014 (arXiv:1406.2661, eq. 1): gen minimizes log(1 - D(fake)), which saturates when D wins."""
    return softplus(-real) + softplus(fake), -softplus(fake)


def non_saturating(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Goodfellow et al. 2014 (arXiv:1406.2661, sec. 3): gen minimizes -log D(fake)."""
    return softplus(-real) + softplus(fake), softplus(-fake)
