"""The loop on small real runs: divergence, several steps per call, devices, and its record."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax.main
from gen_jax.data.memory import InMemory
from gen_jax.errors import UserError
from gen_jax.families.vae import VAE
from gen_jax.training import writers
from gen_jax.training.cost import read_cost
from gen_jax.training.loop import facts
from gen_jax.training.setup import steps_per_call
from gen_jax.types import DataInfo

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def config_of(name, **train):
    spec = importlib.util.spec_from_file_location("config", CONFIGS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.train.update(dict(batch_size=16, log_every=2, checkpoint_every=2, sample_every=0, steps=8) | train)
    config.sample.update(num=4, batch_size=4)
    return config


def poisoned(monkeypatch, is_bad):
    """Makes the VAE's loss NaN where is_bad(state, key) says so."""
    clean = VAE._loss

    def loss(self, params, state, batch, key):
        value, aux = clean(self, params, state, batch, key)
        return jnp.where(is_bad(state, key), jnp.nan, value), aux

    monkeypatch.setattr(VAE, "_loss", loss)


def test_a_few_bad_updates_are_skipped_and_counted(monkeypatch, tmp_path):
    poisoned(monkeypatch, lambda state, key: state.step == 3)
    state, metrics = gen_jax.main.run(config_of("vae/vae.py"), tmp_path)
    assert int(state.opt["model"].skipped) == 1
    assert list(metrics["skipped"]) == [0, 1, 1, 1]


def test_divergence_rolls_back_once_with_other_noise_and_goes_on(monkeypatch, tmp_path):
    """Bad from step 5 on, but only with the noise of the first try: the second try ends well."""
    first = jax.random.fold_in(jax.random.key(0), 1)

    def is_bad(state, key):
        # The step's key folded from the first try's run key, as make_train_step does for the first player.
        mine = jax.random.fold_in(jax.random.fold_in(first, state.step), 1)
        return (state.step >= 5) & (jax.random.key_data(key) == jax.random.key_data(mine)).all()

    poisoned(monkeypatch, is_bad)
    state, metrics = gen_jax.main.run(config_of("vae/vae.py", max_skipped=0), tmp_path)
    assert int(state.step) == 8
    assert int(state.opt["model"].skipped) == 0
    assert list(metrics["step"]) == [2, 4, 6, 8]
    assert np.isfinite(metrics["loss"]).all()


def test_divergence_twice_stops_and_names_the_value(monkeypatch, tmp_path):
    poisoned(monkeypatch, lambda state, key: state.step >= 5)
    with pytest.raises(UserError, match=r"diverged again.*model.*loss") as error:
        gen_jax.main.run(config_of("vae/vae.py", max_skipped=0), tmp_path)
    assert "\n" not in str(error.value)
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} >= {"2", "4"}, "the checkpoints are kept"


def test_steps_per_call_changes_nothing_but_the_calls(tmp_path):
    one, rows = gen_jax.main.run(config_of("vae/vae.py"), tmp_path / "one")
    two, rows_two = gen_jax.main.run(config_of("vae/vae.py", steps_per_call=2), tmp_path / "two")
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows["loss"], rows_two["loss"], rtol=1e-4)


def test_a_run_goes_on_on_another_number_of_devices(tmp_path):
    """Four steps on eight devices, then four on two, are eight on one, up to rounding."""
    config = config_of("vae/vae.py", steps=4)
    config.parallel.data = 8
    gen_jax.main.run(config, tmp_path / "moved")
    config.train.steps, config.parallel.data = 8, 2
    (tmp_path / "moved" / "config.json").write_text(config.to_json())
    moved, _ = gen_jax.main.run(config, tmp_path / "moved")
    config.parallel.data = 1
    whole, _ = gen_jax.main.run(config, tmp_path / "whole")
    for a, b in zip(jax.tree.leaves(moved.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=3e-4)


def test_a_cut_off_last_row_of_metrics_is_dropped(tmp_path):
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 3, "lo'
    (tmp_path / "metrics.jsonl").write_text(text)
    assert writers.read_rows(tmp_path) == rows
    with writers.MetricWriter(tmp_path, step=1) as writer:
        writer.scalars(2, {"loss": 0.5, "gen/loss": float("nan")})
    metrics = writers.read_metrics(tmp_path)
    np.testing.assert_array_equal(metrics["loss"], [2.0, 0.5])
    assert "gen/loss" not in metrics


def test_grid_puts_every_sample_where_it_belongs():
    x = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1) * 40 + np.zeros((6, 2, 2, 3), np.uint8)
    grid = writers.make_grid(x, columns=3, cell=4, gap=1)
    assert grid.shape == (2 * 5 + 1, 3 * 5 + 1, 3)
    np.testing.assert_array_equal(grid[1::5, 1::5, 0][:2, :3], [[0, 40, 80], [120, 160, 200]])
    assert (grid[0] == 255).all()


@pytest.mark.parametrize(
    ("asked", "start", "steps", "expected"),
    [(10, 0, 500, 10), (10, 0, 7, 1), (10, 0, 25, 5), (10, 5, 500, 5), (8, 0, 6, 2)],
)
def test_calls_end_at_every_interval(asked, start, steps, expected):
    train = dict(steps_per_call=asked, steps=steps, log_every=500, checkpoint_every=1000, sample_every=0)
    assert steps_per_call(train, start) == expected


@pytest.mark.parametrize(("seconds", "text"), [(42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")])
def test_duration(seconds, text):
    assert writers.duration(seconds) == text


def test_the_cost_of_a_run_is_kept_over_its_sessions(tmp_path):
    """Seconds of both sessions are added, the larger peak is kept, and a finished run that is called again stays."""
    config = config_of("vae/vae.py", steps=4)
    gen_jax.main.run(config, tmp_path)
    first = read_cost(tmp_path)
    assert first["step"] == 4
    assert first["seconds"] > 0
    assert first["device"] == f"{jax.device_count()} x cpu (cpu)"
    weights = config.family.encoder.features[0] * 8 * 8  # of the first layer: read forwards and backwards at the least
    assert first["flops_per_step"] > 2 * 2 * 16 * weights
    assert first["peak_bytes"] > first["step_bytes"] > 0

    gen_jax.main.run(config, tmp_path)
    assert read_cost(tmp_path) == first

    (tmp_path / "run.json").write_text(
        json.dumps(first | {"seconds": 1e6, "peak_bytes": 2**60, "device": "1 x abacus"})
    )
    config.train.steps = 8
    (tmp_path / "config.json").write_text(config.to_json())
    gen_jax.main.run(config, tmp_path)
    second = read_cost(tmp_path)
    assert second["step"] == 8
    assert 1e6 < second["seconds"] < 1e6 + 300
    assert second["peak_bytes"] == 2**60
    assert second["device"] == f"1 x abacus, then {first['device']}"


@pytest.mark.parametrize(
    ("backend", "program", "said"),
    [("cpu", "dot", None), ("gpu", "dot", "XLA"), ("gpu", 'custom_call_target="__cudnn$fmhaSoftmax"', "cuDNN")],
)
def test_the_start_table_says_what_computes_attention_on_a_gpu(monkeypatch, tmp_path, backend, program, said):
    config = config_of("diffusion/meanflow.py")
    source = InMemory(DataInfo((8, 8, 1)), {"x": np.zeros((4, 8, 8, 1), np.uint8)})
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    setup = SimpleNamespace(shapes=SimpleNamespace(params={"model": {"w": jnp.zeros(3)}}))
    compiled = SimpleNamespace(as_text=lambda: program)
    plan = {"flops_per_step": 1.0, "step_bytes": 1.0}
    assert facts(config, tmp_path, source, setup, compiled, plan, "one").get("attention") == said
