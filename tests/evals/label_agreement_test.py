import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals.label_agreement import label_agreement


def classes(rng, label):
    """Images [n, 2, 2, 1] whose brightness is 40, 120, 200 for class 0, 1, 2, give or take 10."""
    level = 40 + 80 * label[:, None, None, None]
    return (level + rng.integers(-10, 11, (len(label), 2, 2, 1))).astype(np.uint8)


@pytest.fixture
def real():
    label = np.arange(90) % 3
    return classes(np.random.default_rng(0), label), label


def test_samples_of_the_asked_classes_agree(real):
    label = np.arange(12) % 3
    x = classes(np.random.default_rng(1), label)
    figures = label_agreement(x, label, *real, x, label)
    assert figures["agreement"] == figures["classifier_accuracy"] == 1
    assert figures["classes_read"] == 3
    assert figures["classifier_examples"] == 90
    assert [figures[f"read/{c}"] for c in range(3)] == pytest.approx([1 / 3] * 3)


def test_figures_by_class(real):
    # Asked: 0 0 1 1. Drawn: 0 0 1 2, so half of class 1 is wrong, and class 2 was not asked for.
    x = classes(np.random.default_rng(1), np.array([0, 0, 1, 2]))
    figures = label_agreement(x, np.array([0, 0, 1, 1]), *real)
    assert figures["agreement"] == 0.75
    assert figures["agreement/0"] == 1
    assert figures["agreement/1"] == 0.5
    assert "agreement/2" not in figures
    assert [figures[f"read/{c}"] for c in range(3)] == [0.5, 0.25, 0.25]
    assert "classifier_accuracy" not in figures


def test_a_collapsed_unconditional_model_is_read_as_one_class(real):
    x = classes(np.random.default_rng(1), np.full(5, 2))
    figures = label_agreement(x, None, *real)
    assert figures["classes_read"] == 1
    assert [figures[f"read/{c}"] for c in range(3)] == [0, 0, 1]
    assert not any(name.startswith("agreement") for name in figures)


def test_the_classifier_reads_held_out_digits():
    from sklearn.datasets import load_digits

    flat, label = load_digits(return_X_y=True)
    x = np.round(flat * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    figures = label_agreement(x[1500:], label[1500:], x[:1500], label[:1500], x[1500:], label[1500:])
    assert figures["agreement"] == figures["classifier_accuracy"]  # the samples are the held-out data
    assert figures["classifier_accuracy"] > 0.94  # handwriting of other people than in the first 1,500


def test_much_training_data_is_drawn_from_and_seeded(real):
    x = classes(np.random.default_rng(1), np.arange(30) % 3)
    label = np.arange(30) % 3
    few = label_agreement(x, label, *real, max_train=20)
    assert few["classifier_examples"] == 20
    assert few == label_agreement(x, label, *real, max_train=20)


def test_arrays_that_do_not_agree_are_refused(real):
    x, label = real
    with pytest.raises(UserError, match="90 samples and 89 labels"):
        label_agreement(x, label[1:], x, label)
    with pytest.raises(UserError, match=r"\[90, 1, 2, 1\]"):
        label_agreement(x[:, 1:], label, x, label)
    with pytest.raises(UserError, match="two classes or more"):
        label_agreement(x, label, x, np.zeros_like(label))
    with pytest.raises(UserError, match="float64 from 0"):
        label_agreement(x / 255, label, x, label)
    with pytest.raises(UserError, match="training images have no labels"):
        label_agreement(x, label, x, None)
