import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioning, Context, OneHot, drop, null

KEYS = jax.random.split(jax.random.key(0), 4000)


def some_cond(n):
    return {
        "label": jnp.arange(n) % 10,
        "text": jnp.ones((n, 5), jnp.int32),
        "text_mask": jnp.ones((n, 5), jnp.int32),
        "image": jnp.ones((n, 2, 2, 1)),
        "noise": jnp.linspace(0.0, 1.0, n),
    }


def test_null_says_nothing_and_keeps_the_rest():
    cond = some_cond(3)
    out = null(cond)
    assert (out["label"] == -1).all()
    assert (out["text_mask"] == 0).all()
    for key in ("text", "image", "noise"):
        chex.assert_trees_all_equal(out[key], cond[key])
    chex.assert_trees_all_equal(null(out), out)
    assert null({}) == {}


@hypothesis.given(st.sampled_from([1, 2, 7]), st.integers(0, 1000))
@hypothesis.settings(deadline=None, max_examples=15)
def test_drop_at_rate_zero_and_one(n, seed):
    cond, keys = some_cond(n), jax.random.split(jax.random.key(seed), n)
    chex.assert_trees_all_equal(drop(cond, keys, 0.0), cond)
    chex.assert_trees_all_equal(drop(cond, keys, 1.0), null(cond))


@hypothesis.given(st.floats(0.0, 1.0))
@hypothesis.settings(deadline=None, max_examples=15)
def test_drop_takes_all_of_an_example_at_its_rate(rate):
    out = drop(some_cond(len(KEYS)), KEYS, rate)
    dropped = np.asarray(out["label"] == -1)
    np.testing.assert_array_equal(out["text_mask"], np.where(dropped[:, None], 0, np.ones((1, 5))))
    assert abs(dropped.mean() - rate) <= 5 * np.sqrt(rate * (1 - rate) / len(KEYS)) + 1e-6


def test_drop_depends_on_the_example_s_own_key():
    whole = drop(some_cond(40), KEYS[:40], 0.5)
    part = drop(some_cond(40) | {"label": jnp.zeros(40, jnp.int32)}, KEYS[:40], 0.5)
    np.testing.assert_array_equal(whole["label"] == -1, part["label"] == -1)
    swapped = drop({"label": jnp.arange(2)}, KEYS[:40][jnp.array([7, 3])], 0.5)["label"]
    np.testing.assert_array_equal(swapped == -1, (whole["label"] == -1)[jnp.array([7, 3])])


@pytest.fixture(scope="module")
def labelled():
    conditioning = Conditioning(16, num_classes=3)
    cond = {"label": jnp.arange(3), "noise": jnp.zeros(3)}
    variables = jax.jit(conditioning.init)(jax.random.key(0), cond)
    return lambda cond: conditioning.apply(variables, cond).vector


def test_vector_is_the_sum_of_its_parts(labelled):
    label, noise = jnp.array([0, 2, -1]), jnp.array([0.0, 0.3, 1.0])
    both = labelled({"label": label, "noise": noise})
    chex.assert_shape(both, (3, 16))
    label_only = labelled({"label": label})
    other = labelled({"label": label, "noise": noise[::-1]})
    chex.assert_trees_all_close(both - label_only, (other - label_only)[::-1], atol=1e-6)


def test_null_label_has_its_own_row_and_an_unknown_one_is_not_silent(labelled):
    rows = np.asarray(labelled({"label": jnp.array([-1, 0, 1, 2])}))
    assert len(np.unique(rows, axis=0)) == 4
    assert np.isnan(labelled({"label": jnp.array([3])})).all()


def test_unconditional_and_keys():
    assert Conditioning(8).keys == ()
    assert Conditioning(8, num_classes=2).keys == ("label",)
    assert Conditioning(8).apply({}, {}) == Context()
    assert Conditioning(8).apply({}, {"label": jnp.zeros(2, jnp.int32)}) == Context()
    with pytest.raises(UserError, match=r"reads a label .* was given: noise"):
        Conditioning(8, num_classes=2).init(jax.random.key(0), {"noise": jnp.zeros(2)})


def test_one_hot_is_the_label_itself():
    vector = OneHot(3).apply({}, {"label": jnp.array([0, 2, -1, 3])}).vector
    np.testing.assert_array_equal(vector[:3], [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert np.isnan(vector[3]).all()
    assert OneHot(3).keys == ("label",)
    assert OneHot().keys == ()
    assert OneHot().apply({}, {}) == Context()
    with pytest.raises(UserError, match="was given: nothing"):
        OneHot(3).apply({}, {})


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-10.0, 10.0), (-1.5, 1.1)])
def test_close_noise_levels_are_told_apart_and_so_are_far_ones(low, high):
    # The ranges of t, of log-SNR and of log(sigma) / 4.
    conditioning = Conditioning(32)
    noise = jnp.linspace(low, high, 1001)
    variables = conditioning.init(jax.random.key(0), {"noise": noise[:1]})
    vector = np.asarray(conditioning.apply(variables, {"noise": noise}).vector)
    scale = vector.std(axis=0).mean()
    assert np.linalg.norm(np.diff(vector, axis=0), axis=1).min() > 0.01 * scale
    assert np.linalg.norm(vector[:200, None] - vector[None, -200:], axis=-1).min() > 0.1 * scale
    chex.assert_tree_all_finite(conditioning.apply(variables, {"noise": jnp.array([-10.0, 1000.0])}).vector)
