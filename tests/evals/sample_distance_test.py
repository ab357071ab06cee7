import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

import gen_jax.main
from gen_jax.cli import load_config
from gen_jax.errors import UserError
from gen_jax.evals import blocks
from gen_jax.evals.sample_distance import sample_distance

RNG = np.random.default_rng(0)
X, REAL = (RNG.integers(0, 256, (n, 4, 4, 1), np.uint8) for n in (30, 20))


def test_against_scipy():
    x, real = (rows.reshape(len(rows), -1).astype(float) for rows in (X, REAL))
    figures = sample_distance(X, REAL)
    assert figures["sample_distance"] == pytest.approx(pdist(x).mean() / pdist(real).mean(), rel=1e-5)
    near = [(cdist(rows, rows) + 1e9 * np.eye(20)).min(axis=1).mean() for rows in (x[:20], real)]
    assert figures["sample_distance/nearest"] == pytest.approx(near[0] / near[1], rel=1e-5)


def test_by_hand():
    """Distances 3, 4 and 5, next to 6, 8 and 10."""
    triangle = np.array([[0, 0], [3, 0], [0, 4]], np.float32)
    figures = sample_distance(triangle, 2 * triangle)
    assert figures["sample_distance"] == pytest.approx(0.5)
    assert figures["sample_distance/nearest"] == pytest.approx(0.5)
    assert sample_distance(triangle + 100, triangle)["sample_distance"] == pytest.approx(1)


def test_a_collapse_is_seen_whether_whole_or_in_clumps():
    assert sample_distance(np.repeat(X[:1], 20, axis=0), REAL)["sample_distance"] == pytest.approx(0, abs=1e-5)
    clumps = sample_distance(np.repeat(X[:10], 2, axis=0), REAL)
    assert clumps["sample_distance"] > 0.8
    assert clumps["sample_distance/nearest"] == pytest.approx(0, abs=1e-3)


def test_blocks_change_nothing(monkeypatch):
    whole = sample_distance(X, REAL)
    original = blocks.squared_distances
    monkeypatch.setattr("gen_jax.evals.sample_distance.squared_distances", lambda a, b: original(a, b, size=7))
    assert sample_distance(X, REAL) == pytest.approx(whole)


def test_many_real_examples_are_drawn_from():
    real = RNG.normal(size=(4000, 3)).astype(np.float32)
    x = 2 * RNG.normal(size=(500, 3)).astype(np.float32)
    some = sample_distance(x, real, max_real=1000)
    assert some["sample_distance"] == pytest.approx(2, rel=0.05)
    assert some["sample_distance/nearest"] == pytest.approx(2, rel=0.15)
    assert some == sample_distance(x, real, max_real=1000)
    assert some != sample_distance(x, real, max_real=1000, seed=1)


@pytest.mark.parametrize(
    ("x", "real", "says"),
    [
        (X[:1], REAL, "1 samples and 20 real ones; needed: 2"),
        (X.astype(np.float32), REAL, r"samples are float32 \[30, 4, 4, 1\], real examples uint8"),
        (X[:, 1:], REAL, "one type and shape"),
        (np.full((3, 2), np.nan), np.eye(2), "not finite"),
        (X, np.repeat(REAL[:1], 5, axis=0), "all equal"),
    ],
)
def test_mistakes_are_named(x, real, says):
    with pytest.raises(UserError, match=says):
        sample_distance(x, real)


def test_it_is_watched_at_intervals_of_training_beside_modes_and_copies(tmp_path):
    config = load_config(str(Path(__file__).parents[2] / "configs" / "gan" / "vanilla.py"))
    with config.unlocked():
        config.train.update(steps=4, batch_size=16, steps_per_call=1, log_every=2, checkpoint_every=4, sample_every=0)
        config.sample.update(num=4, batch_size=50)
        names = ("sample_distance", "modes", "memorization")
        config.evals = dict(every=2, num=50, metrics={name: dict(name=f"evals.{name}") for name in names})
    gen_jax.main.run(config, tmp_path)
    rows = list(map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()))
    assert [row["step"] for row in rows] == [2, 4]
    watched = ("sample_distance", "sample_distance/nearest", "modes", "exact_copies", "distance_ratio")
    assert all(f"evals/{name}" in row for row in rows for name in watched)
    receipt = json.loads((tmp_path / "receipts.json").read_text())["evals/sample_distance"]
    assert (receipt["samples"]["seed"], receipt["samples"]["count"]) == (0, 50), "the same latents each time"
