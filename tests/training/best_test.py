"""The best checkpoint: kept by its figure, known again after a restart, and never by rotation lost."""

import logging
import math

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.training import parallel
from gen_jax.training.best import Best
from gen_jax.training.checkpoint import Checkpoints, abstract_like


def state(step):
    return {"w": jnp.full(3, step, jnp.float32)}


def offer(folder, values, mode="min"):
    """Offers {step: value}, and returns the steps that were kept when they came."""
    with Best(folder, "fid_own", mode) as best:
        return [step for step, value in values.items() if best.offer(value, step, state(step), None, {"config": 1})]


def kept(folder):
    """The step, the state and the metadata of the checkpoint that there is."""
    with Checkpoints(folder, read_only=True) as checkpoints:
        assert len(checkpoints.steps) == 1
        whole = parallel.replicated(parallel.make_mesh(1))
        return checkpoints.restore(abstract_like(state(0), whole))


@pytest.mark.parametrize(("mode", "expected"), [("min", [10, 30]), ("max", [10, 20, 50])])
def test_only_what_is_better_is_kept(tmp_path, mode, expected):
    assert offer(tmp_path / "best", {10: 3.0, 20: 4.0, 30: 2.0, 40: math.nan, 50: 5.0}, mode) == expected
    step, found, metadata = kept(tmp_path / "best")
    assert step == expected[-1]
    np.testing.assert_array_equal(found["w"], expected[-1])
    assert metadata["best"]["figure"] == "fid_own"
    assert metadata["config"] == 1


def test_a_restart_knows_the_best_and_repeats_nothing(tmp_path):
    offer(tmp_path / "best", {10: 3.0, 20: 2.0})
    assert offer(tmp_path / "best", {20: 2.0, 30: 2.5}) == []
    assert kept(tmp_path / "best")[0] == 20
    assert offer(tmp_path / "best", {40: 1.0}) == [40]
    assert kept(tmp_path / "best")[0] == 40


def test_a_better_one_of_an_earlier_step_replaces_it(tmp_path):
    """After a roll-back the steps come again."""
    offer(tmp_path / "best", {10: 3.0, 40: 2.0})
    assert offer(tmp_path / "best", {20: 1.0}) == [20]
    assert kept(tmp_path / "best")[0] == 20


def test_nothing_but_nan_keeps_nothing(tmp_path):
    assert offer(tmp_path / "best", {10: math.nan}) == []
    assert not list((tmp_path / "best").glob("1*"))


def test_a_damaged_best_one_counts_for_none(tmp_path, caplog):
    offer(tmp_path / "best", {10: 3.0})
    (tmp_path / "best" / "10" / "_CHECKPOINT_METADATA").write_text("{")
    with caplog.at_level(logging.WARNING, "gen_jax"):
        assert offer(tmp_path / "best", {20: 9.0}) == [20]
    assert "counts for none" in caplog.text
    assert kept(tmp_path / "best")[0] == 20
