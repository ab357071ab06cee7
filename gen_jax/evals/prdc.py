"""Are samples where the data are (precision, density), and are there samples wherever data are (recall, coverage)?

Precision and recall: Kynkaanniemi et al. 2019 (arXiv:1904.06991, eq. 1); density and coverage, which one outlier sways
less: Naeem et al. 2020 (arXiv:2002.09797, eq. 3 and 4). Around each feature lies a ball that reaches to its k-th
nearest neighbour of the same set; the real balls together are the data's support, and the samples' the model's.
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.blocks import squared_distances
from gen_jax.evals.checks import check_features

VERSION = 1


def prdc(features: np.ndarray, real_features: np.ndarray, *, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage of samples' features [n, d] against real ones [m, d], both float.

    Distances are Euclidean, in float64, and go in blocks: memory grows with n + m. All four depend on the counts:
    compare figures of equal n and m only.

    k: the neighbour that a ball reaches to. 5 as in Naeem et al.; 3 in Kynkaanniemi et al.

    Returns:
      precision: the share of samples in any real ball. 1: all are where data are.
      recall: the share of real ones in any sample's ball. 1: all data are within the model's reach.
      density: in how many real balls a sample lies, over k. About 1 for the data's own law; above where samples gather
        in the data's densest parts; 0: all are off the data.
      coverage: the share of real balls that hold a sample. 0: no data are met; 1 - 2^-k for the data's own law.

    Raises:
      UserError: not more than k rows in a set, features that are not finite or not of one width.
    """
    if k < 1:
        raise UserError(f"prdc: k={k}; needed: 1 or more")
    check_features("prdc", k + 1, {"samples' features": features, "real features": real_features})
    n, m = len(features), len(real_features)
    radius, real_radius = _radii(features, k), _radii(real_features, k)
    precise, balls = 0, 0
    recalled, covered = np.zeros(m, bool), np.zeros(m, bool)
    for rows, squares in squared_distances(features, real_features):
        in_real = squares < real_radius  # [block, m]
        precise += int(in_real.any(axis=1).sum())
        balls += int(in_real.sum())
        covered |= in_real.any(axis=0)
        recalled |= (squares < radius[rows, None]).any(axis=0)
    return {
        "precision": precise / n,
        "recall": float(recalled.mean()),
        "density": balls / (k * n),
        "coverage": float(covered.mean()),
    }


def _radii(rows: np.ndarray, k: int) -> np.ndarray:
    """The squared distance of each of rows [n, d] to its k-th nearest other one, float64 [n]."""
    radii = np.empty(len(rows))
    for block, squares in squared_distances(rows, rows):
        own = np.arange(block.start, block.stop)
        squares[own - block.start, own] = np.inf  # itself, also where rounding puts another nearer
        radii[block] = np.partition(squares, k - 1, axis=1)[:, k - 1]
    return radii
