import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gen_jax.errors import UserError
from gen_jax.evals.memorization import memorization, nearest_training


def noise(seed, n, d=16):
    """Images [n, d, 1, 1], every pixel uniform: draws with different seeds share their law and nothing else."""
    return np.random.default_rng(seed).integers(0, 256, (n, d, 1, 1), dtype=np.uint8)


def images(*values):
    """One-pixel images [n, 1, 1, 1], in which distances are differences."""
    return np.array(values, np.uint8)[:, None, None, None]


def test_by_hand():
    # Training 0 10 30 100: own nearest others at 10, 10, 20, 70.
    # Samples 10 (copy of 10), 32 (2 from 30, whose own is 20: not authentic), 200 (100 from 100, own 70: authentic),
    # 18 (8 from 10, own 10: not authentic). Distances 0 2 100 8: median 5.
    # Test 15 and 90: nearest 10 (5, own 10) and 100 (10, own 70): authenticity 0, median 7.5.
    figures = memorization(images(10, 32, 200, 18), images(0, 10, 30, 100), images(15, 90))
    assert figures["exact_copies"] == 0.25
    assert figures["authenticity"] == 0.25
    assert figures["authenticity_test"] == 0
    assert figures["distance_median"] == 5
    assert figures["distance_median_test"] == 7.5
    assert figures["distance_ratio"] == pytest.approx(2 / 3)


def test_two_sample_by_hand():
    # Test 0 10 100 110, samples 2 12 50 60. Nearest others: 0 -> 2 and 10 -> 12 are samples, 100 <-> 110 test images:
    # 1/2. 2 -> 0 and 12 -> 10 are test images, 50 <-> 60 samples: 1/2.
    figures = memorization(images(2, 12, 50, 60), images(1, 200), images(0, 10, 100, 110))
    assert figures["two_sample_accuracy_real"] == 0.5
    assert figures["two_sample_accuracy_samples"] == 0.5
    assert figures["two_sample_accuracy"] == 0.5


def test_a_tie_counts_one_half():
    # Test 0 20, samples 10 30: 0 -> 10 wrong, 20 -> 10 or 30 wrong; 10 -> 0 or 20 wrong, 30 -> 20 wrong.
    assert memorization(images(10, 30), images(5, 6), images(0, 20))["two_sample_accuracy"] == 0
    # Test 0 20, samples 20 40: 0 -> 20 of both sets: 1/2. The test 20 -> sample 20: wrong. The same from the other end.
    assert memorization(images(20, 40), images(5, 6), images(0, 20))["two_sample_accuracy"] == 0.25


def test_copies_are_found():
    train, test = noise(0, 200), noise(1, 200)
    figures = memorization(train[50:150], train, test)
    assert figures["exact_copies"] == 1
    assert figures["authenticity"] == 0
    assert figures["distance_ratio"] == 0
    # Copies of the training data have the data's law: a two-sample test with other data cannot see them.
    assert figures["two_sample_accuracy"] == pytest.approx(0.5, abs=0.15)


def test_noisy_copies_are_not_exact_and_not_authentic():
    train = noise(0, 200)
    blurred = np.clip(train.astype(int) + np.random.default_rng(2).integers(1, 4, train.shape), 0, 255).astype(np.uint8)
    figures = memorization(blurred, train, noise(1, 200))
    assert figures["exact_copies"] == 0
    assert figures["authenticity"] == 0
    assert figures["distance_ratio"] < 0.1


def test_another_draw_of_the_same_law_looks_like_test_data():
    figures = memorization(noise(2, 1000), noise(0, 1000), noise(1, 1000))
    assert figures["exact_copies"] == 0
    assert figures["authenticity"] == pytest.approx(figures["authenticity_test"], abs=0.08)
    assert figures["distance_ratio"] == pytest.approx(1, abs=0.03)
    assert figures["two_sample_accuracy"] == pytest.approx(0.5, abs=0.05)


def test_another_law_is_told_apart():
    figures = memorization(noise(2, 100) // 8, noise(0, 100), noise(1, 100))
    assert figures["two_sample_accuracy"] > 0.9


def test_samples_upon_the_test_images_fall_below_one_half():
    test = noise(1, 100)
    assert memorization(test ^ 1, noise(0, 100), test)["two_sample_accuracy"] == 0


def test_a_collapsed_model_shows_in_the_two_halves():
    # Half of the data is dark and half bright; the model draws dark ones only.
    dark, bright = noise(1, 100) // 4, 192 + noise(2, 100) // 4
    figures = memorization(noise(3, 200) // 4, noise(0, 100), np.concatenate([dark, bright]))
    assert figures["two_sample_accuracy_real"] > 0.6  # the bright ones are never taken for samples
    assert figures["two_sample_accuracy_samples"] > 0.55


def test_distances_agree_with_scipy_at_real_sizes():
    x, train, test = noise(0, 40, 3072), noise(1, 700, 3072), noise(2, 40, 3072)
    figures = memorization(x, train, test)
    expected = [np.median(cdist(*(a.reshape(len(a), -1).astype(float) for a in (q, train))).min(1)) for q in (x, test)]
    assert [figures["distance_median"], figures["distance_median_test"]] == pytest.approx(expected, rel=1e-6)


def test_unequal_numbers_are_drawn_by_seed():
    arrays = noise(2, 300), noise(0, 100), noise(1, 50)
    assert memorization(*arrays) == memorization(*arrays)
    assert memorization(*arrays) != memorization(*arrays, seed=1)


def test_the_nearest_training_images_come_in_order():
    train = images(0, 10, 30, 100)
    assert nearest_training(images(12, 90), train, 3).tolist() == [[1, 0, 2], [3, 2, 1]]
    assert nearest_training(images(30), train).tolist() == [[2]]
    x, train = noise(0, 20, 3072), noise(1, 300, 3072)
    order = cdist(*(a.reshape(len(a), -1).astype(float) for a in (x, train))).argsort(axis=1)
    assert (nearest_training(x, train, 5) == order[:, :5]).all()
    with pytest.raises(UserError, match="num=301; needed: 1 to 300"):
        nearest_training(x, train, 301)


def test_what_cannot_be_compared_is_refused():
    train = noise(0, 10)
    with pytest.raises(UserError, match="samples are float64 from 0"):
        memorization(train / 255, train, train)
    with pytest.raises(UserError, match=r"samples of shape \[10, 15, 1, 1\]"):
        memorization(train[:, 1:], train, train)
    with pytest.raises(UserError, match="1 test images; needed: 2 or more"):
        memorization(train, train, train[:1])
    with pytest.raises(UserError, match="training images too"):
        memorization(noise(1, 10), train, train)
