"""Random weights and images that PyTorch's side (make_reference.py) and ours draw alike, so that none need be stored.

Each tensor's numbers come from the raw stream of PCG64, which numpy keeps the same, seeded by the tensor's name.
"""

import json
import math
import zlib

import numpy as np


def draw(name, shape):
    """float32 in [-1, 1), by name."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(math.prod(shape))
    return ((raw >> 11) * 2.0**-52 - 1).astype(np.float32).reshape(shape)


def images(name, shape):
    """uint8 images: a coarse pattern and some noise, so that they differ in more than their noise."""
    n, h, w, c = shape
    coarse = draw(f"{name} coarse", (n, 4, 4, c)).repeat(-(-h // 4), 1).repeat(-(-w // 4), 2)[:, :h, :w]
    return np.clip(127.5 + 90 * coarse + 40 * draw(name, shape), 0, 255).astype(np.uint8)


def tensor(name, shape):
    """A tensor of a network, with a size that keeps activations near 1 through many layers."""
    u = draw(name, shape)
    leaf = name.split(".")[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        return 1 + u / 2
    if leaf == "gamma":
        return (1 + u) / 2
    if name.startswith("lin"):  # of LPIPS: they are not negative
        return np.abs(u) / shape[1]
    if leaf == "weight" and len(shape) > 1:
        return u * math.sqrt(6 / math.prod(shape[1:]))
    return 1 + u / 5 if leaf == "weight" else u / 5


def state(shapes):
    """All tensors of a network, {name: shape} or its JSON -> {name: array}."""
    shapes = json.loads(str(shapes)) if not isinstance(shapes, dict) else shapes
    return {name: tensor(name, tuple(shape)) for name, shape in shapes.items()}
