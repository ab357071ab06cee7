"""Directions of a latent space along which images change most: the task `directions` of gen_jax.sample."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError, unknown
from gen_jax.random import fold
from gen_jax.tasks.latent import Sheet, Walker
from gen_jax.types import PyTree

METHODS = ("ganspace", "sefa", "jacobian")


def directions(
    run: Any,
    num: int,
    seed: int,
    label: int | None = None,
    *,
    method: str | None = None,
    samples: int = 2000,
    reach: float = 2.0,
    columns: int = 7,
    space: str | None = None,
) -> Sheet:
    """`num` directions, a row each: one sample moved from -reach to +reach along it, itself in the middle.

    Args:
      method: "ganspace", the principal components of w (Haerkoenen et al. 2020, arXiv:2004.02546, section 2.1); "sefa",
        the eigenvectors of A^T A of the layers' style weights A (Shen & Zhou 2021, arXiv:2007.06600, equation 5);
        "jacobian", those of the mean of J^T J, J the derivative of the image (Wang & Ponce 2021, arXiv:2101.06006), in
        any space. None: ganspace in w, jacobian in z.
      samples: latents that the statistics are made of (32 of them for jacobian). reach: in standard deviations of the
        latents along the direction. space: "z" or "w"; None: w where the model has one.

    Returns:
      a sheet; direction [num, d], of length 1, and strength [num]: the share of the variance (ganspace) or of the sum
      of the eigenvalues.

    Raises:
      UserError: a method that this space cannot serve, more directions than the space has, numbers out of range.
    """
    walker = Walker.of(run, space)
    styled = walker.space.name == "w"
    method = method or ("ganspace" if styled else "jacobian")
    if method not in METHODS:
        raise unknown("method of directions", method, METHODS)
    if method != "jacobian" and not styled:
        raise UserError(f"method={method}: it needs the space w of a style-based generator; take jacobian")
    if columns < 3 or columns % 2 == 0 or reach <= 0 or samples < 2:
        raise UserError(f"columns={columns}, reach={reach}, samples={samples}: odd and 3 or more, above 0, 2 or more")
    cond = walker.labels(label, samples)
    latents = walker.draw(walker.keys(seed + 1, samples), cond)
    flat = latents[:, 0] if styled else latents  # [samples, d]: w is the same for all layers
    if method == "ganspace":
        gram = np.cov(flat, rowvar=False)
    elif method == "sefa":
        gram = style_gram(run.state.averaged["gen"], flat.shape[1])
    else:
        gram = _mean_gram(walker, latents[:32], {k: v[:32] for k, v in cond.items()})
    if num > len(gram):
        raise UserError(f"--num={num}: the space has {len(gram)} directions")
    values, vectors = np.linalg.eigh(gram)
    order = np.argsort(values)[::-1][:num]
    direction = vectors[:, order].T.astype(np.float32)  # [num, d]
    sizes = (flat @ direction.T).std(0)  # of the latents along each direction

    one = walker.labels(label, 1)
    centre = walker.draw(walker.keys(seed, 1), one)  # [1, ...]
    steps = np.linspace(-reach, reach, columns, dtype=np.float32)
    moves = (steps[None, :, None] * sizes[:, None, None] * direction[:, None]).reshape(num * columns, -1)
    path = centre + (moves[:, None] if styled else moves)
    keys = fold(walker.keys(seed, 1), 1)[np.zeros(num * columns, int)]
    x = walker.decode(path, {k: jnp.repeat(v, num * columns) for k, v in one.items()}, keys)
    strength = values[order] / values.sum()
    return Sheet(x, columns, {"direction": direction, "strength": strength, "latent": path}, film=True)


def style_gram(params: PyTree, width: int) -> np.ndarray:
    """The sum of A A^T over the style layers' kernels A [width, channels]: [width, width] float64.

    These are the kernels below a module named "affine". Raises UserError where there is none."""
    total = np.zeros((width, width))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        parts = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        if leaf.ndim == 2 and leaf.shape[0] == width and any(part.startswith("affine") for part in parts):
            kernel = np.asarray(leaf, np.float64)
            total += kernel @ kernel.T
    if not total.any():
        raise UserError("method=sefa: this generator has no style layers that read w; take ganspace")
    return total


def _mean_gram(walker: Walker, latents: np.ndarray, cond: Any) -> np.ndarray:
    """The mean over latents [n, ...] of J^T J: [d, d]; in w, for a move of all layers at once."""
    width = latents.shape[-1]

    def grams(params, extra, latent, cond):
        def image(move):  # [d] -> one image
            moved = latent[None] + (move if latent.ndim == 1 else move[None])
            one = jax.tree.map(lambda a: a[None], cond)
            return walker.space.decode(params, extra, moved, one, None)[0].ravel()

        # Columns of J by the derivative of its transpose, as nn/convolution.py has no forward mode.
        x, pull = jax.vjp(image, jnp.zeros(width))
        _, push = jax.vjp(lambda y: pull(y)[0], jnp.zeros_like(x))
        columns = jax.vmap(lambda move: push(move)[0])(jnp.eye(width))  # [d, values]
        return columns @ columns.T

    compiled = jax.jit(grams)
    total = np.zeros((width, width))
    for i, latent in enumerate(latents):
        one = {k: jnp.asarray(v[i]) for k, v in cond.items()}
        total += np.asarray(compiled(walker.run.state.averaged, walker.extra, latent, one))
    return total / len(latents)
