"""Schedules, parameterizations, weightings and time distributions against what mathematics says of them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gen_jax.diffusion import parameterization as p
from gen_jax.diffusion import time, weighting
from gen_jax.diffusion.schedule import Cosine, LinearBeta, RectifiedFlow, derivative, velocity

SCHEDULES = [Cosine(), LinearBeta(), RectifiedFlow()]
PARAMETERIZATIONS = [p.eps, p.x0, p.v, p.flow]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_schedule_runs_from_data_to_noise(schedule):
    t = jnp.linspace(0, 1, 101)
    alpha, sigma = schedule(t)
    np.testing.assert_allclose([alpha[0], sigma[0]], [1, 0], atol=1e-6)
    np.testing.assert_allclose([alpha[-1], sigma[-1]], [0, 1], atol=1e-2)
    assert (jnp.diff(alpha) < 0).all()
    assert (jnp.diff(sigma) > 0).all()


@pytest.mark.parametrize("schedule", [Cosine(), LinearBeta()], ids=lambda s: type(s).__name__)
def test_variance_preserving(schedule):
    alpha, sigma = schedule(jnp.linspace(0, 1, 101))
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, atol=1e-6)


def test_linear_beta_integrates_its_beta():
    """alpha^2 = exp(-integral of beta), the integral by the trapezoid rule, which is exact for a line."""
    schedule = LinearBeta(beta_min=0.2, beta_max=12.0)
    t = np.linspace(0, 0.7, 11)
    integral = np.trapezoid(0.2 + t * (12.0 - 0.2), t)
    np.testing.assert_allclose(schedule(jnp.float32(0.7))[0] ** 2, np.exp(-integral), rtol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_derivative_against_finite_differences(schedule):
    with jax.enable_x64(True):
        t, h = jnp.array([0.2, 0.5, 0.8]), 1e-5
        for i in range(2):
            difference = (schedule(t + h)[i] - schedule(t - h)[i]) / (2 * h)
            np.testing.assert_allclose(derivative(schedule, t)[i], difference, rtol=1e-7)


def test_velocity_of_the_straight_path_is_noise_minus_data():
    x0, eps = jax.random.normal(jax.random.key(0), (2, 5, 4, 4, 1))
    np.testing.assert_allclose(velocity(RectifiedFlow(), jnp.full(5, 0.3), x0, eps), eps - x0, rtol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("kind", PARAMETERIZATIONS, ids=lambda f: f.__name__)
@given(t=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_every_parameterization_round_trips(schedule, kind, t, seed):
    x0, eps = jax.random.normal(jax.random.key(seed), (2, 3, 2, 2, 1))
    alpha, sigma = schedule(jnp.float32(t))
    x = alpha * x0 + sigma * eps
    back = p.invert(kind, alpha, sigma, x, p.target(kind, alpha, sigma, x0, eps))
    chex.assert_trees_all_close(back, (x0, eps), atol=2e-3)


def test_parameterizations_by_hand():
    """alpha = 0.6, sigma = 0.8, x0 = 2, eps = -1: v = 0.6 (-1) - 0.8 (2), flow = -1 - 2."""
    alpha, sigma = jnp.float32(0.6), jnp.float32(0.8)
    got = [float(p.target(f, alpha, sigma, 2.0, -1.0)) for f in (p.eps, p.x0, p.v, p.flow)]
    np.testing.assert_allclose(got, [-1, 2, -2.2, -3], rtol=1e-6)


@pytest.mark.parametrize("kind", PARAMETERIZATIONS, ids=lambda f: f.__name__)
@given(t=st.floats(0.05, 0.95))
def test_weights_stated_in_one_space_agree_for_every_parameterization(kind, t):
    """The same error of x0, seen through any network output, has the same weighted loss."""
    alpha, sigma = Cosine()(jnp.float32(t))
    x0, eps, wrong = 0.3, -0.7, 0.5
    x = alpha * x0 + sigma * eps
    wrong_eps = (x - alpha * wrong) / sigma  # what eps is, should x0 be `wrong`
    det = p.determinant(kind, alpha, sigma)
    error = p.target(kind, alpha, sigma, x0, eps) - p.target(kind, alpha, sigma, wrong, wrong_eps)
    snr = float((alpha / sigma) ** 2)
    for weight, in_x0_space in ((weighting.snr, snr), (weighting.min_snr, min(snr, 5.0))):
        np.testing.assert_allclose(weight(alpha, sigma, det) * error**2, in_x0_space * (x0 - wrong) ** 2, rtol=2e-3)


@pytest.mark.parametrize("distribution", [time.uniform, time.stratified], ids=lambda f: f.__name__)
def test_uniform_times_are_uniform_over_keys(distribution):
    keys = jax.random.split(jax.random.key(0), 4000)
    t = jax.vmap(lambda key: distribution(key, jnp.array([3]))[0])(keys)
    assert stats.kstest(np.asarray(t), "uniform").pvalue > 1e-3


def test_stratified_times_fill_every_batch_evenly():
    """The discrepancy of the golden-ratio sequence is O(log n / n); that of independent times is O(n ** -0.5)."""
    for seed in range(5):
        t = np.sort(time.stratified(jax.random.key(seed), jnp.arange(256)))
        assert np.abs(t - (np.arange(256) + 0.5) / 256).max() < 0.02


def test_logit_normal_times():
    keys = jax.random.split(jax.random.key(0), 4000)
    t = jax.vmap(lambda key: time.logit_normal(key, jnp.array([0]), mean=-0.5, std=1.5)[0])(keys)
    t = np.asarray(t, np.float64)
    assert stats.kstest(np.log(t / (1 - t)), stats.norm(-0.5, 1.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("distribution", [time.uniform, time.stratified, time.logit_normal], ids=lambda f: f.__name__)
def test_time_of_an_example_depends_on_its_place_alone(distribution):
    key = jax.random.key(1)
    whole = distribution(key, jnp.arange(8))
    np.testing.assert_array_equal(distribution(key, jnp.arange(4, 8)), whole[4:])
