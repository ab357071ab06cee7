"""A data set held in memory: one array, or list, per field."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gen_jax.types import DataInfo, Source


class InMemory:
    """A Source over `fields`, each [n, ...]. A text field is a list of strings; every other one is an array."""

    def __init__(self, info: DataInfo, fields: Mapping[str, np.ndarray | Sequence[str]]):
        self.info = info
        self._fields = dict(fields)

    def __len__(self) -> int:
        return len(self._fields["x"])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: values[index] for name, values in self._fields.items()}

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices` [b], stacked: {"x": [b, ...], ...}. See gen_jax.data.load."""
        return {name: values[indices] for name, values in self._fields.items() if isinstance(values, np.ndarray)}


def in_memory(source: Source) -> InMemory:
    """The source itself, or its images and labels read into memory: of MNIST, 47 MB."""
    if isinstance(source, InMemory):
        return source
    examples = [source[i] for i in range(len(source))]
    names = [name for name in ("x", "label") if name in examples[0]]
    return InMemory(source.info, {name: np.stack([e[name] for e in examples]) for name in names})
