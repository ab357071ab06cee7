from pathlib import Path

import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals import kid as module
from gen_jax.evals.kid import kid

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))


def test_agrees_with_torch_fidelity(monkeypatch):
    arrays = REFERENCE["features"], REFERENCE["real_features"]
    assert kid(*arrays)["kid"] == pytest.approx(float(REFERENCE["kid"]), rel=1e-5)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert kid(*arrays)["kid"] == pytest.approx(float(REFERENCE["kid"]), rel=1e-5)


def test_normals_in_one_dimension():
    # E (xy + 1)^3 = m3 m3' + 3 m2 m2' + 3 m1 m1' + 1, so the square is that of the differences of the moments.
    mean, std = 0.3, 0.8
    moments = np.array([mean, mean**2 + std**2, mean**3 + 3 * mean * std**2])
    expected = 3 * mean**2 + 3 * (moments[1] - 1) ** 2 + moments[2] ** 2
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4000, 1)), mean + std * rng.standard_normal((3000, 1))
    assert kid(a, b, subsets=0)["kid"] == pytest.approx(expected, abs=0.1)


def test_it_is_unbiased():
    rng = np.random.default_rng(0)
    values = [kid(rng.standard_normal((6, 2)), rng.standard_normal((9, 2)), subsets=0)["kid"] for _ in range(2000)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 2000**0.5


def test_by_hand():
    # d = 1, k(a, b) = (ab + 1)^3. Samples 0 0 1 1: the 12 ordered pairs have k = 1 but for two of 8: 26/12.
    # Real -1 -1 0 0: the same, 26/12. Across: 1 but for four of 0: 12/16.
    a, b = np.array([[0.0], [0], [1], [1]]), np.array([[-1.0], [-1], [0], [0]])
    assert kid(a, b, subsets=0) == {"kid": pytest.approx(2 * 26 / 12 - 2 * 12 / 16)}


def test_subsets():
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((50, 3)), rng.standard_normal((40, 3)) + 0.5
    figures = kid(*arrays, subsets=300)
    assert figures["kid/subsets"] == pytest.approx(figures["kid"], abs=4 * figures["kid/std"] / 300**0.5)
    assert figures == kid(*arrays, subsets=300)
    other = kid(*arrays, subsets=300, seed=1)
    assert other["kid"] == figures["kid"]
    assert other["kid/subsets"] != figures["kid/subsets"]
    whole = kid(*(rows[:40] for rows in arrays), subsets=2, subset_size=40)
    assert whole["kid/std"] == pytest.approx(0, abs=1e-12)


def test_mistakes_are_named():
    rows = np.zeros((10, 3))
    with pytest.raises(UserError, match="3 samples' features; needed: 4"):
        kid(rows[:3], rows)
    with pytest.raises(UserError, match="subset_size=11; needed: 0 or more of 2 to 10"):
        kid(rows, rows, subset_size=11)
