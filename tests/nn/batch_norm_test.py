import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.batch_norm import ConditionalBatchNorm
from gen_jax.training import parallel

ONE_HOT = jnp.eye(3)[jnp.array([0, 1, 2, 1, 0, 0, 2, 1])]


def images(shape=(8, 3, 4, 5)):
    return jnp.asarray(np.random.default_rng(0).normal(2.0, 3.0, shape), jnp.float32)


def some_variables(norm, x, vector):
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(norm.init, jax.random.key(0), x, vector)
    return jax.tree.map(lambda p: jnp.asarray(np.abs(rng.normal(size=p.shape)), p.dtype), shapes)


def normalized(x):
    """By NumPy: zero mean and unit variance of each channel over the batch and all places."""
    axes = tuple(range(x.ndim - 1))
    return (np.asarray(x) - np.mean(x, axes)) / np.sqrt(np.var(x, axes) + 1e-5)


def test_with_a_one_hot_vector_each_class_has_its_own_gain_and_bias():
    x, norm = images(), ConditionalBatchNorm()
    variables = some_variables(norm, x, ONE_HOT)
    out, _ = norm.apply(variables, x, ONE_HOT, True, mutable="batch_stats")
    table = np.asarray(variables["params"]["modulation"]["kernel"])  # [classes, 2 c]
    gain, bias = table[np.argmax(ONE_HOT, axis=1)].reshape(8, 1, 1, 2, 5).transpose(3, 0, 1, 2, 4)
    np.testing.assert_allclose(out, normalized(x) * (1 + gain) + bias, atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 5), (8, 3, 4, 5)])
def test_it_starts_as_the_identity_after_the_normalization(shape):
    x, norm = images(shape), ConditionalBatchNorm()
    for vector in (None, ONE_HOT):
        variables = norm.init(jax.random.key(0), x, vector)
        out, _ = norm.apply(variables, x, vector, True, mutable="batch_stats")
        np.testing.assert_allclose(out, normalized(x), atol=1e-4)


def test_the_start_of_biggan_is_an_orthogonal_map_of_the_vector():
    x, vector = images(), jnp.asarray(np.random.default_rng(2).normal(size=(8, 4)), jnp.float32)
    variables = ConditionalBatchNorm("orthogonal").init(jax.random.key(0), x, vector)
    for name in ("gain", "bias"):
        kernel = np.asarray(variables["params"][name]["kernel"])  # [4, 5]
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(4), atol=1e-5)
    out, _ = ConditionalBatchNorm("orthogonal").apply(variables, x, vector, True, mutable="batch_stats")
    gain, bias = (np.asarray(vector @ variables["params"][n]["kernel"])[:, None, None] for n in ("gain", "bias"))
    np.testing.assert_allclose(out, normalized(x) * (1 + gain) + bias, atol=1e-4)


def test_running_averages_move_by_a_tenth_and_serve_when_it_does_not_train():
    x, norm = images(), ConditionalBatchNorm()
    variables = norm.init(jax.random.key(0), x, None)
    _, kept = norm.apply(variables, x, None, True, mutable="batch_stats")
    found = kept["batch_stats"]["norm"]
    np.testing.assert_allclose(found["mean"], 0.1 * np.mean(x, (0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found["var"], 0.9 + 0.1 * np.var(x, (0, 1, 2)), rtol=1e-4)
    out = norm.apply({**variables, **kept}, x[:1], None)
    np.testing.assert_allclose(out, (x[:1] - found["mean"]) / np.sqrt(found["var"] + 1e-5), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("vector", [None, ONE_HOT], ids=["plain", "conditional"])
def test_statistics_are_those_of_the_whole_batch_on_one_and_on_eight_devices(vector):
    """Cross-replica: outputs, running averages and gradients of a single big batch."""
    x, norm = images(), ConditionalBatchNorm()
    variables = some_variables(norm, x, vector)

    def loss(params, x, vector):
        out, kept = norm.apply({**variables, "params": params}, x, vector, True, mutable="batch_stats")
        return jnp.sum(jnp.sin(out)), (out, kept)

    found = [jax.grad(loss, has_aux=True)(variables["params"], x, vector)]
    for devices in (1, 8):
        mesh = parallel.make_mesh(devices)
        whole, split = parallel.replicated(mesh), parallel.split_batch(mesh)
        run = jax.jit(jax.grad(loss, has_aux=True), in_shardings=(whole, split, None if vector is None else split))
        found.append(jax.device_get(run(variables["params"], x, vector)))
    chex.assert_trees_all_close(found[0], found[1], atol=1e-4)
    chex.assert_trees_all_close(found[0], found[2], atol=1e-4)


def test_an_unknown_start_is_told():
    with pytest.raises(UserError, match="unknown ConditionalBatchNorm start 'zero': Known: identity, orthogonal"):
        ConditionalBatchNorm("zero").init(jax.random.key(0), jnp.zeros((2, 3)), None)
