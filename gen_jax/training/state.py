"""The initial TrainState, and what can be counted in one."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.training.ema import Track
from gen_jax.training.optim import Optimizer
from gen_jax.types import Batch, Family, Params, PyTree, TrainState


class PlayerState(NamedTuple):
    """One player's entry in TrainState.opt."""

    inner: PyTree  # optax's own state
    skipped: jax.Array  # int32 []: updates left out because a value was not finite
    first_bad: jax.Array  # int32 []: which value it was, the last time (an index into `watched`), -1: never


def init_state(
    family: Family, optimizers: Mapping[str, Optimizer], tracks: Mapping[str, Track], key: jax.Array, batch: Batch
) -> TrainState:
    """The state before the first step, for batches shaped like `batch`."""
    return first_state(optimizers, tracks, *family.init(key, batch))


def first_state(
    optimizers: Mapping[str, Optimizer], tracks: Mapping[str, Track], params: Params, extra: PyTree
) -> TrainState:
    """The state before the first step, for these parameters."""
    opt = {
        player: PlayerState(optimizers[player].transform.init(p), jnp.int32(0), jnp.int32(-1))
        for player, p in params.items()
    }
    # copies, since both are donated
    averages = {name: jax.tree.map(jnp.copy, params[track.player]) for name, track in tracks.items()}
    return TrainState(step=jnp.int32(0), params=dict(params), ema=averages, opt=opt, extra=extra)


def watched(player_params: PyTree) -> list[str]:
    """What is checked to be finite in each update, in order: the loss, then the gradient of each tensor."""
    paths, _ = jax.tree_util.tree_flatten_with_path(player_params)
    return ["loss", *("gradient of " + jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths)]


def count_params(tree: PyTree) -> int:
    """How many numbers a tree of arrays (or of their shapes) holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
