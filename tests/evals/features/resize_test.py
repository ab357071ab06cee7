from pathlib import Path

import numpy as np
import pytest
import random_weights
from PIL import Image

from gen_jax.errors import UserError
from gen_jax.evals.features.resize import MODES, resize, resize_matrix
from gen_jax.nn.layers import to_rgb

SIZES = [(8, 8, 299), (7, 5, 9), (40, 52, 13), (640, 310, 299), (299, 299, 299), (1, 3, 4)]


@pytest.mark.parametrize(("h", "w", "size"), SIZES)
def test_clean_is_pillows_filter_on_floats(h, w, size):
    x = random_weights.images("resize", (1, h, w, 2))
    expected = [
        np.asarray(Image.fromarray(x[0, :, :, c].astype(np.float32), mode="F").resize((size, size), Image.BICUBIC))
        for c in range(2)
    ]
    found = np.asarray(resize(x, size, "clean"))[0]
    np.testing.assert_allclose(found, np.clip(np.stack(expected, axis=-1), 0, 255), atol=1e-3)


@pytest.mark.parametrize(("h", "w", "size"), SIZES)
def test_without_overshoot_clean_is_near_pillows_bytes(h, w, size):
    """Pillow rounds bytes twice, and clips them twice: these have contrast so low that nothing is clipped."""
    x = random_weights.images("resize", (1, h, w, 3)) // 2 + 64
    expected = np.asarray(Image.fromarray(x[0]).resize((size, size), Image.BICUBIC)).astype(float)
    assert np.abs(np.asarray(resize(x, size, "clean"))[0] - expected).max() < 1.5


def test_bilinear_modes_equal_pytorch_and_torch_fidelitys_tensorflow_1():
    with np.load(Path(__file__).with_name("resize.npz")) as reference:
        keys = [key for key in reference if key != "torch"]
        assert len(keys) == 4
        for key in keys:
            mode, h, w, size = key.split()
            x = random_weights.images("resize", (1, int(h), int(w), 3))
            np.testing.assert_allclose(np.asarray(resize(x, int(size), mode)), reference[key], atol=1e-3)


@pytest.mark.parametrize(("n", "m"), [(8, 299), (32, 299), (5, 3), (512, 299)])
def test_bilinear_modes_on_a_ramp(n, m):
    """Linear interpolation of pixel j = j gives the place itself: i n / m, and (i + 1/2) n / m - 1/2, in the image."""
    ramp, i = np.arange(n), np.arange(m)
    places = {"tf-legacy": i * n / m, "pytorch-fid": (i + 0.5) * n / m - 0.5}
    for mode, place in places.items():
        np.testing.assert_allclose(resize_matrix(n, m, mode) @ ramp, np.clip(place, 0, n - 1), atol=1e-3)


def test_tensorflow_1_by_hand():
    """2 pixels to 4: places 0, 1/2, 1, and 3/2, which is past the last one."""
    np.testing.assert_array_equal(resize_matrix(2, 4, "tf-legacy") @ [10, 20], [10, 15, 20, 20])
    np.testing.assert_array_equal(resize_matrix(4, 2, "tf-legacy") @ [1, 2, 3, 4], [1, 3])
    np.testing.assert_array_equal(resize_matrix(4, 2, "pytorch-fid") @ [1, 2, 3, 4], [1.5, 3.5])


@pytest.mark.parametrize("mode", MODES)
def test_flat_images_stay_and_the_same_size_is_the_identity(mode):
    np.testing.assert_allclose(resize_matrix(11, 7, mode).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(resize_matrix(9, 9, mode), np.eye(9), atol=1e-7)


def test_clean_stays_within_the_range():
    x = np.zeros((1, 4, 4, 1), np.uint8)
    x[:, 1:3, 1:3] = 255
    y = np.asarray(resize(x, 64, "clean"))
    assert y.min() == 0
    assert y.max() == 255


def test_grey_is_seen_as_rgb():
    x = random_weights.images("grey", (2, 3, 3, 1))
    np.testing.assert_array_equal(to_rgb(x), x.repeat(3, axis=3))
    np.testing.assert_array_equal(to_rgb(x.repeat(3, axis=3)), x.repeat(3, axis=3))
    with pytest.raises(UserError, match=r"1 or 3 channels.*\[2, 3, 3, 4\]"):
        to_rgb(x.repeat(4, axis=3))


def test_an_unknown_mode_names_the_known_ones():
    with pytest.raises(UserError, match=r"unknown resize mode 'tf': .*Known: clean, pytorch-fid, tf-legacy"):
        resize(np.zeros((1, 2, 2, 3), np.uint8), 4, "tf")
