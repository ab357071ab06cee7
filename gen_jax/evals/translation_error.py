"""How far is each translation from the true one, which embedded and other paired data know?

CycleGAN and pix2pix are judged so on data whose partners are known, as Zhu et al. 2017 (arXiv:1703.10593, sec. 5.1)
judge maps and labels; what counts beside it is how far an image that was not translated at all is from the truth.
"""

import numpy as np

from gen_jax.evals.checks import check_pairs

VERSION = 1


def translation_error(x: np.ndarray, target: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Mean absolute error of translations x uint8 [n, h, w, c] of image [n, ...] to their targets [n, h, w, c].

    Returns:
      translation_error: the mean of |x - target| / 255, so 0 is perfect, and 1 black for white everywhere.
      translation_error/identity: that of `image` in place of x; translation_error/ratio: the former over the latter, 1:
      no better than nothing done. Both only where image is of the shape of x; the ratio where they are not the same.

    Raises:
      UserError: images that are not uint8, or not as many as targets and of their shape.
    """
    check_pairs("translation_error", x, target)
    error = _error(x, target)
    figures = {"translation_error": error}
    if image.shape == target.shape:
        figures["translation_error/identity"] = identity = _error(image, target)
        if identity:
            figures["translation_error/ratio"] = error / identity
    return figures


def _error(x: np.ndarray, target: np.ndarray, block: int = 256) -> float:
    sums = [
        np.abs(x[i : i + block].astype(np.int64) - target[i : i + block].astype(np.int64)).sum()
        for i in range(0, len(x), block)
    ]
    return float(sum(sums) / (255 * x.size))
