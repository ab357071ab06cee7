"""How unlike is each restored image to its original, to a network's eye? 0: equal; about 1: nothing alike.

LPIPS, Zhang et al. 2018 (arXiv:1801.03924); nn/pretrained/lpips.py says how it is taken.
"""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_pairs
from gen_jax.nn.pretrained import lpips as perceptual

VERSION = 1


def lpips(
    x: np.ndarray,
    real_x: np.ndarray,
    *,
    net: str = "alex",
    weights: str | None = None,
    linear: str | None = None,
    batch_size: int = 64,
) -> dict[str, float]:
    """Mean LPIPS of x uint8 [n, h, w, 1 or 3] to originals of the same shape; image i is compared with original i.

    Args:
      net: "alex", as most figures, or "vgg". weights, linear: files of that network and of LPIPS' own weights; None:
        the published ones.

    Raises:
      UserError: images that are not uint8, not as many as originals and of their shape, or too small for the network;
        weights that are not there and cannot be downloaded.
    """
    check_pairs("lpips", x, real_x)
    if batch_size < 1:
        raise UserError(f"lpips: batch_size={batch_size}; needed: 1 or more")
    distance = perceptual.lpips(net, weights, linear)
    measure = jax.jit(lambda tree, a, b: distance.forward(tree, _scale(a), _scale(b)))
    values = []
    for i in range(0, len(x), batch_size):
        # The last batch is filled up with images seen before, so that it has the others' shape.
        index = np.minimum(np.arange(i, i + min(batch_size, len(x))), len(x) - 1)
        values.append(np.asarray(measure(distance.variables, x[index], real_x[index]))[: len(x) - i])
    return {"lpips": float(np.concatenate(values).mean(dtype=np.float64))}


def _scale(x: jax.Array) -> jax.Array:
    """Bytes to [-1, 1]."""
    return x.astype(jnp.float32) / 127.5 - 1
