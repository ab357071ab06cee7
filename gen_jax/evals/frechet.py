"""How far apart are two sets of features, taken for normal distributions? 0: same mean and covariance.

    d^2 = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

the squared Fréchet distance of N(m1, S1) and N(m2, S2) (Dowson & Landau 1982); of Inception's features it is the FID of
Heusel et al. 2017 (arXiv:1706.08500, eq. 6). S1 S2 is not symmetric, and its square root as a general matrix may come
out complex. With any root R of S1 = R R^T, R^T S2 R has the same eigenvalues but for zeros and is symmetric: they are
real and not below 0, also where a covariance has no full rank, and the sum of their roots is the trace.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dpstrf

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_features

VERSION = 1
BLOCK = 4096  # rows that are held in float64 at a time

log = logging.getLogger("gen_jax")


class Statistics(NamedTuple):
    """Mean float64 [d] and covariance float64 [d, d] (over n - 1) of `count` rows; count 0: not known."""

    mean: np.ndarray
    cov: np.ndarray
    count: int  # type: ignore[assignment]  # tuple.count is of no use here


def fid(
    features: np.ndarray, real_statistics: Statistics, *, bootstrap: int = 0, level: float = 0.95, seed: int = 0
) -> dict[str, float]:
    """Fréchet distance of the samples' features, float [n, d], to the reference's statistics. Less is better.

    It is biased upwards, by about a constant over n: compare figures of one count only, or see fid_infinity.

    Args:
      bootstrap: how often the samples are drawn anew, with replacement, for the interval; 0: no interval. Each costs
        an eigendecomposition [d, d].
      level: of the interval. seed: of the draws.

    Returns:
      fid; with bootstrap, fid/low and fid/high: where `level` of the figures of other n samples would lie. It is the
      spread of the redrawn figures about their own mean, as redrawing itself adds the bias of a finite count again.
      The reference is taken as it is.

    Raises:
      UserError: fewer than two samples, features that are not finite or not as wide as the reference's.
    """
    if bootstrap < 0 or not 0 < level < 1:
        raise UserError(f"fid: bootstrap={bootstrap} and level={level}; needed: 0 or more, and between 0 and 1")
    check_features("fid", 2, {"samples' features": features})
    value = frechet_distance(statistics(features), real_statistics)
    if not bootstrap:
        return {"fid": value}
    rng, n = np.random.default_rng(seed), len(features)
    distance = _distance_of_some(features, real_statistics)
    drawn = np.array([distance(rng.multinomial(n, np.full(n, 1 / n))) for _ in range(bootstrap)])
    low, high = np.quantile(drawn - drawn.mean(), [(1 - level) / 2, (1 + level) / 2])
    return {"fid": value, "fid/low": max(0.0, float(value + low)), "fid/high": float(value + high)}


def fid_infinity(
    features: np.ndarray,
    real_statistics: Statistics,
    *,
    points: int = 15,
    smallest: int | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """FID as it would be with endlessly many samples, Chong & Forsyth 2020 (arXiv:1911.07023, sec. 3).

    FID is taken of `points` random subsets of `smallest` to n of the features [n, d], and the line through them over
    1/count is followed to 0. The bias of the reference's own finite count stays.

    smallest: None: a tenth of n as in the paper (5,000 of 50,000), but at least 2 d while that is below n/2, as the
    line bends where there are fewer rows than features.

    Returns:
      fid_infinity: may fall a little below 0. fid_infinity/slope: the line's; slope/n is the bias of n samples.

    Raises:
      UserError: as fid does, fewer than 20 samples, fewer than 2 points, or `smallest` that is not within 2 and n - 1.
    """
    check_features("fid_infinity", 20, {"samples' features": features})
    n, d = features.shape
    smallest = max(n // 10, min(2 * d, n // 2)) if smallest is None else smallest
    if not 2 <= smallest < n or points < 2:
        raise UserError(
            f"fid_infinity: smallest={smallest} and points={points}; needed: 2 to {n - 1} (of {n} samples), 2 or more"
        )
    _check_reference(d, real_statistics)
    _warn_if_few(smallest, d)
    rng = np.random.default_rng(seed)
    distance = _distance_of_some(features, real_statistics)
    counts = np.linspace(smallest, n, points).astype(int)
    distances = []
    for count in counts:
        chosen = np.zeros(n)
        chosen[rng.choice(n, count, replace=False)] = 1
        distances.append(distance(chosen))
    slope, intercept = np.polyfit(1 / counts, distances, 1)
    return {"fid_infinity": float(intercept), "fid_infinity/slope": float(slope)}


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """The squared Fréchet distance (see above), symmetric in a and b.

    Where a count is not above the number of features the covariance has no full rank: the distance is finite, biased
    upwards, and a warning says so.

    Raises:
      UserError: the statistics are of features of different widths, or not finite.
    """
    _check_reference(len(a.mean), b)
    _check_reference(len(b.mean), a)
    _warn_if_few(min((s.count for s in (a, b) if s.count), default=0), len(a.mean))
    fewer, other = sorted((a, b), key=lambda s: s.count or math.inf)  # the root of lower rank brings less rounding
    root, difference = _root(fewer.cov), a.mean - b.mean
    cross = _sum_of_roots(root.T @ other.cov @ root)
    value = difference @ difference + np.trace(a.cov) + np.trace(b.cov) - 2 * cross
    return max(0.0, float(value))  # what is below 0 is rounding


def statistics(rows: np.ndarray | Iterable[np.ndarray]) -> Statistics:
    """Mean and covariance in float64 of rows [n, d], or of any number of arrays [b, d], one after the other.

    Raises:
      UserError: fewer than two rows in all, or rows that are not finite floats of one width.
    """
    total = None
    for block in _blocks([rows] if isinstance(rows, np.ndarray) else rows):
        check_features("statistics", 1, {"features": block})
        mean = block.mean(axis=0, dtype=np.float64)
        centered = block - mean
        part = Statistics(mean, centered.T @ centered / max(len(block) - 1, 1), len(block))
        total = part if total is None else merge(total, part)
    if total is None or total.count < 2:
        raise UserError(f"statistics: {0 if total is None else total.count} features; needed: 2 or more")
    return total._replace(cov=(total.cov + total.cov.T) / 2)  # products leave it unequal in the last bit


def merge(a: Statistics, b: Statistics) -> Statistics:
    """The statistics of the rows of both, Chan, Golub & LeVeque 1983 (The American Statistician 37, eq. 2.1)."""
    if len(a.mean) != len(b.mean):
        raise UserError(
            f"statistics: features {len(a.mean)} and {len(b.mean)} wide; take both from one feature network"
        )
    if not (a.count and b.count):
        raise UserError("statistics whose count is not known (0) cannot be merged")
    n = a.count + b.count
    difference = b.mean - a.mean
    cov = (a.count - 1) / (n - 1) * a.cov
    cov += (b.count - 1) / (n - 1) * b.cov
    cov += a.count / n * b.count / (n - 1) * np.outer(difference, difference)
    return Statistics(a.mean + b.count / n * difference, cov, n)


def _root(cov: np.ndarray) -> np.ndarray:
    """R [d, rank] with R R^T = cov: Cholesky's with pivots, which does without full rank and takes a tenth of the time
    of eigenvectors. These are left for a covariance with eigenvalues below 0, as one rounded to float32 may have."""
    lower, pivots, rank, _ = dpstrf(cov, lower=1)
    root = np.empty((len(cov), rank))
    root[pivots - 1] = np.tril(lower)[:, :rank]
    if np.abs(root @ root.T - cov).max() <= 1e-9 * cov.diagonal().max():
        return root
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    return vectors * np.sqrt(np.maximum(values, 0))


def _sum_of_roots(product: np.ndarray) -> float:
    """The sum of the square roots of a symmetric matrix's eigenvalues; those that rounding put below 0 are 0."""
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh((product + product.T) / 2), 0)).sum())


def _distance_of_some(features: np.ndarray, reference: Statistics) -> Callable[[np.ndarray], float]:
    """The distance to the reference of the rows as often as counts [n] says.

    The root of the reference's covariance is taken once. Features turned by it have R2^T S1 R2 for their covariance."""
    root = _root(reference.cov)
    turned = np.concatenate([(block - reference.mean) @ root for block in _blocks([features])])

    def distance(counts: np.ndarray) -> float:
        d, total = features.shape[1], counts.sum()
        mean, trace, inner = np.zeros(d), 0.0, np.zeros((root.shape[1],) * 2)
        for index in _blocks([np.flatnonzero(counts)]):
            weight = counts[index, None].astype(np.float64)
            rows, around = features[index] - reference.mean, np.sqrt(weight) * turned[index]
            mean += (weight * rows).sum(axis=0) / total
            trace += float((weight * np.square(rows)).sum())
            inner += around.T @ around
        turned_mean = mean @ root
        inner = (inner - total * np.outer(turned_mean, turned_mean)) / (total - 1)
        trace = (trace - total * mean @ mean) / (total - 1) + np.trace(reference.cov)
        return float(mean @ mean + trace - 2 * _sum_of_roots(inner))

    return distance


def _blocks(arrays: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same rows in arrays of BLOCK, the last one of what is left: small chunks would cost a covariance each."""
    held: list[np.ndarray] = []
    for rows in arrays:
        start = 0
        while start < len(rows):
            part = rows[start : start + BLOCK - sum(map(len, held))]
            held, start = [*held, part], start + len(part)
            if sum(map(len, held)) == BLOCK:
                yield np.concatenate(held)
                held = []
    if held:
        yield np.concatenate(held)


def _check_reference(d: int, reference: Statistics) -> None:
    if reference.mean.shape != (d,) or reference.cov.shape != (d, d):
        raise UserError(
            f"fid: features {d} wide, and statistics with a mean {list(reference.mean.shape)} and a covariance "
            f"{list(reference.cov.shape)}; take both from one feature network"
        )
    if not (np.isfinite(reference.mean).all() and np.isfinite(reference.cov).all()):
        raise UserError("fid: a mean or covariance is not finite (NaN or infinite)")


def _warn_if_few(count: int, d: int) -> None:
    if 0 < count <= d:
        log.warning(
            "Fréchet distance: %d samples of %d features each are too few for a covariance of full rank, so the figure "
            "is biased upwards; take more than %d (usual: 10,000 or 50,000)",
            count,
            d,
            d,
        )
