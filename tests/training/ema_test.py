"""Averages of parameters against their closed forms, and post-hoc ones against averages taken directly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from gen_jax.errors import UserError
from gen_jax.training.ema import gamma_of, make_tracks, reconstruct, snapshot_interval, weights


def run(track, values, keep=()):
    """The average after each of `values` (which starts at the first), at the steps in `keep` (or all)."""
    average, kept = values[0], {}
    for step, value in enumerate(values):
        average = average + (1 - float(track.decay(jnp.float32(step)))) * (value - average)
        if not keep or step + 1 in keep:
            kept[step + 1] = average
    return kept


def random_walk(steps, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(steps, 5)), axis=0)


@pytest.mark.parametrize("std", [0.05, 0.1, 0.2])
def test_the_profile_has_the_width_that_was_asked(std):
    gamma = gamma_of(std)
    density = lambda t: (gamma + 1) * t**gamma  # noqa: E731
    mean = integrate.quad(lambda t: t * density(t), 0, 1)[0]
    variance = integrate.quad(lambda t: (t - mean) ** 2 * density(t), 0, 1)[0]
    np.testing.assert_allclose(variance**0.5, std, rtol=1e-6)


def test_a_power_average_weighs_each_step_by_its_part_of_the_profile():
    """Step i has the integral of (g + 1) t^g from i - 1 to i, over T^(g + 1): closed form of the recursion."""
    values, gamma = random_walk(200), gamma_of(0.1)
    track = make_tracks({"model": {"stds": (0.1,), "every": 1}})["model"]
    i = np.arange(1, 201)
    parts = (i ** (gamma + 1) - (i - 1) ** (gamma + 1)) / 200 ** (gamma + 1)
    np.testing.assert_allclose(run(track, values)[200], parts @ values, rtol=1e-4)


def test_a_decay_has_the_warm_up_and_the_limit_that_it_says():
    track = make_tracks({"model": {"decay": 0.99}})["model"]
    np.testing.assert_allclose(track.decay(jnp.float32(0)), 0.1)
    np.testing.assert_allclose(track.decay(jnp.float32(9)), 10 / 19)
    np.testing.assert_allclose(track.decay(jnp.float32(1e6)), 0.99)


def test_half_of_the_weight_is_on_the_last_halflife():
    track = make_tracks({"model": {"halflife": 50.0, "rampup": 0.05}})["model"]
    steps = 5000
    values = np.zeros((steps, 1))
    values[-50:] = 1.0
    np.testing.assert_allclose(run(track, values)[steps], 0.5, atol=1e-4)
    np.testing.assert_allclose(track.decay(jnp.float32(99)), 0.5 ** (1 / 5), rtol=1e-6)  # 5% of 100 steps


def test_a_half_life_that_burns_in_rises_along_half_a_cosine():
    track = make_tracks({"model": {"halflife": 50.0, "burn_in": 1000}})["model"]
    assert track.decay(jnp.float32(0)) == 0  # the average starts as the parameters
    for step, half in ((250, 50 * (1 - np.sqrt(0.5)) / 2), (500, 25.0), (1000, 50.0), (9000, 50.0)):
        np.testing.assert_allclose(track.decay(jnp.float32(step)), 0.5 ** (1 / half), rtol=1e-5)


@pytest.mark.parametrize("std", [0.06, 0.08, 0.15])
def test_reconstruction_agrees_with_the_average_taken_directly(std):
    """Of snapshots of two tracks every 100 steps; the error of the fit is small against that of taking a stored one."""
    values, keep = random_walk(4000), range(100, 4001, 100)
    tracks = make_tracks({"model": {"stds": (0.05, 0.1), "every": 100}})
    stored = [(step, track.std, value) for track in tracks.values() for step, value in run(track, values, keep).items()]
    steps, stds, trees = zip(*stored, strict=True)
    direct = run(make_tracks({"model": {"stds": (std,), "every": 1}})["model"], values, (4000,))[4000]
    got = reconstruct([{"w": np.float32(t)} for t in trees], steps, stds, 4000, std)["w"]
    assert got.dtype == np.float32
    nearest = min(np.abs(tree - direct).max() for step, _, tree in stored if step == 4000)
    assert np.abs(got - direct).max() < 0.05 * nearest


def test_a_stored_average_is_reconstructed_from_itself_alone():
    steps, stds = [100, 200, 300, 100, 200, 300], [0.05] * 3 + [0.1] * 3
    np.testing.assert_allclose(weights(steps, stds, 200, 0.1), [0, 0, 0, 0, 1, 0], atol=1e-6)


def test_players_and_tracks():
    tracks = make_tracks({"gen": {"stds": (0.05, 0.1), "every": 10}, "disc": {"decay": 0.9}})
    assert {name: (track.player, track.std) for name, track in tracks.items()} == {
        "gen": ("gen", 0.05), "gen@0.1": ("gen", 0.1), "disc": ("disc", None),
    }  # fmt: skip
    assert snapshot_interval({"gen": {"stds": (0.05,), "every": 10}, "disc": {"decay": 0.9}}) == 10
    assert snapshot_interval({"disc": {"decay": 0.9}}) == 0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"decay": 1.0}, ["ema.model.decay=1.0", "below 1"]),
        ({"decay": 0.9, "stds": (0.1,)}, ["ema.model", "decay, stds"]),
        ({"stds": (0.4,), "every": 1}, ["stds=0.4", "0.28"]),
        ({"stds": (0.1, 0.1), "every": 1}, ["differ"]),
        ({"halflife": -1.0, "rampup": 0.05}, ["halflife=-1.0"]),
        ({"halflife": 1.0, "burn_in": 0}, ["burn_in=0"]),
        ({}, ["(none)"]),
    ],
)
def test_what_is_no_average_is_refused(spec, words):
    with pytest.raises(UserError) as error:
        make_tracks({"model": spec})
    assert all(word in str(error.value) for word in words), str(error.value)


def test_different_intervals_are_refused():
    with pytest.raises(UserError, match="every=10, 20"):
        snapshot_interval({"a": {"stds": (0.1,), "every": 10}, "b": {"stds": (0.1,), "every": 20}})


def test_averages_of_trees_are_jittable():
    track = make_tracks({"model": {"stds": (0.1,), "every": 1}})["model"]
    assert jax.jit(track.decay)(jnp.float32(10)).shape == ()
