"""Images into a latent space: the task `project` of gen_jax.sample."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gen_jax.data.images import EXTENSIONS, decode
from gen_jax.errors import UserError
from gen_jax.random import fold, normal
from gen_jax.tasks.latent import Sheet, Walker

MEAN_OF = 1000
"""Samples whose mean latent is where the search starts, and whose spread is the unit of its steps."""


def project(
    run: Any,
    num: int,
    seed: int,
    label: int | None = None,
    *,
    image: str | None = None,
    steps: int = 500,
    learning_rate: float = 0.1,
    space: str | None = None,
    layers: bool = False,
) -> Sheet:
    """Finds the latents whose images are nearest to given ones: each row shows an image and what was found for it.

    Adam from the mean latent, with noise that falls to none in the first three quarters and a learning rate that ramps
    up and down, as in Karras et al. 2020 (arXiv:1912.04958, appendix D). The distance is the mean square of the pixels'
    difference, at the image's own size and at each half of it down to 4 pixels; that paper's is LPIPS at 256 pixels.

    Args:
      image: a file, or a folder of which the first `num` are taken; None: samples 0 to num - 1 of this run and seed,
        which lie in the space, so that what is lost is the search's own.
      steps, learning_rate: of the search; the rate is in standard deviations of the space.
      space: "z" or "w"; None: w where the model has one. layers: each layer has a w of its own (w+).

    Returns:
      a sheet of two columns; latent [n, ...], what --options='{"latents": FILE}' of the task interpolate reads, and
      psnr [n] in dB.

    Raises:
      UserError: no such image, steps or rate out of range, a model without latents.
    """
    if steps < 1 or learning_rate <= 0:
        raise UserError(f"steps={steps}, learning_rate={learning_rate}: at least 1, and above 0")
    walker = Walker.of(run, space)
    if layers and walker.space.name != "w":
        raise UserError("layers=True: only a style-based generator has a latent for each layer (space w)")
    keys = walker.keys(seed, num)
    if image is None:
        targets = walker.sample(keys, walker.labels(label, num))
    else:
        targets = read_images(Path(image), num, run.info.shape)
    n = len(targets)
    keys, cond = keys[:n], walker.labels(label, n)
    drawn = walker.draw(walker.keys(seed + 1, MEAN_OF), walker.labels(label, MEAN_OF))
    centre, unit = drawn.mean(0), np.float32(drawn.std(0).mean())
    start = np.broadcast_to(centre, (n, *centre.shape)).astype(np.float32)
    search = functools.partial(_search, walker, steps, learning_rate * float(unit), 0.05 * float(unit), layers)
    latent = walker.batched(search, start, targets, cond, keys)
    found = walker.decode(latent, cond, fold(keys, 1))
    errors = np.square(found.astype(np.float64) - targets).reshape(n, -1).mean(1)
    psnr = 10 * np.log10(255**2 / np.maximum(errors, 1 / targets[0].size))
    x = np.stack([targets, found], axis=1)
    return Sheet(
        x.reshape(-1, *x.shape[2:]), 2, {"latent": latent, "psnr": psnr, **{k: np.asarray(v) for k, v in cond.items()}}
    )


def read_images(path: Path, num: int, shape: tuple[int, ...]) -> np.ndarray:
    """Images uint8 [n, h, w, c] of a file, or the first `num` of a folder, cropped and resized to the model's size.

    Raises:
      UserError: there is none, or one cannot be read.
    """
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in EXTENSIONS)[:num] if path.is_dir() else [path]
    if not files or not path.exists():
        raise UserError(f"image={path}: no image there; give a file ({', '.join(EXTENSIONS)}) or a folder of such")
    h, w, c = shape
    if h != w:
        raise UserError(f"image={path}: images are cropped to squares, and this model's are {h}x{w}")
    images = []
    for file in files:
        try:
            images.append(decode(file.read_bytes(), resolution=h, channels=c)[0])
        except Exception as error:  # whatever Pillow says of a file that is no image
            raise UserError(f"image={file} is not an image that can be read: {error}") from error
    return np.stack(images)


def pyramid_distance(x: jax.Array, target: jax.Array) -> jax.Array:
    """The mean squared difference of images [n, h, w, c], on the mean over their sizes: as they are, and halved as long
    as both sides stay 4 pixels or more: [n]."""
    difference, found = x - target, []
    while True:
        n, h, w, c = difference.shape
        found.append(jnp.square(difference).reshape(n, -1).mean(1))
        if h % 2 or w % 2 or min(h, w) < 8:
            return jnp.mean(jnp.stack(found), axis=0)
        difference = difference.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _search(
    walker: Walker, steps: int, rate: float, wander: float, layers: bool, params, extra, start, target, cond, keys
) -> jax.Array:
    """The latents [n, ...] after the search. wander: the standard deviation of the noise that it begins with."""
    target = target.astype(jnp.float32) / 127.5 - 1
    free = start[:, :1] if walker.space.name == "w" and not layers else start  # one w for all layers

    def distance(free, noise):
        x = walker.space.decode(params, extra, jnp.broadcast_to(free + noise, start.shape), cond, fold(keys, 1))
        return pyramid_distance(x, target).sum()

    def ramped(step):
        t = step / steps
        down = jnp.minimum(1.0, (1 - t) / 0.25)
        return rate * (0.5 - 0.5 * jnp.cos(jnp.pi * down)) * jnp.minimum(1.0, (t + 1 / steps) / 0.05)

    optimizer = optax.adam(ramped)

    def step(carry, i):
        free, state = carry
        calm = jnp.square(jnp.maximum(0.0, 1 - i / (0.75 * steps)))
        noise = wander * calm * normal(fold(keys, 2 + i), free.shape[1:])
        updates, state = optimizer.update(jax.grad(distance)(free, noise), state)
        return (optax.apply_updates(free, updates), state), None

    (free, _), _ = jax.lax.scan(step, (free, optimizer.init(free)), jnp.arange(steps))
    return jnp.broadcast_to(free, start.shape)
