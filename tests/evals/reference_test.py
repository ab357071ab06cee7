"""Data by content: hashes, and features and statistics that are kept by them."""

import dataclasses
import logging

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.memory import InMemory
from gen_jax.errors import UserError, unknown
from gen_jax.evals import cache, reference
from gen_jax.evals.features.extract import Network
from gen_jax.evals.frechet import statistics
from gen_jax.evals.reference import Reference, Split
from gen_jax.types import DataInfo

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (30, 4, 4, 1), np.uint8)
LABEL = np.arange(30, dtype=np.int32) % 3
NAMES = tuple("abc")


class ByPosition:
    """The source of a folder, which has no `take`."""

    def __init__(self, x, label):
        self.info, self._x, self._label = DataInfo(x.shape[1:], NAMES), x, label

    def __len__(self):
        return len(self._x)

    def __getitem__(self, index):
        return {"x": self._x[index], "label": self._label[index], "caption": "text"}


def source(x=X, label=LABEL):
    return InMemory(DataInfo(x.shape[1:], NAMES), {"x": x, "label": label})


def load(split, x=X):
    if split == "val":
        raise unknown("split", split, ["train", "test"])
    return source(x if split == "train" else x[:10], LABEL if split == "train" else LABEL[:10])


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def network():
    """Three features, of which the number of calls is counted: every other image a call."""
    calls = []

    def apply(x):
        calls.append(len(x))
        flat = x.reshape(len(x), -1).astype(jnp.float32) / 255
        return jnp.stack([flat.mean(1), flat.std(1), flat[:, 0]], axis=1), None

    found = Network("own", "00" * 32, "none", apply, 3)
    object.__setattr__(found, "calls", calls)
    return found


@pytest.mark.parametrize("block", [16, 48, 10**6])
@pytest.mark.parametrize("in_memory", [0, 10**9])
def test_the_hash_is_of_the_content_however_it_is_read(monkeypatch, block, in_memory):
    whole = Split(source()).hash
    monkeypatch.setattr(reference, "BLOCK", block)
    monkeypatch.setattr(reference, "IN_MEMORY", in_memory)
    assert Split(source()).hash == whole
    assert Split(source(label=LABEL.astype(np.int64))).hash == whole
    assert Split(ByPosition(X, LABEL)).hash == whole
    np.testing.assert_array_equal(np.concatenate([x for x, _ in Split(ByPosition(X, LABEL)).blocks()]), X)


def test_another_content_has_another_hash():
    pixel = X.copy()
    pixel[3, 1, 1, 0] ^= 1
    label = LABEL.copy()
    label[4] = 0
    others = [source(pixel), source(label=label), source(X[::-1], LABEL[::-1]), source(X[:29], LABEL[:29])]
    others += [source(X.reshape(30, 2, 8, 1)), InMemory(DataInfo((4, 4, 1)), {"x": X})]
    assert len({Split(s).hash for s in [source(), *others]}) == 7


def test_features_and_statistics_are_kept_by_content(network, folder):
    first = Reference("digits", load)
    expected = first.features("train", network).features
    stats = first.statistics(network)
    np.testing.assert_allclose(stats.cov, statistics(expected).cov, rtol=1e-10)
    assert stats.count == 30
    assert not list(folder.rglob(".*")), "partial files are gone"

    network.calls.clear()
    again = Reference("the same under another name", load)
    np.testing.assert_array_equal(again.features("train", network).features, expected)
    np.testing.assert_array_equal(again.statistics(network).mean, stats.mean)
    assert not network.calls

    changed = X.copy()
    changed[0] = 0
    for other in (
        lambda: Reference("digits", lambda split: load(split, changed)).features("train", network),
        lambda: Reference("digits", load).features("test", network),
        lambda: Reference("digits", load).features("train", dataclasses.replace(network, hash="11" * 32)),
        lambda: Reference("digits", load).features("train", dataclasses.replace(network, resize="clean")),
    ):
        network.calls.clear()
        other()
        assert network.calls


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another"])
def test_a_damaged_cache_is_computed_anew_with_a_warning(network, folder, caplog, damage):
    expected = Reference("digits", load).features("train", network).features
    (file,) = (folder / "features").iterdir()
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[data.index(expected.tobytes()[:16]) + 3] ^= 1
        file.write_bytes(data)
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        with file.open("wb") as out:
            np.savez(out, features=expected + 1, key=np.array("of something else"))
    network.calls.clear()
    with caplog.at_level(logging.WARNING, "gen_jax"):
        np.testing.assert_array_equal(Reference("digits", load).features("train", network).features, expected)
    assert network.calls
    assert "is damaged" in caplog.text
    caplog.clear()
    Reference("digits", load).features("train", network)
    assert not caplog.text


def test_a_cache_that_cannot_be_written_is_a_warning(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "file"))
    assert cache.cached("kind", {}, lambda: {"a": np.ones(2)})["a"].sum() == 2
    assert "cannot be written" in caplog.text


def test_receipts_say_which_data_were_read():
    real = Reference("digits", load, split="test")
    train, test = (Split(load(split)) for split in ("train", "test"))
    assert real.describe(("features", "real_statistics")) == {
        "name": "digits",
        "split": "test",
        "hash": test.hash,
        "count": 10,
    }
    both = real.describe(("x", "train_x", "test_x"))
    assert (both["split"], both["count"]) == ("train+test", 40)
    assert both["hash"] not in (train.hash, test.hash)
    assert real.describe(("features",))["hash"] == test.hash


def test_a_split_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"unknown split 'val'.*Known: test, train"):
        Reference("digits", load, split="val")
    assert "'val'" in Reference("digits", load).why_not("val")
    assert Reference("digits", load).why_not("test") == ""
