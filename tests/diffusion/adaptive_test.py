"""The adaptive solver against the closed form of the ODE for Gaussian data."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.diffusion.adaptive import AdaptiveODE
from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.samplers import integrate
from gen_jax.diffusion.schedule import EDM, Cosine, LinearBeta, expand
from gen_jax.errors import UserError

MEAN, STD = 0.4, 0.7


def marginal_std(schedule, t):
    alpha, sigma = schedule(t)
    return jnp.hypot(alpha * STD, sigma)


def oracle(schedule, means=0.0):
    """The exact denoiser (x, t [b]) of N(MEAN + means, STD^2)."""

    def denoise(x, t):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        gap, var = x - alpha * (MEAN + means), (alpha * STD) ** 2 + sigma**2
        return Prediction(MEAN + means + alpha * STD**2 / var * gap, sigma / var * gap)

    return denoise


@pytest.mark.parametrize(("schedule", "top"), [(EDM(), 80.0), (LinearBeta(), 1.0)], ids=lambda s: type(s).__name__)
def test_the_error_follows_the_tolerance(schedule, top):
    """Each example has steps of its own, and what the denoiser closes over is each one's own too."""
    quantile = jax.random.normal(jax.random.key(0), (8, 2))
    means = jnp.array([0.0, 3.0, -1.0, 0.0, 0.0, 0.0, 10.0, 0.0])[:, None]  # of each example, as from a label

    @functools.partial(jax.jit, static_argnums=0)
    def solve(rtol, means, quantile):
        x = schedule(top)[0] * (MEAN + means) + marginal_std(schedule, top) * quantile
        sampler = AdaptiveODE(rtol, rtol, last=1e-4)
        return sampler.solve(x, oracle(schedule, means), schedule, jnp.float32(top), jnp.float32(0.0))

    exact = means + MEAN + STD * quantile
    (coarse, few), (fine, many) = (solve(rtol, means, quantile) for rtol in (1e-3, 1e-5))
    np.testing.assert_allclose(coarse, exact, atol=3e-3)
    np.testing.assert_allclose(fine, exact, atol=3e-4)
    assert (many > few).all()
    alone, evaluations = solve(1e-5, means[5:], quantile[5:])
    chex.assert_trees_all_close(alone, fine[5:], atol=1e-5)
    chex.assert_trees_all_equal(evaluations, many[5:])


def test_evaluations_are_counted_and_a_solver_that_gives_up_has_no_result():
    """Of one example, as the denoiser sees them; and NaN after max_steps, never something half done."""
    schedule, calls = Cosine(), []

    def denoise(x, t):
        jax.debug.callback(lambda: calls.append(1))
        return oracle(schedule)(x, t)

    @functools.partial(jax.jit, static_argnums=0)
    def solve(max_steps):
        sampler = AdaptiveODE(max_steps=max_steps)
        return sampler.solve(jnp.ones((1, 2)), denoise, schedule, jnp.float32(1.0), jnp.float32(0.0))

    x, evaluations = solve(100)
    jax.effects_barrier()
    assert len(calls) == evaluations[0]
    assert jnp.isfinite(x).all()
    assert jnp.isnan(solve(2)[0]).all()


def test_mistakes_are_named():
    for make, says in (
        (lambda: AdaptiveODE(method="RK45"), "Known: Dopri5, Dopri8, Tsit5"),
        (lambda: AdaptiveODE(rtol=0.0), "rtol=0.0"),
        (
            lambda: integrate(AdaptiveODE(), None, jnp.ones((2, 2)), None, Cosine(), jnp.ones(2), estimate=True),
            "no self-conditioning",
        ),
    ):
        with pytest.raises(UserError, match=says):
            make()
