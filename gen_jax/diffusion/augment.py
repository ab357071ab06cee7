"""Augmentation that does not leak into samples: the network is told what was done, and that nothing was in sampling.

Karras et al. 2022 (arXiv:2206.00364, app. F.2 and tab. 6). An augmentation is a function (keys [b], x [b, h, w, c]) ->
(x, labels [b, k]); labels of zeros mean that the image is as it was.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from gen_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class GeometricAugment:
    """The paper's eight random parameters, as one affine warp with bilinear sampling and mirrored borders.

    p: the probability of each transformation but xflip, 0.12 for CIFAR-10 and 0.15 for FFHQ; 0: of xflip too. What is
    None or False is never done. xflip: mirrors half of the images. yflip: upside down, half of those that p chooses.
    scale, aniso: standard deviations of log2 of the factor, in all directions, and along one with its inverse across.
    rotate: by any angle. translate: standard deviation of the move, in units of the image's width and height.

    labels [b, 9]: xflip and yflip (0 or 1), scale, cos - 1 and sin of the rotation, cos and sin of the stretch's
    direction times its size, translation to the right and down; sizes in units of their standard deviation. As in the
    paper a stretch has the label of the inverse one in the opposite direction. Its filter between pixels is finer.

    Raises:
      UserError: p is no probability; when called, x is no batch of images."""

    p: float = 0.12
    xflip: bool = True
    yflip: bool = True
    scale: float | None = 0.2
    rotate: bool = True
    aniso: float | None = 0.2
    translate: float | None = 0.125

    def __post_init__(self):
        if not 0 <= self.p <= 1:
            raise UserError(f"GeometricAugment p={self.p}: a probability lies in [0, 1]")

    def __call__(self, keys: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        if x.ndim != 4:
            raise UserError(f"GeometricAugment takes images [b, h, w, c], got an array of shape {list(x.shape)}")
        parameters = jax.vmap(self._draw)(keys)
        return jax.vmap(self._warp)(x, parameters), jax.vmap(_labels)(parameters)

    def _draw(self, key: jax.Array) -> jax.Array:
        """a [8]: xflip, yflip, scale, angle, direction of the stretch, its size, translation to the right and down."""
        a, b, c, d = jax.random.split(key, 4)
        flips = jax.random.bernoulli(a, shape=(2,)).astype(jnp.float32)
        angle, direction = jax.random.uniform(b, (2,), minval=-jnp.pi, maxval=jnp.pi)
        size, stretch, right, down = jax.random.normal(c, (4,))
        yflip, scale, rotate, aniso, translate = jax.random.uniform(d, (5,)) < self.p
        done = [
            (flips[0], self.xflip and self.p > 0),
            (flips[1], yflip & self.yflip),
            (size, scale & bool(self.scale)),
            (angle, rotate & self.rotate),
            (direction, aniso & bool(self.aniso)),
            (stretch, aniso & bool(self.aniso)),
            (right, translate & bool(self.translate)),
            (down, translate & bool(self.translate)),
        ]
        return jnp.stack([jnp.where(on, value, 0.0) for value, on in done])

    def _warp(self, x: jax.Array, a: jax.Array) -> jax.Array:
        h, w, _ = x.shape
        size, stretch = 2.0 ** ((self.scale or 0.0) * a[2]), 2.0 ** ((self.aniso or 0.0) * a[5])
        parts = [  # the last is done first
            rotation(a[4]),
            jnp.diag(jnp.stack([stretch, 1 / stretch])),
            rotation(-a[4]),
            rotation(-a[3]),
            size * jnp.diag(1 - 2 * a[:2]),
        ]
        matrix = jnp.linalg.multi_dot(parts, precision="highest")
        return affine_warp(x, matrix, (self.translate or 0.0) * a[6:] * jnp.array([w, h]))


def affine_warp(x: jax.Array, matrix: jax.Array, shift: jax.Array) -> jax.Array:
    """Moves what is at p in the image x [h, w, c] to matrix p + shift, for p = (right, down) in pixels from the centre.

    matrix: [2, 2], invertible. shift: [2]. Sampled bilinearly; beyond its border the image goes on mirrored at the
    outermost pixels' centres."""
    h, w, _ = x.shape
    down, right = jnp.meshgrid(jnp.arange(h) - (h - 1) / 2, jnp.arange(w) - (w - 1) / 2, indexing="ij")  # [h, w]
    right, down = right - shift[0], down - shift[1]
    (a, b), (c, d) = matrix
    det = a * d - b * c
    right, down = (d * right - b * down) / det, (a * down - c * right) / det
    source = [down + (h - 1) / 2, right + (w - 1) / 2]
    sample = lambda channel: map_coordinates(channel, source, order=1, mode="mirror")  # noqa: E731
    return jax.vmap(sample, in_axes=2, out_axes=2)(x)


def rotation(angle: jax.Array) -> jax.Array:
    """The matrix [2, 2] that turns (right, down) clockwise."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.array([[cos, -sin], [sin, cos]])


def _labels(a: jax.Array) -> jax.Array:
    turned = [jnp.cos(a[3]) - 1, jnp.sin(a[3]), a[5] * jnp.cos(a[4]), a[5] * jnp.sin(a[4])]
    return jnp.concatenate([a[:3], jnp.stack(turned), a[6:]])
