"""Mixtures of Gaussians in the plane, on which a model's lost modes can be seen and counted.

Both are scaled to unit variance of each coordinate, as in the toy experiments of Gulrajani et al. 2017
(arXiv:1704.00028): x is float32 [n, 2], which networks see as it is. So they lie within about +-1.5, which a tanh does
not reach: a generator of them needs final="none".
"""

import numpy as np

from gen_jax.data.memory import InMemory
from gen_jax.errors import UserError, unknown
from gen_jax.types import DataInfo

SPLITS = {"train": 0, "test": 1}


def gaussians_grid(split: str = "train", size: int = 100_000, seed: int = 0) -> InMemory:
    """25 Gaussians in a square: x float32 [2], label int32, the mode.

    Before the scaling their means are (-4 + 2 i, -4 + 2 j) with i, j in 0 ... 4, their standard deviation is 0.05: the
    2D grid of VEEGAN (Srivastava et al. 2017, arXiv:1705.07761, sec. 4.1) and PacGAN (Lin et al. 2018,
    arXiv:1712.04086, sec. 4.1). Modes are named by their means, such as "-4,2".

    Raises:
      UserError: no such split; a size below 1.
    """
    places = np.arange(-4, 5, 2)
    means = np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1).reshape(-1, 2)
    return _mixture("gaussians_grid", split, size, seed, means, 0.05, [f"{x},{y}" for x, y in means])


def gaussians_ring(split: str = "train", size: int = 100_000, seed: int = 0) -> InMemory:
    """8 Gaussians on a circle: x float32 [2], label int32, the mode.

    Before the scaling the circle's radius is 2 and their standard deviation 0.02: the ring of unrolled GANs (Metz et
    al. 2017, arXiv:1611.02163, app. A). Mode 0 lies on the first axis, the others follow at every 45 degrees.

    Raises:
      UserError: no such split; a size below 1.
    """
    angles = 2 * np.pi * np.arange(8) / 8
    means = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _mixture("gaussians_ring", split, size, seed, means, 0.02, [str(i) for i in range(8)])


def _mixture(name: str, split: str, size: int, seed: int, means: np.ndarray, std: float, names: list[str]) -> InMemory:
    """`size` examples, each of a mode drawn evenly, over the root of the variance of the means [modes, 2]."""
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if size < 1:
        raise UserError(f"{name}: size {size} must be 1 or more")
    rng = np.random.default_rng([seed, SPLITS[split]])
    label = rng.integers(len(means), size=size, dtype=np.int32)
    x = (means[label] + std * rng.standard_normal((size, 2))) / means.std(axis=0)
    return InMemory(DataInfo((2,), tuple(names), "float32"), {"x": x.astype(np.float32), "label": label})
