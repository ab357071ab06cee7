"""Consistency models: the boundary, the grid of noise levels and how often each is trained, and a teacher's step."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError

SPEC = {
    "name": "families.Consistency",
    "network": {"name": "nn.MLP", "features": (16,)},
    "conditioning": {"name": "nn.Conditioning", "width": 8},
    "total_steps": 700,
    "first": 10,
    "last": 80,
}
SHAPE = (4, 4, 1)


def make(**changes):
    return build(gen_jax, SPEC | changes, shape=SHAPE, num_classes=0)


def moved_params(family, key=0):
    params, _ = family.init(jax.random.key(key), {"x": jnp.zeros((1, *SHAPE))})
    return jax.tree.map(lambda p: p + 0.3 * jnp.sin(1.7 * jnp.arange(p.size)).reshape(p.shape), params)


def test_at_the_smallest_noise_the_model_is_the_identity_whatever_the_network_says():
    family = make()
    x = jax.random.normal(jax.random.key(1), (5, *SHAPE))
    out = family.denoiser(moved_params(family))(x, jnp.full(5, family.sigma_min), {})
    chex.assert_trees_all_close(out.x0, x, rtol=1e-6)
    far = family.denoiser(moved_params(family))(x, jnp.full(5, 1.0), {})
    assert float(jnp.abs(far.x0 - x).max()) > 0.1


def test_the_grid_doubles_at_equal_parts_of_training():
    """10, 20, 40, 80: four stages of 175 steps, as eq. 11 of the paper says for s0 = 10, s1 = 80, K = 700."""
    family = make()
    got = [int(family.intervals(jnp.int32(step))) for step in (0, 174, 175, 350, 525, 699, 100_000)]
    assert got == [10, 10, 20, 40, 80, 80, 80]


def test_neighbours_are_ends_of_one_interval_and_as_frequent_as_the_paper_says():
    """Eq. 10: interval i has probability erf((log s_{i+1} - m) / (sqrt(2) s)) - erf((log s_i - m) / (sqrt(2) s))."""
    family, n, intervals = make(), 20_000, 10
    low, high = family.neighbours(jax.random.key(0), jnp.arange(n), jnp.float32(intervals))
    ends = np.linspace(0.002 ** (1 / 7), 80 ** (1 / 7), intervals + 1) ** 7
    place = np.searchsorted(ends, np.sqrt(low * high)) - 1
    np.testing.assert_allclose(low, ends[place], rtol=1e-3)
    np.testing.assert_allclose(high, ends[place + 1], rtol=1e-3)
    chance = np.diff(special.erf((np.log(ends) + 1.1) / (2**0.5 * 2.0)))
    counts = np.bincount(place, minlength=intervals)
    assert stats.chisquare(counts, n * chance / chance.sum()).pvalue > 1e-3


def test_the_loss_of_a_model_that_is_consistent_already_is_zero():
    """With sigma_data tiny and a network of zeros, f(x, s) = c_skip x: nearly 0 for all s, which is consistent."""
    family = make(sigma_data=1e-9, sigma_min=1e-3)
    params, _ = family.init(jax.random.key(0), {"x": jnp.zeros((1, *SHAPE))})
    state = gen_jax.types.TrainState(jnp.int32(0), params, {}, {}, ())
    loss, _ = family.losses["model"](params, state, {"x": jnp.ones((8, *SHAPE))}, jax.random.key(0))
    assert float(loss) < 1e-4


def test_a_teacher_that_knows_the_data_takes_its_step_along_the_straight_line():
    """For data that are one point m, the ODE's paths are lines to m, on which Heun is exact: x' = m + s'/s (x - m)."""
    family = make()
    m = 0.3

    class Teacher:
        def denoiser(self, params, extra):
            from gen_jax.diffusion.parameterization import Prediction

            def denoise(x, t, cond):
                return Prediction(jnp.full_like(x, m), (x - m) / t.reshape(-1, 1, 1, 1))

            return denoise

    object.__setattr__(family, "teacher", Teacher())
    state = gen_jax.types.TrainState(jnp.int32(0), {}, {}, {}, {"teacher": {"params": {}, "extra": ()}})
    x = jax.random.normal(jax.random.key(0), (3, *SHAPE))
    low, high = jnp.array([0.1, 0.5, 2.0]), jnp.array([0.2, 1.0, 5.0])
    got = family._less_noisy(state, x, x, x, low, high, {})
    np.testing.assert_allclose(got, m + (low / high).reshape(-1, 1, 1, 1) * (x - m), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": {"name": "diffusion.EDMStochastic", "gamma": 0.1}}, ["EDMStochastic", "ConsistencyMultistep"]),
        ({"steps": 0}, ["steps=0"]),
        ({"sigma_min": 90.0}, ["sigma_min=90.0"]),
        ({"first": 100}, ["first=100", "last=80"]),
        ({"times": (100.0,)}, ["times=(100.0,)", "80.0"]),
        ({"times": (0.1, 5.0)}, ["times=(0.1, 5.0)", "fall"]),
        ({"clip": -1.0}, ["clip=-1.0"]),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(UserError) as error:
        make(**changes)
    assert all(word in str(error.value) for word in words), str(error.value)
