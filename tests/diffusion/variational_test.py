"""The terms of the Markov chain's bound against closed forms and an independent package."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.schedule import Cosine, DiscreteLinear, LinearBeta
from gen_jax.diffusion.variational import (
    bound_term,
    draw_forward,
    draw_posterior,
    log_levels,
    log_variances,
    normal_kl,
    posterior_mean,
)


@pytest.mark.parametrize("schedule", [Cosine(), LinearBeta()], ids=lambda s: type(s).__name__)
def test_the_posterior_is_that_of_bayes(schedule):
    """q(x_s | x_t, x0) as the product of the two normals q(x_s | x0) and q(x_t | x_s), normalized numerically."""
    t, s, x0, x = 0.6, 0.5, 0.3, 0.9
    (at, st), (as_, ss) = ((float(v) for v in schedule(jnp.float32(u))) for u in (t, s))
    forward = np.sqrt(st**2 - (at / as_ * ss) ** 2)
    product = lambda z: stats.norm.pdf(z, as_ * x0, ss) * stats.norm.pdf(x, at / as_ * z, forward)  # noqa: E731
    mass, first, second = (integrate.quad(lambda z, k=k: product(z) * z**k, -5, 5)[0] for k in range(3))
    mean = first / mass
    got = posterior_mean(schedule, jnp.full(1, t), jnp.full(1, s), jnp.full((1, 1), x), jnp.full((1, 1), x0))
    np.testing.assert_allclose(got, [[mean]], rtol=1e-4)
    small, large = log_variances(schedule, jnp.full(1, t), jnp.full(1, s))
    np.testing.assert_allclose(np.exp(small), second / mass - mean**2, rtol=1e-3)
    np.testing.assert_allclose(np.exp(large), forward**2, rtol=1e-4)


@pytest.mark.parametrize("schedule", [Cosine(), LinearBeta()], ids=lambda s: type(s).__name__)
def test_draws_of_the_chain_and_of_its_posterior_have_one_law(schedule):
    """x0 -> x_s -> x_t forward, and x_s' back from x_t and x0: (x_s', x_t) has the covariance of (x_s, x_t), which is
    [sigma_s^2, a sigma_s^2; a sigma_s^2, sigma_t^2] with a = alpha_t / alpha_s. Back to s = 0 it is x0."""
    n, x0, s, t = 40_000, 0.3, jnp.full(40_000, 0.5), jnp.full(40_000, 0.6)
    keys = jax.random.split(jax.random.key(0), 3 * n).reshape(3, n)
    (alpha_s, sigma_s), (alpha_t, sigma_t) = (tuple(float(a) for a in schedule(jnp.float32(u))) for u in (0.5, 0.6))
    data = jnp.full((n, 1), x0)
    x_s = draw_forward(keys[0], schedule, jnp.zeros(n), s, data)
    x_t = draw_forward(keys[1], schedule, s, t, x_s)
    back = draw_posterior(keys[2], schedule, t, s, x_t, data)
    cross = alpha_t / alpha_s * sigma_s**2
    for one in (x_s, back):
        np.testing.assert_allclose(one.mean(), alpha_s * x0, atol=0.02)
        np.testing.assert_allclose(np.cov(one[:, 0], x_t[:, 0]), [[sigma_s**2, cross], [cross, sigma_t**2]], atol=0.02)
    np.testing.assert_allclose(draw_posterior(keys[2], schedule, t, jnp.zeros(n), x_t, data), data, atol=1e-6)


def test_variances_of_the_chain_are_those_of_ddpm():
    """beta_t, and (1 - abar_{t-1}) / (1 - abar_t) beta_t; at the first step that of the second."""
    beta = np.linspace(1e-4, 0.02, 1000)
    abar = np.cumprod(1 - beta)
    for i in (1, 2, 500, 1000):
        t = jnp.float32([i / 1000])
        small, large = log_variances(DiscreteLinear(), t, t - 1 / 1000 if i > 1 else jnp.zeros(1))
        np.testing.assert_allclose(np.exp(large), beta[i - 1], rtol=2e-3)
        j = max(i, 2)
        np.testing.assert_allclose(np.exp(small), (1 - abar[j - 2]) / (1 - abar[j - 1]) * beta[j - 1], rtol=5e-3)


def test_normal_kl_against_numeric_integration():
    for mean_a, var_a, mean_b, var_b in ((0.0, 1.0, 0.0, 1.0), (0.5, 0.2, -0.3, 1.7)):
        p, q = stats.norm(mean_a, var_a**0.5), stats.norm(mean_b, var_b**0.5)
        expected = integrate.quad(lambda z, p=p, q=q: p.pdf(z) * (p.logpdf(z) - q.logpdf(z)), -6, 6)[0]
        np.testing.assert_allclose(normal_kl(mean_a, np.log(var_a), mean_b, np.log(var_b)), expected, atol=1e-6)


@pytest.mark.parametrize(("mean", "log_var"), [(0.0, 0.0), (0.4, -6.0), (-0.99, -9.0), (3.0, -2.0)])
def test_the_levels_share_the_whole_mass(mean, log_var):
    levels = jnp.arange(256) / 127.5 - 1
    log_p = log_levels(levels, jnp.float32(mean), jnp.float32(log_var))
    assert jnp.isfinite(log_p).all()
    np.testing.assert_allclose(jnp.exp(log_p).sum(), 1, rtol=1e-4)


def test_the_model_that_knows_x0_pays_nothing_until_the_last_step():
    """With the true x0 and the posterior's own variance the divergence is 0; the last step codes x0 itself."""
    schedule, key = DiscreteLinear(), jax.random.key(0)
    x0 = jnp.round(jax.random.uniform(key, (4, 8)) * 255) / 127.5 - 1
    t = jnp.array([0.1, 0.5, 0.9, 0.001])
    alpha, sigma = (a[:, None] for a in schedule(t))
    eps = jax.random.normal(jax.random.key(1), x0.shape)
    exact = Prediction(x0, eps, jnp.zeros_like(x0))
    s = jnp.round(t * 1000 - 1) / 1000
    bits = bound_term(schedule, t, s, x0, alpha * x0 + sigma * eps, exact)
    np.testing.assert_allclose(bits[:3], 0, atol=1e-5)
    assert 0 <= float(bits[3]) < 8
    wrong = bound_term(schedule, t, s, x0, alpha * x0 + sigma * eps, exact._replace(x0=x0 + 0.1))
    assert (wrong >= bits).all()  # by rounding, the same where nearly all of x_s is read off x_t
    assert (wrong[jnp.array([0, 1, 3])] > bits[jnp.array([0, 1, 3])]).all()
    wide = bound_term(schedule, t, s, x0, alpha * x0 + sigma * eps, exact._replace(variance=jnp.ones_like(x0)))
    assert (wide[:2] > 0).all()
