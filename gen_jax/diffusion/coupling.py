"""Which noise goes with which data: functions (x0 [b, ...], eps [b, ...]) -> eps, permuted within the batch.

A coupling of the batch: with any but `independent`, an example's noise depends on the others of its batch.
"""

import jax
import jax.numpy as jnp
import optax


def independent(x0: jax.Array, eps: jax.Array) -> jax.Array:
    """The noise as it was drawn, with no regard to the data."""
    return eps


def optimal_transport(x0: jax.Array, eps: jax.Array) -> jax.Array:
    """The permutation of eps that minimizes the sum of |x0 - eps|^2 over the batch, exactly, by the Hungarian
    algorithm: minibatch optimal transport, which straightens the paths of flow matching. Tong et al. 2023
    (arXiv:2302.00482), Pooladian et al. 2023 (arXiv:2304.14772).

    Its time grows with b^3 at worst: 2 ms for b = 128, 11 ms for b = 256, for examples of 64 normal values (2026-11-22,
    seed 0, jitted, two cores of an AMD EPYC that did other work beside). It does not look at conditions, so that in
    training those of a class see other noise than in sampling: Cheng & Schwing 2025 (arXiv:2503.10636).
    """
    x, e = (a.reshape(a.shape[0], -1).astype(jnp.float32) for a in (x0, eps))
    # |x - e|^2 up to terms of x or e alone, which are the same for every permutation; so are the means.
    cost = -jnp.matmul(x - x.mean(0), (e - e.mean(0)).T, precision="highest")
    rows, columns = optax.assignment.hungarian_algorithm(jax.lax.stop_gradient(cost))
    return eps[columns[jnp.argsort(rows)]]
