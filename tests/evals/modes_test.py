import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals.modes import modes


def classes(seed, label):
    """Images [n, 2, 2, 1] whose brightness is 40, 120, 200 for class 0, 1, 2, give or take 10."""
    label = np.asarray(label)
    noise = np.random.default_rng(seed).integers(-10, 11, (len(label), 2, 2, 1))
    return (40 + 80 * label[:, None, None, None] + noise).astype(np.uint8)


LABEL = np.repeat([0, 1, 2], [45, 30, 15])  # shares 1/2, 1/3, 1/6
REAL = classes(0, LABEL), LABEL


def test_by_hand():
    # Read 0 0 0 1: two of three modes. KL to uniform: log 3 - H(3/4, 1/4).
    figures = modes(classes(1, [0, 0, 0, 1]), *REAL)
    assert figures["modes"] == 2
    assert figures["modes/known"] == 3
    assert figures["modes/rarest"] == 0
    assert figures["modes/kl_uniform"] == pytest.approx(0.75 * np.log(0.75 * 3) + 0.25 * np.log(0.25 * 3))
    assert figures["modes/kl_train"] == pytest.approx(0.75 * np.log(0.75 / (1 / 2)) + 0.25 * np.log(0.25 / (1 / 3)))


def test_the_extremes():
    assert modes(classes(1, [1] * 9), *REAL)["modes/kl_uniform"] == pytest.approx(np.log(3))
    even = modes(classes(1, [0, 1, 2]), *REAL)
    assert (even["modes"], even["modes/kl_uniform"]) == (3, pytest.approx(0))
    real = modes(*REAL[:1], *REAL)
    assert (real["modes/kl_train"], real["modes/rarest"]) == (pytest.approx(0), pytest.approx(1 / 6))


def test_classes_may_have_any_numbers():
    assert modes(classes(1, [0, 2]), REAL[0], np.array([5, 9, 70])[LABEL])["modes"] == 2


def test_stacked_images_are_read_by_channel():
    digits = np.array([[0, 1, 2], [0, 1, 2], [2, 1, 0], [1, 1, 1]])
    x = np.concatenate([classes(i, digits[:, i]) for i in range(3)], axis=-1)
    figures = modes(x, *REAL)
    assert (figures["modes"], figures["modes/known"]) == (3, 27)
    p = np.array([1 / 2, 1 / 4, 1 / 4])
    assert figures["modes/kl_uniform"] == pytest.approx((p * np.log(p * 27)).sum())
    q = np.array([1 / 36, 1 / 36, 1 / 27])
    assert figures["modes/kl_train"] == pytest.approx((p * np.log(p / q)).sum())


def test_stacked_training_data_have_a_number_of_digits_for_their_label():
    digits = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3).repeat(2, axis=0)
    train_x = np.concatenate([classes(i, digits[:, i]) for i in range(3)], axis=-1)
    x = train_x[:20]
    figures = modes(x, train_x, digits @ [9, 3, 1], channel_classes=3)
    assert (figures["modes"], figures["modes/known"]) == (10, 27)
    assert figures["modes/kl_train"] == pytest.approx(figures["modes/kl_uniform"])  # all are in them equally often
    with pytest.raises(UserError, match="3 channels of 2 classes have 0 to 7"):
        modes(x, train_x, digits @ [9, 3, 1], channel_classes=2)


def test_mistakes_are_named():
    x = classes(1, [0, 1])
    with pytest.raises(UserError, match="samples of 1 channels cannot be read by data of 3"):
        modes(x, np.repeat(REAL[0], 3, -1), LABEL)
    with pytest.raises(UserError, match="no labels"):
        modes(x, REAL[0], None)
    with pytest.raises(UserError, match=r"\[2, 1, 2, 1\]"):
        modes(x[:, 1:], *REAL)
