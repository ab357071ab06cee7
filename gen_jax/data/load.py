"""From a spec to a data set, and from a data set to batches.

A data set is a function of this package whose first argument is `split`; it returns a Source (gen_jax.types): a
length, and examples by position. To add one, write such a function in a file of this directory.

One method of a source is optional: `take(indices [b]) -> {"x": [b, ...], ...}`, a whole batch at once. Sources that
are held in memory have it, and are read about a hundred times faster than example by example. A source without it is
read by `source[i]` from several threads at once, so `__getitem__` must be thread-safe.
"""

import concurrent.futures
import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import numpy as np

import gen_jax.data
from gen_jax.build import build, names
from gen_jax.errors import UserError, unknown
from gen_jax.types import Source


def data_sets() -> dict[str, Callable[..., Source]]:
    """Every data set by name: the functions of gen_jax.data whose first argument is `split`."""
    return {
        name: f for name, f in names(gen_jax.data).items() if next(iter(inspect.signature(f).parameters), "") == "split"
    }


def load(spec: Mapping[str, Any], split: str = "train") -> Source:
    """The data set that `spec` describes, such as {"name": "digits"}.

    Raises:
      UserError: no such data set, argument or split (with the known ones), or data that cannot be trained on.
    """
    known = data_sets()
    name = dict(spec).get("name", "")
    if name and name not in known:
        raise unknown("data set", name, known)
    if "split" in spec:
        raise UserError(f"data set {name}: 'split' is chosen by the command, remove it from the spec")
    source = build(gen_jax.data, spec)
    parameters = inspect.signature(source).parameters.items()
    if missing := [k for k, p in parameters if p.default is p.empty]:
        raise UserError(f"data set {name} needs a value for: {', '.join(missing)}")
    return source(split=split)


def batches(
    source: Source,
    batch_size: int,
    *,
    keys: Sequence[str],
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.DatasetIterator[dict[str, np.ndarray]]:
    """Endless shuffled batches of this process's share of the data, read ahead by a background thread.

    The data are shuffled anew in every epoch and the epochs joined before they are cut into batches: every example is
    seen equally often and no remainder is dropped. Position p of that sequence is example p % batch_size of global
    batch p // batch_size, whatever the number of processes; process i holds the i-th of the batch's contiguous parts.

    Args:
      batch_size: of the global batch, over all processes.
      keys: the fields to keep beside `x`: numeric ones, such as `label`.
      seed: of the shuffle.

    Returns:
      An iterator of {"x": [b, ...], "index": int32 [b], key: [b, ...]} with b = batch_size / process_count. `index` is
      the place in the global batch. get_state() is the number of batches consumed, the same on every process;
      set_state() goes on from there exactly.

    Raises:
      UserError: a batch size that cannot be, or a key that the data lack.
    """
    _check_batch_size(batch_size, len(source), process_count)
    kept = _numeric_keys(source, keys)
    take = getattr(source, "take", None) or _threaded_take(source)
    local = batch_size // process_count
    index = np.arange(process_index * local, (process_index + 1) * local)
    # grain's own shuffle costs tens of microseconds per example, and in-memory data are to be read faster than that:
    # numpy shuffles whole epochs. Two are kept, because a batch may span the border between them.
    epoch_order = functools.lru_cache(maxsize=2)(functools.partial(_shuffled, len(source), seed))

    def read(step: int) -> dict[str, np.ndarray]:
        epoch, place = np.divmod(step * batch_size + index, len(source))
        examples = np.concatenate([epoch_order(e)[place[epoch == e]] for e in range(epoch[0], epoch[-1] + 1)])
        found = take(examples)
        return {key: found[key] for key in kept} | {"index": index.astype(np.int32)}

    steps = grain.MapDataset.range(sys.maxsize // batch_size).map(read)
    return iter(steps.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=16)))


def take_batches(data: grain.DatasetIterator, count: int) -> dict[str, np.ndarray]:
    """The next batch, or the next `count` of them stacked: [count, b, ...] where count is more than 1."""
    if count == 1:
        return next(data)
    found = [next(data) for _ in range(count)]
    return {key: np.stack([batch[key] for batch in found]) for key in found[0]}


def _shuffled(length: int, seed: int, epoch: int) -> np.ndarray:
    dtype = np.uint32 if length < 2**32 else np.uint64
    return np.random.default_rng([seed, epoch]).permutation(np.arange(length, dtype=dtype))


def _check_batch_size(batch_size: int, length: int, process_count: int) -> None:
    if batch_size < 1:
        raise UserError(f"batch size {batch_size}: must be 1 or more")
    if batch_size > length:
        raise UserError(f"batch size {batch_size} is larger than the data set, which has {length} examples")
    if batch_size % process_count:
        raise UserError(f"batch size {batch_size} is not divisible by the number of processes, {process_count}")


def _numeric_keys(source: Source, keys: Sequence[str]) -> tuple[str, ...]:
    """`x` and `keys`, without `index`, which every batch has."""
    wanted = tuple(dict.fromkeys(("x", *(key for key in keys if key != "index"))))
    example = source[0]
    for key in wanted:
        if key not in example:
            raise unknown("field of the data, which the model asks for,", key, example)
        if np.asarray(example[key]).dtype.kind not in "biuf":
            raise UserError(f"field '{key}' of the data is text and cannot be batched: it must be encoded first")
    return wanted


def _threaded_take(source: Source) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """`take` for a source that has none: reads, which decode files and so release the GIL, run side by side."""
    pool = concurrent.futures.ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), thread_name_prefix="data")

    def take(indices: np.ndarray) -> dict[str, np.ndarray]:
        examples = list(pool.map(source.__getitem__, indices.tolist()))
        return {k: np.stack([e[k] for e in examples]) for k, v in examples[0].items() if not isinstance(v, str)}

    return take
