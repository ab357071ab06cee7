"""Randomness per example, so that it does not depend on batch size, order or devices; and paths between draws."""

import math

import jax
import jax.numpy as jnp

from gen_jax.types import Batch


def example_index(batch: Batch) -> jax.Array:
    """Each example's place in the global batch, int32 [b]: the batch's own `index`, or 0, 1, 2, ..."""
    return batch["index"] if "index" in batch else jnp.arange(batch["x"].shape[0])


def example_keys(key: jax.Array, batch: Batch) -> jax.Array:
    """One key per example [b], folded from `key` by the example's place in the global batch."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, example_index(batch))


def normal(keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal noise [b, *shape], that of example i drawn from keys[i]."""
    # Drawn flat: XLA takes seconds to compile random bits of several short axes on a CPU.
    flat = jax.vmap(lambda key: jax.random.normal(key, (math.prod(shape),)))(keys)
    return flat.reshape(-1, *shape)


def fold(keys: jax.Array, data: int | jax.Array) -> jax.Array:
    """fold_in for each of keys [b] with the same `data`."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, data)


def lerp(a: jax.Array, b: jax.Array, t: jax.Array) -> jax.Array:
    """The point at t [n] of the line from a to b [n, ...]."""
    t = t.reshape((-1,) + (1,) * (a.ndim - 1))
    return a + t * (b - a)


def slerp(a: jax.Array, b: jax.Array, t: jax.Array) -> jax.Array:
    """The point at t [n] of the arc from a to b [n, d], White 2016 (arXiv:1609.04468, sec. 2.1): its length stays near
    that of normal numbers, which is what a generator knows."""
    t = t.reshape((-1,) + (1,) * (a.ndim - 1))
    unit_a, unit_b = (v / jnp.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    omega = jnp.arccos(jnp.clip((unit_a * unit_b).sum(-1, keepdims=True), -1, 1))
    near = jnp.sin(omega) < 1e-6  # parallel: the arc is the line
    safe = jnp.where(near, 1.0, omega)
    arc = (jnp.sin((1 - t) * safe) * a + jnp.sin(t * safe) * b) / jnp.sin(safe)
    return jnp.where(near, a + t * (b - a), arc)
