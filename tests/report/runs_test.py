import json
import math

import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.report.runs import collapses, last_quarter, read_entries, same_but_seed, training_cost


def make(folder, seed=0, rows=(), players=("model",), record=None, evals=None):
    folder.mkdir(parents=True)
    config = {
        "seed": seed,
        "family": {"name": "families.VAE"},
        "optim": {player: {} for player in players},
        "train": {"batch_size": 8, "log_every": 1},
        "data": {"name": "digits"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if record is not None:
        (folder / "run.json").write_text(json.dumps(record))
    if evals is not None:
        (folder / "evals.json").write_text(evals)
    return folder


def two(tmp_path, **facts):
    return read_entries([make(tmp_path / "a", **facts), make(tmp_path / "b")])


def test_the_last_quarter_by_hand(tmp_path):
    rows = [{"step": 10 * i, "loss": float(i), "grad_norm": 1.0} for i in range(1, 9)]  # the last quarter: 70 and 80
    a, b = two(tmp_path, rows=rows)
    assert last_quarter(a, "model", "loss") == pytest.approx((7.5, math.sqrt(0.5)))
    assert last_quarter(a, "model", "grad_norm") == (1.0, 0.0)
    assert all(map(math.isnan, last_quarter(b, "model", "loss")))  # nothing was reported


def test_players_are_told_apart_and_rows_without_a_value_are_passed_over(tmp_path):
    rows = [{"step": 1, "disc/loss": 1.0}, {"step": 2, "disc/loss": 2.0, "gen/loss": 5.0}]
    a, _ = two(tmp_path, rows=rows, players=("disc", "gen"))
    steps, values = a.column("gen", "loss")
    np.testing.assert_array_equal(steps, [2])
    np.testing.assert_array_equal(values, [5.0])
    assert a.steps == 2


def test_collapses_are_evaluations_with_fewer_than_half_of_the_classes(tmp_path):
    rows = [{"step": i} | ({"evals/modes": float(m)} if m else {}) for i, m in enumerate((3, 0, 10, 4, 5))]
    a, b = two(tmp_path, rows=rows)
    assert collapses(a, 10) == (2, 4)
    assert collapses(b, 10) is None


def test_cost_is_what_was_recorded(tmp_path):
    rows = [{"step": i, "images_per_second": float(i)} for i in (1, 2, 9)]
    a, b = two(tmp_path, rows=rows, record={"seconds": 12.5, "flops_per_step": 1e6, "step_bytes": 10, "device": "d"})
    cost = training_cost(a)
    assert (cost["steps"], cost["images_per_second"], cost["seconds"], cost["flops"]) == (9.0, 2.0, 12.5, 9e6)
    assert (cost["step_bytes"], cost["peak_bytes"], cost["device"]) == (10, None, "d")
    assert {k: v for k, v in training_cost(b).items() if v is not None} == {"steps": 0.0, "batch_size": 8.0}


def test_runs_that_differ_in_their_seed_alone_are_repetitions(tmp_path):
    folders = [make(tmp_path / str(seed), seed) for seed in (0, 1, 2)]
    other = make(tmp_path / "other", players=("disc", "gen"))
    (group,) = same_but_seed(read_entries([*folders, other]))
    assert [e.name for e in group] == ["0", "1", "2"]


def test_names_are_the_ends_of_paths_that_differ(tmp_path):
    folders = [make(tmp_path / "x" / "run"), make(tmp_path / "y" / "run")]
    assert [e.name for e in read_entries(folders)] == ["x/run", "y/run"]
    assert [e.name for e in read_entries(folders, ["X", "Y"])] == ["X", "Y"]


def test_bad_input(tmp_path):
    a, b = make(tmp_path / "a"), make(tmp_path / "b", evals="{")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"two runs or more .* gen_jax\.evaluate --workdir=.*a$"):
        read_entries([a])
    with pytest.raises(UserError, match="given twice"):
        read_entries([a, tmp_path / "b" / ".." / "a"])
    with pytest.raises(UserError, match=r"nothing does not exist; train one"):
        read_entries([a, tmp_path / "nothing"])
    with pytest.raises(UserError, match=r"empty has no config\.json"):
        read_entries([a, tmp_path / "empty"])
    with pytest.raises(UserError, match=r"evals\.json"):
        read_entries([a, b])
    with pytest.raises(UserError, match="--names=x,x: 2 different names"):
        read_entries([a, b], ["x", "x"])
    (a / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        read_entries([a, b])
