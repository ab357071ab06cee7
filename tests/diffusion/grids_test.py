"""Grids of sampling times: their ends, their order, and the spacing that each one promises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.diffusion.grids import (
    beta_grid,
    discrete_grid,
    karras_grid,
    log_snr_grid,
    quadratic_grid,
    shifted_grid,
    uniform_grid,
)
from gen_jax.diffusion.schedule import EDM, VE, Cosine, LinearBeta, RectifiedFlow, log_snr
from gen_jax.errors import UserError

IN_TIME = [uniform_grid, quadratic_grid, beta_grid, shifted_grid]
BY_LEVEL = [karras_grid, log_snr_grid]


@pytest.mark.parametrize("grid", [*IN_TIME, *BY_LEVEL], ids=lambda f: f.__name__)
def test_grids_fall_from_start_to_end(grid):
    """Exactly, also in one step, and when computed inside of a jitted function."""
    for steps in (1, 2, 9):
        for end in (0.0, 0.1):
            t = np.asarray(jax.jit(lambda steps=steps, end=end: grid(Cosine(), 0.98, end, steps))())
            assert t.shape == (steps + 1,)
            np.testing.assert_array_equal(t[[0, -1]], np.float32([0.98, end]))
            assert (np.diff(t) < 0).all()


def level(schedule, t):
    alpha, sigma = schedule(t)
    return np.asarray(sigma / alpha, np.float64)


@pytest.mark.parametrize("schedule", [EDM(), LinearBeta()], ids=lambda s: type(s).__name__)
def test_karras_grid(schedule):
    """sigma^(1 / rho) at equal distances, the last before 0 at sigma_min."""
    t = karras_grid(schedule, 0.9, 0.0, 10, rho=5.0, last=0.004)
    levels = level(schedule, t)
    np.testing.assert_allclose(levels[-2], 0.004, rtol=1e-3)
    steps = np.diff(levels[:-1] ** (1 / 5))
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)


def test_karras_grid_by_hand():
    """Karras et al. 2022, eq. 5, with rho = 2, sigma_max = 9, sigma_min = 1 and N = 3: roots 3, 2, 1."""
    np.testing.assert_allclose(karras_grid(EDM(), 9.0, 0.0, 3, rho=2.0, last=1.0), [9, 4, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(karras_grid(EDM(), 9.0, 1.0, 2, rho=2.0), [9, 4, 1], rtol=1e-6)


def test_log_snr_grid():
    t = log_snr_grid(Cosine(), 0.99, 0.01, 20)
    steps = np.diff(log_snr(Cosine(), t))
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)
    # the time of the variance exploding process is the logarithm of its noise: the exponential grid is the uniform one
    np.testing.assert_allclose(log_snr_grid(VE(), 1.0, 0.0, 7), uniform_grid(VE(), 1.0, 0.0, 7), atol=1e-6)


def test_quadratic_and_beta_grids():
    np.testing.assert_allclose(quadratic_grid(Cosine(), 1.0, 0.0, 4), np.array([16, 9, 4, 1, 0]) / 16)
    t = beta_grid(Cosine(), 0.9, 0.1, 50)
    np.testing.assert_allclose(t, 0.1 + 0.8 * stats.beta(0.6, 0.6).ppf(np.linspace(1, 0, 51)), rtol=1e-5)
    plain = beta_grid(Cosine(), 0.9, 0.1, 9, alpha=1.0, beta=1.0)
    np.testing.assert_allclose(plain, uniform_grid(Cosine(), 0.9, 0.1, 9), rtol=1e-6)


def test_shifted_grid():
    """A shift multiplies sigma / alpha of the straight path: Esser et al. 2024, eq. 23."""
    for start, end in ((1.0, 0.0), (0.9, 0.2)):
        t = np.asarray(shifted_grid(RectifiedFlow(), start, end, 8, shift=3.0), np.float64)
        u = t / (3 - 2 * t)
        np.testing.assert_allclose(np.diff(u), (u[-1] - u[0]) / 8, rtol=1e-4)
    plain = shifted_grid(RectifiedFlow(), 0.9, 0.1, 5, shift=1.0)
    np.testing.assert_allclose(plain, uniform_grid(None, 0.9, 0.1, 5), rtol=1e-6)


def test_discrete_grid_by_hand():
    """A chain of ten steps in three: tab. 2 of Lin et al. 2023, whose steps are 1 ... T."""
    grid = functools.partial(discrete_grid, Cosine(), 1.0, 0.0, 3, train_steps=10)
    np.testing.assert_allclose(grid(spacing="leading"), [0.7, 0.4, 0.1, 0])
    np.testing.assert_allclose(grid(spacing="trailing"), [1.0, 0.7, 0.3, 0])
    np.testing.assert_allclose(grid(spacing="linspace"), [1.0, 0.6, 0.1, 0])  # 5.5 to the even number
    every = [discrete_grid(Cosine(), 1.0, 0.0, 10, 10, s) for s in ("leading", "trailing", "linspace")]
    np.testing.assert_allclose(every, [np.arange(10, -1, -1) / 10] * 3, rtol=1e-6)
    np.testing.assert_allclose(discrete_grid(Cosine(), 0.5, 0.2, 3, 10, "trailing"), [0.5, 0.4, 0.3, 0.2])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: karras_grid(RectifiedFlow(), 1.0, 0.0, 8), r"start=1.0: sigma / alpha is infinite .* at 0.99"),
        (lambda: log_snr_grid(Cosine(), 1.0, 0.0, 8), "start=1.0"),
        (lambda: karras_grid(EDM(), 1.0, 0.0, 8, last=2.0), "last=2.0"),
        (lambda: beta_grid(Cosine(), 1.0, 0.0, 8, alpha=0.0), "alpha=0.0"),
        (lambda: shifted_grid(EDM(), 80.0, 0.0, 8), "EDM has no largest time"),
        (lambda: shifted_grid(Cosine(), 1.0, 0.0, 8, shift=0.0), "shift=0.0"),
        (lambda: discrete_grid(Cosine(), 1.0, 0.0, 8, spacing="trail"), "did you mean 'trailing'"),
        (lambda: discrete_grid(Cosine(), 0.5, 0.0, 8, train_steps=10), "has 5 steps"),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()


def test_end_above_zero_has_no_extra_step():
    t = karras_grid(VE(), 1.0, 0.0, 4)  # sigma(0) is not 0
    root = level(VE(), t) ** (1 / 7)
    np.testing.assert_allclose(np.diff(root), np.diff(root).mean(), rtol=1e-3)
    assert jnp.isfinite(t).all()
