from pathlib import Path

import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals.inception_score import inception_score

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))


@pytest.mark.parametrize("splits", [1, 10])
def test_agrees_with_torch_fidelity(splits):
    figures = inception_score(REFERENCE["logits"], splits=splits)
    assert figures["inception_score"] == pytest.approx(float(REFERENCE[f"is_{splits}"]), rel=1e-5)
    assert figures["inception_score/std"] == pytest.approx(float(REFERENCE[f"is_{splits}_std"]), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("sharpness", [100.0, 1e6])
def test_clear_and_even_classes_score_their_number(sharpness):
    logits = sharpness * np.eye(7, dtype=np.float32)[np.arange(700) % 7]
    assert inception_score(logits, splits=1) == pytest.approx({"inception_score": 7, "inception_score/std": 0})


def test_one_class_or_no_clear_one_scores_1():
    assert inception_score(np.zeros((20, 5)))["inception_score"] == pytest.approx(1)
    assert inception_score(np.tile([9.0, 0, 0], (20, 1)))["inception_score"] == pytest.approx(1)


def test_by_hand():
    # p = (3/4, 1/4) and (1/4, 3/4), mean 1/2: KL = 3/4 ln 3/2 + 1/4 ln 1/2.
    logits = np.log([[0.75, 0.25], [0.25, 0.75]])
    expected = 1.5**0.75 * 0.5**0.25
    assert inception_score(logits, splits=1)["inception_score"] == pytest.approx(expected)


def test_sorted_samples_score_as_mixed_ones():
    logits = 50 * np.eye(5)[np.repeat(np.arange(5), 200)]
    assert inception_score(logits)["inception_score"] > 4.8


def test_mistakes_are_named():
    with pytest.raises(UserError, match="9 samples' logits; needed: 10"):
        inception_score(np.zeros((9, 3)))
    with pytest.raises(UserError, match="splits=0"):
        inception_score(np.zeros((9, 3)), splits=0)
