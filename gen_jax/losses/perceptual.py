"""Perceptual distances between images as losses: how far two images are apart in a fixed network's layers.

Each is a frozen dataclass with

init(key, x) -> variables: of the fixed network, which stand in TrainState.extra and are not trained
__call__(variables, a, b) -> [b]: the distance of images a and b [b, h, w, c] in [-1, 1], 0 for equal ones

and where the variables are read from files, `load() -> variables`, which takes the place of what init made, so that a
trained run needs the files no more.
"""

import dataclasses
from typing import Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.layers import orthogonal_init
from gen_jax.nn.pretrained import lpips
from gen_jax.types import PyTree


class Perceptual(Protocol):
    """See the module's docstring."""

    def init(self, key: jax.Array, x: jax.Array) -> PyTree: ...

    def __call__(self, variables: PyTree, a: jax.Array, b: jax.Array) -> jax.Array: ...


@dataclasses.dataclass(frozen=True)
class LPIPS:
    """The learned distance of Zhang et al. 2018 (arXiv:1801.03924), nn/pretrained/lpips.py, as VQGAN and latent
    diffusion train with it.

    net: "vgg", as they have it, or "alex". weights, linear: the files, torchvision's of the network and LPIPS' own;
    None: the published ones, from the weights' folder or downloaded, and checked.

    Raises:
      UserError: an unknown network; images that are too small for it (16x16 for vgg); files that are not there.
    """

    net: str = "vgg"
    weights: str | None = None
    linear: str | None = None

    def __post_init__(self):
        lpips.find_backbone(self.net)

    def init(self, key: jax.Array, x: jax.Array) -> PyTree:
        """Zeros, in the shapes of the published weights."""
        lpips.check_size(self.net, x.shape, "losses.RandomFeatures takes them")
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), lpips.shapes(self.net))

    def load(self) -> PyTree:
        """The weights, from their files."""
        return lpips.load_variables(self.net, self.weights, self.linear)[0]

    def __call__(self, variables: PyTree, a: jax.Array, b: jax.Array) -> jax.Array:
        """The distance of images a and b, [b]."""
        return lpips.distance(self.net, variables, a, b)


@dataclasses.dataclass(frozen=True)
class RandomFeatures:
    """The distance in the layers of a convolutional network that was never trained, for where no weights are at hand.

    Random convolutions compare local structure where pixels compare values: Amir & Weiss 2021 (arXiv:2106.06927) find
    them near to learned ones as a loss, and better than none. Layers of 3x3 convolutions and ReLU, each after the
    first on half the size; as in LPIPS each pixel's channels are divided by their norm, and the squared differences
    summed over channels, averaged over pixels, and averaged over layers.

    widths: channels of the layers. seed: of the kernels, which are orthogonal; the run's own seed does not matter.

    Raises:
      UserError: no widths.
    """

    widths: tuple[int, ...] = (32, 64)
    seed: int = 0

    def __post_init__(self):
        if not self.widths or min(self.widths) < 1:
            raise UserError(f"RandomFeatures widths={tuple(self.widths)}: give at least one layer, such as (32, 64)")

    def init(self, key: jax.Array, x: jax.Array) -> PyTree:
        """The network's variables, by `seed` alone."""
        return _RandomNetwork(self.widths).init(jax.random.key(self.seed), x[:1])

    def __call__(self, variables: PyTree, a: jax.Array, b: jax.Array) -> jax.Array:
        """The distance of images a and b, [b], from 0 to 4."""
        maps = (_RandomNetwork(self.widths).apply(variables, x) for x in (a, b))
        return jnp.stack([_unit_distance(y, z) for y, z in zip(*maps, strict=True)]).mean(0)  # type: ignore[arg-type]


class _RandomNetwork(nn.Module):
    """Images [b, h, w, c] -> the maps after each layer, a list."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        maps = []
        for i, width in enumerate(self.widths):
            if i and min(x.shape[1:3]) > 1:
                x = nn.avg_pool(x, (2, 2), (2, 2))
            x = nn.relu(nn.Conv(width, (3, 3), kernel_init=orthogonal_init, name=f"conv_{i}")(x))
            maps.append(x)
        return maps


def _unit_distance(y: jax.Array, z: jax.Array) -> jax.Array:
    """The squared difference of maps [b, h, w, c] of unit channels: summed over channels, the mean of pixels, [b]."""
    return jnp.square(lpips.unit_channels(y) - lpips.unit_channels(z)).sum(-1).mean((1, 2))
