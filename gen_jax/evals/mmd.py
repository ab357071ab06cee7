"""Are two sets of features of one distribution, to a Gaussian kernel? 0: yes, up to the draw; it may fall below 0.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y), Gretton et al. 2012 (JMLR 13, eq. 3, unbiased), with
k(a, b) = exp(-|a - b|^2 / (2 s^2)). Other than KID's, this kernel sees all moments, at distances about s.
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.blocks import squared_distances
from gen_jax.evals.checks import check_features

VERSION = 1
MEDIAN_OF = 2000  # real features of which the median distance is taken


def mmd(
    features: np.ndarray, real_features: np.ndarray, *, bandwidth: float | None = None, seed: int = 0
) -> dict[str, float]:
    """Squared maximum mean discrepancy of samples' features [n, d] and real ones [m, d], both float. Less is better.

    bandwidth: s; None: the median distance between two real features (of 2,000 at most, drawn by `seed`). It is of the
    real ones alone, so that all models are measured with one kernel.

    Returns:
      mmd: the square, unbiased; 2 at most. mmd/bandwidth: s.

    Raises:
      UserError: fewer than two rows, a bandwidth that is not above 0, real features that are all equal, features that
        are not finite or not of one width.
    """
    check_features("mmd", 2, {"samples' features": features, "real features": real_features})
    if bandwidth is None:
        bandwidth = _median_distance(real_features, seed)
        if bandwidth == 0:
            raise UserError("mmd: more than half of the real features are equal, so give a bandwidth")
    if not 0 < bandwidth < np.inf:
        raise UserError(f"mmd: bandwidth={bandwidth}; needed: a number above 0")
    n, m = len(features), len(real_features)
    # The kernel of a row and itself is 1.
    within, real_within = (
        (_kernel_sum(rows, rows, bandwidth) - len(rows)) / (len(rows) * (len(rows) - 1))
        for rows in (features, real_features)
    )
    value = within + real_within - 2 * _kernel_sum(features, real_features, bandwidth) / (n * m)
    return {"mmd": value, "mmd/bandwidth": float(bandwidth)}


def _kernel_sum(a: np.ndarray, b: np.ndarray, bandwidth: float) -> float:
    return float(sum(np.exp(squares / (-2 * bandwidth**2)).sum() for _, squares in squared_distances(a, b)))


def _median_distance(rows: np.ndarray, seed: int) -> float:
    if len(rows) > MEDIAN_OF:
        rows = rows[np.random.default_rng(seed).choice(len(rows), MEDIAN_OF, replace=False)]
    squares = np.concatenate([block for _, block in squared_distances(rows, rows)])
    return float(np.sqrt(np.median(squares[np.triu_indices(len(rows), 1)])))
