"""The embedded data sets, and arrays from a file."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gen_jax.data.arrays import arrays
from gen_jax.data.digits import digits
from gen_jax.data.shapes import COLOURS, SHAPES, shapes
from gen_jax.data.standard import mnist
from gen_jax.errors import UserError


def everything(source):
    return source.take(np.arange(len(source)))


def test_digits_are_split_by_class_without_overlap():
    train, test = everything(digits("train")), everything(digits("test"))
    together = np.concatenate([train["x"], test["x"]]).reshape(-1, 64)
    original, labels = load_digits(return_X_y=True)
    np.testing.assert_array_equal(np.unique(together, axis=0), np.unique(np.round(original * 255 / 16), axis=0))
    assert len(together) == len(original) == 1797
    assert together.max() == 255
    share = np.bincount(test["label"]) / np.bincount(labels)
    assert np.all(np.abs(share - 0.2) < 0.01)


def test_digits_keep_their_labels():
    original, labels = load_digits(return_X_y=True)
    label_of = {
        row.tobytes(): label for row, label in zip(np.round(original * 255 / 16).astype(np.uint8), labels, strict=True)
    }
    for split in ("train", "test"):
        source = digits(split)
        assert all(label_of[e["x"].tobytes()] == e["label"] for e in (source[i] for i in range(len(source))))
        assert source.info.shape == (8, 8, 1)
        assert source.info.class_names == tuple("0123456789")


@pytest.mark.parametrize("split", ["train", "test"])
def test_static_bits_are_the_same_each_time_and_white_as_often_as_a_pixel_is_grey(split):
    grey, one, two = (everything(digits(split, binarize=how)) for how in (None, "static", "static"))
    np.testing.assert_array_equal(one["x"], two["x"])
    np.testing.assert_array_equal(one["label"], grey["label"])
    assert set(np.unique(one["x"])) == {0, 255}
    for value in np.unique(grey["x"]):
        here = one["x"][grey["x"] == value] == 255
        p = value / 255
        assert abs(here.mean() - p) < 5 * (p * (1 - p) / here.size) ** 0.5 + 1e-9


def test_dynamic_bits_are_drawn_of_the_train_split_when_it_is_trained_on():
    np.testing.assert_array_equal(everything(digits("train", binarize="dynamic"))["x"], everything(digits())["x"])
    static = everything(digits("test", binarize="static"))["x"]
    np.testing.assert_array_equal(everything(digits("test", binarize="dynamic"))["x"], static)
    with pytest.raises(UserError, match="did you mean 'threshold'"):
        digits(binarize="treshold")


def test_a_threshold_halves_the_greys():
    grey, x = everything(digits())["x"], everything(digits(binarize="threshold"))["x"]
    np.testing.assert_array_equal(x == 255, grey >= 128)


def test_the_mask_of_a_shape_is_where_its_colour_is():
    source = shapes(resolution=32, size=60)
    for i in range(len(source)):
        example = source[i]
        x, mask = example["x"].astype(int), example["mask"][..., 0]
        words = example["caption"].split()  # a SIZE COLOUR SHAPE on a GROUND background
        colour, ground = np.asarray(COLOURS[words[2]]), np.asarray(COLOURS[words[6]])
        assert words[3] == SHAPES[example["label"]] == source.info.class_names[example["label"]]
        nearer = np.abs(x - colour).sum(-1) < np.abs(x - ground).sum(-1)
        assert (nearer != mask).mean() < 0.02, "only pixels that are half and half may differ"
        exact = (x == colour).all(-1)
        assert exact.any()
        assert mask[exact].all()
        assert not mask[(x == ground).all(-1)].any()
        assert 0.01 < mask.mean() < 0.6


def test_captions_tell_the_size():
    source = shapes(size=300)
    area = {"small": [], "medium": [], "large": []}
    for example in (source[i] for i in range(300)):
        if SHAPES[example["label"]] == "circle":
            area[example["caption"].split()[1]].append(example["mask"].sum())
    assert max(area["small"]) < min(area["medium"])
    assert max(area["medium"]) < min(area["large"])


def test_a_shape_depends_on_seed_split_and_position_only():
    base = shapes(size=10)
    for other in (shapes(size=20), shapes(size=10)):
        for i in (7, 0, 3):
            assert base[i]["caption"] == other[i]["caption"]
            np.testing.assert_array_equal(base[i]["x"], other[i]["x"])
    for other in (shapes(size=10, seed=1), shapes("test", size=10)):
        assert any(base[i]["caption"] != other[i]["caption"] for i in range(10))


def test_shapes_read_by_batch_are_those_read_one_by_one():
    source = shapes(size=10, seed=5)
    batch = source.take(np.array([4, 4, 9, 0]))
    for row, i in enumerate([4, 4, 9, 0]):
        for key in ("x", "label", "mask"):
            np.testing.assert_array_equal(batch[key][row], shapes(size=10, seed=5)[i][key])


IMAGES = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    "names", [("train_x", "train_y", "test_x", "test_y"), ("x_train", "y_train", "x_test", "y_test")]
)
def test_arrays_with_splits(tmp_path, names):
    path = str(tmp_path / "a.npz")
    values = (IMAGES[:4], LABELS[:4, None], IMAGES[4:], LABELS[4:, None])  # labels [n, 1], as Keras has them
    np.savez(path, **dict(zip(names, values, strict=True)))
    train, test = arrays(path=path), mnist("test", path=path)
    np.testing.assert_array_equal(everything(train)["x"], IMAGES[:4, ..., None])
    np.testing.assert_array_equal(everything(test)["label"], LABELS[4:])
    assert train.info == test.info
    assert train.info.num_classes == 3


def test_arrays_without_splits_or_labels_and_sounds(tmp_path):
    path = str(tmp_path / "a.npz")
    sounds = np.linspace(-1, 1, 40, dtype=np.float32).reshape(4, 10, 1)
    np.savez(path, x=sounds)
    assert arrays(path=path).info.num_classes == 0
    np.testing.assert_array_equal(everything(arrays(path=path))["x"], sounds)
    np.savez(path, x=IMAGES, label=LABELS, class_names=np.array(["a", "b", "c", "d"]))
    assert arrays(path=path).info.class_names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": IMAGES}, "holds images; expected x"),
        ({"x": IMAGES.astype(np.float64)}, r"x is float64 \[6, 4, 4\]; expected"),
        ({"x": IMAGES[:, 0]}, r"uint8 \[6, 4\]; expected"),
        ({"x": IMAGES[:0]}, "no examples"),
        ({"x": IMAGES.astype(np.float32)}, "largest magnitude is 95"),
        ({"x": np.full((2, 3, 1), np.nan, np.float32)}, "largest magnitude is nan"),
        ({"x": np.zeros((2, 3, 32, 32), np.uint8)}, "transpose"),
        ({"x": IMAGES, "label": LABELS[:5]}, "5 labels and x 6 examples"),
        ({"x": IMAGES, "label": LABELS + 1}, "must start at 0"),
        ({"x": IMAGES, "label": LABELS - 1}, "label -1"),
        ({"x": IMAGES, "label": LABELS / 2}, "float64"),
        ({"x": IMAGES, "label": LABELS, "class_names": np.array(["a"])}, "no name"),
        ({"x": np.array([{}, []], dtype=object)}, "unpickling"),
    ],
)
def test_arrays_that_cannot_be_used_are_named(tmp_path, fields, message):
    path = str(tmp_path / "a.npz")
    np.savez(path, **fields)
    with pytest.raises(UserError, match=message):
        arrays(path=path)


def test_files_that_are_no_arrays(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(UserError, match="no such file"):
        arrays(path=str(path))
    path.write_text("hello")
    with pytest.raises(UserError, match=r"not an \.npz"):
        arrays(path=str(path))
    np.savez(path, x=IMAGES)
    with pytest.raises(UserError, match=r"unknown split.*'test'.*Known: train"):
        arrays("test", path=str(path))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="damaged"):
        arrays(path=str(path))


@pytest.mark.parametrize("source", [digits, shapes])
def test_unknown_split(source):
    with pytest.raises(UserError, match="unknown split 'tset': did you mean 'test'"):
        source("tset")
