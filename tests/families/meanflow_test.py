"""MeanFlow's identity on paths where the average velocity is known, and its derivative against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.diffusion.schedule import expand
from gen_jax.errors import UserError
from gen_jax.families.meanflow import MeanFlow

SPEC = {
    "name": "families.MeanFlow",
    "network": {"name": "nn.MLP", "features": (16,)},
    "conditioning": {"name": "nn.Conditioning", "width": 8, "noise_scale": 10.0},
}
SHAPE = (3, 3, 1)


def make(**changes):
    return build(gen_jax, SPEC | changes, shape=SHAPE, num_classes=0)


class OnePoint(MeanFlow):
    """The exact average velocity of data that are one point m: paths are straight lines, u = (z - m) / t."""

    def velocity(self, params, z, r, t, cond, train=False, dropout=None):
        return (z - 0.4) / expand(t, z)


class Gaussian(MeanFlow):
    """Of data N(0, 1): z_t has variance c(t) = (1 - t)^2 + t^2, and on a path z_r = z_t sqrt(c(r) / c(t))."""

    def velocity(self, params, z, r, t, cond, train=False, dropout=None):
        c = lambda t: (1 - t) ** 2 + t**2  # noqa: E731
        return z * expand((1 - jnp.sqrt(c(r) / c(t))) / (t - r), z)


def oracle(kind):
    family = make()
    return kind(family.network, family.conditioning, SHAPE, steps=1)


def points(n=16):
    keys = jax.random.split(jax.random.key(0), 3)
    t = jax.random.uniform(keys[0], (n,), minval=0.4, maxval=0.95)
    r = jax.random.uniform(keys[1], (n,), minval=0.05, maxval=0.35)
    return jax.random.normal(keys[2], (n, *SHAPE)), r, t


def test_the_identity_holds_on_linear_paths():
    z, r, t = points()
    u, goal = oracle(OnePoint).identity({}, z, (z - 0.4) / expand(t, z), r, t, {})
    np.testing.assert_allclose(u, goal, rtol=1e-4)


def test_the_identity_holds_where_paths_are_curved():
    """v is the marginal velocity E[eps - x0 | z_t] = (2 t - 1) / c(t) z for standard normal data."""
    z, r, t = points()
    v = z * expand((2 * t - 1) / ((1 - t) ** 2 + t**2), z)
    u, goal = oracle(Gaussian).identity({}, z, v, r, t, {})
    np.testing.assert_allclose(u, goal, atol=2e-5)


def test_one_step_of_the_exact_average_velocity_is_the_whole_way():
    family, keys = oracle(Gaussian), jax.random.split(jax.random.key(0), 500)
    x = family.sample({}, (), keys, {})
    np.testing.assert_allclose(x.std(), 1.0, atol=0.05)  # c(0) = c(1) = 1: the path ends where it began
    np.testing.assert_allclose(oracle(OnePoint).sample({}, (), keys, {}), 0.4, atol=1e-5)


def test_the_derivative_along_the_path_against_finite_differences():
    family = make()
    params, _ = family.init(jax.random.key(0), {"x": jnp.zeros((1, *SHAPE))})
    z, r, t = points()
    v, h = jnp.sin(3 * z), 1e-5
    with jax.enable_x64(True):
        params, z, r, t, v = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (params, z, r, t, v))
        _, goal = family.identity(params, z, v, r, t, {})
        ahead, behind = (family.velocity(params, z + d * v, r, t + d, {}) for d in (h, -h))
        du_dt = (ahead - behind) / (2 * h)
        expected = v - expand(t - r, z) * du_dt
    size = np.abs(du_dt).max()
    assert size > 0.1
    # the embedding of time and the network's output are in float32
    np.testing.assert_allclose(goal, expected, atol=0.02 * size)


def test_with_no_span_the_loss_is_flow_matching():
    """r = t: the target is v = eps - x0 itself; a network of zeros then has the loss E |eps - x0|^2, here 1 + 4."""
    family = make(instant=1.0, power=0.0)
    params, _ = family.init(jax.random.key(0), {"x": jnp.zeros((1, *SHAPE))})
    params = jax.tree.map(jnp.zeros_like, params)
    state = gen_jax.types.TrainState(jnp.int32(0), params, {}, {}, ())
    x = 2.0 * jnp.ones((4000, *SHAPE))
    _, (metrics, _) = family.losses["model"](params, state, {"x": x}, jax.random.key(0))
    np.testing.assert_allclose(metrics["mse"], 5.0, rtol=0.02)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, ["steps=0"]),
        ({"instant": 1.5}, ["instant=1.5"]),
        ({"kappa": 1.0}, ["kappa=1.0"]),
        ({"interval": (0.9, 0.1)}, ["interval=(0.9, 0.1)", "low < high"]),
        ({"time": {"name": "diffusion.log_normal"}}, ["family.time", "MeanFlow", "[0, 1]"]),
        ({"omega": 2.0}, ["omega=2.0", "conditional"]),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(UserError) as error:
        make(**changes)
    assert all(word in str(error.value) for word in words), str(error.value)
