"""Devices: the mesh, what is laid out where on it, and the compiled step.

`auto` data parallelism: the batch is split over the mesh's `data` axis, the state is on every device, and XLA puts the
sums over devices where the mathematics needs them.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.errors import UserError
from gen_jax.types import PyTree


def make_mesh(data: int = -1) -> Mesh:
    """A mesh of `data` devices (-1: all there are) with the one axis `data`."""
    devices = jax.devices()
    count = len(devices) if data == -1 else data
    if not 1 <= count <= len(devices):
        raise UserError(f"parallel.data={data}: there are {len(devices)} devices here; give 1 to {len(devices)}, or -1")
    return Mesh(np.asarray(devices[:count]), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """The layout of the state: whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_batch(mesh: Mesh, steps_per_call: int = 1) -> NamedSharding:
    """The layout of batches [b, ...] (or [steps_per_call, b, ...]): split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data") if steps_per_call == 1 else PartitionSpec(None, "data"))


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raises UserError where the devices cannot share a batch evenly."""
    devices = mesh.shape["data"]
    if batch_size % devices:
        near = max(devices, batch_size // devices * devices)
        raise UserError(f"train.batch_size={batch_size} does not divide by the {devices} devices; use {near}, say")


def use_compilation_cache() -> None:
    """Keeps compiled programs in ~/.cache/gen_jax (or where JAX_COMPILATION_CACHE_DIR says), for the next run."""
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gen_jax" / "xla"
        jax.config.update("jax_compilation_cache_dir", str(cache))


def to_devices(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """This process's part of a batch, as part of the global array on the devices. Does not wait for the copy."""
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def compile_step(step: Callable, state: PyTree, batch: PyTree, key: jax.Array, mesh: Mesh, steps_per_call: int = 1):
    """The step compiled once, ahead of time, for arguments shaped like these. The state is donated.

    Returns jax's Compiled object, which also knows the step's FLOPs (cost_analysis) and memory (memory_analysis)."""
    whole = replicated(mesh)
    jitted: Any = jax.jit(
        step,
        in_shardings=(whole, split_batch(mesh, steps_per_call), whole),
        out_shardings=(whole, whole),
        donate_argnums=0,
    )
    return jitted.lower(state, batch, key).compile()
