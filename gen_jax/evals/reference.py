"""What samples are measured against: the splits of a data set, their content's hash, features and statistics."""

import concurrent.futures
import functools
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.cache import cached
from gen_jax.evals.features.extract import Features, Network, extract
from gen_jax.evals.frechet import Statistics, statistics
from gen_jax.types import DataInfo, Source

BLOCK = 2**26  # bytes of images that are read at a time
IN_MEMORY = 2**30
"""Splits of up to so many bytes are read once and held; larger ones are read when they are needed."""


class Split:
    """One split of a data set: images and labels, in memory or in blocks. example_bytes: of one image."""

    def __init__(self, source: Source):
        self.info = source.info
        self._source = source
        self.example_bytes = int(np.prod(source.info.shape)) * np.dtype(source.info.dtype).itemsize

    def __len__(self) -> int:
        return len(self._source)

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """(x [b, ...], label int64 [b] or None), in order; b is as large as BLOCK allows."""
        size = max(1, BLOCK // self.example_bytes)
        held = "arrays" in self.__dict__ or len(self) * self.example_bytes <= IN_MEMORY
        for start in range(0, len(self), size):
            if held:
                x, label = self.arrays
                yield x[start : start + size], None if label is None else label[start : start + size]
            else:
                yield self._take(np.arange(start, min(start + size, len(self))))

    @functools.cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray | None]:
        """All of it: x [m, ...], label int64 [m] or None."""
        return self._take(np.arange(len(self)))

    def some(self, most: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """All of it, or `most` examples drawn by `seed` where there are more."""
        if len(self) <= most:
            return self.arrays
        return self._take(np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False)))

    @functools.cached_property
    def hash(self) -> str:
        """sha256 of the content: of the images' shape, type and bytes, and of the labels."""
        images, labels = hashlib.sha256(), hashlib.sha256()
        for x, label in self.blocks():
            images.update(np.ascontiguousarray(x).data)
            if label is not None:
                labels.update(np.ascontiguousarray(label, np.int64).data)
        text = f"{self.info.dtype} {list(self.info.shape)} {len(self)} {images.hexdigest()} {labels.hexdigest()}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        take = getattr(self._source, "take", None)
        if take is not None:
            found = take(indices)
            label = found.get("label")
            return found["x"], None if label is None else np.asarray(label, np.int64)
        x = np.empty((len(indices), *self.info.shape), self.info.dtype)
        label = np.empty(len(indices), np.int64) if self.info.num_classes else None
        with concurrent.futures.ThreadPoolExecutor() as pool:  # decoding releases the GIL
            for to, example in enumerate(pool.map(self._source.__getitem__, indices.tolist())):
                x[to] = example["x"]
                if label is not None:
                    label[to] = example["label"]
        return x, label


class Reference:
    """Real data by split, with their features and statistics (cached by content), or published statistics alone."""

    def __init__(
        self,
        name: str,
        load: Callable[[str], Source] | None,
        split: str = "train",
        published: tuple[Statistics, str] | None = None,
    ):
        """name: of the data, for receipts. load: the source of a split; None: there are no images. split: the one that
        `real_` inputs are of. published: statistics of features that came in a file, and the hash of their content.

        Raises:
          UserError: there is no such split.
        """
        self.name, self.split = name, split
        self._load, self._published = load, published
        self._splits: dict[str, Split | UserError] = {}
        if load is not None and isinstance(found := self._find(split), UserError):
            raise found

    @property
    def info(self) -> DataInfo | None:
        """Of the reference split; None where there are no images."""
        found = self._find(self.split)
        return found.info if isinstance(found, Split) else None

    def why_not(self, split: str) -> str:
        """Why there are no images of a split; "" where there are."""
        found = self._find(split)
        return str(found) if isinstance(found, UserError) else ""

    def get(self, split: str) -> Split:
        """A split. Raises UserError where there is none of that name."""
        found = self._find(split)
        if isinstance(found, UserError):
            raise found
        return found

    def features(self, split: str, network: Network) -> Features:
        """Of all images of a split, in their order."""

        def compute() -> dict[str, np.ndarray]:
            found = extract(network, (x for x, _ in self.get(split).blocks()))
            return {"features": found.features} | ({} if found.logits is None else {"logits": found.logits})

        arrays = cached("features", self._key(split, network), compute)
        return Features(arrays["features"], arrays.get("logits"))

    def statistics(self, network: Network) -> Statistics:
        """Of the reference split's features: the published ones where they were given.

        Raises:
          UserError: published ones of features of another width.
        """
        if self._published is not None:
            given = self._published[0]
            if len(given.mean) != network.dim:
                raise UserError(
                    f"--reference={self.name} has statistics of {len(given.mean)} features, and {network.name} gives "
                    f"{network.dim}: take the network that they were made with"
                )
            return given

        def compute() -> dict[str, np.ndarray]:
            found = statistics(extract(network, x).features for x, _ in self.get(self.split).blocks())
            return {"mean": found.mean, "cov": found.cov, "count": np.array(found.count)}

        arrays = cached("statistics", self._key(self.split, network), compute)
        return Statistics(arrays["mean"], arrays["cov"], int(arrays["count"]))

    def describe(self, inputs: tuple[str, ...]) -> dict[str, Any]:
        """What a receipt says of the data behind these inputs of a metric; of the reference where none is of data."""
        if self._published is not None and (self._load is None or "real_statistics" in inputs):
            statistics_, hash_ = self._published
            return {"name": self.name, "split": "statistics", "hash": hash_, "count": statistics_.count or None}
        prefixes = {name.split("_")[0] for name in inputs}
        splits = {self.split if prefix == "real" else prefix for prefix in prefixes & {"real", "train", "test"}}
        read = sorted(splits or {self.split}, reverse=True)  # train before test
        hashes = [self.get(split).hash for split in read]
        joined = hashes[0] if len(read) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()
        count = sum(len(self.get(split)) for split in read)
        return {"name": self.name, "split": "+".join(read), "hash": joined, "count": count}

    def _key(self, split: str, network: Network) -> dict[str, Any]:
        found = self.get(split)
        facts = {"data": found.hash, "dtype": found.info.dtype}
        return facts | {"network": network.name, "weights": network.hash, "resize": network.resize}

    def _find(self, split: str) -> Split | UserError:
        if split not in self._splits:
            if self._load is None:
                found: Split | UserError = UserError(f"the reference {Path(self.name).name} has statistics, no images")
            else:
                try:
                    found = Split(self._load(split))
                except UserError as error:
                    found = error
            self._splits[split] = found
        return self._splits[split]
