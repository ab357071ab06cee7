"""How near is each restored image to its original, pixel by pixel, in decibels? More is better."""

import numpy as np

from gen_jax.evals.checks import check_pairs

VERSION = 1
BLOCK = 256  # images that are held as floats at a time


def psnr(x: np.ndarray, real_x: np.ndarray) -> dict[str, float]:
    """Peak signal-to-noise ratio 10 log10(255^2 / MSE) of x uint8 [n, h, w, c] to originals of the same shape.

    Image i is compared with original i, so this is for restoration, not for free samples. The figure is the mean over
    images of each one's ratio. Equal images, whose ratio is infinite, are taken for such as differ by one level in one
    value (the next best there is), so that the mean stays a number.

    Raises:
      UserError: images that are not uint8, or not as many as originals and of their shape.
    """
    check_pairs("psnr", x, real_x)
    floor = 1 / x[0].size
    errors = [
        np.square(x[i : i + BLOCK].astype(np.float64) - real_x[i : i + BLOCK]).mean(axis=(1, 2, 3))
        for i in range(0, len(x), BLOCK)
    ]
    return {"psnr": float((10 * np.log10(255**2 / np.maximum(np.concatenate(errors), floor))).mean())}
