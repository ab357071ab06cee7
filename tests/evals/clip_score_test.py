import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals.clip_score import clip_score


def test_by_hand():
    # Cosines 1, 0, -1 and 0.6: 100, 0, 0 for what is below, 60.
    image = np.array([[2.0, 0], [1, 0], [1, 0], [3, 4]])
    text = np.array([[5.0, 0], [0, 1], [-1, 0], [1, 0]])
    assert clip_score(image, text) == {"clip_score": pytest.approx(40)}


def test_mistakes_are_named():
    with pytest.raises(UserError, match="2 images and 3 texts"):
        clip_score(np.eye(2), np.ones((3, 2)))
    with pytest.raises(UserError, match="2 wide, texts' embeddings 3 wide"):
        clip_score(np.eye(2), np.ones((2, 3)))
    with pytest.raises(UserError, match="1 of 2 pairs"):
        clip_score(np.eye(2), np.eye(2) * [[1], [0]])
