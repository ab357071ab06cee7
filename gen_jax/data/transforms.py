"""From the host's bytes to the networks' numbers and back, on the device."""

import math

import jax
import jax.numpy as jnp

from gen_jax.random import example_keys
from gen_jax.types import PICTURES, Batch


def prepare(batch: Batch, key: jax.Array, flip: bool = False, binarize: bool = False) -> dict[str, jax.Array]:
    """Scales a batch as it was read into the range of the networks.

    Args:
      batch: x uint8 [b, h, w, c], becomes float32 in [-1, 1]; floating point data pass through. Other keys are kept.
      key: of this step; what belongs to an example is drawn from its own key (random.example_keys).
      flip: mirrors each example left to right with probability 1/2: x with its `image` and `mask`, if it has them.
      binarize: makes each value of x -1 or 1, with its grey as the probability of 1.
    """
    out = scale(batch)
    if binarize:
        keys = example_keys(jax.random.fold_in(key, 1), batch)
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (math.prod(out["x"].shape[1:]),)))(keys)
        out["x"] = jnp.where(uniform.reshape(out["x"].shape) < (out["x"] + 1) / 2, 1.0, -1.0)
    if flip:
        mirrored = jax.vmap(jax.random.bernoulli)(example_keys(key, batch))  # [b]
        for name in (*PICTURES, "mask"):
            if name in out and out[name].ndim == 4:
                out[name] = jnp.where(mirrored[:, None, None, None], out[name][:, :, ::-1], out[name])
    return out


def scale(fields: Batch) -> dict[str, jax.Array]:
    """The fields of a batch with the pictures among them, uint8, as float32 in [-1, 1]; all others as they are."""
    bytes_ = {name for name in PICTURES if name in fields and fields[name].dtype == jnp.uint8}
    return {k: v.astype(jnp.float32) / 127.5 - 1.0 if k in bytes_ else v for k, v in fields.items()}


def to_uint8(x: jax.Array) -> jax.Array:
    """Floats in [-1, 1] as bytes, rounded and clipped: the inverse of `prepare` on all 256 values."""
    return jnp.clip(jnp.round((x + 1.0) * 127.5), 0, 255).astype(jnp.uint8)
