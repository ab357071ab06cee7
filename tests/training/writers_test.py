"""The layout of sample grids."""

import numpy as np
import pytest

from gen_jax.training.writers import grid_columns, make_grid


@pytest.mark.parametrize(
    ("num", "classes", "columns"), [(100, 10, 10), (64, 10, 10), (64, 3, 9), (64, 2, 8), (4, 10, 10)]
)
def test_every_class_keeps_to_its_own_columns(num, classes, columns):
    samples = {"x": np.zeros((num, 8, 8, 1), np.uint8), "label": np.arange(num) % classes}
    assert grid_columns(samples, classes) == columns
    assert columns % classes == 0


@pytest.mark.parametrize("label", [None, np.zeros(64, int), np.arange(64) % 40])
def test_other_samples_make_a_square(label):
    samples = {"x": np.zeros((64, 8, 8, 1), np.uint8)} | ({} if label is None else {"label": label})
    assert grid_columns(samples, 40 if label is not None and label.any() else 10) == 8


def test_latents_are_shown_by_their_first_channels():
    """Three standard deviations are the range: zero is grey, and the fourth channel is not seen."""
    x = np.zeros((1, 2, 2, 4), np.float32)
    x[..., 3] = 100.0
    assert (make_grid(x, 1, cell=2)[2:4, 2:4] == 127).all()
