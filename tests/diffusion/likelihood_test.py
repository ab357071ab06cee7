"""Likelihoods against closed forms: Gaussian data, and data on a few levels, have exact denoisers and entropies."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.diffusion.likelihood import LEVEL, bits, dequantize, elbo, log_levels_given, ode_log_prob, prior_divergence
from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.schedule import EDM, VE, Cosine, LinearBeta, RectifiedFlow, SubVP, expand, log_snr, time_of
from gen_jax.errors import UserError
from gen_jax.random import normal

MEAN = np.array([0.3, -0.5, 0.1])
COV = np.array([[0.5, 0.3, -0.1], [0.3, 0.4, 0.1], [-0.1, 0.1, 0.2]])
SCHEDULES = [LinearBeta(), Cosine(), RectifiedFlow(), SubVP(), VE(), EDM()]
name = lambda s: type(s).__name__  # noqa: E731


def correlated(schedule):
    """The exact denoiser of N(MEAN, COV)."""

    def denoise(x, t):
        alpha, sigma = (a[:, None, None] for a in schedule(t))
        gap = (x - alpha[:, 0] * MEAN)[:, :, None]
        inner = jnp.linalg.solve(alpha**2 * COV + sigma**2 * jnp.eye(3), gap)
        return Prediction(MEAN + (alpha * COV @ inner)[:, :, 0], (sigma * inner)[:, :, 0])

    return denoise


def even_log_snrs(schedule, steps, high=12.0, low=-9.0):
    """Times [steps + 1] falling from noise to data, at equal distances of log snr."""
    return time_of(schedule, jnp.linspace(low, high, steps + 1))


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def marginal(schedule, t):
    """(mean [3], symmetric root of the covariance [3, 3]) of x_t for data N(MEAN, COV)."""
    alpha, sigma = (np.float64(a) for a in schedule(t))
    values, vectors = np.linalg.eigh(COV)
    return alpha * MEAN, vectors @ np.diag(np.sqrt(alpha**2 * values + sigma**2)) @ vectors.T


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_ode_finds_the_density_of_its_model(schedule):
    """The flow is known: x_end = mean_end + root_end u comes from mean_start + root_start u, which the prior weighs."""
    times = even_log_snrs(schedule, 60)
    (mean, root), (mean_start, root_start) = marginal(schedule, times[-1]), marginal(schedule, times[0])
    u = np.random.default_rng(0).standard_normal((16, 3))
    prior = stats.norm(0, float(schedule(times[0])[1])).logpdf(mean_start + u @ root_start).sum(1)
    expected = prior + np.linalg.slogdet(root_start)[1] - np.linalg.slogdet(root)[1]
    run = jax.jit(lambda x: ode_log_prob(keys(16), x, correlated(schedule), schedule, times, probes=None))
    got = run(jnp.asarray(mean + u @ root, jnp.float32))
    np.testing.assert_allclose(bits(got, (3,)), bits(expected, (3,)), atol=3e-4)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()], ids=name)
def test_from_pure_noise_the_model_is_the_data(schedule):
    times = even_log_snrs(schedule, 80, low=-16.0)
    mean, root = marginal(schedule, times[-1])
    law = stats.multivariate_normal(mean, root @ root)
    x = law.rvs(16, random_state=0)
    run = jax.jit(lambda x: ode_log_prob(keys(16), x, correlated(schedule), schedule, times, probes=None))
    np.testing.assert_allclose(bits(run(jnp.asarray(x, jnp.float32)), (3,)), bits(law.logpdf(x), (3,)), atol=1e-3)


def test_hutchinson_is_without_bias_and_more_probes_have_less_variance():
    """Over 2,000 draws of the signs for one x; the closed form, and a quarter of the variance with 4 probes."""
    schedule, n = Cosine(), 2000
    times = even_log_snrs(schedule, 40, low=-16.0)
    mean, root = marginal(schedule, times[-1])
    x = np.array([0.8, -0.9, 0.4])
    exact = stats.multivariate_normal(mean, root @ root).logpdf(x)
    many = jnp.tile(jnp.asarray(x, jnp.float32), (n, 1))
    drawn = {
        probes: np.asarray(ode_log_prob(keys(n), many, correlated(schedule), schedule, times, probes), np.float64)
        for probes in (1, 4)
    }
    for got in drawn.values():
        np.testing.assert_allclose(
            bits(got.mean(), (3,)), bits(exact, (3,)), atol=1e-3 + 4 * got.std() / n**0.5 / 3 / np.log(2)
        )
    assert drawn[1].std() > 0.1
    np.testing.assert_allclose(drawn[4].var() / drawn[1].var(), 1 / 4, rtol=0.2)


def test_one_probe_is_exact_where_values_are_independent():
    """Signs squared are 1: on a diagonal Jacobian the estimate has no variance. Closed form to 1e-3 bits, in images."""
    schedule, shape, mean, std = Cosine(), (2, 2, 1), 0.2, 0.3
    times = even_log_snrs(schedule, 80, low=-16.0)
    alpha, sigma = (expand(a, jnp.zeros((1, 1))) for a in schedule(times[-1:]))
    at_end = jnp.sqrt((alpha * std) ** 2 + sigma**2).item()

    def denoise(x, t):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        gap = (x - alpha * mean) / ((alpha * std) ** 2 + sigma**2)
        return Prediction(mean + alpha * std**2 * gap, sigma * gap)

    x = alpha.item() * mean + at_end * normal(keys(8), shape)
    got = jax.jit(lambda x: ode_log_prob(keys(8, 1), x, denoise, schedule, times))(x)
    expected = stats.norm(alpha.item() * mean, at_end).logpdf(np.asarray(x)).sum((1, 2, 3))
    np.testing.assert_allclose(bits(got, shape), bits(expected, shape), atol=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_elbo_of_gaussian_data_is_the_closed_form_and_a_tight_bound(schedule):
    """For data N(m, v) the terms are, in nats per value and over the data, e^low (v + m^2) / 2,
    log((1 + v e^high) / (1 + v e^low)) / 2 and log(2 pi e e^-high) / 2; the entropy is log(2 pi e v) / 2."""
    mean, v, n, shape = 0.2, 0.3, 20_000, (8,)
    start, end = time_of(schedule, jnp.array([-7.0, 8.0]))
    low, high = (float(log_snr(schedule, t)) for t in (start, end))

    def denoise(x, t):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        gap = (x - alpha * mean) / (alpha**2 * v + sigma**2)
        return Prediction(mean + alpha * v * gap, sigma * gap)

    x = mean + v**0.5 * normal(keys(n, 1), shape)
    run = jax.jit(lambda x: elbo(keys(n), x, denoise, schedule, start, end, draws=8, levels=None))
    terms = [np.asarray(term, np.float64) / 8 for term in run(x)]
    expected = [
        0.5 * np.exp(low) * (v + mean**2),
        0.5 * np.log((1 + v * np.exp(high)) / (1 + v * np.exp(low))),
        0.5 * np.log(2 * np.pi * np.e * np.exp(-high)),
    ]
    for term, value in zip(terms, expected, strict=True):
        np.testing.assert_allclose(term.mean(), value, atol=4 * term.std() / n**0.5)
    assert sum(terms).std() / n**0.5 < 0.02  # so that the comparison says something
    gap = sum(expected) - 0.5 * np.log(2 * np.pi * np.e * v)
    assert 0 < gap < 2e-3


VALUES = jnp.array([0, 100, 101, 255]) / 127.5 - 1
SHARES = np.array([0.1, 0.4, 0.3, 0.2])


def of_levels(schedule, shares=SHARES):
    """The exact denoiser of independent values that are VALUES with probability `shares`."""

    def denoise(x, t):
        alpha, sigma = (expand(a, x)[..., None] for a in schedule(t))
        log_p = jnp.log(jnp.asarray(shares)) - 0.5 * jnp.square((x[..., None] - alpha * VALUES) / sigma)
        x0 = (jax.nn.softmax(log_p) * VALUES).sum(-1)
        return Prediction(x0, (x - alpha[..., 0] * x0) / sigma[..., 0])

    return denoise


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=name)
def test_elbo_of_the_exact_denoiser_is_each_levels_probability(schedule):
    """In continuous time and with an end clean enough to tell levels apart, nothing is lost, for any single x."""
    n = 4000
    start, end = time_of(schedule, jnp.array([-12.0, 15.0]))
    x = jnp.repeat(VALUES, n)[:, None]
    run = jax.jit(lambda x: elbo(keys(4 * n), x, of_levels(schedule), schedule, start, end, draws=16).total)
    got = np.asarray(bits(-run(x), (1,)), np.float64).reshape(4, n)
    errors = got.std(1) / n**0.5
    assert errors.max() < 0.06
    np.testing.assert_array_less(np.abs(got.mean(1) + np.log2(SHARES)), 4 * errors)


@pytest.mark.parametrize(
    ("shares", "high"), [(np.array([0.25, 0.25, 0.25, 0.25]), 15.0), (SHARES, 7.0)], ids=["wrong model", "early end"]
)
def test_elbo_stays_above_the_entropy(shares, high):
    """A wrong model costs its divergence, 0.154 bits here; an end at which 100 and 101 look alike costs too."""
    schedule, n = Cosine(), 40_000
    start, end = time_of(schedule, jnp.array([-12.0, high]))
    x = jnp.repeat(VALUES, (n * SHARES).astype(int))[:, None]
    run = jax.jit(lambda x: elbo(keys(n), x, of_levels(schedule, shares), schedule, start, end, draws=16).total)
    got = np.asarray(bits(-run(x), (1,)), np.float64)
    entropy, error = -(SHARES * np.log2(SHARES)).sum(), got.std() / n**0.5
    assert got.mean() > entropy + 4 * error
    if high == 15:
        np.testing.assert_allclose(got.mean(), 2.0, atol=4 * error)


def test_the_ends_may_have_no_noise_or_no_data():
    """Cosine's alpha is -4e-8 at t = 1 and its sigma 0 at t = 0: the bound stops short of both."""
    schedule = Cosine()
    out = elbo(keys(4), VALUES[:, None], of_levels(schedule), schedule, 1.0, 0.0, draws=4)
    chex.assert_tree_all_finite(out)
    assert float(out.prior.max()) < 1e-8


def test_a_wider_prior_costs_its_divergence():
    """The density under another prior, by the flow; and the closed form of KL(N(alpha x, sigma^2) || N(0, 1))."""
    schedule, x = LinearBeta(), jnp.array([[0.5, -1.0]])
    alpha, sigma = (float(a) for a in schedule(jnp.float32(0.7)))
    expected = 0.5 * (alpha**2 * 1.25 + 2 * (sigma**2 - 1 - 2 * math.log(sigma)))
    np.testing.assert_allclose(prior_divergence(schedule, x, 0.7), expected, rtol=1e-4)
    np.testing.assert_allclose(prior_divergence(schedule, x, 0.7, None), 0.5 * 1.25 * (alpha / sigma) ** 2, rtol=1e-4)
    still = lambda x, t: Prediction(0 * x, 0 * x)  # noqa: E731  # no velocity: the density is the prior's
    got = ode_log_prob(keys(1), x, still, schedule, jnp.array([0.7, 0.1]), prior_std=2.0)
    np.testing.assert_allclose(got, stats.norm(0, 2).logpdf(np.asarray(x)).sum(), rtol=1e-5)


def test_levels_are_read_by_their_distance():
    """Three levels -1 0 1 seen at z = 0.5 with alpha = 0.8, sigma = 0.6: weights exp(-(z - alpha level)^2 / 0.72)."""
    weights = np.exp(-np.square(0.5 - 0.8 * np.array([-1, 0, 1])) / 0.72)
    read = lambda z: log_levels_given(z, jnp.array([[-1.0], [0.0], [1.0]]), 0.8, 0.6, levels=3)  # noqa: E731
    np.testing.assert_allclose(read(jnp.full((3, 1), 0.5)), np.log(weights / weights.sum()), rtol=1e-5)
    assert jnp.isfinite(jax.grad(lambda z: read(z).sum())(jnp.full((3, 1), 50.0))).all()


@pytest.mark.parametrize("which", ["ode", "elbo"])
def test_an_example_depends_on_its_own_key(which):
    schedule = LinearBeta()
    times = even_log_snrs(schedule, 4)
    x = jax.random.normal(jax.random.key(0), (4, 3))

    def run(keys, x):
        if which == "ode":
            return ode_log_prob(keys, x, correlated(schedule), schedule, times, probes=2)
        return elbo(keys, x, correlated(schedule), schedule, times[0], times[-1], draws=2, levels=None).total

    np.testing.assert_allclose(run(keys(4)[2:], x[2:]), run(keys(4), x)[2:], rtol=1e-4)


def test_uniform_bytes_have_eight_bits():
    """Dequantized they are uniform over 256 LEVEL, of density 1 / (256 LEVEL)."""
    levels = jnp.arange(256) / 127.5 - 1
    x = dequantize(keys(100), jnp.tile(levels, (100, 1)))
    assert stats.kstest(np.asarray(x).ravel(), stats.uniform(-1 - LEVEL / 2, 256 * LEVEL).cdf).pvalue > 1e-3
    np.testing.assert_array_equal(jnp.round((x + 1) * 127.5)[3], jnp.arange(256))
    log_prob = jnp.full(5, -12 * math.log(256 * LEVEL))
    np.testing.assert_allclose(bits(log_prob, (2, 2, 3), LEVEL), 8, rtol=1e-6)
    np.testing.assert_allclose(bits(jnp.array([-12 * math.log(256)]), (2, 2, 3)), 8, rtol=1e-6)


def test_what_cannot_be_computed_is_refused():
    x = jnp.zeros((1, 33, 32, 1))
    with pytest.raises(UserError, match="1056"):
        ode_log_prob(keys(1), x, None, Cosine(), jnp.linspace(1, 0, 3), probes=None)
    with pytest.raises(UserError, match="probes=0"):
        ode_log_prob(keys(1), x, None, Cosine(), jnp.linspace(1, 0, 3), probes=0)
