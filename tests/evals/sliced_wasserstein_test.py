import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from gen_jax.errors import UserError
from gen_jax.evals.sliced_wasserstein import _squared_distances, sliced_wasserstein


def images(*values):
    return np.array(values, np.uint8)[:, None, None, None]


def noise(seed, n, shape=(4, 4, 3)):
    return np.random.default_rng(seed).integers(0, 200, (n, *shape), dtype=np.uint8)


def test_brighter_images_lie_as_far_as_they_are_brighter():
    x = noise(0, 40)
    figures = sliced_wasserstein(x + np.uint8(20), x, projections=2000)
    assert figures["sliced_wasserstein"] == pytest.approx(20, abs=4 * figures["sliced_wasserstein/error"])
    assert 0 < figures["sliced_wasserstein/error"] < 0.5


def test_the_same_images_lie_at_0_in_any_order_and_number():
    x = noise(0, 12)
    assert sliced_wasserstein(x[::-1], x)["sliced_wasserstein"] == 0
    assert sliced_wasserstein(np.repeat(x, 3, axis=0), x)["sliced_wasserstein"] == pytest.approx(0, abs=1e-6)


def test_single_pixels_by_hand():
    # One pixel has one direction. 0 0 against 0 10: half of the mass moves by 10: sqrt(50).
    assert sliced_wasserstein(images(0, 0), images(0, 10))["sliced_wasserstein"] == pytest.approx(50**0.5)
    # 0 0 0 30 against 0 30: a quarter moves by 30: sqrt(900 / 4).
    assert sliced_wasserstein(images(0, 0, 0, 30), images(0, 30))["sliced_wasserstein"] == pytest.approx(15)


def test_unequal_counts_agree_with_scipy_where_mass_moves_one_way_by_0_or_1():
    # With moves of 0 and 1 alone the squared distance is SciPy's, which is of order 1.
    a, b = np.sort(np.random.default_rng(0).integers(0, 2, (7, 1)), axis=0), np.ones((5, 1))
    assert _squared_distances(a, b)[0] == pytest.approx(wasserstein_distance(a[:, 0], b[:, 0]))


def test_projections_come_in_blocks_and_by_seed():
    x, y = noise(0, 10), noise(1, 15)
    assert sliced_wasserstein(x, y, projections=100) == sliced_wasserstein(x, y, projections=100)
    assert sliced_wasserstein(x, y, projections=100) != sliced_wasserstein(x, y, projections=100, seed=1)


def test_mistakes_are_named():
    x = noise(0, 3)
    with pytest.raises(UserError, match="projections=1"):
        sliced_wasserstein(x, x, projections=1)
    with pytest.raises(UserError, match="float64 from 0 to"):
        sliced_wasserstein(x / 255, x)
