"""How many different samples are there, in effect? From 1 (all alike) to n (none like another).

Vendi score, Friedman & Dieng 2023 (arXiv:2210.02410, def. 3.1): exp of the Shannon entropy of the eigenvalues of K/n, K
the cosine similarities of the samples' features. It sees no reference data: noise is diverse too.
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_features

VERSION = 1


def vendi(features: np.ndarray, *, order: float = 1.0) -> dict[str, float]:
    """Vendi score of samples' features, float [n, d]: n samples in k groups, alike within and orthogonal between, score
    k where the groups are of one size, and less where they are not. More is more diverse.

    order: of the Rényi entropy (Pasarkar & Dieng 2024, arXiv:2310.12952, eq. 2); 1: Shannon's. Above 1 frequent kinds
    count more, below 1 rare ones.

    Raises:
      UserError: no features, features that are not finite, a row of zeros (it has no direction), or an order below 0.
    """
    if not 0 <= order < np.inf:
        raise UserError(f"vendi: order={order}; needed: 0 or more, and finite")
    check_features("vendi", 1, {"samples' features": features})
    rows = features.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise UserError(f"vendi: {int((lengths == 0).sum())} of {len(rows)} features are 0 throughout")
    rows /= lengths
    # K = rows rows^T [n, n] has the eigenvalues of rows^T rows [d, d], and zeros: the smaller one is taken.
    gram = rows.T @ rows if rows.shape[0] > rows.shape[1] else rows @ rows.T
    p = np.linalg.eigvalsh(gram) / len(rows)
    p = p[p > 1e-12]  # what is 0 but for rounding
    p /= p.sum()
    entropy = -(p * np.log(p)).sum() if order == 1 else np.log((p**order).sum()) / (1 - order)
    return {"vendi": float(np.exp(entropy))}
