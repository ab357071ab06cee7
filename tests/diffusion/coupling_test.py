"""Couplings against scipy's exact assignment and the known optimum on a line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from gen_jax.diffusion.coupling import independent, optimal_transport

pair = jax.jit(optimal_transport)


def draw(seed, b, *shape, mean=3.0):
    keys = jax.random.split(jax.random.key(seed), 2)
    return mean + jax.random.normal(keys[0], (b, *shape)), jax.random.normal(keys[1], (b, *shape))


@pytest.mark.parametrize(("b", "shape"), [(128, (4, 4, 1)), (33, (2,)), (1, (3,))])
def test_it_is_the_optimum_and_a_permutation(b, shape):
    """Of the same total as scipy's; data far from 0 and an offset of 100 leave it so."""
    for offset in (0.0, 100.0):
        x0, eps = draw(0, b, *shape, mean=offset)
        paired = np.asarray(pair(x0, eps), np.float64).reshape(b, -1)
        x, e = (np.asarray(a, np.float64).reshape(b, -1) for a in (x0, eps))
        cost = cdist(x, e, "sqeuclidean")
        best = cost[linear_sum_assignment(cost)].sum()
        np.testing.assert_allclose(np.square(x - paired).sum(), best, rtol=1e-6)
        np.testing.assert_array_equal(np.unique(paired, axis=0), np.unique(e, axis=0))


def test_on_a_line_the_order_is_kept():
    x0, eps = draw(1, 40, 1)
    np.testing.assert_array_equal(jnp.argsort(pair(x0, eps)[:, 0]), jnp.argsort(x0[:, 0]))


def test_a_permutation_of_the_data_is_found_again():
    x0, _ = draw(2, 16, 3)
    shuffled = jax.random.permutation(jax.random.key(0), x0)
    np.testing.assert_array_equal(pair(x0, shuffled), x0)


def test_permuted_data_get_their_noise_with_them():
    x0, eps = draw(3, 16, 3)
    np.testing.assert_array_equal(pair(x0[::-1], eps), pair(x0, eps)[::-1])


def test_gradients_flow_through_the_noise_alone():
    x0, eps = draw(4, 8, 2)
    np.testing.assert_array_equal(jax.grad(lambda x: optimal_transport(x, eps).sum())(x0), 0)
    np.testing.assert_array_equal(jax.grad(lambda e: optimal_transport(x0, e).sum())(eps), 1)


def test_independent_is_the_noise_itself():
    x0, eps = draw(5, 4, 2)
    assert independent(x0, eps) is eps
