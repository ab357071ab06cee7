"""Networks that grow while they are trained.

Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (arXiv:1710.10196),
section 2.

Levels 0, 1, ..., n have sides 4, 8, ..., 4 * 2^n. At progress s, a whole number of stages, a network is that of level
s; on the way from s to s + 1 level s + 1 is faded in: alpha, what progress is beyond s, is its share of the image, or
of the features (figure 2). Images always have the full size, so that shapes never change: a generator repeats its
pixels and a discriminator averages them, and only the levels that count are computed, by lax.switch.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.layers import upsample
from gen_jax.nn.resample import fir_downsample


@dataclasses.dataclass(frozen=True)
class Growth:
    """How far networks have grown: step [] -> progress [] float32, from `start` to `stages`.

    stages: how often the side is doubled, 4 * 2^stages being that of the data. Each stage is trained for `hold` steps,
    after which the next is faded in over `fade` steps, and so on; start: the progress at step 0, in stages.

    Raises:
      UserError: a number out of range.
    """

    stages: int
    hold: int
    fade: int
    start: float = 0.0

    def __post_init__(self):
        if self.stages < 1 or self.hold < 0 or self.fade < 1 or not 0 <= self.start <= self.stages:
            raise UserError(
                f"Growth stages={self.stages}, hold={self.hold}, fade={self.fade}, start={self.start}: there is at "
                "least 1 stage, fade is at least 1 step, hold is not below 0, and start lies in [0, stages]"
            )

    def __call__(self, step: jax.Array) -> jax.Array:
        """The progress at a step."""
        done, within = jnp.divmod(step, self.hold + self.fade)
        fading = jnp.maximum(within - self.hold, 0) / self.fade
        return jnp.minimum(self.start + done + fading, self.stages).astype(jnp.float32)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for images whose side is not 4 * 2^stages."""
        side = 4 * 2**self.stages
        if shape[:2] != (side, side):
            raise UserError(f"Growth stages={self.stages} end at {side}x{side}, and an example's shape is {shape}")

    def show(self, x: jax.Array, progress: jax.Array) -> jax.Array:
        """Real images [b, h, w, c] with the details that a generator can have at this progress."""

        def at(last: int, alpha: jax.Array) -> jax.Array:
            fine, coarse = (_repeated(_averaged(x, n), n) for n in (self.stages - last, self.stages - max(last - 1, 0)))
            return coarse + alpha * (fine - coarse)

        last, alpha = _stage(progress, self.stages)
        return jax.lax.switch(last, [functools.partial(at, i) for i in range(self.stages + 1)], alpha)


def grown(
    run: Callable[..., jax.Array], module: nn.Module, progress: jax.Array | None, stages: int, *args: Any
) -> jax.Array:
    """run(module, last, alpha, *args) at the level `last` that the progress has come to, alpha [] of it faded in.

    alpha: None where the network has wholly grown (progress None). All levels' parameters are made at the start."""
    if module.is_initializing():
        for level in range(1, stages + 1):
            out = run(module, level, jnp.float32(1), *args)
        return out if stages else run(module, 0, None, *args)
    if progress is None or not stages:
        return run(module, stages, None, *args)
    last, alpha = _stage(progress, stages)
    branches = [lambda module, alpha, *args, i=i: run(module, i, alpha, *args) for i in range(stages + 1)]
    return nn.switch(last, branches, module, alpha, *args)


def grow_image(
    draw: Callable[[int, Any], jax.Array],
    to_image: Callable[[int, jax.Array], jax.Array],
    last: int,
    alpha,
    stages: int,
) -> jax.Array:
    """An image of full size by levels 0 to `last`: draw(level, x) gives features, to_image(level, x) an image."""
    before = x = draw(0, None)
    for level in range(1, last + 1):
        before, x = x, draw(level, x)
    image = to_image(last, x)
    if alpha is not None and last:
        coarse = upsample(to_image(last - 1, before))
        image = coarse + alpha * (image - coarse)
    return _repeated(image, stages - last)


def shrink_image(
    read: Callable[[int, jax.Array], jax.Array],
    from_image: Callable[[int, jax.Array], jax.Array],
    image: jax.Array,
    last: int,
    alpha,
    stages: int,
) -> jax.Array:
    """Features at 4x4 of an image of full size, by levels `last` to 1: from_image(level, image) gives features, and
    read(level, x) halves them."""
    image = _averaged(image, stages - last)
    x = from_image(last, image)
    for level in range(last, 0, -1):
        x = read(level, x)
        if alpha is not None and level == last:
            coarse = from_image(level - 1, fir_downsample(image))
            x = coarse + alpha * (x - coarse)
    return x


def _stage(progress: jax.Array, stages: int) -> tuple[jax.Array, jax.Array]:
    """The level [] that the progress [] has come to, and how much of it is faded in; both are whole at level 0."""
    progress = jnp.clip(progress, 0, stages)
    last = jnp.ceil(progress).astype(jnp.int32)
    return last, jnp.where(last > 0, progress - (last - 1), 1.0)


def _averaged(x: jax.Array, times: int) -> jax.Array:
    for _ in range(times):
        x = fir_downsample(x)
    return x


def _repeated(x: jax.Array, times: int) -> jax.Array:
    for _ in range(times):
        x = upsample(x)
    return x
