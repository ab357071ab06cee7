"""LPIPS: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric"
(arXiv:1801.03924), version 0.1.

With y_l the maps of a network's layer l, each pixel's channels divided by their norm, and w_l learned from people's
judgements (equation 1):

    d(a, b) = sum_l mean over pixels of sum over channels of w_l (y_l(a) - y_l(b))^2

The networks are torchvision's AlexNet ("alex", for figures) and VGG16 ("vgg", smoother, for losses).
"""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError, unknown
from gen_jax.nn.layers import to_rgb
from gen_jax.nn.pretrained.weights import Published, Weights, digest, load, variables
from gen_jax.types import PyTree

# Of ImageNet's RGB in [-1, 1].
SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
SCALE = np.array([0.458, 0.448, 0.450], np.float32)
INSTEAD = "psnr and ssim, which need no weights"
EXAMPLE = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution of a backbone: torchvision's number of it, its channels, kernel, stride and padding."""

    number: int
    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


@dataclasses.dataclass(frozen=True)
class Backbone:
    """Stages of convolutions, each with a ReLU after it; the stages' ends are compared.

    pool: the width of the maximum pool, of stride 2, before each stage of `pooled`. smallest: height and width that
    come through."""

    stages: tuple[tuple[Conv, ...], ...]
    pool: int
    pooled: tuple[int, ...]
    smallest: int
    file: Published
    linear: Published


def _torchvision(name: str, sha256: str, megabytes: int) -> Published:
    url = f"https://download.pytorch.org/models/{name}"
    return Published(name, url, sha256, megabytes, INSTEAD, prefix="features.")


def _linear(net: str, sha256: str) -> Published:
    url = f"https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/{net}.pth"
    return Published(f"lpips_v0.1_{net}.pth", url, sha256, 0, INSTEAD, prefix="lin")


BACKBONES = {
    "alex": Backbone(
        stages=(
            (Conv(0, 64, kernel=11, stride=4, padding=2),),
            (Conv(3, 192, kernel=5, padding=2),),
            (Conv(6, 384),),
            (Conv(8, 256),),
            (Conv(10, 256),),
        ),
        pool=3,
        pooled=(1, 2),
        smallest=31,
        file=_torchvision(
            "alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", 244
        ),
        linear=_linear("alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
    ),
    "vgg": Backbone(
        stages=(
            (Conv(0, 64), Conv(2, 64)),
            (Conv(5, 128), Conv(7, 128)),
            (Conv(10, 256), Conv(12, 256), Conv(14, 256)),
            (Conv(17, 512), Conv(19, 512), Conv(21, 512)),
            (Conv(24, 512), Conv(26, 512), Conv(28, 512)),
        ),
        pool=2,
        pooled=(1, 2, 3, 4),
        smallest=16,
        file=_torchvision(
            "vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553
        ),
        linear=_linear("vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
    ),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Lpips:
    """The distance, called as lpips(a, b) -> [n]. It can be compiled and differentiated.

    net: "alex" or "vgg". hash: sha256 of all its weights. forward: (variables, a, b) -> [n], for code that hands the
    variables through."""

    net: str
    hash: str
    variables: PyTree
    forward: Callable[[PyTree, jax.Array, jax.Array], jax.Array]

    def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return self.forward(self.variables, a, b)


def lpips(net: str = "alex", weights: str | None = None, linear: str | None = None) -> Lpips:
    """LPIPS of images [n, h, w, 1 or 3] in [-1, 1], float: 0 for equal ones, about 1 for unlike ones.

    It depends on the image size; published figures are mostly of 64x64 patches or of whole images, by "alex".

    Args:
      net: "alex" or "vgg". weights: torchvision's file of that network; linear: LPIPS' own, of the w_l. None: the
        published ones, from the weights' folder or downloaded.

    Raises:
      UserError: an unknown network; see weights.load for the files. When called: images of two shapes, or too small.
    """
    tree, hashed = load_variables(net, weights, linear)
    return Lpips(net, hashed, tree, functools.partial(distance, net))


def load_variables(net: str, weights: str | None = None, linear: str | None = None) -> tuple[PyTree, str]:
    """The variables of `distance`, and sha256 of all of them; the arguments and errors are those of `lpips`."""
    backbone = find_backbone(net)
    found, weighting = load(backbone.file, weights), load(backbone.linear, linear)
    widths = [stage[-1].channels for stage in backbone.stages]
    tree = {
        "maps": variables(Maps(backbone), found, EXAMPLE),
        "linear": [_row(weighting, i, c) for i, c in enumerate(widths)],
    }
    return tree, digest({**found.tensors, **weighting.tensors})


def shapes(net: str) -> PyTree:
    """The variables of `distance` as shapes."""
    backbone = find_backbone(net)
    maps = jax.eval_shape(Maps(backbone).init, jax.random.key(0), EXAMPLE)
    linear = [jax.ShapeDtypeStruct((stage[-1].channels,), jnp.float32) for stage in backbone.stages]
    return {"maps": maps, "linear": linear}


def find_backbone(net: str) -> Backbone:
    """The network of that name. Raises UserError for an unknown one."""
    if net not in BACKBONES:
        raise unknown("network of LPIPS", net, BACKBONES)
    return BACKBONES[net]


def check_size(net: str, shape: tuple[int, ...], instead: str) -> None:
    """Raises UserError for images [n, h, w, c] that do not come through the network. instead: what takes them."""
    least, (h, w) = find_backbone(net).smallest, shape[1:3]
    if min(h, w) < least:
        raise UserError(f"images of {h}x{w} are too small for LPIPS ({net}), which needs {least}x{least}; {instead}")


def distance(net: str, tree: PyTree, a: jax.Array, b: jax.Array) -> jax.Array:
    """LPIPS of images a and b, [n]. Raises UserError for images of two shapes, or too small."""
    if a.shape != b.shape:
        raise UserError(f"LPIPS compares images of one shape, got {list(a.shape)} and {list(b.shape)}")
    check_size(net, a.shape, "PSNR and SSIM take them")
    module = Maps(BACKBONES[net])
    with jax.default_matmul_precision("highest"):
        pairs = zip(*(module.apply(tree["maps"], (to_rgb(x) - SHIFT) / SCALE) for x in (a, b)), strict=True)
        rows = tree["linear"]
        layers = [jnp.square(unit_channels(y) - unit_channels(z)) @ w for (y, z), w in zip(pairs, rows, strict=True)]
    return jnp.stack([layer.mean(axis=(1, 2)) for layer in layers]).sum(axis=0)  # of [n, h, w] each


class Maps(nn.Module):
    """The maps at the ends of the stages: a list of [b, h, w, channels]."""

    backbone: Backbone

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        maps, pool = [], self.backbone.pool
        for i, stage in enumerate(self.backbone.stages):
            if i in self.backbone.pooled:
                x = nn.max_pool(x, (pool, pool), (2, 2))
            for c in stage:
                strides, name = (c.stride, c.stride), f"features_{c.number}"
                x = nn.relu(nn.Conv(c.channels, (c.kernel, c.kernel), strides, c.padding, name=name)(x))
            maps.append(x)
        return maps


def unit_channels(y: jax.Array) -> jax.Array:
    """Each pixel's channels divided by their norm; 0 stays 0, with a finite gradient."""
    return y / (jnp.sqrt(jnp.square(y).sum(axis=-1, keepdims=True) + 1e-20) + 1e-10)


def _row(weights: Weights, i: int, channels: int) -> jax.Array:
    """w_i [channels]."""
    row = weights.tensors.get(f"lin{i}.model.1.weight", np.zeros(0))
    if row.size != channels:
        raise UserError(
            f"{weights.file} is not of this LPIPS: lin{i} of {channels} weights is needed, it has {row.size}"
        )
    return jnp.asarray(row.reshape(channels), jnp.float32)
