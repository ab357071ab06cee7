"""How far apart are the pixels' distributions, seen along random directions? 0: the same along all of them.

Sliced 2-Wasserstein distance, Rabin et al. 2011; Bonneel et al. 2015 (J. Math. Imaging Vis. 51, def. 6): projected on a
line, two sets are matched by sorting. It needs no network and no classifier, and sees colours and coarse layout best.
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_images

VERSION = 1
BLOCK = 1024  # images that are held as floats at a time
DIRECTIONS = 64  # and directions


def sliced_wasserstein(x: np.ndarray, real_x: np.ndarray, *, projections: int = 512, seed: int = 0) -> dict[str, float]:
    """Sliced Wasserstein distance of samples x uint8 [n, ...] to real images uint8 [m, ...]. Less is better.

    The root of the mean over directions of the squared distance, in grey levels: images that are all brighter by 1 of
    255 lie 1 apart, give or take the error. Two finite sets of one law lie above 0, the farther the fewer: compare
    figures of equal counts only.

    projections: how many random directions. seed: of the directions.

    Returns:
      sliced_wasserstein; sliced_wasserstein/error: its standard error over the directions.

    Raises:
      UserError: images that are not uint8 or not of one shape, fewer than two in a set, or fewer than two projections.
    """
    if projections < 2:
        raise UserError(f"sliced_wasserstein: projections={projections}; needed: 2 or more")
    check_images("sliced_wasserstein", 2, {"samples": x, "real images": real_x})
    rng, d = np.random.default_rng(seed), x[0].size
    squares = []
    for start in range(0, projections, DIRECTIONS):
        directions = rng.standard_normal((d, min(DIRECTIONS, projections - start)))
        directions /= np.linalg.norm(directions, axis=0)
        squares.append(_squared_distances(*(np.sort(_project(rows, directions), axis=0) for rows in (x, real_x))))
    squared = np.concatenate(squares)
    value = float(np.sqrt(squared.mean()))
    # sqrt'(s) = 1 / (2 sqrt(s))
    error = float(squared.std(ddof=1) / np.sqrt(projections) / (2 * value)) if value else 0.0
    return {"sliced_wasserstein": value, "sliced_wasserstein/error": error}


def _project(x: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Images [n, ...] along directions [d, p]: [n, p]."""
    blocks = (x[i : i + BLOCK] for i in range(0, len(x), BLOCK))
    return np.concatenate([block.reshape(len(block), -1).astype(np.float64) @ directions for block in blocks])


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared 2-Wasserstein distances of sorted values a [n, p] and b [m, p], by column [p].

    The quantile functions are steps of 1/n and 1/m; between two edges of either both are constant."""
    steps_a, steps_b = (np.arange(1, len(rows) + 1) / len(rows) for rows in (a, b))
    edges = np.union1d(steps_a, steps_b)
    widths = np.diff(edges, prepend=0.0)
    difference = a[np.searchsorted(steps_a, edges)] - b[np.searchsorted(steps_b, edges)]
    return widths @ np.square(difference)
