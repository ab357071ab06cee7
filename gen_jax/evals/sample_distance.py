"""How far do samples lie from each other, next to real data? Much nearer: they have collapsed onto a few.

Watched at intervals on the same latents (samples of one seed), a fall of it is a collapse seen as it happens. A mean of
pairwise distances says nothing of quality, nor whether every mode is there: see modes and prdc.
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.blocks import squared_distances

VERSION = 1


def sample_distance(x: np.ndarray, real_x: np.ndarray, *, max_real: int = 5_000, seed: int = 0) -> dict[str, float]:
    """The mean Euclidean distance of two different samples x [n, ...], over that of two real examples [m, ...].

    All pairs are counted, in blocks: the time grows with n * n, the memory with n. max_real: of more real examples, so
    many are drawn (by `seed`).

    Returns:
      sample_distance: the ratio. 1: as far apart as real data; 0: all samples are equal.
      sample_distance/nearest: the mean distance from a sample to the nearest other one, over that of real examples, of
        equal numbers of both. It falls first when samples gather in clumps that lie far from each other.

    Raises:
      UserError: fewer than two in a set, shapes or types that don't agree, samples that are not finite, or real
        examples that are all equal.
    """
    if min(len(x), len(real_x)) < 2 or max_real < 2:
        raise UserError(f"sample_distance: {len(x)} samples and {min(len(real_x), max_real)} real ones; needed: 2 each")
    if x.shape[1:] != real_x.shape[1:] or x.dtype != real_x.dtype:
        raise UserError(
            f"sample_distance: samples are {x.dtype} {list(x.shape)}, real examples {real_x.dtype} "
            f"{list(real_x.shape)}; they must be of one type and shape"
        )
    if not np.isfinite(x).all():
        raise UserError("sample_distance: some of the samples are not finite (NaN or infinite)")
    rng = np.random.default_rng(seed)
    real = real_x if len(real_x) <= max_real else real_x[rng.choice(len(real_x), max_real, replace=False)]
    samples, real = (rows.reshape(len(rows), -1).astype(np.float32) for rows in (x, real))
    mean_real, _ = _distances(real)
    if mean_real == 0:
        raise UserError("sample_distance: the real examples are all equal")
    mean, _ = _distances(samples)
    # The nearest of more examples lies nearer, so equal numbers are compared.
    count = min(len(samples), len(real))
    _, nearest = _distances(samples[:count])
    _, nearest_real = _distances(rng.permutation(real)[:count])
    figures = {"sample_distance": mean / mean_real}
    return figures | ({"sample_distance/nearest": nearest / nearest_real} if nearest_real else {})


def _distances(rows: np.ndarray) -> tuple[float, float]:
    """Over rows [n, d]: the mean distance of two different ones, and the mean distance to the nearest other one."""
    total, nearest, n = 0.0, 0.0, len(rows)
    for place, squares in squared_distances(rows, rows):
        own = np.arange(place.start, place.stop)
        squares[own - place.start, own] = 0
        total += float(np.sqrt(squares).sum())
        squares[own - place.start, own] = np.inf
        nearest += float(np.sqrt(squares.min(axis=1)).sum())
    return total / (n * (n - 1)), nearest / n
