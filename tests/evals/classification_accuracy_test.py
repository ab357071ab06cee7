import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals.classification_accuracy import classification_accuracy


def classes(seed, n):
    """Images [n, 2, 2, 1] whose brightness is 40, 120, 200 for class 0, 1, 2, give or take 10, and their labels."""
    rng, label = np.random.default_rng(seed), np.arange(n) % 3
    level = 40 + 80 * label[:, None, None, None]
    return (level + rng.integers(-10, 11, (n, 2, 2, 1))).astype(np.uint8), label


REAL = *classes(0, 90), *classes(1, 30)


def test_samples_like_data_train_as_well():
    figures = classification_accuracy(*classes(2, 60), *REAL)
    assert figures == {"cas": 1, "cas_real": 1, "cas_examples": 60}


def test_wrong_labels_and_missing_kinds_show():
    x, label = classes(2, 60)
    assert classification_accuracy(x, (label + 1) % 3, *REAL)["cas"] == 0
    two = label < 2
    assert classification_accuracy(x[two], label[two], *REAL)["cas"] == pytest.approx(2 / 3)


def test_collapse_within_classes_lowers_it():
    from sklearn.datasets import load_digits

    flat, label = load_digits(return_X_y=True)
    x = np.round(flat * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    first = np.array([np.flatnonzero(label == c)[0] for c in range(10)])
    data = x[:1000], label[:1000], x[1000:], label[1000:]
    figures = classification_accuracy(np.repeat(x[first], 20, axis=0), np.repeat(np.arange(10), 20), *data)
    assert figures["cas"] < 0.8 < figures["cas_real"]
    itself = classification_accuracy(*data[:2], *data)
    assert itself["cas"] == itself["cas_real"] > 0.9


def test_as_many_real_images_are_taken():
    figures = classification_accuracy(*classes(2, 60), *REAL, max_train=30)
    assert figures["cas_examples"] == 30


def test_mistakes_are_named():
    x, label = classes(2, 60)
    with pytest.raises(UserError, match="samples have no labels"):
        classification_accuracy(x, None, *REAL)
    with pytest.raises(UserError, match="two classes or more"):
        classification_accuracy(x, np.zeros(60, int), *REAL)
    with pytest.raises(UserError, match=r"\[60, 1, 2, 1\]"):
        classification_accuracy(x[:, 1:], label, *REAL)
