"""Losses at points that a reader can check, and likelihoods against what probability says of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gen_jax.errors import UserError
from gen_jax.losses.adversarial import (
    hinge,
    least_squares,
    minimax,
    non_saturating,
    relativistic,
    relativistic_average,
    wasserstein,
)
from gen_jax.losses.penalties import Penalty, cosine
from gen_jax.losses.reconstruction import Bernoulli, DiscretizedLogistic, DiscretizedLogisticMixture, Gaussian

LEVELS = np.arange(256, dtype=np.float32) / 127.5 - 1


def test_adversarial_losses_by_hand():
    """With D = sigmoid(logit): disc -log D(real) - log(1 - D(fake)), gen log(1 - D(fake)) or -log D(fake)."""
    real, fake = jnp.array([0.0, 2.0]), jnp.array([0.0, -1.0])
    d_real, d_fake = 1 / (1 + np.exp(-np.array([0.0, 2.0]))), 1 / (1 + np.exp(np.array([0.0, 1.0])))
    for loss, gen_expected in ((minimax, np.log(1 - d_fake)), (non_saturating, -np.log(d_fake))):
        disc, gen = loss(real, fake)
        np.testing.assert_allclose(disc, -np.log(d_real) - np.log(1 - d_fake), rtol=1e-6)
        np.testing.assert_allclose(gen, gen_expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "disc", "gen"),
    [
        (hinge, [1 + 3, 0 + 0, 2.5 + 1], [-2, 3, 0]),  # max(0, 1 - real) + max(0, 1 + fake); -fake
        (least_squares, [(1 + 4) / 2, (1 + 9) / 2, (2.5**2 + 0) / 2], [1 / 2, 16 / 2, 1 / 2]),
        (wasserstein, [2, -5, 1.5], [-2, 3, 0]),
    ],
)
def test_losses_of_logits_by_hand(loss, disc, gen):
    found = loss(jnp.array([0.0, 2.0, -1.5]), jnp.array([2.0, -3.0, 0.0]))
    np.testing.assert_allclose(found[0], disc)
    np.testing.assert_allclose(found[1], gen)


def test_relativistic_losses_by_hand():
    """-log sigmoid of how much more real the real example is; against its partner, or the mean of the others."""
    real, fake = np.array([0.0, 2.0]), np.array([1.0, -3.0])
    minus_log_sigmoid = lambda t: np.log1p(np.exp(-np.asarray(t)))  # noqa: E731
    disc, gen = relativistic(jnp.array(real), jnp.array(fake))
    np.testing.assert_allclose(disc, minus_log_sigmoid([-1, 5]), rtol=1e-5)
    np.testing.assert_allclose(gen, minus_log_sigmoid([1, -5]), rtol=1e-5)
    # The mean of the generated is -1, of the real 1: real are 1 and 3 above, generated 0 and -4 above.
    disc, gen = relativistic_average(jnp.array(real), jnp.array(fake))
    np.testing.assert_allclose(disc, minus_log_sigmoid([1, 3]) + minus_log_sigmoid([0, 4]), rtol=1e-5)
    np.testing.assert_allclose(gen, minus_log_sigmoid([-1, -3]) + minus_log_sigmoid([0, -4]), rtol=1e-5)


@given(shift=st.floats(-5, 5))
def test_relativistic_losses_see_differences_of_logits_only(shift):
    real, fake = jnp.array([0.3, -2.0, 1.0]), jnp.array([0.9, 0.1, -1.0])
    for loss in (relativistic, relativistic_average):
        for value, moved in zip(loss(real, fake), loss(real + shift, fake + shift), strict=True):
            np.testing.assert_allclose(moved, value, atol=1e-5)


def test_minimax_saturates_where_the_discriminator_wins_and_non_saturating_does_not():
    slope = lambda loss: float(jax.grad(lambda f: loss(jnp.zeros(1), f)[1].sum())(jnp.array([-10.0]))[0])  # noqa: E731
    assert abs(slope(minimax)) < 1e-4
    assert abs(slope(non_saturating)) > 0.99


def test_a_penalty_s_weight_may_fade_along_half_a_cosine():
    """From 1 to 0.2 in 8 steps: 0.6 half way; its own value is reported without the weight."""
    weight = lambda step: cosine(step, start=1.0, end=0.2, steps=8)  # noqa: E731
    penalty = Penalty(of=lambda game: jnp.array([2.0, 4.0]), weight=weight)
    for step, expected in ((0, 1.0), (4, 0.6), (8, 0.2), (100, 0.2)):
        added, value, _ = penalty(None, (), jnp.int32(step))
        np.testing.assert_allclose(added, 3 * expected, rtol=1e-6)
        assert value == 3
    with pytest.raises(UserError, match="steps=0"):
        cosine(jnp.int32(1), 1.0, 0.0, steps=0)


@given(mean=st.floats(-1.5, 1.5), log_scale=st.floats(-9, 2))
def test_discretized_logistic_sums_to_one(mean, log_scale):
    out = jnp.tile(jnp.array([mean, log_scale], jnp.float32), (256, 1))
    total = float(jax.scipy.special.logsumexp(DiscretizedLogistic().log_prob(LEVELS[:, None], out)))
    assert abs(total) < 2e-3


def test_discretized_logistic_against_the_logistic_of_scipy():
    x, mean, scale = LEVELS[100:120], 0.1, 0.05
    out = jnp.tile(jnp.array([mean, np.log(scale)], jnp.float32), (len(x), 1))
    law = stats.logistic(mean, scale)
    expected = np.log(law.cdf(x + 1 / 255) - law.cdf(x - 1 / 255))
    np.testing.assert_allclose(DiscretizedLogistic().log_prob(x[:, None], out), expected, rtol=1e-3)


def test_discretized_logistic_is_finite_with_finite_gradients_far_from_the_data():
    loss = lambda out: DiscretizedLogistic().log_prob(jnp.array([[1.0], [-1.0], [0.0]]), out).sum()  # noqa: E731
    for mean, log_scale in ((-30.0, -20.0), (30.0, -20.0), (0.0, 30.0)):
        out = jnp.tile(jnp.array([mean, log_scale]), (3, 1))
        assert jnp.isfinite(loss(out))
        assert jnp.isfinite(jax.grad(loss)(out)).all()


@given(seed=st.integers(0, 2**31), scale=st.floats(0.1, 3))
def test_a_mixture_of_discretized_logistics_sums_to_one(seed, scale):
    out = scale * jax.random.normal(jax.random.key(seed), (1, 1, 12))
    grey = DiscretizedLogisticMixture(components=3)
    total = jax.scipy.special.logsumexp(grey.log_prob(LEVELS[:, None, None], jnp.tile(out, (256, 1, 1))))
    assert abs(float(total)) < 2e-3


def test_a_mixture_in_colour_sums_to_one_over_all_colours():
    """With 4 levels there are 64 colours; the factors make the channels depend on each other."""
    likelihood = DiscretizedLogisticMixture(components=2, levels=4)
    levels = np.linspace(-1, 1, 4, dtype=np.float32)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(64, 1, 3)
    out = jnp.tile(jax.random.normal(jax.random.key(0), (1, 1, 24)), (64, 1, 1))
    p = np.exp(likelihood.log_prob(colours, out))
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-4)
    p = p.reshape(4, 4, 4)
    independent = np.einsum("i,j,k", p.sum((1, 2)), p.sum((0, 2)), p.sum((0, 1)))
    assert np.abs(p - independent).max() > 1e-3


def test_a_mixture_of_one_logistic_is_that_logistic_and_the_factors_move_its_mean():
    """By hand: green's mean is 0.1 + tanh(0.5) red, blue's -0.2 + tanh(-1) red + tanh(0.25) green."""
    x = jnp.array([LEVELS[200], LEVELS[90], LEVELS[130]]).reshape(1, 1, 3)
    mean, log_scale, factors = np.array([0.3, 0.1, -0.2]), np.array([-2.0, -1.5, -1.0]), np.array([0.5, -1.0, 0.25])
    out = jnp.stack([jnp.array(a, jnp.float32) for a in (mean, log_scale, factors, np.zeros(3))], -1).reshape(1, 1, 12)
    red, green, _ = np.asarray(x).ravel()
    moved = mean + np.array([0, np.tanh(0.5) * red, np.tanh(-1.0) * red + np.tanh(0.25) * green])
    plain = jnp.stack([jnp.array(moved, jnp.float32), jnp.array(log_scale, jnp.float32)]).reshape(1, 1, 6)
    found = DiscretizedLogisticMixture(1).log_prob(x, out)
    np.testing.assert_allclose(found, DiscretizedLogistic().log_prob(x, plain), rtol=1e-5)


def test_a_mixture_is_finite_with_finite_gradients_far_from_the_data():
    likelihood = DiscretizedLogisticMixture(2)
    for value in (-30.0, 30.0):
        out = jnp.full((2, 1, 24), value)
        x = jnp.array([[[1.0, -1.0, 0.0]], [[-1.0, 1.0, 1.0]]])
        assert jnp.isfinite(likelihood.log_prob(x, out)).all()
        assert jnp.isfinite(jax.grad(lambda out, x=x: likelihood.log_prob(x, out).sum())(out)).all()


def test_gaussian_against_scipy():
    x, mean = np.random.default_rng(0).normal(size=(2, 5, 3, 2, 1)).astype(np.float32)
    expected = stats.norm(mean, 0.3).logpdf(x).reshape(5, -1).sum(1)
    np.testing.assert_allclose(Gaussian(std=0.3).log_prob(x, mean), expected, rtol=1e-4)


def test_bernoulli_against_scipy():
    rng = np.random.default_rng(0)
    bits, logits = rng.integers(0, 2, (4, 6)), rng.normal(size=(4, 6)).astype(np.float32)
    expected = stats.bernoulli(1 / (1 + np.exp(-logits))).logpmf(bits).sum(1)
    np.testing.assert_allclose(Bernoulli().log_prob(2.0 * bits - 1, logits), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "likelihood",
    [Gaussian(), Bernoulli(), DiscretizedLogistic(), DiscretizedLogisticMixture(3)],
    ids=lambda x: type(x).__name__,
)
def test_the_mean_is_a_picture(likelihood):
    out = 5 * jax.random.normal(jax.random.key(0), (2, 4, 4, 3 * likelihood.channels))
    mean = likelihood.mean(out)
    assert mean.shape == (2, 4, 4, 3)
    assert float(jnp.abs(mean).max()) <= 1
