"""Samples and references of other programs: what they come as, and what is wrong with them, in one line."""

import numpy as np
import pytest
from PIL import Image

from gen_jax.errors import UserError
from gen_jax.evals.external import load_reference, load_samples

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (12, 4, 4, 3), np.uint8)
LABEL = np.arange(12) % 3


def save(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def odd_one(path):
    """A folder of images of which one is of another size, and one is none."""
    folder(path)
    Image.fromarray(X[0, :2]).save(path / "odd.png")
    (path / "none.png").write_text("x")
    return str(path)


def folder(path, names=(), x=X):
    """A folder of PNGs; with names, a sub-folder per class, the classes in turn."""
    for i, image in enumerate(x):
        place = path / names[i % len(names)] if names else path
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:02d}.png")
    return str(path)


def whole(samples):
    chunks = list(samples.chunks())
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


@pytest.fixture
def reference(tmp_path):
    return load_reference(save(tmp_path / "real.npz", x=X[::-1], label=LABEL))


@pytest.mark.parametrize("form", ["x", "arr_0", "folder"])
def test_samples_come_as_arrays_or_files(tmp_path, reference, form):
    name = {
        "x": lambda: save(tmp_path / "a.npz", x=X, label=LABEL),
        "arr_0": lambda: save(tmp_path / "a.npz", arr_0=X, arr_1=LABEL),
        "folder": lambda: folder(tmp_path / "a", "012"),
    }[form]()
    samples = load_samples(name, reference)
    found = whole(samples)
    assert samples.count == 12
    assert samples.checkpoint is None
    order = np.argsort(LABEL, kind="stable") if form == "folder" else np.arange(12)  # a folder is read class by class
    np.testing.assert_array_equal(found["x"], X[order])
    np.testing.assert_array_equal(found["label"], LABEL[order])
    again = whole(samples)
    np.testing.assert_array_equal(again["x"], found["x"])


def test_some_of_the_samples_are_drawn_from_all(tmp_path, reference):
    """A folder is sorted by class: its first images are no sample of it."""
    name = save(tmp_path / "a.npz", x=X, label=np.sort(LABEL))
    some = whole(load_samples(name, reference, num=6))
    assert len(some["x"]) == 6
    assert len(set(some["label"])) > 1
    other = whole(load_samples(name, reference, num=6, seed=1))
    assert not np.array_equal(some["x"], other["x"])
    np.testing.assert_array_equal(some["x"], whole(load_samples(name, reference, num=6))["x"])


def test_labels_are_translated_by_the_classes_names(tmp_path, caplog):
    real = load_reference(folder(tmp_path / "real", ("cat", "dog", "owl")))
    some = whole(load_samples(folder(tmp_path / "some", ("owl", "dog")), real))
    assert set(some["label"]) == {1, 2}
    order = np.argsort(np.arange(12) % 2 == 0, kind="stable")  # dogs before owls
    np.testing.assert_array_equal(some["x"], X[order])
    numbered = whole(load_samples(save(tmp_path / "n.npz", x=X, label=LABEL), real))
    np.testing.assert_array_equal(numbered["label"], LABEL)
    strange = load_samples(folder(tmp_path / "strange", ("cat", "cow")), real)
    assert "label" not in whole(strange)
    assert not strange.info.num_classes
    assert "its labels are left out" in caplog.text


def test_references_are_files_data_sets_or_statistics(tmp_path, reference):
    assert reference.info.num_classes == 3
    assert load_reference("digits", "test").info.shape == (8, 8, 1)
    splits = load_reference(save(tmp_path / "both.npz", train_x=X, test_x=X[:5]))
    assert len(splits.get("test")) == 5
    published = load_reference(save(tmp_path / "stats.npz", mu=np.zeros(5), sigma=np.eye(5)))
    assert published.info is None
    assert "has statistics, no images" in published.why_not("train")
    described = published.describe(("features", "real_statistics"))
    assert (described["split"], described["count"]) == ("statistics", None)
    other = load_reference(save(tmp_path / "other.npz", mu=np.zeros(5), sigma=2 * np.eye(5)))
    assert other.describe(())["hash"] != described["hash"]
    both = load_reference(save(tmp_path / "adm.npz", arr_0=X, mu=np.zeros(5), sigma=np.eye(5)))
    assert both.describe(("real_statistics",))["split"] == "statistics"
    assert both.describe(("features", "real_features"))["count"] == 12


BAD_SAMPLES = {
    "nothing": (lambda p: str(p / "a.npz"), {}, "no such file or folder"),
    "empty folder": (lambda p: (p / "a").mkdir() or str(p / "a"), {}, "empty; expected"),
    "too few": (lambda p: save(p / "a.npz", x=X), {"num": 13}, "--num=13: .* has 12 samples"),
    "size": (lambda p: save(p / "a.npz", x=X[:, :2]), {}, "2x4x3 and .* is 4x4x3"),
    "channels": (lambda p: save(p / "a.npz", x=X[..., :1]), {}, "4x4x1 and .* is 4x4x3"),
    "floats": (lambda p: save(p / "a.npz", x=(X / 127.5 - 1).astype(np.float32)), {}, "float32 from -1 to .*bytes"),
    "doubles": (lambda p: save(p / "a.npz", x=X / 255), {}, "float64.*expected images, uint8"),
    "range": (lambda p: save(p / "a.npz", x=(X > 127).astype(np.uint8)), {}, "values 0 and 1 only"),
    "statistics": (lambda p: save(p / "a.npz", mu=np.zeros(2), sigma=np.eye(2)), {}, "samples themselves"),
    "no arrays": (lambda p: (p / "a.npz").write_text("x") and str(p / "a.npz"), {}, "not an .npz"),
    "sizes": (lambda p: folder(p / "a") and folder(p / "a" / "b", x=X[:, :2]) and str(p / "a"), {}, "beside|sizes"),
    "odd one": (lambda p: odd_one(p / "a"), {}, "1 broken images: none.png .* 2 sizes .*odd.png"),
}


@pytest.mark.parametrize("case", BAD_SAMPLES)
def test_bad_samples_are_one_line(tmp_path, reference, case):
    make, arguments, says = BAD_SAMPLES[case]
    with pytest.raises(UserError, match=says) as error:
        load_samples(make(tmp_path), reference, **arguments)
    assert "\n" not in str(error.value)
    assert "--config" not in str(error.value), "which evaluation does not have"


BAD_REFERENCES = {
    "no file": (lambda p: f"{p}/a.npz", "no such file or folder"),
    "no data set": (lambda p: "digitz", "did you mean 'digits'"),
    "half of statistics": (lambda p: save(p / "a.npz", mu=np.zeros(3)), "holds mu"),
    "not square": (lambda p: save(p / "a.npz", mu=np.zeros(3), sigma=np.eye(2)), r"expected \[d\] and \[d, d\]"),
    "not finite": (lambda p: save(p / "a.npz", mu=np.full(2, np.nan), sigma=np.eye(2)), "not finite"),
    "pickled": (lambda p: save(p / "a.npz", mu=np.array([{}]), sigma=np.eye(2)), "cannot be read"),
}


@pytest.mark.parametrize("case", BAD_REFERENCES)
def test_bad_references_are_one_line(tmp_path, case):
    make, says = BAD_REFERENCES[case]
    with pytest.raises(UserError, match=says) as error:
        load_reference(make(tmp_path))
    assert "\n" not in str(error.value)


def test_a_reference_of_zeros_and_ones_is_refused_too(tmp_path):
    real = load_reference(save(tmp_path / "real.npz", x=(X > 127).astype(np.uint8)))
    with pytest.raises(UserError, match=r"real\.npz has values 0 and 1 only"):
        load_samples(save(tmp_path / "a.npz", x=X), real)
    binary = load_samples(save(tmp_path / "b.npz", x=(X > 100).astype(np.uint8)), real)
    assert binary.count == 12, "where both are such, they compare"
