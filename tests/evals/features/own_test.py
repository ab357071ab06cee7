import numpy as np
import pytest
import random_weights

from gen_jax.data.digits import digits
from gen_jax.errors import UserError
from gen_jax.evals.features import own as module
from gen_jax.evals.features.extract import extract
from gen_jax.evals.features.own import own


def arrays(split):
    fields = (source := digits(split)).take(np.arange(len(source)))
    return fields["x"], fields["label"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The classifier of the digits, and its folder."""
    folder = tmp_path_factory.mktemp("cache")
    return own(*arrays("train"), *arrays("test"), cache=folder), folder


@pytest.fixture
def short(monkeypatch):
    """A recipe of three steps."""
    monkeypatch.setattr(module, "STEPS", (3, 3))


def test_it_reads_held_out_digits(trained):
    network, _ = trained
    x, label = arrays("test")
    assert network.accuracy >= 0.97
    features, logits = extract(network, x)
    assert features.shape == (len(x), network.dim)
    assert (logits.argmax(-1) == label).mean() == network.accuracy
    assert (network.name, network.resize) == ("own", "none")
    assert np.linalg.matrix_rank(features.astype(float)) > 32  # no few directions alone


def fd(a, b):
    """The Fréchet distance of two sets of features, by its definition."""
    from scipy.linalg import sqrtm

    means, covariances = zip(
        *((x.mean(0), np.cov(x, rowvar=False)) for x in (a.astype(float), b.astype(float))), strict=True
    )
    root = sqrtm(covariances[0] @ covariances[1]).real
    return np.square(means[0] - means[1]).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def test_its_distance_grows_with_noise_blur_and_lost_classes(trained):
    network, _ = trained
    x, _ = arrays("train")
    other, label = arrays("test")
    wide = np.pad(other, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge").astype(float)
    blurred = sum(wide[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)) / 9
    noisy = np.clip(other + 40 * np.random.default_rng(0).standard_normal(other.shape), 0, 255)
    reference = extract(network, x).features
    real, blur, noise = (fd(extract(network, np.uint8(y)).features, reference) for y in (other, blurred, noisy))
    lost = fd(extract(network, other[label < 5]).features, reference)
    assert min(blur, noise, lost) > 3 * real


def test_the_same_data_are_trained_on_once_and_others_anew(trained, monkeypatch):
    network, folder = trained
    (file,) = folder.iterdir()
    x, label = arrays("train")
    calls = []
    monkeypatch.setattr(module, "_train", lambda *_: calls.append(1) or {"params": {"a": np.zeros(1)}})
    assert own(x.copy(), label.astype(np.int64), cache=folder).hash == network.hash
    assert not calls
    changed = x.copy()
    changed[0, 0, 0] ^= 1
    for data, seed in (((changed, label), 0), ((x, (label + 1) % 10), 0), ((x, None), 0), ((x, label), 1)):
        own(*data, cache=folder, seed=seed)
    assert len(calls) == 4
    assert len(list(folder.iterdir())) == 5
    file.write_bytes(file.read_bytes()[:-9])  # a damaged file is as none
    own(x, label, cache=folder)
    assert len(calls) == 5


def test_training_is_repeatable(short, tmp_path):
    x, label = (a[:200] for a in arrays("train"))
    first, again = (own(x, label, cache=tmp_path / str(i)) for i in range(2))
    assert first.hash == again.hash


@pytest.mark.parametrize(
    ("shape", "resize"),
    [((40, 5, 8, 4), "clean"), ((1, 1, 1, 1), "none"), ((40, 70, 256, 3), "clean")],
)
def test_images_of_any_size_and_channels_without_labels(short, tmp_path, shape, resize):
    x = random_weights.images("own", shape)
    network = own(x, None, cache=tmp_path)
    features, logits = extract(network, x)
    assert features.shape == (len(x), network.dim)
    assert np.isfinite(features).all()
    assert (logits, network.accuracy, network.resize) == (None, None, resize)
    with pytest.raises(UserError, match=rf"images of {shape[3] + 1} channels, and the classifier was trained on"):
        extract(network, x[..., [0, *range(shape[3])]])


def test_labels_of_one_class_are_as_none(short, tmp_path):
    x = random_weights.images("own", (40, 8, 8, 1))
    network = own(x, np.zeros(40, int), cache=tmp_path)
    assert network.hash == own(x, None, cache=tmp_path).hash
    assert len(list(tmp_path.iterdir())) == 1
    assert extract(network, x).logits is None


def test_without_labels_it_tells_how_digits_are_turned(tmp_path, monkeypatch):
    """The target is learned: turned and unturned digits lie apart in its features."""
    monkeypatch.setattr(module, "STEPS", (150, 150))
    x, _ = arrays("train")
    network = own(x, None, cache=tmp_path)
    test, _ = arrays("test")
    reference = extract(network, x).features
    real, turned = (
        fd(extract(network, np.ascontiguousarray(y)).features, reference) for y in (test, np.rot90(test, axes=(1, 2)))
    )
    assert turned > 10 * real


@pytest.mark.parametrize(
    ("x", "label", "message"),
    [
        (np.zeros((4, 8, 8, 1)), None, "must be uint8"),
        (np.zeros((0, 8, 8, 1), np.uint8), None, "no images"),
        (np.zeros((4, 8, 8, 1), np.uint8), np.zeros(3, int), r"there are 4 images, and labels int64 \[3\]"),
        (np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 1, 2, -1]), "whole numbers from 0 on"),
    ],
)
def test_bad_data_are_one_clear_line(x, label, message, tmp_path):
    with pytest.raises(UserError, match=message):
        own(x, label, cache=tmp_path)


def test_figures_on_the_embedded_digits_compare_between_machines(monkeypatch, tmp_path):
    """Its classifier comes with the package: nothing is trained, and what it is does not depend on the machine."""
    monkeypatch.setenv("GEN_JAX_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(module, "_train", None)
    network = own(*arrays("train"), *arrays("test"))
    assert network.hash.startswith("49a09fcf0311")
    assert network.accuracy >= 0.97
    assert not any(tmp_path.iterdir())
