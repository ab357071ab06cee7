import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals.vendi import vendi


@pytest.mark.parametrize(("k", "each", "d"), [(1, 5, 3), (4, 6, 9), (7, 1, 7), (5, 2, 50)])
@pytest.mark.parametrize("order", [0.5, 1, 2])
def test_equal_groups_score_their_number(k, each, d, order):
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))
    features = 3 * np.repeat(q[:k], each, axis=0)
    assert vendi(features.astype(np.float32), order=order)["vendi"] == pytest.approx(k, rel=1e-5)


def test_unequal_groups():
    # Shares 3/4 and 1/4: exp of their entropy; of order 2 one over the sum of squares; of order 0 how many there are.
    features = np.eye(2)[[0, 0, 0, 1]]
    assert vendi(features)["vendi"] == pytest.approx(0.75**-0.75 * 0.25**-0.25)
    assert vendi(features, order=2)["vendi"] == pytest.approx(1 / (9 / 16 + 1 / 16))
    assert vendi(features, order=0)["vendi"] == pytest.approx(2)


def test_two_samples_at_an_angle():
    # K/2 has the eigenvalues (1 +- cos) / 2.
    p = (1 + np.cos(0.7)) / 2
    features = np.array([[1, 0], [np.cos(0.7), np.sin(0.7)]])
    assert vendi(features)["vendi"] == pytest.approx(p**-p * (1 - p) ** -(1 - p))


def test_more_rows_than_columns_and_fewer_agree():
    rows = np.random.default_rng(0).standard_normal((30, 5))
    wide = np.concatenate([rows, np.zeros((30, 40))], axis=1)
    assert vendi(rows)["vendi"] == pytest.approx(vendi(wide)["vendi"])


def test_mistakes_are_named():
    with pytest.raises(UserError, match="1 of 2 features are 0"):
        vendi(np.eye(2) * [[1], [0]])
    with pytest.raises(UserError, match="order=-1"):
        vendi(np.eye(2), order=-1)
