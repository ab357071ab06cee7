from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gen_jax.errors import UserError
from gen_jax.evals import blocks
from gen_jax.evals import prdc as module
from gen_jax.evals.prdc import prdc

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))


def rows(*values):
    return np.array(values, np.float64)[:, None]


@pytest.mark.parametrize("k", [3, 5])
def test_agrees_with_the_prdc_package(k):
    figures = prdc(REFERENCE["features"], REFERENCE["real_features"][:150], k=k)
    assert figures == pytest.approx({name: float(REFERENCE[f"prdc_{k}/{name}"]) for name in figures}, abs=1e-5)


def test_by_hand():
    # k = 1. Real 0 1 10: radii 1 1 9, balls (-1, 1) (0, 2) (1, 19). Samples 0.5 3 30: radii 2.5 2.5 27.
    # 0.5 lies in two balls, 3 in one, 30 in none: precision 2/3, density 3/3. All three balls hold a sample.
    # Samples' balls (-2, 3) (0.5, 5.5) (3, 57) hold 0, 1 and 10.
    figures = prdc(rows(0.5, 3, 30), rows(0, 1, 10), k=1)
    assert figures == pytest.approx({"precision": 2 / 3, "recall": 1, "density": 1, "coverage": 1})
    # Samples 0.2 0.4 0.5 lie in the first two balls: radii 0.2 0.1 0.1; no real one is that near.
    figures = prdc(rows(0.2, 0.4, 0.5), rows(0, 1, 10), k=1)
    assert figures == pytest.approx({"precision": 1, "recall": 0, "density": 2, "coverage": 2 / 3})


def test_disjoint_sets_and_equal_sets():
    a = np.random.default_rng(0).standard_normal((50, 8))
    assert set(prdc(a + 100, a).values()) == {0.0}
    assert prdc(a, a) == pytest.approx({"precision": 1, "recall": 1, "density": 1, "coverage": 1}, abs=0.01)


def test_the_datas_own_law_reaches_the_stated_coverage():
    rng = np.random.default_rng(0)
    figures = prdc(rng.standard_normal((2000, 4)), rng.standard_normal((2000, 4)), k=3)
    assert figures["coverage"] == pytest.approx(1 - 2**-3, abs=0.03)
    assert figures["density"] == pytest.approx(1, abs=0.05)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((30, 3)).astype(np.float32), rng.standard_normal((25, 3)).astype(np.float32)
    whole = prdc(*arrays)
    monkeypatch.setattr(module, "squared_distances", lambda a, b: blocks.squared_distances(a, b, size=4))
    assert prdc(*arrays) == whole


def test_distances_agree_with_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((20, 6)) + 1e4, rng.standard_normal((15, 6)) + 1e4  # far from 0
    found = list(blocks.squared_distances(a, b, size=8))
    assert [(part.start, part.stop) for part, _ in found] == [(0, 8), (8, 16), (16, 20)]
    np.testing.assert_allclose(np.concatenate([s for _, s in found]), cdist(a, b) ** 2, rtol=1e-8)


def test_mistakes_are_named():
    a = np.zeros((5, 3))
    with pytest.raises(UserError, match="5 samples' features; needed: 6"):
        prdc(a, np.zeros((9, 3)))
    with pytest.raises(UserError, match="k=0"):
        prdc(a, a, k=0)
