import numpy as np
import pytest
from scipy import stats

from gen_jax.data.toys import gaussians_grid, gaussians_ring
from gen_jax.errors import UserError
from gen_jax.evals.point_modes import point_modes

# Two modes about (0, 0) and (10, 0), three quarters of the data in the first; all lie 1 from their mean: std^2 = 1/2.
CROSS = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
REAL = np.concatenate([CROSS, CROSS, CROSS, CROSS + np.array([10, 0])]).astype(np.float32)
LABEL = np.repeat([3, 8], [12, 4])


def at(*places):
    return np.array(places, np.float32)


def test_by_hand():
    """Three standard deviations are 2.12."""
    figures = point_modes(at([2.1, 0], [2.2, 0], [0, 0], [10, -2]), REAL, LABEL)
    assert figures["point_modes"] == 2
    assert figures["point_modes/known"] == 2
    assert figures["point_modes/within"] == 0.75
    assert figures["point_modes/within_real"] == 1
    p = np.array([2 / 3, 1 / 3])
    assert figures["point_modes/kl_real"] == pytest.approx((p * np.log(p / [0.75, 0.25])).sum())
    assert point_modes(at([2.2, 0]), REAL, LABEL, within=4.0)["point_modes/within"] == 1


def test_the_extremes():
    assert point_modes(at([0, 0], [0, 1]), REAL, LABEL)["point_modes"] == 1
    lost = point_modes(at([5, 5]), REAL, LABEL)
    assert (lost["point_modes"], lost["point_modes/within"]) == (0, 0)
    assert "point_modes/kl_real" not in lost
    assert point_modes(REAL, REAL, LABEL)["point_modes/kl_real"] == pytest.approx(0)


@pytest.mark.parametrize("source", [gaussians_grid, gaussians_ring])
def test_data_of_the_same_law_reach_what_two_dimensional_gaussians_do(source):
    real, other = (source(split, size=20_000).take(np.arange(20_000)) for split in ("train", "test"))
    figures = point_modes(other["x"], real["x"], real["label"])
    assert figures["point_modes"] == figures["point_modes/known"] == source(size=1).info.num_classes
    assert figures["point_modes/within"] == pytest.approx(stats.chi2(2).cdf(9), abs=3e-3)  # |x|^2 has two of freedom
    assert figures["point_modes/kl_real"] < 2e-3


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"samples are uint8 \[2, 2\]"):
        point_modes(np.zeros((2, 2), np.uint8), REAL, LABEL)
    with pytest.raises(UserError, match="samples of 3 values and real data of 2"):
        point_modes(np.zeros((2, 3), np.float32), REAL, LABEL)
    with pytest.raises(UserError, match="some of the samples are not finite"):
        point_modes(at([np.nan, 0]), REAL, LABEL)
    with pytest.raises(UserError, match="no labels"):
        point_modes(at([0, 0]), REAL, None)
    with pytest.raises(UserError, match="within=0"):
        point_modes(at([0, 0]), REAL, LABEL, within=0)
    with pytest.raises(UserError, match="no width"):
        point_modes(at([0, 0]), REAL[:2] * 0, np.array([0, 1]))
