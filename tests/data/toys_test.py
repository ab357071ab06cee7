"""Mixtures of Gaussians by their moments, and stacked digits by their channels."""

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.check import check
from gen_jax.data.load import batches, load
from gen_jax.data.stacked_mnist import stacked_mnist
from gen_jax.data.toys import gaussians_grid, gaussians_ring
from gen_jax.errors import UserError


def everything(source):
    return source.take(np.arange(len(source)))


@pytest.mark.parametrize(
    ("source", "modes", "std"), [(gaussians_grid, 25, 0.05 / 8**0.5), (gaussians_ring, 8, 0.01 * 2**0.5)]
)
def test_mixtures_have_unit_variance_even_modes_and_their_width(source, modes, std):
    data = source(size=50_000)
    x, label = (everything(data)[name] for name in ("x", "label"))
    assert (x.dtype, data.info.shape, data.info.dtype, data.info.num_classes) == (np.float32, (2,), "float32", modes)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(x.var(axis=0), 1, atol=0.02)
    np.testing.assert_allclose(np.bincount(label, minlength=modes) * modes / len(x), 1, atol=0.15)
    means = np.stack([x[label == mode].mean(axis=0) for mode in range(modes)])
    np.testing.assert_allclose((x - means[label]).std(axis=0), std, rtol=0.02)


def test_the_modes_lie_where_their_names_say():
    grid = everything(gaussians_grid(size=20_000))
    names = gaussians_grid(size=1).info.class_names
    assert (names[0], names[1], names[-1]) == ("-4,-4", "-4,-2", "4,4")
    for mode in (0, 1, 7, 24):
        place = grid["x"][grid["label"] == mode].mean(axis=0) * 8**0.5
        np.testing.assert_allclose(place, [float(v) for v in names[mode].split(",")], atol=0.02)
    ring = everything(gaussians_ring(size=20_000))
    second = ring["x"][ring["label"] == 2].mean(axis=0) * 2**0.5  # at 90 degrees
    np.testing.assert_allclose(second, [0, 2], atol=0.02)


def test_mixtures_are_drawn_by_split_and_seed():
    first, again, test, other = (
        everything(data)["x"].view(np.int64).ravel()  # a point, a number
        for data in (gaussians_ring(), gaussians_ring(), gaussians_ring("test"), gaussians_ring(seed=1))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.isin(test, first).any()
    assert not np.isin(other, first).any()
    assert len(first) == 100_000


def test_mixtures_are_read_in_batches_and_checked():
    batch = next(batches(load({"name": "gaussians_grid", "size": 100}), 8, keys=("label",), seed=0))
    assert (batch["x"].shape, batch["x"].dtype, batch["label"].shape) == ((8, 2), np.float32, (8,))
    report = check("gaussians_ring", size=200)
    assert report.ok
    assert report.shapes == {"train": (2,), "test": (2,)}


def test_mistakes_are_named():
    with pytest.raises(UserError, match="unknown split 'val'"):
        gaussians_grid("val")
    with pytest.raises(UserError, match="gaussians_ring: size 0"):
        gaussians_ring(size=0)


# Stacked digits, of an MNIST whose images of digit k are all k * 20 + copy.


@pytest.fixture
def mnist(tmp_path):
    label = np.repeat(np.arange(10), 3)
    x = (label * 20 + np.tile(np.arange(3), 10)).astype(np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    np.savez(tmp_path / "mnist.npz", train_x=x, train_y=label, test_x=x[:10] + 9, test_y=label[:10] * 3 % 10)
    return str(tmp_path / "mnist.npz")


def test_the_label_says_the_digit_of_each_channel(mnist):
    data = stacked_mnist(path=mnist, size=500)
    found = everything(data)
    assert (found["x"].shape, found["x"].dtype) == ((500, 28, 28, 3), np.uint8)
    assert (found["label"].dtype, found["label"].min() >= 0, found["label"].max() < 1000) == (np.int32, True, True)
    by_channel = np.stack([found["label"] // 100, found["label"] // 10 % 10, found["label"] % 10], axis=-1)
    np.testing.assert_array_equal(found["x"][:, 0, 0] // 20, by_channel)
    np.testing.assert_array_equal(found["x"].min(axis=(1, 2)), found["x"].max(axis=(1, 2)))
    assert data.info.class_names[7] == "007"
    assert data.info.num_classes == 1000
    assert data.info.shape == (28, 28, 3)


def test_an_example_depends_on_seed_split_and_place_alone(mnist):
    data = stacked_mnist(path=mnist, size=100)
    one = data[42]
    np.testing.assert_array_equal(one["x"], data.take(np.array([7, 42]))["x"][1])
    np.testing.assert_array_equal(one["x"], stacked_mnist(path=mnist, size=2000)[42]["x"])
    other = everything(stacked_mnist(path=mnist, size=100, seed=1))["label"]
    assert (other != everything(data)["label"]).mean() > 0.9
    assert len(stacked_mnist(path=mnist)) == 128_000
    test = stacked_mnist("test", path=mnist)
    assert len(test) == 26_000
    np.testing.assert_array_equal(test[0]["x"] % 20 >= 9, True)


def test_digits_that_come_as_files_are_stacked_too(tmp_path):
    for label in range(10):
        for split in ("train", "test"):
            folder = tmp_path / split / str(label)
            folder.mkdir(parents=True)
            Image.new("L", (28, 28), label * 20).save(folder / "0.png")
    found = stacked_mnist(path=str(tmp_path), size=4)[3]
    digits = found["x"][0, 0] // 20
    assert found["label"] == digits @ [100, 10, 1]


def test_what_cannot_be_stacked_is_named(mnist, tmp_path):
    with pytest.raises(UserError, match="unknown split 'val'"):
        stacked_mnist("val", path=mnist)
    with pytest.raises(UserError, match="size 0"):
        stacked_mnist(path=mnist, size=0)
    np.savez(tmp_path / "c.npz", train_x=np.zeros((4, 8, 8, 3), np.uint8), train_y=np.arange(4))
    with pytest.raises(UserError, match=r"shape \[8, 8, 3\] with 4 classes; needed: images of one channel"):
        stacked_mnist(path=str(tmp_path / "c.npz"))
