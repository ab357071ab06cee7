"""Two domains: embedded pairs and the user's folders, what is paired with what, and what is said of faults."""

import io
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.check import check
from gen_jax.data.digits import digits
from gen_jax.data.domains import place
from gen_jax.data.pairs import pairs
from gen_jax.data.shapes import shapes
from gen_jax.errors import UserError


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def everything(source):
    return source.take(np.arange(len(source)))


def test_embedded_pairs_are_digits_and_what_was_made_of_them():
    original = everything(digits("test"))
    for kind, made in (
        ("inverted", 255 - original["x"]),
        ("rotated", original["x"].transpose(0, 2, 1, 3)[:, ::-1]),
    ):
        found = everything(pairs("test", kind=kind))
        np.testing.assert_array_equal(found["image"], original["x"])
        np.testing.assert_array_equal(found["x"], made)
        np.testing.assert_array_equal(found["label"], original["label"])
        back = everything(pairs("test", kind=kind, direction="BA"))
        np.testing.assert_array_equal(back["x"], found["image"])
        np.testing.assert_array_equal(back["image"], found["x"])
    info = pairs("test").info
    assert (info.shape, info.conditions, info.paired) == ((8, 8, 1), {"image": ((8, 8, 1), "uint8")}, True)
    assert info.class_names == tuple("0123456789")


def test_edges_are_where_the_image_changes():
    """Of a digit the span of the 3x3 pixels around, of a shape its outline in its own colours."""
    found = pairs("test", kind="edges")[7]
    padded = np.pad(found["image"][..., 0], 1, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    np.testing.assert_array_equal(found["x"][..., 0], windows.max((2, 3)) - windows.min((2, 3)))

    source, original = pairs("test", of="shapes", kind="edges", size=20), shapes("test", size=20)
    for i in range(20):
        example, mask = source[i], original[i]["mask"][..., 0] > 0
        np.testing.assert_array_equal(example["image"], original[i]["x"])
        changed = (example["x"] != example["image"]).any(-1)
        assert not changed[~mask].any()
        assert (example["x"][changed] == example["image"][0, 0]).all()
        rim = mask & ~np.pad(mask, 1)[2:, 1:-1]  # above the ground
        assert not changed[rim].any()
    areas = [(e["x"] != e["image"]).any(-1).mean() for e in (source[i] for i in range(20))]
    assert np.mean(areas) > 0.03


@pytest.mark.parametrize("of", ["digits", "shapes"])
def test_unpaired_data_never_show_a_pair_in_training_and_do_in_the_test(of):
    together, apart = (pairs(of=of, size=50, paired=paired) for paired in (True, False))
    whole, mixed = everything(together), everything(apart)
    assert not apart.info.paired
    np.testing.assert_array_equal(mixed["x"], whole["x"])
    same = (mixed["image"].reshape(len(apart), -1) == whole["image"].reshape(len(apart), -1)).all(1)
    assert not same.any()
    rows = [np.unique(found["image"].reshape(len(apart), -1), axis=0) for found in (whole, mixed)]
    np.testing.assert_array_equal(*rows)  # every image is there, as often
    np.testing.assert_array_equal(apart[3]["image"], mixed["image"][3])
    other = everything(pairs(of=of, size=50, paired=False, seed=1))
    assert not np.array_equal(other["image"], mixed["image"])
    test = pairs("test", of=of, size=50, paired=False)
    assert test.info.paired
    np.testing.assert_array_equal(everything(test)["image"], everything(pairs("test", of=of, size=50))["image"])


def picture(number, size=(8, 8)):
    """An image that tells its number."""
    return Image.new("RGB", size, (number, 100, 200))


def folder(root, **domains):
    """root/PATH/NAME.png for each domain's path ("_" for "/") and numbered images."""
    for path, numbers in domains.items():
        for name, number in numbers.items():
            file = root / path.replace("_", "/") / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(number).save(file)
    return str(root)


def number_of(x):
    return int(x[0, 0, 0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("trainA/1.png", ("train", "A")),
        ("x/testB/1.png", ("test", "B")),
        ("A/1.png", ("train", "A")),
        ("B/val/1.png", ("test", "B")),
        ("Test/A/deeper/1.png", ("test", "A")),
        ("train/1.png", ("train", "")),
        ("1.png", ("train", "")),
        ("AB/catA/1.png", ("train", "")),
    ],
)
def test_places(name, expected):
    assert place(name) == expected


@pytest.mark.parametrize("layout", [("trainA", "trainB"), ("A", "B"), ("train_A", "train_B"), ("A_train", "B_train")])
def test_partners_have_the_same_name(tmp_path, layout):
    a, b = layout
    path = folder(tmp_path, **{a: {"1": 1, "2": 2, "3": 3}, b: {"1": 101, "2": 102, "3": 103}})
    source = pairs(path=path)
    assert source.info.paired
    assert source.info.num_classes == 0
    assert [(number_of(source[i]["image"]), number_of(source[i]["x"])) for i in range(3)] == [
        (1, 101), (2, 102), (3, 103),
    ]  # fmt: skip
    back = pairs(path=path, direction="BA")
    assert number_of(back[1]["image"]) == 102
    with pytest.raises(UserError, match="no test split; it has: train"):
        pairs("test", path=path)


def test_domains_of_several_sizes_without_pairs(tmp_path):
    """Every image of the larger domain is seen in an epoch, and the smaller one gone through again."""
    path = folder(
        tmp_path, trainA={f"a{i}": i for i in range(3)}, trainB={f"b{i}": 100 + i for i in range(7)},
        testA={"1": 1, "2": 2}, testB={"1": 101, "2": 102},
    )  # fmt: skip
    source = pairs(path=path, paired=False)
    assert len(source) == 7
    assert sorted(number_of(source[i]["x"]) for i in range(7)) == [100 + i for i in range(7)]
    assert {number_of(source[i]["image"]) for i in range(7)} == {0, 1, 2}
    test = pairs("test", path=path, paired=False)
    assert test.info.paired
    assert (number_of(test[1]["image"]), number_of(test[1]["x"])) == (2, 102)
    with pytest.raises(UserError, match=r"10 images of the train split have no partner .*: a0, a1, a2 and 7 more"):
        pairs(path=path)


def test_side_by_side_images(tmp_path):
    """In an archive, too. With a resolution each half is resized by itself."""
    path = tmp_path / "facades.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("train", 3), ("val", 2)):
            for i in range(count):
                whole = Image.new("RGB", (16, 8))
                whole.paste(picture(i), (0, 0))
                whole.paste(picture(100 + i), (8, 0))
                out = io.BytesIO()
                whole.save(out, "png")
                archive.writestr(f"facades/{split}/{i}.png", out.getvalue())
    for split, count in (("train", 3), ("test", 2)):
        source = pairs(split, path=str(path))
        assert source.info.shape == (8, 8, 3)
        found = [(number_of(source[i]["image"]), number_of(source[i]["x"])) for i in range(len(source))]
        assert found == [(i, 100 + i) for i in range(count)]
    small = pairs(path=str(path), resolution=4, cache_mb=0)  # decoded on access
    assert small.info.shape == (4, 4, 3)
    assert (number_of(small[2]["image"]), number_of(small[2]["x"])) == (2, 102)
    assert check("pairs", path=str(path)).ok


def test_faults_are_one_line(tmp_path):
    one = folder(tmp_path / "one", trainA={"1": 1})
    sizes = folder(tmp_path / "sizes", A={"1": 1}, B={"1": 1})
    picture(1, (16, 16)).save(f"{sizes}/B/1.png")
    plain = folder(tmp_path / "plain", train={"1": 1, "2": 2})
    (tmp_path / "empty").mkdir()
    torn = folder(tmp_path / "torn", A={"1": 1}, B={"1": 1})
    (tmp_path / "torn" / "B" / "1.png").write_bytes(b"hello")
    for arguments, message in (
        ({"path": one}, "has domain A and not the second one, B: trainA/ and trainB/"),
        ({"path": sizes}, "A's are 8x8, B's are 16x16; they must be of one size"),
        ({"path": plain}, r"no second domain, 2 images: train/1.png (8x8), train/2.png (8x8); expected trainA/"),
        ({"path": str(tmp_path / "empty")}, "no images in it; expected"),
        ({"path": torn}, "1 broken images: B/1.png"),
        ({"path": str(tmp_path / "nothing")}, "no such file or folder"),
        ({"of": "folder"}, "a path is needed"),
        ({"of": "digit"}, "unknown data to make pairs of 'digit': did you mean 'digits'"),
        ({"kind": "edge"}, "unknown kind of pairs 'edge': did you mean 'edges'"),
        ({"direction": "A"}, "unknown direction of pairs 'A'"),
        ({"resolution": 16}, "pairs of digits: resolution=16, and theirs is 8"),
    ):
        with pytest.raises(UserError, match=re.escape(message)) as error:
            pairs(**arguments)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="unknown split 'tset'"):
        pairs("tset")


def test_the_command():
    command = [sys.executable, "-m", "gen_jax.data", "--source=pairs", "--kind=rotated", "--nopaired"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "train: 1,442 examples of shape [8, 8, 1], with image [8, 8, 1] of another example (not paired)" in done.stdout
    )
    assert "test: 355 examples of shape [8, 8, 1], with image [8, 8, 1]\n" in done.stdout
