"""Drawing samples from any family, in batches of one compiled size."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.transforms import to_uint8
from gen_jax.errors import UserError
from gen_jax.types import DataInfo, Family, TrainState

Generate = Callable[..., dict[str, np.ndarray]]


def make_generate(family: Family, info: DataInfo, batch_size: int, sharding: jax.sharding.Sharding | None = None):
    """The function generate(state, num, seed=0, labels=None) -> {"x", "label"}.

    x is uint8 [num, h, w, c] for images, float32 for data that is. Sample i depends on (seed, i) and its label alone:
    whatever `num` is, the batches have the one size `batch_size`, so that it is even the same to the last bit. labels:
    int [num]; None takes 0, 1, 2, ... in turn where the family is conditional on a label. `sharding` splits each batch
    over devices.

    The parameters are the averaged ones (EMA) of every player that has them.
    """
    if batch_size < 1:
        raise UserError(f"sample.batch_size={batch_size}: it must be at least 1")
    if sharding is not None:  # as many as asked for, or the few more that the devices can share evenly
        batch_size = -(-batch_size // sharding.num_devices) * sharding.num_devices

    @jax.jit
    def draw(state: TrainState, seed: jax.Array, index: jax.Array, cond):
        if sharding is not None:
            index, cond = jax.lax.with_sharding_constraint((index, cond), sharding)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), index)
        x = family.sample(state.averaged, state.extra, keys, cond)
        return to_uint8(x) if info.dtype == "uint8" else x

    def generate(state: TrainState, num: int, seed: int = 0, labels: Sequence[int] | None = None):
        if num < 1:
            raise UserError(f"num={num}: at least one sample has to be drawn")
        label = None
        if "label" in family.cond_keys:
            label = np.arange(num) % info.num_classes if labels is None else np.asarray(labels)
            label = label.astype(np.int32)
        chunks = []
        for start in range(0, num, batch_size):
            index = np.arange(start, start + batch_size, dtype=np.int32)
            cond = {} if label is None else {"label": jnp.asarray(label[index % num])}
            chunks.append(draw(state, jnp.int32(seed), jnp.asarray(index), cond))
        x = np.concatenate(jax.device_get(chunks))[:num]
        return {"x": x} if label is None else {"x": x, "label": label}

    return generate
