"""Alarms: over rows that a reader can follow, and over real runs of GANs that were made to fail."""

import json
import logging
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import gen_jax.main
from gen_jax.cli import load_config
from gen_jax.errors import UserError
from gen_jax.families import gan
from gen_jax.training import writers
from gen_jax.training.alarm import Watch
from gen_jax.types import Alarm

VANILLA = Path(__file__).parents[2] / "configs" / "gan" / "vanilla.py"
SPREAD = Alarm(low=0.1, says="collapse", fix="a penalty", patience=2)
LOGIT = Alarm(high=10.0, says="divergence", fix="a smaller rate", patience=1)


def looked(alarms, name, values):
    """The steps, from 1 on, at which an alarm goes off."""
    watch = Watch(alarms)
    return [step for step, value in enumerate(values, 1) if watch.look(step, {name: value})]


def test_an_alarm_goes_off_after_its_patience_and_once():
    assert looked({"spread": SPREAD}, "spread", [1, 0.05, 0.2, 0.05, 0.01, 0.01, 0.01]) == [5]


def test_it_goes_off_again_after_all_was_well():
    assert looked({"spread": SPREAD}, "spread", [0, 0, 0, 0.1, 0, 0]) == [2, 6]


def test_what_was_not_computed_changes_nothing():
    assert looked({"spread": SPREAD}, "spread", [0, math.nan, 0]) == [3]
    assert looked({"spread": SPREAD}, "other", [0, 0, 0]) == []


def test_both_sides_are_bounds():
    assert looked({"logit": LOGIT}, "logit", [-1e9, 10, 10.1]) == [3]
    assert looked({"logit": Alarm(low=-1, high=1, says="", fix="", patience=1)}, "logit", [0, -2, 0, 2]) == [2, 4]


def test_two_alarms_at_once_are_told_one_after_the_other():
    watch = Watch({"a": LOGIT, "b": LOGIT})
    assert [watch.look(i, {"a": 11, "b": 12}).what.split()[3] for i in range(2)] == ["a", "b"]


def test_an_alarm_names_step_value_bound_cause_and_fix():
    watch = Watch({"disc/spread": SPREAD})
    watch.look(100, {"disc/spread": 0.031})
    trouble = watch.look(200, {"disc/spread": 0.0123})
    assert trouble.what == "by step 200 disc/spread is 0.0123, below 0.1 in 2 reports on end: collapse"
    assert trouble.fix == "What may help: a penalty"


# Runs. vanilla.py reports every second step here, and its alarms have a patience of three.


def a_run(tmp_path, on_collapse, steps=10):
    config = load_config(str(VANILLA))
    with config.unlocked():
        config.train.update(steps=steps, batch_size=16, steps_per_call=2, log_every=2, checkpoint_every=2)
        config.train.update(sample_every=0, on_collapse=on_collapse)
        config.sample.update(num=4, batch_size=4)
    return lambda: gen_jax.main.run(config, tmp_path), config


def collapsed(monkeypatch, is_bad=lambda state, key: True):
    """The generator gives the same for every z where is_bad(state, key) says so."""
    play = gan.GAN._play

    def collapsed_play(self, player, params, state, batch, key):
        game, classes, extra = play(self, player, params, state, batch, key)
        fake = jnp.where(is_bad(state, key), jnp.broadcast_to(game.fake[:1], game.fake.shape), game.fake)
        return gan.dataclasses.replace(game, fake=fake), classes, extra

    monkeypatch.setattr(gan.GAN, "_play", collapsed_play)


def test_the_bounds_are_not_met_by_training_that_goes_well(tmp_path, caplog):
    run, _ = a_run(tmp_path, "stop")
    _, metrics = run()
    assert list(metrics["step"]) == [2, 4, 6, 8, 10]
    assert not caplog.records


def test_what_is_watched_is_reported(tmp_path):
    """Logits, overtraining, gradient norms of both players and penalty sizes stand in metrics.jsonl."""
    _, config = a_run(tmp_path, "warn")
    with config.unlocked():
        lazy = dict(name="losses.Penalty", of=dict(name="losses.r1"), weight=0.1, every=2)
        config.family.disc_penalties = dict(r1=lazy)
    gen_jax.main.run(config, tmp_path)
    watched = "disc/real_logit disc/fake_logit disc/r_t disc/max_logit disc/spread disc/grad_norm gen/grad_norm disc/r1"
    for row in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()):
        assert all(math.isfinite(row[name]) for name in watched.split())
        assert row["disc/max_logit"] >= max(abs(row["disc/real_logit"]), abs(row["disc/fake_logit"]))
        assert -1 <= row["disc/r_t"] <= 1


def test_warn_is_one_line_with_the_step_and_training_goes_on(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(gan, "normal", lambda keys, shape: jnp.zeros((keys.shape[0], *shape)))  # all z are the same
    run, _ = a_run(tmp_path, "warn")
    with caplog.at_level(logging.WARNING, "gen_jax"):
        state, metrics = run()
    assert int(state.step) == 10
    assert (metrics["disc/spread"] < 1e-3).all()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("by step 6 disc/spread is ")
    assert "mode collapse" in line
    assert "What may help: a penalty on the discriminator" in line
    assert "\n" not in line


def test_stop_ends_an_exploding_run_and_keeps_what_there_was(tmp_path):
    run, config = a_run(tmp_path, "stop")
    config.optim.disc.learning_rate = 100.0
    with pytest.raises(UserError, match=r"by step 6 disc/max_logit is .*divergence.*checkpoints are kept") as error:
        run()
    assert "\n" not in str(error.value)
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {"2", "4"}
    assert [row["step"] for row in writers.read_rows(tmp_path)] == [2, 4, 6], "the report that rang is written too"


def first_try(state, key):
    """Whether a disc step is of the run's first try: its key is folded of the first run key, as in training/step.py."""
    mine = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), state.step), 1)
    return (jax.random.key_data(key) == jax.random.key_data(mine)).all()


def test_rollback_goes_back_once_with_other_noise(monkeypatch, tmp_path, caplog):
    collapsed(monkeypatch, first_try)
    run, _ = a_run(tmp_path, "rollback")
    with caplog.at_level(logging.WARNING, "gen_jax"):
        state, metrics = run()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "by step 6 disc/spread" in line
    assert "Rolled back to step 4" in line
    assert int(state.step) == 10
    assert list(metrics["step"]) == [2, 4, 6, 8, 10]
    assert list(metrics["disc/spread"] > 0.1) == [False, False, True, True, True]


def test_a_collapse_after_a_rollback_ends_the_run(monkeypatch, tmp_path, caplog):
    collapsed(monkeypatch)
    run, _ = a_run(tmp_path, "rollback", steps=20)
    with pytest.raises(UserError, match=r"diverged again after a roll-back: by step 10 disc/spread .*checkpoints"):
        run()
    assert len(caplog.records) == 1
