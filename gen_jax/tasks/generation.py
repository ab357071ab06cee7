"""Drawing samples from any family, in batches of one compiled size."""

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.transforms import scale, to_uint8
from gen_jax.errors import UserError
from gen_jax.tasks.conditions import Conditions, conditions, of_labels, sample_keys
from gen_jax.types import DataInfo, Family, TrainState

Generate = Callable[..., dict[str, np.ndarray]]
Stream = Callable[..., Iterator[dict[str, np.ndarray]]]


def make_generate(
    family: Family,
    info: DataInfo,
    batch_size: int,
    sharding: jax.sharding.Sharding | None = None,
    given: Conditions | None = None,
) -> Generate:
    """The function generate(state, num, seed=0, labels=None) -> {"x", ...}: all that `make_stream` gives, at once.

    x is uint8 [num, h, w, c] for images, float32 for data that is; label int32 [num], where the family asks for one.
    """
    return collected(make_stream(family, info, batch_size, sharding, given))


def collected(stream: Stream) -> Generate:
    """The function that draws what a stream draws, and returns it whole."""

    def generate(state: TrainState, num: int, seed: int = 0, labels: Sequence[int] | None = None):
        chunks = list(stream(state, num, seed, labels))
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    return generate


def make_stream(
    family: Family,
    info: DataInfo,
    batch_size: int,
    sharding: jax.sharding.Sharding | None = None,
    given: Conditions | None = None,
) -> Stream:
    """The function stream(state, num, seed=0, labels=None), which yields {"x", ...} batch after batch, with the fields
    of `given` (tasks/conditions.py) beside x: what the samples were asked for.

    Sample i depends on (seed, i) and its conditions alone: whatever `num` is, the batches have the one size
    `batch_size` (the last is cut), so that it is even the same to the last bit. given: None serves families that read a
    label or nothing. labels: int [num], in place of the labels of `given`. `sharding` splits each batch over devices.

    The parameters are the averaged ones (EMA) of every player that has them.
    """
    if batch_size < 1:
        raise UserError(f"sample.batch_size={batch_size}: it must be at least 1")
    if sharding is not None:  # as many as asked for, or the few more that the devices can share evenly
        batch_size = -(-batch_size // sharding.num_devices) * sharding.num_devices
    given = conditions(family, info) if given is None else given

    @jax.jit
    def draw(state: TrainState, seed: jax.Array, index: jax.Array, cond):
        if sharding is not None:
            index, cond = jax.lax.with_sharding_constraint((index, cond), sharding)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), index)
        x = family.sample(state.averaged, state.extra, keys, scale(cond))
        return to_uint8(x) if info.dtype == "uint8" else x

    settle = jax.jit(getattr(family, "settle", lambda params, extra, key: extra))

    def stream(state: TrainState, num: int, seed: int = 0, labels: Sequence[int] | None = None):
        state = state.replace(extra=settle(state.averaged, state.extra, jax.random.key(0)))
        if num < 1:
            raise UserError(f"num={num}: at least one sample has to be drawn")
        asked = None if labels is None or "label" not in family.cond_keys else of_labels(labels)

        def fetch(start: int, x: jax.Array, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            count = min(batch_size, num - start)
            return {"x": np.asarray(jax.device_get(x))[:count]} | {k: v[:count] for k, v in known.items()}

        running = None  # one batch is drawn while the one before is copied and used
        for start in range(0, num, batch_size):
            index = np.arange(start, start + batch_size, dtype=np.int32)
            known = given.read(index % num) | ({} if asked is None else asked.read(index % num))
            cond = {name: jnp.asarray(known[name]) for name in sample_keys(family)}
            drawn = start, draw(state, jnp.int32(seed), jnp.asarray(index), cond), known
            if running is not None:
                yield fetch(*running)
            running = drawn
        assert running is not None
        yield fetch(*running)

    return stream
