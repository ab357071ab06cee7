import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gen_jax.data.memory import InMemory
from gen_jax.evals.reference import Split
from gen_jax.report.measure import nearest, seconds, variety
from gen_jax.types import DataInfo


def noise(seed, n, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (n, 4, 4, 1)).astype(np.uint8)


def split(x):
    return Split(InMemory(DataInfo((4, 4, 1), tuple("ab")), {"x": x, "label": np.zeros(len(x), np.int32)}))


def test_the_nearest_training_images_agree_with_scipy_and_copies_are_at_0():
    train, x = noise(0, 300), noise(1, 20)
    x[3], x[7] = train[5], train[299]
    images, distance = nearest(x, split(train))
    rows = [a.reshape(len(a), -1).astype(float) for a in (x, train)]
    np.testing.assert_allclose(distance, cdist(*rows).min(1), rtol=1e-5)
    np.testing.assert_array_equal(images, train[cdist(*rows).argmin(1)])
    assert distance[3] == distance[7] == 0


def test_variety_is_1_for_the_datas_own_law_and_0_for_one_image():
    real = noise(0, 200), None
    assert variety({"x": noise(1, 200)}, real) == pytest.approx(1, abs=0.03)
    assert variety({"x": np.repeat(noise(1, 1), 50, axis=0)}, real) == 0


def test_variety_is_within_classes_where_they_were_asked_for():
    """One image for each of two classes is no variety, however far apart the two are."""
    label = np.arange(40) % 2
    dark_and_bright = np.where(label[:, None, None, None] == 0, np.uint8(0), np.uint8(255)) + np.zeros((40, 4, 4, 1))
    real = noise(0, 40), label
    assert variety({"x": dark_and_bright, "label": label}, real) == 0
    assert variety({"x": dark_and_bright}, real) > 0.5


def test_a_time_is_the_median_of_rounds_after_the_first_call():
    calls = []
    assert seconds(lambda: calls.append(1), rounds=3) >= 0
    assert len(calls) == 4
