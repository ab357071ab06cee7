"""Loading and batching: what a seed, a process count and a saved position may and may not change."""

import collections
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gen_jax.data.load import batches, data_sets, load, take_batches
from gen_jax.data.memory import InMemory
from gen_jax.errors import UserError
from gen_jax.types import DataInfo


class Slow:
    """A source without `take`, read example by example."""

    def __init__(self, source):
        self.info, self._source = source.info, source

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        return self._source[index] | {"caption": f"number {index}"}


def numbers(n: int) -> InMemory:
    """Example i is the number i, with label i % 3."""
    x = np.arange(n, dtype=np.int32).reshape(n, 1, 1, 1)
    return InMemory(DataInfo((1, 1, 1), ("a", "b", "c")), {"x": x, "label": np.arange(n, dtype=np.int32) % 3})


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


def seen(found):
    return np.concatenate([b["x"].reshape(-1) for b in found]).tolist()


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("wrap", [lambda s: s, Slow])
def test_every_epoch_holds_each_example_once_although_batches_span_epochs(wrap):
    order = seen(take(batches(wrap(numbers(10)), 4, keys=["label"], seed=0), 15))  # 60 examples, 6 epochs
    epochs = [order[i : i + 10] for i in range(0, 60, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6, "the epochs must be shuffled differently"


def test_batches_hold_what_was_asked_for():
    batch = next(batches(Slow(numbers(9)), 4, keys=["label", "index"], seed=1))
    assert {k: (v.shape, v.dtype.name) for k, v in batch.items()} == {
        "x": ((4, 1, 1, 1), "int32"),
        "label": ((4,), "int32"),
        "index": ((4,), "int32"),
    }
    np.testing.assert_array_equal(batch["label"], batch["x"].reshape(-1) % 3)
    np.testing.assert_array_equal(batch["index"], np.arange(4))
    assert set(next(batches(numbers(9), 4, keys=[], seed=1))) == {"x", "index"}


def test_the_seed_decides_and_the_way_of_reading_does_not():
    fast, slow = (take(batches(s, 8, keys=["label"], seed=3), 6) for s in (numbers(20), Slow(numbers(20))))
    assert_same(fast, slow)
    assert_same(fast, take(batches(numbers(20), 8, keys=["label"], seed=3), 6))
    assert seen(fast) != seen(take(batches(numbers(20), 8, keys=["label"], seed=4), 6))


@given(
    n=st.integers(1, 50),
    size=st.integers(1, 50),
    at=st.integers(0, 30),
    ahead=st.integers(0, 6),
)
@settings(max_examples=40, deadline=None)
def test_resume_goes_on_with_the_next_batch(n, size, at, ahead):
    def start():
        return batches(numbers(max(n, size)), size, keys=["label"], seed=n)

    whole = take(start(), at + 5)
    first = start()
    take(first, at)
    state = first.get_state()
    resumed = start()
    take(resumed, ahead)  # what a resumed iterator had read or prefetched before does not count
    resumed.set_state(state)
    assert_same(take(resumed, 5), whole[at:])


@given(n=st.integers(12, 40), processes=st.sampled_from([1, 2, 3, 4, 6, 12]), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_processes_together_read_the_batches_of_one(n, processes, seed):
    def start(i, count):
        return batches(numbers(n), 12, keys=["label"], seed=seed, process_index=i, process_count=count)

    whole = take(start(0, 1), 5)
    parts = [take(start(i, processes), 5) for i in range(processes)]
    joined = [{k: np.concatenate([p[step][k] for p in parts]) for k in whole[0]} for step in range(5)]
    assert_same(joined, whole)  # equal in order too, and so in (example, index)


def test_several_batches_are_stacked_in_their_order():
    single = take(batches(numbers(10), 4, keys=[], seed=0), 6)
    data = batches(numbers(10), 4, keys=[], seed=0)
    stacked = [take_batches(data, 3) for _ in range(2)]
    assert stacked[0]["x"].shape == (3, 4, 1, 1, 1)
    assert_same(single, [{k: v[i] for k, v in call.items()} for call in stacked for i in range(3)])


def test_examples_meet_all_places_of_a_batch():
    """A shuffle that kept examples in the same part of the batch would show the same noise to them again and again."""
    places = collections.defaultdict(set)
    for batch in take(batches(numbers(8), 8, keys=[], seed=0), 100):
        for x, index in zip(batch["x"].reshape(-1), batch["index"], strict=True):
            places[int(x)].add(int(index))
    assert all(len(found) == 8 for found in places.values())


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        (numbers(5), {"batch_size": 0}, "batch size 0"),
        (numbers(5), {"batch_size": 6}, "larger than the data set, which has 5"),
        (numbers(5), {"batch_size": 4, "process_count": 3}, "not divisible by the number of processes, 3"),
        (numbers(5), {"batch_size": 4, "keys": ["lable"]}, "did you mean 'label'"),
        (InMemory(DataInfo((1,)), {"x": np.zeros((5, 1))}), {"batch_size": 4, "keys": ["label"]}, "'label'"),
        (Slow(numbers(5)), {"batch_size": 4, "keys": ["caption"]}, "is text"),
    ],
)
def test_mistakes_are_named(source, arguments, message):
    with pytest.raises(UserError, match=message):
        batches(source, **({"keys": [], "seed": 0} | arguments))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "digit"}, "unknown data set 'digit': did you mean 'digits'"),
        ({"name": "InMemory"}, "unknown data set"),
        ({}, "'name'"),
        ({"name": "digits", "resolution": 8}, "unknown argument of digits 'resolution'"),
        ({"name": "digits", "split": "test"}, "'split'"),
        ({"name": "image_folder"}, "needs a value for: path"),
    ],
)
def test_mistakes_in_a_spec_are_named(spec, message):
    with pytest.raises(UserError, match=message):
        load(spec)


def test_known_data_sets():
    assert set(data_sets()) >= {"digits", "shapes", "arrays", "image_folder", "tfds", "mnist", "cifar10"}
    assert all(name == name.lower() for name in data_sets())


def test_loading_imports_nothing_heavy():
    code = (
        "import sys; from gen_jax.data.load import data_sets; data_sets();"
        "print([m for m in ('tensorflow', 'torch', 'tensorflow_datasets', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
