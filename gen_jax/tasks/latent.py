"""The latent spaces of a run, one interface for all families that have one.

z: of the family's width `latent`, standard normal, or drawn by the family's `draw` where it has a prior of its own;
   x = family.decode(params, extra, z, cond, keys). GANs and VAEs.
w: what a style-based generator's mapping makes of z, one vector for each layer; x = family.synthesize(...). Where the
vectors of the layers differ from each other the space is called w+ (Abdal et al. 2019, arXiv:1904.03189).
code: what an autoencoder's encoder makes of an image; x = family.decode(...). Its points are not drawn but encoded. A
VAE has it too: there it is z, and the points are where the posteriors of images have their means.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.transforms import scale, to_uint8
from gen_jax.errors import UserError, unknown
from gen_jax.random import lerp, normal, slerp
from gen_jax.types import Cond, PyTree

SPACES = ("z", "w", "code")


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What a task shows: x uint8 [rows * columns, h, w, c], row by row, whose columns are the frames of a film where
    `film` says so; and further arrays for an .npz."""

    x: np.ndarray
    columns: int
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    film: bool = False


@dataclasses.dataclass(frozen=True)
class Space:
    """A latent space of a model: functions of (params, extra) and of batches, all pure.

    draw(params, extra, keys [n], cond) -> latents [n, ...], or of codes, in place of keys, x [n, ...]; decode(params,
    extra, latents, cond, keys) -> x [n, ...] in [-1, 1], keys of what the generator draws itself; blend(a, b, t [n]) ->
    the point at t of the path from a to b.
    """

    name: str
    draw: Callable[..., jax.Array]
    decode: Callable[..., jax.Array]
    blend: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def latent_space(family: Any, name: str | None = None) -> Space:
    """The space of that name; None: w where the family has one, else z.

    Raises:
      UserError: the family has no latent space, or not that one.
    """
    if name == "code":
        return _codes(family)
    if not (hasattr(family, "decode") and isinstance(getattr(family, "latent", None), int)):
        raise UserError(
            f"a {type(family).__name__} has no latent space to draw from; GANs and VAEs have one"
            + ("; walk between images that it encodes, with images=True" if hasattr(family, "latent_shape") else "")
        )
    if others := set(family.cond_keys) - {"label"}:
        raise UserError(f"the model is conditional on {', '.join(sorted(others))}, and only labels are served")
    styled = bool(getattr(family, "styled", False))
    name = name or ("w" if styled else "z")
    if name not in SPACES:
        raise unknown("latent space", name, SPACES)
    if name == "w" and not styled:
        raise UserError(f"space=w: this {type(family).__name__}'s generator has no mapping; its space is z")

    def draw(params: PyTree, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        if hasattr(family, "draw"):
            return family.draw(params, extra, keys, cond)
        z = normal(keys, (family.latent,))
        return family.map(params, extra, z, cond) if name == "w" else z

    return Space(name, draw, family.synthesize if name == "w" else family.decode, lerp if name == "w" else slerp)


def _codes(family: Any) -> Space:
    if not hasattr(family, "latent_shape"):
        raise UserError(f"a {type(family).__name__} encodes no images; VAEs and autoencoders do")
    if others := set(family.cond_keys) - {"label"}:
        raise UserError(f"the model is conditional on {', '.join(sorted(others))}, and only labels are served")
    return Space(
        "code", family.encode, family.decode, slerp if isinstance(getattr(family, "latent", None), int) else lerp
    )


@dataclasses.dataclass(frozen=True)
class Walker:
    """A run with one of its latent spaces, ready to draw: batches have the run's own size, the last is filled up."""

    run: Any
    family: Any
    space: Space
    extra: PyTree

    @classmethod
    def of(cls, run: Any, space: str | None = None, **changes: Any) -> "Walker":
        """run: an opened run (training.restore.Run). changes: fields of its family.

        Raises:
          UserError: as `latent_space` does.
        """
        family = dataclasses.replace(run.setup.family, **changes)
        settle = getattr(family, "settle", lambda params, extra, key: extra)
        extra = jax.jit(settle)(run.state.averaged, run.state.extra, jax.random.key(0))
        return cls(run, family, latent_space(family, space), extra)

    def keys(self, seed: int, num: int) -> jax.Array:
        """The keys of samples 0 to num - 1, those that gen_jax.sample draws with."""
        return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(num))

    def labels(self, label: int | None, num: int) -> dict[str, jax.Array]:
        """The condition of `num` samples: one label for all, or the classes in turn."""
        if "label" not in self.family.cond_keys:
            return {}
        classes = np.arange(num) % self.run.info.num_classes if label is None else np.full(num, label)
        return {"label": jnp.asarray(classes, jnp.int32)}

    def draw(self, keys: jax.Array, cond: Cond) -> np.ndarray:
        """Latents of the samples with these keys."""
        return self.batched(self.space.draw, keys, cond)

    def encode(self, x: np.ndarray, cond: Cond) -> np.ndarray:
        """Codes of images uint8 [n, h, w, c]."""

        def codes(params, extra, x, cond):
            return self.space.draw(params, extra, scale({"x": x})["x"], cond)

        return self.batched(codes, x, cond)

    def sample(self, keys: jax.Array, cond: Cond) -> np.ndarray:
        """Images uint8 [n, h, w, c] as gen_jax.sample draws them."""
        return self.batched(lambda *given: to_uint8(self.family.sample(*given)), keys, cond)

    def decode(self, latents: np.ndarray, cond: Cond, keys: jax.Array) -> np.ndarray:
        """Images uint8 [n, h, w, c] of latents [n, ...]."""

        def images(params, extra, latents, cond, keys):
            return to_uint8(self.space.decode(params, extra, latents, cond, keys))

        return self.batched(images, latents, cond, keys)

    def batched(self, function: Callable[..., jax.Array], *inputs: Any) -> np.ndarray:
        """function(params, extra, *inputs), pure and example by example, on inputs [n, ...] of any n."""
        size, compiled = self.run.config["sample"]["batch_size"], jax.jit(function)
        num = len(jax.tree.leaves(inputs)[0])
        parts = []
        for start in range(0, num, size):
            index = np.minimum(np.arange(start, start + size), num - 1)
            chunk = jax.tree.map(lambda a, index=index: jnp.asarray(a)[index], inputs)
            found = np.asarray(compiled(self.run.state.averaged, self.extra, *chunk))
            parts.append(found[: num - start])
        return np.concatenate(parts)


def read_latents(path: str | Path, shape: Sequence[int]) -> np.ndarray:
    """The array `latent` [n, *shape] of an .npz file, as the task project writes it.

    Raises:
      UserError: no such file or array, or one of another shape.
    """
    try:
        with np.load(path) as file:
            found = file.get("latent")
    except (OSError, ValueError) as error:
        raise UserError(f"latents={path} cannot be read: {error}") from error
    if found is None or found.shape[1:] != tuple(shape):
        what = "no array 'latent'" if found is None else f"latents of shape {list(found.shape[1:])}"
        raise UserError(f"latents={path} has {what}, and {list(shape)} is needed; write it with --task=project")
    return found.astype(np.float32)
