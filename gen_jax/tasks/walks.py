"""Walks through a latent space, tasks of gen_jax.sample: (run, num, seed, label, options) -> Sheet.

python -m gen_jax.sample --workdir=DIR --task=interpolate --num=4 --options='{"frames": 10}' --out=walk.gif
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError
from gen_jax.random import fold
from gen_jax.tasks.codes import examples
from gen_jax.tasks.latent import Sheet, Walker, read_latents


def interpolate(
    run: Any,
    num: int,
    seed: int,
    label: int | None = None,
    *,
    frames: int = 8,
    space: str | None = None,
    latents: str | None = None,
    images: bool | str = False,
) -> Sheet:
    """`num` paths, each from one sample to the next, in `frames` steps: a row each, or a film.

    z is walked along arcs, w and the codes of an autoencoder along lines. What the generator draws itself stays as it
    is along a path.

    Args:
      space: "z" or "w"; None: w where the model has one.
      latents: an .npz with the ends of the paths, num + 1 or more (what --task=project writes, so w+ too); None: those
        of the run's samples 0 to num of this seed.
      images: the ends are images that the model encodes: True, the test split's in order, of the label's class where
        one is given, or a file or folder.

    Raises:
      UserError: frames < 2, a model without latents, or too few of them in the file; images of a model that encodes
        none.
    """
    if frames < 2:
        raise UserError(f"frames={frames}: a path has two ends at least")
    walker = Walker.of(run, "code" if images else space)
    keys = walker.keys(seed, num + 1)
    cond = walker.labels(label, num)  # a path stays in the class of its row
    if images:
        x, cond = examples(run, num + 1, label, images)
        if len(x) <= num:
            raise UserError(f"images={images}: {len(x)} images, and {num} paths have {num + 1} ends")
        ends = walker.encode(x, cond)
        first, last, cond = ends[:num], ends[1:], {k: v[:num] for k, v in cond.items()}
    elif latents is None:
        first, last = walker.draw(keys[:-1], cond), walker.draw(keys[1:], cond)
    else:
        ends = read_latents(latents, walker.draw(keys[:1], {k: v[:1] for k, v in cond.items()}).shape[1:])
        if len(ends) <= num:
            raise UserError(f"latents={latents} has {len(ends)}, and {num} paths have {num + 1} ends")
        first, last = ends[:num], ends[1 : num + 1]
    row, t = np.repeat(np.arange(num), frames), np.tile(np.linspace(0, 1, frames, dtype=np.float32), num)
    path = np.asarray(walker.space.blend(jnp.asarray(first[row]), jnp.asarray(last[row]), jnp.asarray(t)))
    x = walker.decode(path, {k: v[row] for k, v in cond.items()}, fold(keys, 1)[row])
    return Sheet(x, frames, {"latent": path} | {k: np.asarray(v[row]) for k, v in cond.items()}, film=True)


def mix(
    run: Any, num: int, seed: int, label: int | None = None, *, columns: int = 6, layers: Sequence[int] = (0, 1)
) -> Sheet:
    """Styles of two samples in one image: `num` rows of samples, into which `columns` others give the styles of some
    layers. The first row and the first column show the samples themselves.

    Karras et al. 2019 (arXiv:1812.04948, section 3.1, figure 3). layers: from which layer to before which one, counted
    from the coarsest, the column's sample has the say; (0, 4) are the coarse styles of a 256x256 model.

    Raises:
      UserError: a model without styles, or layers that it does not have.
    """
    walker = Walker.of(run, "w")
    keys = walker.keys(seed, num + columns)
    cond = walker.labels(label or 0, num + columns)  # of one class, as a style is mixed into its like
    w = walker.draw(keys, cond)
    if len(layers) != 2 or not 0 <= layers[0] < layers[1] <= w.shape[1]:
        raise UserError(f"layers={list(layers)}: from and to, within 0 and {w.shape[1]}, the layers of this model")
    rows, others = w[:num], w[num:]
    grid = np.repeat(rows[:, None], columns, axis=1)  # [num, columns, layers, d]
    grid[:, :, layers[0] : layers[1]] = others[None, :, layers[0] : layers[1]]
    keys, of_row = fold(keys, 1), np.repeat(np.arange(num), columns)
    label_of = walker.labels(label or 0, num * columns)
    mixed = walker.decode(grid.reshape(-1, *w.shape[1:]), label_of, keys[of_row])
    alone = walker.decode(w, cond, keys)
    mixed = mixed.reshape(num, columns, *mixed.shape[1:])
    blank = np.full_like(alone[:1], 255)
    top = np.concatenate([blank, alone[num:]])[None]
    below = np.concatenate([alone[:num, None], mixed], axis=1)
    sheet = np.concatenate([top, below])
    return Sheet(sheet.reshape(-1, *alone.shape[1:]), columns + 1)


def truncation(
    run: Any, num: int, seed: int, label: int | None = None, *, psi: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)
) -> Sheet:
    """`num` samples, a row each, at several truncations: less of them is nearer to the mean and of less variety.

    For style-based models psi is the share of w's distance from its mean (Karras et al. 2019, arXiv:1812.04948,
    appendix B); for other GANs the bound, above 0, beyond which z is drawn again (Brock et al. 2019, arXiv:1809.11096,
    section 3.1).

    Raises:
      UserError: a family that has no truncation, or a psi that it cannot have.
    """
    if "truncation" not in {field.name for field in dataclasses.fields(run.setup.family)}:
        raise UserError(f"--task=truncation: a {type(run.setup.family).__name__} has no truncation")
    images = []
    for value in psi:
        walker = Walker.of(run, truncation=value)
        cond = walker.labels(label, num)
        images.append(walker.sample(walker.keys(seed, num), cond))
    x = np.stack(images, axis=1)  # [num, columns, h, w, c]
    return Sheet(x.reshape(-1, *x.shape[2:]), len(psi))
