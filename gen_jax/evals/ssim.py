"""How alike are the structures of each restored image and its original? 1: equal; 0: nothing in common; may be below.

Structural similarity, Wang et al. 2004 (IEEE TIP 13.4, eq. 13), in windows of Gaussian weights:

    SSIM = (2 mx my + C1) (2 sxy + C2) / ((mx^2 + my^2 + C1) (sx^2 + sy^2 + C2)),  C1 = (0.01 L)^2, C2 = (0.03 L)^2
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_pairs

VERSION = 1
BLOCK = 64  # images that are held as floats at a time
RADIUS, SIGMA = 5, 1.5  # a window of 11 x 11
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(x: np.ndarray, real_x: np.ndarray) -> dict[str, float]:
    """Mean SSIM of x uint8 [n, h, w, c] to originals of the same shape; image i is compared with original i.

    It is taken in every window that lies in the image, in each channel by itself, and averaged over all. Images are not
    made smaller before, as some programs do with large ones.

    Raises:
      UserError: images that are not uint8, not as many as originals and of their shape, or smaller than 11 x 11.
    """
    check_pairs("ssim", x, real_x)
    _, h, w, _ = x.shape
    if min(h, w) <= 2 * RADIUS:
        raise UserError(f"ssim: images of {h} x {w}; its window needs 11 x 11 or more (psnr does not)")
    blocks = range(0, len(x), BLOCK)
    values = [_ssim(x[i : i + BLOCK].astype(np.float64), real_x[i : i + BLOCK].astype(np.float64)) for i in blocks]
    return {"ssim": float(np.concatenate(values).mean())}


def _ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """By image [b] of x and y float64 [b, h, w, c]."""
    mx, my = _mean(x), _mean(y)
    var_x, var_y, cov = _mean(x * x) - mx * mx, _mean(y * y) - my * my, _mean(x * y) - mx * my
    value = (2 * mx * my + C1) * (2 * cov + C2) / ((mx * mx + my * my + C1) * (var_x + var_y + C2))
    return value.mean(axis=(1, 2, 3))


def _mean(x: np.ndarray) -> np.ndarray:
    """The weighted mean over each window that lies in the image: [b, h - 10, w - 10, c]."""
    from scipy.ndimage import correlate1d

    weight = np.exp(-0.5 * np.square(np.arange(-RADIUS, RADIUS + 1) / SIGMA))
    weight /= weight.sum()
    inside = slice(RADIUS, -RADIUS)
    return correlate1d(correlate1d(x, weight, axis=1), weight, axis=2)[:, inside, inside]
