"""Which modes of a mixture do samples reach, and how many samples lie upon one? For data that are points, not images.

As in unrolled GANs, Metz et al. 2017 (arXiv:1611.02163), VEEGAN, Srivastava et al. 2017 (arXiv:1705.07761, sec. 4.1),
and PacGAN, Lin et al. 2018 (arXiv:1712.04086, sec. 4.1), which say it of the mixtures in data/toys.py.
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.blocks import squared_distances
from gen_jax.evals.checks import check_labels

VERSION = 1


def point_modes(x: np.ndarray, real_x: np.ndarray, real_label: np.ndarray, *, within: float = 3.0) -> dict[str, float]:
    """Counts the modes of real_x [m, d] that samples x [n, d] lie upon: float arrays.

    A mode is a class of the real data: its mean, and one standard deviation for all modes and directions, which is that
    of the real data about their means. A sample is upon a mode if it lies within `within` standard deviations of the
    nearest mean. Of two-dimensional Gaussians themselves that are 98.9%, at three.

    Returns:
      point_modes: how many modes have a sample upon them. point_modes/known: how many there are.
      point_modes/within: the share of samples that are upon a mode. point_modes/within_real: that of the real data.
      point_modes/kl_real: KL(share of each mode among the samples upon one || its share of the real data) in nats; 0:
        the same. Left out where no sample is upon a mode.

    Raises:
      UserError: arrays that are not floats [n, d] of one d, labels that don't fit, samples that are not finite, or
        `within` not above 0.
    """
    for what, points in (("samples", x), ("real data", real_x)):
        if points.ndim != 2 or points.dtype.kind != "f" or not len(points):
            raise UserError(f"point_modes: {what} are {points.dtype} {list(points.shape)}; needed: floats [n, d]")
        if not np.isfinite(points).all():
            raise UserError(f"point_modes: some of the {what} are not finite (NaN or infinite)")
    if x.shape[1] != real_x.shape[1]:
        raise UserError(f"point_modes: samples of {x.shape[1]} values and real data of {real_x.shape[1]}")
    if within <= 0:
        raise UserError(f"point_modes: within={within}; needed: a number of standard deviations above 0")
    check_labels("point_modes", "real data", real_x, real_label)
    _, mode = np.unique(real_label, return_inverse=True)
    counts = np.bincount(mode)
    means = np.stack([np.bincount(mode, column.astype(np.float64)) / counts for column in real_x.T], axis=1)
    std = np.sqrt(np.square(real_x - means[mode]).mean())
    if std == 0:
        raise UserError("point_modes: all real data of a class are equal, so that a mode has no width")
    read, read_real = (_upon(points, means, within * std) for points in (x, real_x))
    p, q = np.bincount(read[read >= 0], minlength=len(means)), counts / counts.sum()
    there = p > 0
    figures = {
        "point_modes": float(there.sum()),
        "point_modes/known": float(len(means)),
        "point_modes/within": float((read >= 0).mean()),
        "point_modes/within_real": float((read_real >= 0).mean()),
    }
    share = p[there] / max(p.sum(), 1)
    return figures | ({"point_modes/kl_real": float((share * np.log(share / q[there])).sum())} if there.any() else {})


def _upon(points: np.ndarray, means: np.ndarray, radius: float) -> np.ndarray:
    """The mean nearest to each point [n, d], int [n]; -1 where it lies farther than the radius."""
    read = np.full(len(points), -1)
    for rows, squares in squared_distances(points, means):
        read[rows] = np.where(squares.min(axis=1) <= radius**2, squares.argmin(axis=1), -1)
    return read
