"""Samplers and guidance against closed forms: Gaussian data has an exact denoiser and an exact ODE solution.

For x0 ~ N(m, s^2 I) the marginal at t is N(alpha m, (alpha s)^2 + sigma^2), the best x0 given x is known, and the
probability flow ODE carries a point to the same quantile of every marginal.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.diffusion.guidance import classifier_free, clip_x0
from gen_jax.diffusion.samplers import DDIM, Euler, Heun, integrate
from gen_jax.diffusion.schedule import Cosine, LinearBeta, RectifiedFlow, expand
from gen_jax.diffusion.time import uniform_grid

MEAN, STD = 0.4, 0.7
SCHEDULES = [Cosine(), LinearBeta(), RectifiedFlow()]
START, END = 0.95, 0.05  # away from the ends, where LinearBeta's velocity is not smooth


def marginal_std(schedule, t):
    alpha, sigma = schedule(t)
    return jnp.sqrt((alpha * STD) ** 2 + sigma**2)


def oracle(schedule):
    """The exact denoiser (x, t [b]) -> (x0, eps) of N(MEAN, STD^2)."""

    def denoise(x, t):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        var = (alpha * STD) ** 2 + sigma**2
        x0 = MEAN + alpha * STD**2 / var * (x - alpha * MEAN)
        return x0, sigma / var * (x - alpha * MEAN)

    return denoise


def solve(sampler, schedule, steps, n=64, start=START, end=END, seed=0):
    """(samples, the exact end points of the ODE from the same start), each [n, 2]."""
    quantile = jax.random.normal(jax.random.key(seed), (n, 2))
    alpha, _ = schedule(jnp.float32(start))
    x = alpha * MEAN + marginal_std(schedule, start) * quantile
    keys = jax.random.split(jax.random.key(seed + 1), n)
    out = integrate(sampler, keys, x, oracle(schedule), schedule, uniform_grid(start, end, steps))
    return out, schedule(jnp.float32(end))[0] * MEAN + marginal_std(schedule, end) * quantile


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(("sampler", "order"), [(Euler(), 1), (DDIM(), 1), (Heun(), 2)], ids=lambda s: str(s))
def test_order_of_convergence(sampler, order, schedule):
    """Halving the step divides the error by 2^order; float64 keeps rounding out of it."""
    with jax.enable_x64(True):
        errors = [float(jnp.abs(jnp.subtract(*solve(sampler, schedule, steps))).max()) for steps in (32, 64, 128)]
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(rates, order, atol=0.15)
    assert errors[-1] < 0.05


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_ancestral_ddim_draws_from_the_data(schedule):
    """eta = 1 is stochastic: what is exact is the law of its end points, of mean and variance known."""
    out, _ = solve(DDIM(eta=1.0), schedule, steps=200, n=4000)
    n = out.size
    np.testing.assert_allclose(out.mean(), schedule(END)[0] * MEAN, atol=4 * STD / n**0.5)
    np.testing.assert_allclose(out.std(), marginal_std(schedule, END), rtol=0.03)


def test_one_ancestral_step_has_the_posterior_of_ddpm():
    """q(x_s | x_t, x0) of Ho et al. 2020, eq. 7, with alpha_bar = alpha^2 in its notation."""
    schedule, t, s = LinearBeta(), jnp.float32(0.6), jnp.float32(0.5)
    (at, _), (as_, _) = schedule(t), schedule(s)
    abar_t, abar_s, alpha_ts = at**2, as_**2, (at / as_) ** 2
    x0, x = 0.3, 0.9
    mean = (as_ * (1 - alpha_ts) * x0 + jnp.sqrt(alpha_ts) * (1 - abar_s) * x) / (1 - abar_t)
    var = (1 - abar_s) / (1 - abar_t) * (1 - alpha_ts)

    def denoise(x, t):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        return jnp.full_like(x, x0), (x - alpha * x0) / sigma

    n = 200_000
    keys = jax.random.split(jax.random.key(0), n)
    out = integrate(DDIM(eta=1.0), keys, jnp.full((n, 1), x), denoise, schedule, jnp.stack([t, s]))
    np.testing.assert_allclose(out.mean(), mean, atol=4 * float(jnp.sqrt(var / n)))
    np.testing.assert_allclose(out.var(), var, rtol=0.02)


def test_ddim_lands_exactly_where_the_prediction_does_not_change():
    """A denoiser that knows (x0, eps) is followed without error in one step or many, to the very end."""
    x0, eps = jax.random.normal(jax.random.key(0), (2, 3, 4))
    for schedule in SCHEDULES:
        alpha, sigma = schedule(jnp.float32(0.9))
        for steps in (1, 7):
            keys = jax.random.split(jax.random.key(0), 3)
            times = uniform_grid(0.9, 0.0, steps)
            out = integrate(DDIM(), keys, alpha * x0 + sigma * eps, lambda x, t: (x0, eps), schedule, times)
            chex.assert_trees_all_close(out, x0, atol=1e-5)


@pytest.mark.parametrize("sampler", [Euler(), Heun(), DDIM()], ids=lambda s: str(s))
def test_deterministic_samplers_ignore_their_keys(sampler):
    def run(seed):
        keys = jax.random.split(jax.random.key(seed), 4)
        schedule = Cosine()
        return integrate(sampler, keys, jnp.ones((4, 2)), oracle(schedule), schedule, uniform_grid(0.9, 0.1, 3))

    chex.assert_trees_all_equal(run(0), run(1))


def test_heun_ends_at_zero_noise_without_asking_for_it():
    """The last step to sigma = 0 is Euler's: a denoiser that is undefined there does no harm."""
    schedule = Cosine()
    blind = oracle(schedule)

    def denoise(x, t):
        return jax.tree.map(lambda y: jnp.where(expand(t, x) == 0, jnp.nan, y), blind(x, t))

    keys = jax.random.split(jax.random.key(0), 4)
    out = integrate(Heun(), keys, jnp.ones((4, 2)), denoise, schedule, uniform_grid(0.9, 0.0, 8))
    assert jnp.isfinite(out).all()


def test_the_scan_evaluates_as_often_as_the_method_says():
    """One network evaluation a step for Euler and DDIM, two for Heun; the scan adds none."""
    for sampler, per_step in ((Euler(), 1), (DDIM(), 1), (Heun(), 2)):
        calls = []

        def denoise(x, t, calls=calls):
            jax.debug.callback(lambda: calls.append(1))
            return oracle(Cosine())(x, t)

        keys = jax.random.split(jax.random.key(0), 2)
        integrate(sampler, keys, jnp.ones((2, 2)), denoise, Cosine(), uniform_grid(0.9, 0.1, 6)).block_until_ready()
        jax.effects_barrier()
        assert len(calls) == 6 * per_step


def conditional(x, t, cond):
    """A denoiser whose x0 is the label, and 10 where the label is null."""
    level = jnp.where(cond["label"] < 0, 10.0, cond["label"].astype(jnp.float32))
    x0 = jnp.broadcast_to(expand(level, x), x.shape)
    return x0, x - x0


def test_guidance_scale_one_is_the_identity_and_zero_the_unconditional_model():
    x, t, cond = jnp.ones((3, 2)), jnp.full(3, 0.5), {"label": jnp.array([0, 1, 2])}
    chex.assert_trees_all_close(classifier_free(conditional, 1.0)(x, t, cond), conditional(x, t, cond))
    null = {"label": jnp.full(3, -1)}
    chex.assert_trees_all_close(classifier_free(conditional, 0.0)(x, t, cond), conditional(x, t, null))


def test_guidance_extrapolates():
    x, t, cond = jnp.ones((1, 2)), jnp.full(1, 0.5), {"label": jnp.array([4])}
    x0, eps = classifier_free(conditional, 3.0)(x, t, cond)
    np.testing.assert_allclose(x0, 10 + 3 * (4 - 10))
    np.testing.assert_allclose(x0 + eps, x)


def test_clipping_keeps_x_the_sum_of_its_parts():
    schedule, x, t = Cosine(), jnp.array([[5.0, -5.0, 0.1]]), jnp.full(1, 0.5)
    raw = lambda x, t, cond: oracle(schedule)(x, t)  # noqa: E731
    x0, eps = clip_x0(raw, schedule, 1.0)(x, t, {})
    alpha, sigma = schedule(t)
    assert float(jnp.abs(x0).max()) == 1.0
    np.testing.assert_allclose(alpha * x0 + sigma * eps, x, rtol=1e-6)
