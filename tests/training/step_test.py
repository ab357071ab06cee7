"""The train step's own promises, on toy families whose updates a reader can compute."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.training.ema import make_tracks
from gen_jax.training.optim import inverse_sqrt, make_optimizer
from gen_jax.training.state import init_state, watched
from gen_jax.training.step import make_train_step, scan_steps

SGD = {"name": "sgd", "learning_rate": 0.1}


@dataclasses.dataclass(frozen=True)
class Duel:
    """disc follows d - 1, gen follows g - d: gen's gradient shows whether it saw the updated disc."""

    poison: Callable = lambda batch: 0.0
    cond_keys = ()

    @property
    def losses(self):
        return {"disc": self.disc, "gen": self.gen}

    def init(self, key, batch):
        return {"disc": {"a": jnp.zeros(2), "b": jnp.zeros(())}, "gen": {"w": jnp.zeros(())}}, {"seen": jnp.int32(0)}

    def disc(self, params, state, batch, key):
        d = params["disc"]["b"]
        loss = 0.5 * (d - 1) ** 2 + (self.poison(batch) * params["disc"]["a"]).sum()
        return loss, ({}, {"seen": state.extra["seen"] + 1})

    def gen(self, params, state, batch, key):
        gap = params["gen"]["w"] - params["disc"]["b"]
        return 0.5 * gap**2, ({"gap": gap, "noise": jax.random.normal(key)}, state.extra)


def setup(every=1, ema=0.0, poison=lambda batch: 0.0, optimizer=SGD):
    family = Duel(poison)
    optimizers = {"disc": make_optimizer(optimizer), "gen": make_optimizer(SGD | {"every": every})}
    averages = make_tracks({"gen": {"decay": ema}} if ema else {})
    state = init_state(family, optimizers, averages, jax.random.key(0), {"x": jnp.zeros((1, 1))})
    return state, jax.jit(make_train_step(family, optimizers, averages))


def run(state, step, steps, batches=None):
    rows = []
    for i in range(steps):
        batch = {"x": jnp.zeros((1, 1))} if batches is None else batches[i]
        state, metrics = step(state, batch, jax.random.key(0))
        rows.append(jax.device_get(metrics))
    return state, rows


def test_players_take_turns_and_see_those_before_them():
    """disc: 0 -> 0.1; gen then sees 0.1 and goes 0 -> 0.01, by hand."""
    state, step = setup()
    state, _ = run(state, step, 1)
    np.testing.assert_allclose(state.params["disc"]["b"], 0.1, rtol=1e-6)
    np.testing.assert_allclose(state.params["gen"]["w"], 0.01, rtol=1e-6)
    assert int(state.step) == 1
    assert int(state.extra["seen"]) == 1


def test_every_k_updates_in_steps_k_2k_and_reports_nan_otherwise():
    state, step = setup(every=3)
    state, rows = run(state, step, 7)
    updated = [not np.isnan(row["gen/loss"]) for row in rows]
    assert updated == [False, False, True, False, False, True, False]
    assert all(np.isnan(row["gen/grad_norm"]) == (not u) for row, u in zip(rows, updated, strict=True))
    assert not any(np.isnan(row["disc/loss"]) for row in rows)


def test_ema_follows_its_formula_with_warm_up():
    decay = 0.5
    state, step = setup(ema=decay)
    average = 0.0
    for i in range(20):
        state, _ = run(state, step, 1)
        d = min(decay, (1 + i) / (10 + i))
        average += (1 - d) * (float(state.params["gen"]["w"]) - average)
        np.testing.assert_allclose(state.ema["gen"]["w"], average, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_update_that_is_not_finite_is_left_out_counted_and_named(bad):
    state, step = setup(ema=0.9, poison=lambda batch: batch["x"].sum())
    clean, dirty = {"x": jnp.zeros((1, 1))}, {"x": jnp.full((1, 1), bad)}
    state, _ = run(state, step, 1, [clean])
    before = jax.device_get(state)
    state, _ = run(state, step, 1, [dirty])
    np.testing.assert_array_equal(state.params["disc"]["b"], before.params["disc"]["b"])
    assert int(state.opt["disc"].skipped) == 1
    assert int(state.opt["gen"].skipped) == 0
    assert int(state.extra["seen"]) == 1, "extra of a skipped update must not be kept"
    assert watched(state.params["disc"])[int(state.opt["disc"].first_bad)] in ("loss", "gradient of a")
    assert float(state.params["gen"]["w"]) != float(before.params["gen"]["w"]), "the other player goes on"
    state, _ = run(state, step, 1, [clean])
    assert int(state.opt["disc"].skipped) == 1
    assert jnp.isfinite(state.params["disc"]["b"])


def test_noise_depends_on_key_and_step_alone():
    state, step = setup()
    _, rows = run(state, step, 3)
    noises = [float(row["gen/noise"]) for row in rows]
    assert len(set(noises)) == 3
    again, _ = run(state, step, 2)
    _, row = run(again, step, 1)
    assert float(row[0]["gen/noise"]) == noises[2]


def test_several_steps_in_one_call_equal_the_steps_one_by_one():
    state, step = setup(every=2, ema=0.9)
    one_by_one, rows = run(state, step, 6)
    family = Duel()
    optimizers = {"disc": make_optimizer(SGD), "gen": make_optimizer(SGD | {"every": 2})}
    tracks = make_tracks({"gen": {"decay": 0.9}})
    call = jax.jit(scan_steps(make_train_step(family, optimizers, tracks)))
    at_once = state
    for _ in range(2):
        at_once, metrics = call(at_once, {"x": jnp.zeros((3, 1, 1))}, jax.random.key(0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), at_once, one_by_one)
    np.testing.assert_allclose(metrics["gen/loss"], [row["gen/loss"] for row in rows[3:]], rtol=1e-6)


def test_clip_bounds_the_gradient_before_the_optimizer():
    """sgd moves by rate * clip where the gradient is longer than clip: |grad| = 1 here."""
    state, step = setup(optimizer=SGD | {"clip": 0.25})
    state, _ = run(state, step, 1)
    np.testing.assert_allclose(state.params["disc"]["b"], 0.1 * 0.25, rtol=1e-5)


def test_a_schedule_is_followed():
    rate = {"name": "linear_schedule", "init_value": 0.0, "end_value": 1.0, "transition_steps": 2}
    state, step = setup(optimizer={"name": "sgd", "learning_rate": rate})
    state, _ = run(state, step, 1)
    assert float(state.params["disc"]["b"]) == 0.0
    state, _ = run(state, step, 1)
    np.testing.assert_allclose(state.params["disc"]["b"], 0.5)


def test_any_number_of_an_optimizer_may_be_a_schedule():
    """Adam with b1 = 0: g / sqrt(v), v = (b2 v + (1 - b2) g^2) / (1 - b2^t), with b2 rising from 0.5 to 0.9 in two
    steps."""
    b2 = {"name": "linear_schedule", "init_value": 0.5, "end_value": 0.9, "transition_steps": 2}
    rate = {"name": "constant_schedule", "value": 0.1}
    transform = make_optimizer({"name": "adam", "learning_rate": rate, "b1": 0.0, "b2": b2, "eps": 0.0}).transform
    params = {"w": jnp.float32(0.0)}
    state, v, moves = transform.init(params), 0.0, []
    for t, (g, b) in enumerate([(1.0, 0.5), (-2.0, 0.7), (3.0, 0.9), (1.0, 0.9)], start=1):
        v = b * v + (1 - b) * g**2
        moves.append(-0.1 * g / np.sqrt(v / (1 - b**t)))
        update, state = jax.jit(transform.update)({"w": jnp.float32(g)}, state, params)
        np.testing.assert_allclose(update["w"], moves[-1], rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"name": "adam", "learning_rate": 0.1, "b2": {"name": "cosine"}}, ["'cosine'", "did you mean"]),
        ({"name": "adma", "learning_rate": 0.1}, ["'adma'", "did you mean 'adam", " adam,"]),
        ({"name": "adam", "learning_rat": 0.1}, ["'learning_rat'", "learning_rate"]),
        ({"name": "adam"}, ["learning_rate"]),
        ({"name": "adam", "learning_rate": -1.0}, ["learning_rate=-1.0"]),
        ({"name": "adam", "learning_rate": 0.1, "every": 0}, ["every=0"]),
        ({"name": "adam", "learning_rate": 0.1, "clip": 0.0}, ["clip=0.0"]),
        ({"name": "adam", "learning_rate": {"name": "cosine"}}, ["'cosine'", "did you mean"]),
    ],
)
def test_mistakes_in_an_optimizer(spec, words):
    with pytest.raises(UserError) as error:
        make_optimizer(spec)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_forced_normalization_gives_every_output_unit_variance():
    """Leaves named weight only; the others go through as they are. The optimizer applies it after its update."""
    weight = jax.random.normal(jax.random.key(0), (3, 3, 5, 7)) * 4 + 1
    params = {"conv": {"weight": weight}, "gain": jnp.float32(3.0)}
    new = make_optimizer(SGD | {"project": "unit_weights"}).project(params)
    rms = jnp.sqrt(jnp.square(new["conv"]["weight"]).mean((0, 1, 2)))
    np.testing.assert_allclose(rms, 1, rtol=1e-3)
    np.testing.assert_allclose(
        new["conv"]["weight"] * (weight / new["conv"]["weight"]).mean((0, 1, 2)), weight, rtol=1e-4
    )
    assert new["gain"] == 3.0
    with pytest.raises(UserError, match="unknown optim project 'unit'"):
        make_optimizer(SGD | {"project": "unit"})


def test_inverse_square_root_rate():
    """reference / sqrt(max(step / decay_after, 1)) after a linear warm-up: at 4 times decay_after, half of it."""
    rate = inverse_sqrt(reference=0.1, decay_after=100, warmup=10)
    np.testing.assert_allclose([rate(4), rate(50), rate(400)], [0.05, 0.1, 0.05], rtol=1e-6)
