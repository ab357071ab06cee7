"""What an autoencoder makes of images, tasks of gen_jax.sample: (run, num, seed, label, options) -> Sheet.

python -m gen_jax.sample --workdir=DIR --task=reconstruct --num=8 --out=grid.png

They serve every family that encodes: VAEs, autoencoders with quantized or continuous latents.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from gen_jax.data.load import load
from gen_jax.errors import UserError
from gen_jax.tasks.latent import Sheet, Walker
from gen_jax.tasks.projection import read_images

MOST = 1000
"""Images of a class whose mean code is taken."""


def reconstruct(run: Any, num: int, seed: int, label: int | None = None, *, images: bool | str = True) -> Sheet:
    """Each image beside what is left of it when it was encoded and decoded.

    images: the test split's first `num` (True), of the label's class where one is given; or a file or folder.

    Returns:
      a sheet of two columns; latent [n, ...], psnr [n] in dB.

    Raises:
      UserError: no such images, or a model that encodes none.
    """
    walker = Walker.of(run, "code")
    x, cond = examples(run, num, label, images)
    latent = walker.encode(x, cond)
    found = walker.decode(latent, cond, walker.keys(seed, len(x)))
    errors = np.square(found.astype(np.float64) - x).reshape(len(x), -1).mean(1)
    psnr = 10 * np.log10(255**2 / np.maximum(errors, 1 / x[0].size))
    sheet = np.stack([x, found], axis=1)
    return Sheet(sheet.reshape(-1, *x.shape[1:]), 2, {"latent": latent, "psnr": psnr, **_arrays(cond)})


def traverse(
    run: Any,
    num: int,
    seed: int,
    label: int | None = None,
    *,
    dims: Sequence[int] | None = None,
    columns: int = 9,
    span: float = 3.0,
    images: bool | str = True,
) -> Sheet:
    """One latent at a time: a row for each of `dims`, along which it goes from -span to span, all others as they are.

    The figures by which Higgins et al. 2017 (beta-VAE) and Burgess et al. 2018 (arXiv:1804.03599, figure 2) look at
    what a VAE has taken apart. The image whose latents are changed is `images`' number `seed`.

    Args:
      dims: which latents; None: the `num` whose codes differ most over the test split, in standard deviations: those
        that the model uses. span: in the prior's standard deviations.

    Raises:
      UserError: a model without a vector of latents, a latent that it does not have.
    """
    walker = Walker.of(run, "code")
    if len(shape := walker.family.latent_shape) != 1:
        raise UserError(f"--task=traverse: this model's latents are {list(shape)}, and one at a time says little there")
    if columns < 2 or not span > 0:
        raise UserError(f"columns={columns}, span={span}: at least 2, and above 0")
    if dims is None:
        codes = walker.encode(*examples(run, MOST, label, True))
        dims = np.argsort(-codes.std(0), kind="stable")[:num].tolist()
    if wrong := [d for d in dims if not 0 <= d < shape[0]]:
        raise UserError(f"dims={list(dims)}: the latents are 0 to {shape[0] - 1}, and {wrong[0]} is none of them")
    x, cond = examples(run, seed + 1, label, images)
    if len(x) <= seed:
        raise UserError(f"--seed={seed}: it says which image is changed, and there are {len(x)}")
    start = walker.encode(x[-1:], {k: v[-1:] for k, v in cond.items()})
    grid = np.repeat(np.repeat(start[None], len(dims), 0), columns, 1)  # [dims, columns, latent]
    for row, dim in enumerate(dims):
        grid[row, :, dim] = np.linspace(-span, span, columns)
    flat = grid.reshape(-1, shape[0])
    same = {k: jnp.repeat(v[-1:], len(flat), 0) for k, v in cond.items()}
    sheet = walker.decode(flat, same, walker.keys(seed, len(flat)))
    return Sheet(sheet, columns, {"latent": flat, "dims": np.asarray(dims), **_arrays(same)}, film=True)


def arithmetic(
    run: Any,
    num: int,
    seed: int,
    label: int | None = None,
    *,
    plus: int,
    minus: int,
    strengths: Sequence[float] = (0.0, 0.5, 1.0, 1.5),
    images: bool | str = True,
) -> Sheet:
    """Images with what class `plus` has and class `minus` has not: to each code a multiple of the difference of the two
    classes' mean codes is added, a column for each of `strengths`.

    Attribute vectors of Larsen et al. 2016 (arXiv:1512.09300, section 4.2.1); White 2016 (arXiv:1609.04468, section
    3.2). plus, minus: numbers of classes; their means are those of training images. label: of the images that are
    changed; None: `minus`.

    Raises:
      UserError: data without labels, a class that there is not, a model that encodes nothing.
    """
    walker, classes = Walker.of(run, "code"), run.info.num_classes
    for name, value in (("plus", plus), ("minus", minus)):
        if not 0 <= value < classes:
            raise UserError(f"{name}={value}: the data have {classes} classes, numbers 0 to {classes - 1}")
    means = [walker.encode(*examples(run, MOST, of, True, "train")).mean(0) for of in (plus, minus)]
    x, cond = examples(run, num, minus if label is None else label, images)
    codes = walker.encode(x, cond)
    grid = np.stack([codes + s * (means[0] - means[1]) for s in strengths], axis=1)
    flat = grid.reshape(-1, *codes.shape[1:])
    same = {k: jnp.repeat(v, len(strengths), 0) for k, v in cond.items()}
    sheet = walker.decode(flat, same, walker.keys(seed, len(flat)))
    return Sheet(sheet, len(strengths), {"latent": flat, **_arrays(same)}, film=True)


def examples(
    run: Any, num: int, label: int | None, images: bool | str, split: str = "test"
) -> tuple[np.ndarray, dict[str, jnp.ndarray]]:
    """Up to `num` images uint8 [n, h, w, c], and the condition that the run's model reads of them.

    images: True, those of the split in order, of class `label` where one is given; or a file or folder, whose images
    are taken for ones of class `label`, 0 where none is given.

    Raises:
      UserError: there are none.
    """
    labelled = "label" in run.setup.family.cond_keys
    if images is not True:
        x = read_images(Path(str(images)), num, run.info.shape)
        return x, {"label": jnp.full(len(x), label or 0, jnp.int32)} if labelled else {}
    try:
        source = load(run.config["data"], split)
    except UserError:  # no test split
        source = load(run.config["data"], "train")
    found: list[dict[str, Any]] = []
    for i in range(len(source)):
        example = source[i]
        if label is None or example.get("label") == label:
            found.append(example)
        if len(found) == num:
            break
    if not found:
        raise UserError(f"--label={label}: the {split} split has no image of it")
    x = np.stack([example["x"] for example in found])
    return x, {"label": jnp.asarray([e["label"] for e in found], jnp.int32)} if labelled else {}


def _arrays(cond: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in cond.items()}
