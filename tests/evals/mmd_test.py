import numpy as np
import pytest
from scipy.spatial.distance import pdist

from gen_jax.errors import UserError
from gen_jax.evals.mmd import mmd


def test_shifted_normals():
    # E k(x, x') = (s^2 / (s^2 + 2))^(d/2) for x, x' of N(0, I), and exp(-|v|^2 / (2 (s^2 + 2))) of it where v apart.
    d, s, shift = 3, 2.0, np.array([1.0, -0.5, 0.25])
    within = (s**2 / (s**2 + 2)) ** (d / 2)
    expected = 2 * within * (1 - np.exp(-(shift @ shift) / (2 * (s**2 + 2))))
    rng = np.random.default_rng(0)
    figures = mmd(rng.standard_normal((3000, d)) + shift, rng.standard_normal((2500, d)), bandwidth=s)
    assert figures == {"mmd": pytest.approx(expected, rel=0.1), "mmd/bandwidth": s}


def test_by_hand():
    # Distances 1 within both, 2 or 3 or 1 across; s = 1.
    k = lambda r: np.exp(-(r**2) / 2)  # noqa: E731
    figures = mmd(np.array([[0.0], [1]]), np.array([[2.0], [3]]), bandwidth=1.0)
    assert figures["mmd"] == pytest.approx(2 * k(1) - (2 * k(2) + k(3) + k(1)) / 2)


def test_it_is_unbiased():
    rng = np.random.default_rng(0)
    values = [mmd(rng.standard_normal((6, 2)), rng.standard_normal((9, 2)), bandwidth=1.0)["mmd"] for _ in range(2000)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 2000**0.5


def test_the_bandwidth_is_the_median_of_the_real_distances():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((40, 3))
    figures = mmd(100 + rng.standard_normal((30, 3)), real)
    assert figures["mmd/bandwidth"] == pytest.approx(np.median(pdist(real)))


def test_sets_far_apart_lie_at_what_they_are_within():
    a, b = np.array([[0.0], [1]]), np.array([[900.0], [902]])
    assert mmd(a, b, bandwidth=1.0)["mmd"] == pytest.approx(np.exp(-1 / 2) + np.exp(-2))


def test_mistakes_are_named():
    rows = np.zeros((5, 3))
    with pytest.raises(UserError, match="give a bandwidth"):
        mmd(rows, rows)
    with pytest.raises(UserError, match="bandwidth=-1"):
        mmd(rows, rows, bandwidth=-1)
