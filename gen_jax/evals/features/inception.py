"""The Inception network of 2015 behind FID, KID and the Inception score: Szegedy et al. 2015 (arXiv:1512.00567), as in
classify_image_graph_def.pb of TensorFlow's inception-2015-12-05.tgz, which Salimans et al. 2016 (arXiv:1606.03498) and
Heusel et al. 2017 (arXiv:1706.08500) took.

It differs from the network of the paper and of torchvision: average pools don't count the padding, the last block's
pool is a maximum, batch normalization has eps = 1e-3, and there are 1,008 logits. The weights are PyTorch's conversion
of that graph, published with pytorch-fid and, as the same file, with torch-fidelity.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import unknown
from gen_jax.evals.features.extract import Network, bind
from gen_jax.evals.features.resize import MODES, resize
from gen_jax.nn.layers import to_rgb
from gen_jax.nn.pretrained.weights import Published, load, variables
from gen_jax.types import PyTree

FILE = Published(
    name="pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    megabytes=96,
    instead="fid_own, by a classifier trained on the data themselves",
)
SIZE = 299
DIM = 2048


def inception(weights: str | None = None, resize: str = "tf-legacy") -> Network:
    """FID's Inception: 2,048 features, the average of the last block's map, and 1,008 logits.

    The logits are without their bias, as the Inception score's original implementation took them. Images of any size
    are resized to 299x299, grey ones are seen as RGB.

    Args:
      weights: the file (.pth or .safetensors); None: the published one, from the weights' folder or downloaded.
      resize: "tf-legacy", what the original FID and most published figures were made with (so torch-fidelity), and
        "clean" (clean-fid): both with x -> (x - 128) / 128. "pytorch-fid": with 2 x / 255 - 1.

    Raises:
      UserError: an unknown resize mode; see weights.load for the file.
    """
    if resize not in MODES:
        raise unknown("resize mode", resize, MODES)
    found = load(FILE, weights)
    tree = variables(InceptionV3(), found, jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32))

    def forward(tree: PyTree, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return InceptionV3().apply(tree, scale(x, resize))  # type: ignore[return-value]

    return Network("inception", found.hash, resize, bind(forward, tree), DIM)


def scale(x: jax.Array, mode: str) -> jax.Array:
    """uint8 images [b, h, w, 1 or 3] as the network takes them: float32 [b, 299, 299, 3]."""
    x = resize(to_rgb(x), SIZE, mode)
    return x / 127.5 - 1 if mode == "pytorch-fid" else (x - 128) / 128


class InceptionV3(nn.Module):
    """Images [b, 299, 299, 3] -> (features [b, 2048], logits without bias [b, 1008]).

    The names are those of the published weights. Kernels are given as (height, width).
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = Unit(32, (3, 3), 2, "VALID", name="Conv2d_1a_3x3")(x)  # [b, 149, 149, 32]
        x = Unit(32, (3, 3), 1, "VALID", name="Conv2d_2a_3x3")(x)
        x = Unit(64, (3, 3), name="Conv2d_2b_3x3")(x)
        x = _halve(x)  # [b, 73, 73, 64]
        x = Unit(80, name="Conv2d_3b_1x1")(x)
        x = Unit(192, (3, 3), 1, "VALID", name="Conv2d_4a_3x3")(x)
        x = _halve(x)  # [b, 35, 35, 192]
        for i, pooled in zip("bcd", (32, 64, 64), strict=True):
            x = BlockA(pooled, name=f"Mixed_5{i}")(x)  # [b, 35, 35, 256], then 288
        x = BlockB(name="Mixed_6a")(x)  # [b, 17, 17, 768]
        for i, width in zip("bcde", (128, 160, 160, 192), strict=True):
            x = BlockC(width, name=f"Mixed_6{i}")(x)
        x = BlockD(name="Mixed_7a")(x)  # [b, 8, 8, 1280]
        x = BlockE(_average, name="Mixed_7b")(x)  # [b, 8, 8, 2048]
        x = BlockE(_maximum, name="Mixed_7c")(x)
        features = x.mean(axis=(1, 2))
        return features, nn.Dense(1008, use_bias=False, name="fc")(features)


class Unit(nn.Module):
    """A convolution without bias, batch normalization by its stored statistics, and a ReLU."""

    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        strides = (self.stride, self.stride)
        x = nn.Conv(self.channels, self.kernel, strides, self.padding, use_bias=False, name="conv")(x)
        return nn.relu(nn.BatchNorm(use_running_average=True, epsilon=1e-3, name="bn")(x))


class BlockA(nn.Module):
    """On the 35x35 map; `pooled` channels come from the pool."""

    pooled: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return _join(
            Unit(64, name="branch1x1")(x),
            _chain("branch5x5", x, (48,), (64, (5, 5))),
            _chain("branch3x3dbl", x, (64,), (96, (3, 3)), (96, (3, 3))),
            Unit(self.pooled, name="branch_pool")(_average(x)),
        )


class BlockB(nn.Module):
    """From 35x35 to 17x17."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return _join(
            Unit(384, (3, 3), 2, "VALID", name="branch3x3")(x),
            _chain("branch3x3dbl", x, (64,), (96, (3, 3)), (96, (3, 3), 2, "VALID")),
            _halve(x),
        )


class BlockC(nn.Module):
    """On the 17x17 map, with 7x7 convolutions factored into 1x7 and 7x1 of `width` channels."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c, row, column = self.width, (1, 7), (7, 1)
        return _join(
            Unit(192, name="branch1x1")(x),
            _chain("branch7x7", x, (c,), (c, row), (192, column)),
            _chain("branch7x7dbl", x, (c,), (c, column), (c, row), (c, column), (192, row)),
            Unit(192, name="branch_pool")(_average(x)),
        )


class BlockD(nn.Module):
    """From 17x17 to 8x8."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return _join(
            _chain("branch3x3", x, (192,), (320, (3, 3), 2, "VALID")),
            _chain("branch7x7x3", x, (192,), (192, (1, 7)), (192, (7, 1)), (192, (3, 3), 2, "VALID")),
            _halve(x),
        )


class BlockE(nn.Module):
    """On the 8x8 map, with 3x3 convolutions parted into 1x3 beside 3x1; the last one's `pool` is the maximum."""

    pool: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        a = _chain("branch3x3", x, (384,))
        b = _chain("branch3x3dbl", x, (448,), (384, (3, 3)))
        return _join(
            Unit(320, name="branch1x1")(x),
            Unit(384, (1, 3), name="branch3x3_2a")(a),
            Unit(384, (3, 1), name="branch3x3_2b")(a),
            Unit(384, (1, 3), name="branch3x3dbl_3a")(b),
            Unit(384, (3, 1), name="branch3x3dbl_3b")(b),
            Unit(192, name="branch_pool")(self.pool(x)),
        )


def _chain(name: str, x: jax.Array, *units: tuple) -> jax.Array:
    """Units one after the other, named NAME_1, NAME_2, ..."""
    for i, unit in enumerate(units, start=1):
        x = Unit(*unit, name=f"{name}_{i}")(x)
    return x


def _join(*branches: jax.Array) -> jax.Array:
    return jnp.concatenate(branches, axis=-1)


def _halve(x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (3, 3), (2, 2), "VALID")


def _average(x: jax.Array) -> jax.Array:
    """Over 3x3; at the border over the pixels that there are."""
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def _maximum(x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (3, 3), (1, 1), "SAME")
