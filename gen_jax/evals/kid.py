"""Have two sets of features the same moments up to the third? Unbiased also for few samples; 0: the same.

KID, Binkowski et al. 2018 (arXiv:1801.01401, sec. 4): the squared maximum mean discrepancy with the kernel
k(a, b) = (a.b / d + 1)^3, by the unbiased estimate (Gretton et al. 2012, JMLR 13, eq. 3).
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_features

VERSION = 1
BLOCK = 1024  # rows of the kernel that are held at a time


def kid(
    features: np.ndarray,
    real_features: np.ndarray,
    *,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """KID of samples' features [n, d] to real ones [m, d], both float. Less is better; it may fall below 0.

    Args:
      subsets: how many random subsets of both sets are measured for the mean and spread; 0: none.
      subset_size: None: 1,000 as in the paper, or half of the smaller set where that is less.
      seed: of the subsets.

    Returns:
      kid: of all n and m, which depends on no seed. kid/subsets, kid/std: mean and standard deviation over the subsets,
      as most papers give it.

    Raises:
      UserError: fewer than four rows, a subset size that is not from 2 to the smaller count, features that are not
        finite or not of one width.
    """
    check_features("kid", 4, {"samples' features": features, "real features": real_features})
    smaller = min(len(features), len(real_features))
    size = min(1000, smaller // 2) if subset_size is None else subset_size
    if subsets < 0 or not 2 <= size <= smaller:
        raise UserError(f"kid: subsets={subsets} of subset_size={size}; needed: 0 or more of 2 to {smaller}")
    figures = {"kid": _discrepancy(features, real_features)}
    if subsets:
        rng = np.random.default_rng(seed)
        values = [
            _discrepancy(*(rows[rng.choice(len(rows), size, replace=False)] for rows in (features, real_features)))
            for _ in range(subsets)
        ]
        figures |= {"kid/subsets": float(np.mean(values)), "kid/std": float(np.std(values))}
    return figures


def _discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate of MMD^2 of rows a [n, d] and b [m, d]."""
    (n, d), m = a.shape, len(b)
    within = [
        (_kernel_sum(rows, rows) - float(_kernel(np.square(rows.astype(np.float64)).sum(axis=1) / d).sum()))
        / (len(rows) * (len(rows) - 1))
        for rows in (a, b)
    ]
    return sum(within) - 2 * _kernel_sum(a, b) / (n * m)


def _kernel_sum(a: np.ndarray, b: np.ndarray) -> float:
    """The sum of the kernel over all pairs."""
    b = b.astype(np.float64)
    blocks = (a[i : i + BLOCK].astype(np.float64) for i in range(0, len(a), BLOCK))
    return float(sum(_kernel(block @ b.T / b.shape[1]).sum() for block in blocks))


def _kernel(product: np.ndarray) -> np.ndarray:
    """(a.b / d + 1)^3 from a.b / d."""
    return (product + 1) ** 3
