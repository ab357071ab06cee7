"""Schedules, parameterizations, weightings and time distributions against what mathematics says of them."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.diffusion import parameterization as p
from gen_jax.diffusion import time, weighting
from gen_jax.diffusion.schedule import (
    EDM,
    VE,
    Cosine,
    DiscreteCosine,
    DiscreteLinear,
    LinearBeta,
    RectifiedFlow,
    SubVP,
    TrigFlow,
    derivative,
    horizon,
    log_snr,
    log_snr_rate,
    sde,
    time_of,
    velocity,
)

SCHEDULES = [
    Cosine(),
    LinearBeta(),
    SubVP(),
    VE(),
    EDM(),
    RectifiedFlow(),
    TrigFlow(),
    DiscreteLinear(),
    DiscreteCosine(),
]
PARAMETERIZATIONS = [p.eps, p.x0, p.v, p.flow, p.edm]
LATENT = DiscreteLinear(beta_start=0.00085, beta_end=0.012, power=0.5)
name = lambda f: getattr(f, "__name__", type(f).__name__)  # noqa: E731


def inside(schedule, n=9):
    """Times [n] away from the ends, and between the steps of the discrete schedules."""
    end = 80.0 if math.isinf(horizon(schedule)) else horizon(schedule)
    return jnp.linspace(0.0501, 0.9503, n) * end


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_schedule_runs_from_data_to_noise(schedule):
    end = 80.0 if math.isinf(horizon(schedule)) else horizon(schedule)
    t = jnp.linspace(0, end, 101)
    alpha, sigma = schedule(t)
    np.testing.assert_allclose([alpha[0], sigma[0]], [1, 0], atol=0.0101)  # VE begins at sigma_min = 0.01
    assert alpha[-1] / sigma[-1] < 0.021  # VE ends at sigma_max = 50
    assert (jnp.diff(alpha) <= 0).all()
    assert (jnp.diff(sigma) > 0).all()
    assert (log_snr_rate(schedule, inside(schedule)) > 0).all()


@pytest.mark.parametrize(
    "schedule", [Cosine(), LinearBeta(), TrigFlow(), DiscreteLinear(), LATENT, DiscreteCosine()], ids=name
)
def test_variance_preserving(schedule):
    alpha, sigma = schedule(jnp.linspace(0, horizon(schedule), 101))
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, atol=1e-6)


def test_sub_vp_is_below_vp():
    t = jnp.linspace(0, 1, 11)
    (alpha, sigma), (alpha_vp, sigma_vp) = SubVP()(t), LinearBeta()(t)
    np.testing.assert_allclose(alpha, alpha_vp, rtol=1e-6)
    np.testing.assert_allclose(sigma, sigma_vp**2, rtol=1e-5)


def test_ve_is_geometric():
    np.testing.assert_allclose(VE(0.01, 100.0)(jnp.array([0.0, 0.25, 0.5, 1.0]))[1], [0.01, 0.1, 1, 100], rtol=1e-5)


def test_linear_beta_integrates_its_beta():
    """alpha^2 = exp(-integral of beta), the integral by the trapezoid rule, which is exact for a line."""
    schedule = LinearBeta(beta_min=0.2, beta_max=12.0)
    t = np.linspace(0, 0.7, 11)
    integral = np.trapezoid(0.2 + t * (12.0 - 0.2), t)
    np.testing.assert_allclose(schedule(jnp.float32(0.7))[0] ** 2, np.exp(-integral), rtol=1e-5)


def test_discrete_linear_is_a_product_of_steps():
    """By hand: betas 0.1, 0.2, 0.3 leave 0.9, 0.72, 0.504; and the published networks' numbers."""
    alpha, _ = DiscreteLinear(steps=3, beta_start=0.1, beta_end=0.3)(jnp.array([0, 1 / 3, 2 / 3, 1]))
    np.testing.assert_allclose(alpha**2, [1, 0.9, 0.72, 0.504], rtol=1e-5)
    # Stable Diffusion's noise levels sigma / alpha, rounded to four places as k-diffusion and its followers give them.
    alpha, sigma = LATENT(jnp.array([0.001, 1.0]))
    np.testing.assert_allclose(sigma / alpha, [0.0292, 14.6146], atol=5e-5)


def test_discrete_linear_nears_the_continuous_process():
    t = jnp.linspace(0, 1, 21)
    np.testing.assert_allclose(DiscreteLinear()(t)[0], LinearBeta()(t)[0], atol=2e-3)


def test_discrete_cosine_steps_to_the_cosine_and_its_last_steps_are_bounded():
    steps = 50
    i = np.arange(steps + 1)
    f = np.cos(np.pi / 2 * (i / steps + 0.008) / 1.008) ** 2
    alpha, _ = DiscreteCosine(steps=steps)(jnp.asarray(i / steps, jnp.float32))
    np.testing.assert_allclose(alpha[:-1] ** 2, (f / f[0])[:-1], rtol=1e-3)
    np.testing.assert_allclose((alpha[-1] / alpha[-2]) ** 2, 1 - 0.999, rtol=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_derivative_against_finite_differences(schedule):
    with jax.enable_x64(True):
        t, h = jnp.asarray(np.asarray(inside(schedule, 3), np.float64)), 1e-5
        for i in range(2):
            difference = (schedule(t + h)[i] - schedule(t - h)[i]) / (2 * h)
            np.testing.assert_allclose(derivative(schedule, t)[i], difference, rtol=1e-6, atol=1e-9)


def test_velocity_of_the_straight_path_is_noise_minus_data():
    x0, eps = jax.random.normal(jax.random.key(0), (2, 5, 4, 4, 1))
    np.testing.assert_allclose(velocity(RectifiedFlow(), jnp.full(5, 0.3), x0, eps), eps - x0, rtol=1e-6)


def test_sdes_are_the_published_ones():
    """Song et al. 2021, tab. 1: VP f = -beta / 2, g^2 = beta; sub-VP g^2 = beta (1 - exp(-2 int beta)); VE f = 0."""
    t = jnp.array([0.1, 0.4, 0.9])
    beta, integral = 0.1 + t * 19.9, 0.1 * t + t**2 / 2 * 19.9
    for schedule, g2 in ((LinearBeta(), beta), (SubVP(), beta * (1 - jnp.exp(-2 * integral)))):
        f, got = sde(schedule, t)
        np.testing.assert_allclose(f, -beta / 2, rtol=1e-4)
        np.testing.assert_allclose(got, g2, rtol=1e-3)
    f, got = sde(VE(0.01, 50.0), t)
    np.testing.assert_array_equal(f, 0)
    np.testing.assert_allclose(got, 0.01**2 * 5000 ** (2 * t) * 2 * np.log(5000), rtol=1e-4)


@pytest.mark.parametrize("schedule", [LinearBeta(), VE(), SubVP()], ids=name)
def test_the_sde_simulated_has_the_schedules_marginals(schedule):
    """Euler-Maruyama from Gaussian data: mean alpha m, variance alpha^2 s^2 + sigma^2, within 4 standard errors."""
    rng, n, steps, mean, std = np.random.default_rng(0), 40_000, 400, 1.5, 0.6
    _, sigma = schedule(jnp.float32(0))
    x = mean + std * rng.standard_normal(n) + float(sigma) * rng.standard_normal(n)
    for k in range(1, 3):  # to t = 0.4, then to t = 0.8
        middles = jnp.asarray(0.4 * (k - 1) + 0.4 * (np.arange(steps) + 0.5) / steps, jnp.float32)
        f, g2 = (np.asarray(a, np.float64) for a in sde(schedule, middles))
        for i in range(steps):
            x += f[i] * x * 0.4 / steps + np.sqrt(g2[i] * 0.4 / steps) * rng.standard_normal(n)
        alpha, sigma = (float(a) for a in schedule(jnp.float32(0.4 * k)))
        var = (alpha * std) ** 2 + sigma**2
        np.testing.assert_allclose(x.mean(), alpha * mean, atol=4 * (var / n) ** 0.5)
        np.testing.assert_allclose(x.var(), var, rtol=4 * (2 / n) ** 0.5 + 0.01)  # 0.01: the steps' own error


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_time_of_inverts_the_log_snr(schedule):
    t = inside(schedule)
    np.testing.assert_allclose(time_of(schedule, log_snr(schedule, t)), t, rtol=1e-5)
    outside = time_of(schedule, jnp.array([100.0, -100.0]))
    np.testing.assert_allclose(outside, [0, min(horizon(schedule), 1e5)], atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_log_snr_rate_is_the_slope(schedule):
    with jax.enable_x64(True):
        t, h = jnp.asarray(np.asarray(inside(schedule, 3), np.float64)), 1e-5
        difference = (log_snr(schedule, t - h) - log_snr(schedule, t + h)) / (2 * h)
        np.testing.assert_allclose(log_snr_rate(schedule, t), difference, rtol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
@pytest.mark.parametrize("kind", PARAMETERIZATIONS, ids=name)
def test_every_parameterization_round_trips(schedule, kind):
    t = time_of(schedule, jnp.linspace(-5.0, 5.0, 11))[:, None]
    x0, eps = jax.random.normal(jax.random.key(1), (2, 11, 3))
    alpha, sigma = schedule(t)
    x = alpha * x0 + sigma * eps
    back = p.invert(kind, alpha, sigma, x, p.target(kind, alpha, sigma, x0, eps))
    chex.assert_trees_all_close(back, p.Prediction(x0, eps), atol=1e-4)


def test_parameterizations_by_hand():
    """alpha = 0.6, sigma = 0.8, x0 = 2, eps = -1: v = 0.6 (-1) - 0.8 (2), flow = -1 - 2."""
    alpha, sigma = jnp.float32(0.6), jnp.float32(0.8)
    got = [float(p.target(f, alpha, sigma, 2.0, -1.0)) for f in (p.eps, p.x0, p.v, p.flow)]
    np.testing.assert_allclose(got, [-1, 2, -2.2, -3], rtol=1e-6)


@pytest.mark.parametrize("schedule", [EDM(), VE(), LinearBeta()], ids=name)
def test_edm_preconditions(schedule):
    """For data of standard deviation sd the network's input and target have unit variance, the target is not
    correlated with the input, and x0 = c_skip x + c_out F with the paper's numbers for x / alpha."""
    sd = 0.7
    alpha, sigma = schedule(inside(schedule))
    s = sigma / alpha
    a, b = p.edm(alpha, sigma, sd)
    scale, noise = p.edm_inputs(None, alpha, sigma, sd)
    np.testing.assert_allclose((a * sd) ** 2 + b**2, 1, rtol=1e-5)
    np.testing.assert_allclose(a * alpha * sd**2 + b * sigma, 0, atol=2e-5)
    np.testing.assert_allclose(scale**2 * ((alpha * sd) ** 2 + sigma**2), 1, rtol=1e-5)
    np.testing.assert_allclose(noise, np.log(s) / 4, rtol=1e-5, atol=1e-6)
    x, out = 0.3, -1.2
    c_skip, c_out = sd**2 / (s**2 + sd**2), s * sd / np.sqrt(s**2 + sd**2)
    x0 = p.invert(functools.partial(p.edm, sigma_data=sd), alpha, sigma, alpha * x, out).x0
    np.testing.assert_allclose(x0, c_skip * x + c_out * out, rtol=1e-4, atol=1e-5)


def test_inputs_tell_the_noise():
    t = jnp.array([0.25, 0.5])
    alpha, sigma = LinearBeta()(t)
    chex.assert_trees_all_equal(p.plain(t, alpha, sigma), (jnp.ones(2), t))
    np.testing.assert_allclose(p.log_snr_input(t, alpha, sigma)[1], log_snr(LinearBeta(), t) / 2, rtol=1e-5, atol=1e-6)
    steps = jnp.arange(1, 1001)
    np.testing.assert_allclose(p.step_input(steps / 1000, 1.0, 0.0, steps=1000)[1], steps - 1, atol=1e-4)


WEIGHTS = {  # each in its own space, as a factor on the squared error of x0, from snr = alpha^2 / sigma^2 and rate
    "snr": (weighting.snr, lambda snr, rate: snr),
    "min_snr": (weighting.min_snr, lambda snr, rate: jnp.minimum(snr, 5.0)),
    "p2": (functools.partial(weighting.p2, k=0.5, gamma=2.0), lambda snr, rate: snr / (0.5 + snr) ** 2),
    "sigmoid": (
        functools.partial(weighting.sigmoid, bias=-1.0),
        lambda snr, rate: snr * rate / (1 + snr * jnp.e),  # sigmoid(bias - log snr) = 1 / (1 + snr exp(-bias))
    ),
    "edm": (weighting.edm_weight, lambda snr, rate: snr + 4.0),  # (s^2 + 0.25) / (0.25 s^2), s^2 = 1 / snr
    "elbo": (weighting.elbo_weight, lambda snr, rate: 0.5 * rate * snr),
}


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("kind", PARAMETERIZATIONS, ids=name)
def test_weights_stated_in_one_space_agree_for_every_parameterization(kind, weight):
    """The same error of x0, seen through any network output, has the same weighted loss."""
    weigh, in_x0_space = WEIGHTS[weight]
    t = inside(Cosine())
    (alpha, sigma), rate = Cosine()(t), log_snr_rate(Cosine(), t)
    x0, eps, wrong = 0.3, -0.7, 0.5
    x = alpha * x0 + sigma * eps
    wrong_eps = (x - alpha * wrong) / sigma  # what eps is, should x0 be `wrong`
    det = p.determinant(kind, alpha, sigma)
    error = p.target(kind, alpha, sigma, x0, eps) - p.target(kind, alpha, sigma, wrong, wrong_eps)
    expected = in_x0_space((alpha / sigma) ** 2, rate) * (x0 - wrong) ** 2
    np.testing.assert_allclose(weigh(alpha, sigma, det, rate) * error**2, expected, rtol=1e-3)


def test_edms_weight_is_one_in_its_own_parameterization():
    alpha, sigma = EDM()(jnp.array([0.01, 0.5, 20.0]))
    det = p.determinant(p.edm, alpha, sigma)
    np.testing.assert_allclose(weighting.edm_weight(alpha, sigma, det, None), 1, rtol=1e-5)
    np.testing.assert_array_equal(weighting.constant(alpha, sigma, det, None), 1)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
@pytest.mark.parametrize("kind", [p.v, p.edm], ids=name)
def test_the_elbo_weight_integrates_to_the_same_bound_for_every_schedule(schedule, kind):
    """Data N(0, v): the best eps is off by snr v / (1 + snr v) in mean square, so that over log snr in [-5, 5] half
    its integral is log((1 + v e^5) / (1 + v e^-5)) / 2, whatever path the noise takes."""
    v = 0.3
    low, high = time_of(schedule, jnp.array([5.0, -5.0]))
    t = low + (high - low) * (jnp.arange(20_000) + 0.5) / 20_000
    if math.isinf(horizon(schedule)):
        t = low * (high / low) ** ((t - low) / (high - low))  # EDM's integrand is all near 0
    width = jnp.diff(t, append=2 * t[-1] - t[-2])
    (alpha, sigma), snr = schedule(t), jnp.exp(log_snr(schedule, t))
    det = p.determinant(kind, alpha, sigma)
    error = jnp.square(det / alpha) * snr * v / (1 + snr * v)
    total = (weighting.elbo_weight(alpha, sigma, det, log_snr_rate(schedule, t)) * error * width).sum()
    np.testing.assert_allclose(total, 0.5 * np.log((1 + v * np.e**5) / (1 + v * np.e**-5)), rtol=2e-3)


def test_weights_are_finite_without_noise():
    """At sigma = 0, where the error of x0 cannot be told from nothing; snr's own weight is infinite there."""
    alpha, sigma = jnp.ones(1), jnp.zeros(1)
    for weigh in (weighting.min_snr, weighting.p2, weighting.edm_weight):
        assert jnp.isfinite(weigh(alpha, sigma, p.determinant(p.v, alpha, sigma), None)).all()


def draws(distribution, index=3):
    """One example's time under 4,000 keys."""
    keys = jax.random.split(jax.random.key(0), 4000)
    t = jax.vmap(lambda key: distribution(key, jnp.array([index]))[0])(keys)
    return np.asarray(t, np.float64)


logit = lambda t: np.log(t / (1 - t))  # noqa: E731
DISTRIBUTIONS = {  # what becomes of the times, and the law it then has
    "uniform": (time.uniform, lambda t: t, stats.uniform()),
    "bounded": (functools.partial(time.uniform, low=0.2, high=0.6), lambda t: t, stats.uniform(0.2, 0.4)),
    "stratified": (time.stratified, lambda t: t, stats.uniform()),
    "shifted_uniform": (time.shifted_uniform, lambda t: logit(t) - np.log(3.0), stats.logistic()),
    "logit_normal": (functools.partial(time.logit_normal, mean=-0.5, std=1.5), logit, stats.norm(-0.5, 1.5)),
    "log_normal": (functools.partial(time.log_normal, mean=-1.0, std=0.8), np.log, stats.norm(-1.0, 0.8)),
    "karras_levels": (
        functools.partial(time.karras_levels, sigma_min=0.002, sigma_max=80.0, low=0.0, high=1.0),
        lambda t: t ** (1 / 7),
        stats.uniform(0.002 ** (1 / 7), 80 ** (1 / 7) - 0.002 ** (1 / 7)),
    ),
}


@pytest.mark.parametrize("case", DISTRIBUTIONS)
def test_times_have_their_law_over_keys(case):
    distribution, transform, law = DISTRIBUTIONS[case]
    assert stats.kstest(transform(draws(distribution)), law.cdf).pvalue > 1e-3


def test_discrete_times_are_those_of_the_chain():
    t = draws(functools.partial(time.discrete, steps=10))
    places, counts = np.unique(np.round(t * 10), return_counts=True)
    np.testing.assert_allclose(t * 10, np.round(t * 10), atol=1e-5)
    np.testing.assert_array_equal(places, np.arange(1, 11))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_stratified_times_fill_every_batch_evenly():
    """The discrepancy of the golden-ratio sequence is O(log n / n); that of independent times is O(n ** -0.5)."""
    for seed in range(5):
        t = np.sort(time.stratified(jax.random.key(seed), jnp.arange(256)))
        assert np.abs(t - (np.arange(256) + 0.5) / 256).max() < 0.02


@pytest.mark.parametrize(
    "distribution",
    [time.uniform, time.stratified, time.discrete, time.shifted_uniform, time.logit_normal, time.log_normal],
    ids=name,
)
def test_time_of_an_example_depends_on_its_place_alone(distribution):
    key = jax.random.key(1)
    whole = distribution(key, jnp.arange(8))
    np.testing.assert_array_equal(distribution(key, jnp.arange(4, 8)), whole[4:])
