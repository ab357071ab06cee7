"""Pairs of rows in blocks, so that memory does not grow with the product of two counts."""

from collections.abc import Iterator

import numpy as np


def squared_distances(a: np.ndarray, b: np.ndarray, size: int = 1024) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared Euclidean distances of rows a [n, d] and b [m, d]: for each block of a, (its rows, float64 [block, m]).

    By |a|^2 + |b|^2 - 2 a.b in float64 about the mean of b, so that what cancels is small; never below 0. A row that
    is in both a and b may lie some 1e-7 of the rows' spread from itself."""
    center = b.mean(axis=0, dtype=np.float64)
    b = b - center
    norms = np.square(b).sum(axis=1)
    for i in range(0, len(a), size):
        part = a[i : i + size] - center
        squares = part @ b.T
        squares *= -2
        squares += norms
        squares += np.square(part).sum(axis=1)[:, None]
        yield slice(i, i + len(part)), np.maximum(squares, 0, out=squares)
