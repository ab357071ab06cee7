import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nn.batch_norm import ConditionalBatchNorm
from gen_jax.nn.spectral import spectral_normalize, spectral_vectors


def kernels():
    rng = np.random.default_rng(0)
    shapes = {"dense": (5, 7), "tall": (40, 3), "conv": (3, 3, 4, 6)}
    return {name: {"kernel": jnp.asarray(rng.normal(size=s), jnp.float32)} for name, s in shapes.items()}


def largest(leaf):
    return np.linalg.svd(np.asarray(leaf).reshape(-1, leaf.shape[-1]), compute_uv=False)[0]


def test_after_iterations_every_kernel_has_norm_one_by_svd():
    params = kernels() | {"norm": {"scale": jnp.full(4, 3.0)}, "embed": {"embedding": 5 * jnp.ones((3, 4))}}
    vectors = spectral_vectors(params, jax.random.key(0))
    assert set(vectors) == {"dense/kernel", "tall/kernel", "conv/kernel", "embed/embedding"}
    for _ in range(200):
        normalized, vectors = spectral_normalize(params, vectors)
    for name in ("dense", "tall", "conv"):
        np.testing.assert_allclose(largest(normalized[name]["kernel"]), 1, rtol=1e-4)
        np.testing.assert_allclose(
            normalized[name]["kernel"], params[name]["kernel"] / largest(params[name]["kernel"]), rtol=1e-3, atol=1e-5
        )
    np.testing.assert_allclose(largest(normalized["embed"]["embedding"]), 1, rtol=1e-4)
    np.testing.assert_array_equal(normalized["norm"]["scale"], params["norm"]["scale"])


def test_the_iteration_carries_on_from_step_to_step_and_never_overestimates():
    params = kernels()
    vectors, norms = spectral_vectors(params, jax.random.key(1)), []
    for _ in range(30):
        normalized, vectors = spectral_normalize(params, vectors)
        norms.append(largest(normalized["conv"]["kernel"]))
    assert all(a >= b - 1e-5 for a, b in itertools.pairwise(norms))
    assert norms[0] > norms[-1] >= 1 - 1e-5  # sigma is estimated from below


def test_the_gradient_is_that_of_the_normalized_kernel():
    """d/dW of f(W / sigma(W)), with sigma by SVD, differentiated by finite differences (arXiv:1802.05957, eq. 12)."""
    params = {"dense": kernels()["dense"]}
    vectors = spectral_vectors(params, jax.random.key(0))
    for _ in range(200):
        _, vectors = spectral_normalize(params, vectors)
    weights = np.random.default_rng(3).normal(size=(5, 7))

    def loss(params):
        return jnp.sum(jnp.asarray(weights) * jnp.sin(spectral_normalize(params, vectors)[0]["dense"]["kernel"]))

    def exact(matrix):
        return np.sum(weights * np.sin(matrix / np.linalg.svd(matrix, compute_uv=False)[0]))

    got = jax.grad(loss)(params)["dense"]["kernel"]
    matrix = np.asarray(params["dense"]["kernel"], np.float64)
    for place in [(0, 0), (2, 3), (4, 6)]:
        shift = np.zeros_like(matrix)
        shift[place] = 1e-5
        np.testing.assert_allclose(got[place], (exact(matrix + shift) - exact(matrix - shift)) / 2e-5, rtol=1e-3)
    # Along W itself nothing changes: the normalized kernel does not know of W's length.
    np.testing.assert_allclose(jnp.sum(got * params["dense"]["kernel"]), 0, atol=1e-4)


@pytest.mark.parametrize(("start", "found"), [("identity", set()), ("orthogonal", {"gain/kernel", "bias/kernel"})])
def test_modulations_that_start_at_zero_are_left_alone(start, found):
    variables = ConditionalBatchNorm(start).init(jax.random.key(0), jnp.ones((2, 5)), jnp.ones((2, 3)))
    assert set(spectral_vectors(variables["params"], jax.random.key(0))) == found
