"""Are samples clear to a classifier, and varied? From 1 (neither) to the number of its classes (both). More is better.

IS = exp(mean over samples of KL(p(y|x) || p(y))), p(y) the mean of p(y|x): Salimans et al. 2016 (arXiv:1606.03498, sec.
4). It sees no reference data: a model that draws one perfect image of each class reaches the maximum.
"""

import numpy as np
from scipy.special import log_softmax

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_features

VERSION = 1


def inception_score(logits: np.ndarray, *, splits: int = 10, seed: int = 0) -> dict[str, float]:
    """Inception score of a classifier's logits, float [n, k].

    splits: the score is taken of so many equal parts, by the paper 10 of 50,000, and averaged. Small parts lower it:
    no part reaches more than its own count. seed: of the shuffle before, as samples often come sorted by class.

    Returns:
      inception_score, inception_score/std: mean and standard deviation over the parts.

    Raises:
      UserError: fewer samples than splits, or logits that are not finite floats [n, k].
    """
    if splits < 1:
        raise UserError(f"inception_score: splits={splits}; needed: 1 or more")
    check_features("inception_score", splits, {"samples' logits": logits})
    n = len(logits)
    log_p = log_softmax(logits[np.random.default_rng(seed).permutation(n)].astype(np.float64), axis=1)
    scores = []
    for i in range(splits):
        part = log_p[i * n // splits : (i + 1) * n // splits]
        p = np.exp(part)
        mean = p.mean(axis=0)
        # Where p is 0 so is the term, as its limit is.
        ratio = np.where(p > 0, part - np.log(np.where(mean > 0, mean, 1)), 0)
        scores.append(np.exp((p * ratio).sum(axis=1).mean()))
    return {"inception_score": float(np.mean(scores)), "inception_score/std": float(np.std(scores))}
