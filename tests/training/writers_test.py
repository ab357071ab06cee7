"""The layout of sample grids."""

import numpy as np
import pytest

from gen_jax.training.writers import grid_columns, make_grid, picture, scatter


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


def test_points_are_drawn_where_they_lie():
    """The second axis points up; what is beyond the limit is at the border, in red."""
    grid = scatter(np.array([[1.0, -1.0], [0.0, 9.0]]), size=103, limit=2.0)
    assert grid.shape == (103, 103, 3)
    down, across = np.argwhere((grid < 255).all(axis=2)).mean(axis=0)
    assert (round(down), round(across)) == (76, 76)
    reds = np.argwhere((grid[..., 0] == 255) & (grid[..., 1] < 255))
    assert set(reds[:, 0]) == {0, 1, 2}
    assert reds[:, 1].mean() == 51


def test_many_points_at_a_place_are_darker_and_any_width_is_drawn():
    one, many = scatter(np.zeros((1, 2))), scatter(np.zeros((9, 2)))
    assert one.min() > many.min() > 0
    assert scatter(np.zeros((2, 1))).min() < 255
    assert scatter(np.full((2, 3), np.nan)).min() < 255
    assert picture({"x": np.zeros((5, 2), np.float32)}, 25).shape == (384, 384, 3)
    assert picture({"x": np.zeros((4, 8, 8, 1), np.uint8)}, 0).shape[2] == 3
