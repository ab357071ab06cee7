import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.layers import (
    Dense,
    Dropout,
    FiLM,
    Modulation,
    downsample,
    sincos_2d,
    sinusoidal,
    upsample,
    xavier_uniform,
)


def normal(shape):
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


def test_sinusoidal_by_hand():
    # Four features: frequencies 1 and 1/100, cosines before sines.
    out = sinusoidal(jnp.array([0.0, 2.0]), 4)
    expected = [[1, 1, 0, 0], [np.cos(2), np.cos(0.02), np.sin(2), np.sin(0.02)]]
    np.testing.assert_allclose(out, expected, atol=1e-6)
    with pytest.raises(UserError, match="must be even, got 3"):
        sinusoidal(jnp.zeros(1), 3)


def test_sincos_2d_tells_places_apart_and_depends_on_row_and_column():
    out = sincos_2d(3, 5, 16)
    chex.assert_shape(out, (15, 16))
    assert len(np.unique(out.round(4), axis=0)) == 15
    grid = out.reshape(3, 5, 2, 8)
    np.testing.assert_array_equal(grid[0, :, 0], grid[2, :, 0])  # the first half tells the column only
    np.testing.assert_array_equal(grid[:, 0, 1], grid[:, 4, 1])  # the second the row only


def test_upsample_repeats_pixels():
    x = normal((2, 3, 4, 5))
    np.testing.assert_array_equal(upsample(x), x.repeat(2, axis=1).repeat(2, axis=2))


def test_downsample_takes_means_and_undoes_upsample():
    x = normal((2, 4, 6, 3))
    np.testing.assert_allclose(downsample(x)[1, 1, 2], x[1, 2:4, 4:6].mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(downsample(upsample(x)), x, rtol=1e-6)


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_film_starts_as_the_identity_and_learns(ndim):
    x = normal((2, *[3] * (ndim - 2), 5))
    vector = jnp.ones((2, 7))
    variables = FiLM().init(jax.random.key(1), x, vector)
    np.testing.assert_array_equal(FiLM().apply(variables, x, vector), x)
    gradient = jax.grad(lambda v: jnp.sum(FiLM().apply(v, x, vector) ** 2))(variables)
    assert all(jnp.abs(g).max() > 0 for g in jax.tree.leaves(gradient))  # not stuck at the identity
    np.testing.assert_array_equal(FiLM().apply({}, x, None), x)


def test_modulation_splits_and_broadcasts():
    variables = Modulation(3, 4).init(jax.random.key(0), jnp.ones((2, 5)), 4)
    parts = Modulation(3, 4).apply(variables, jnp.ones((2, 5)), 4)
    assert [p.shape for p in parts] == [(2, 1, 1, 4)] * 3
    without = Modulation(3, 4).init_with_output(jax.random.key(0), None, 3)[0]
    assert [p.shape for p in without] == [(1, 1, 4)] * 3


def test_dropout_keeps_the_mean_and_drops_at_its_rate():
    x = jnp.ones((4, 50, 50))
    out, again, other = (
        np.asarray(Dropout(0.3).apply({}, x, True, rngs={"dropout": jax.random.key(seed)})) for seed in (1, 1, 2)
    )
    np.testing.assert_allclose(np.unique(out), [0, 1 / 0.7], rtol=1e-6)
    assert abs((out == 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / x.size)
    np.testing.assert_array_equal(out, again)
    # Another key drops other values, independently.
    assert abs(((out == 0) & (other == 0)).mean() - 0.09) < 5 * np.sqrt(0.09 * 0.91 / x.size)


def test_dropout_draws_nothing_where_it_does_nothing():
    x = normal((2, 3)).astype(jnp.bfloat16)
    assert Dropout(0.0).apply({}, x, True) is x  # without a key
    assert Dropout(0.5).apply({}, x, False) is x
    chex.assert_type(Dropout(0.5).apply({}, x, True, rngs={"dropout": jax.random.key(0)}), jnp.bfloat16)
    with pytest.raises(UserError, match=r"dropout=1.0: a rate lies in \[0, 1\)"):
        Dropout(1.0).apply({}, x, True)


@pytest.mark.parametrize("shape", [(6, 10), (3, 3, 8, 16)])
def test_xavier_uniform_is_the_one_of_flax(shape):
    # The variance is 2 / (fan_in + fan_out).
    values = np.asarray(xavier_uniform(jax.random.key(0), shape))
    window = np.prod(shape[:-2])
    assert values.shape == shape
    assert abs(values).max() <= np.sqrt(6 / (window * sum(shape[-2:])))
    np.testing.assert_allclose(values.var(), 2 / (window * sum(shape[-2:])), rtol=0.3)
    if len(shape) == 2:
        np.testing.assert_allclose(values, nn.initializers.xavier_uniform()(jax.random.key(0), shape), atol=1e-6)


@pytest.mark.parametrize("axes", [(), (5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_is_the_one_of_flax(axes, use_bias):
    x = jax.random.normal(jax.random.key(0), (*axes, 6))
    ours, theirs = Dense(7, use_bias), nn.Dense(7, use_bias)
    params = theirs.init(jax.random.key(1), x)
    chex.assert_trees_all_equal(ours.init(jax.random.key(1), x), params)

    def loss(layer, params, x):
        return jnp.sin(layer.apply(params, x)).sum()

    assert ours.apply(params, x).shape == (*axes, 7)
    gradients = [jax.value_and_grad(loss, argnums=(1, 2))(layer, params, x) for layer in (ours, theirs)]
    chex.assert_trees_all_close(*gradients, rtol=1e-5, atol=1e-5)
