"""The types that every part of gen_jax shares. This module imports nothing of the package."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import flax.struct
import jax

PyTree = Any

Config = Any
"""An ml_collections.ConfigDict; its fields are known only at run time."""

Batch = Mapping[str, jax.Array]
"""`x` [b, ...] and, where the family asks for them, its conditions (`label` [b] int32, ...).

On the host images are uint8 [b, h, w, c]; on the device they are float32 in [-1, 1]. `index` [b] int32 is each
example's place in the global batch: noise is drawn from it, so that every device layout sees the same noise."""

Params = Mapping[str, PyTree]
"""One parameter tree per player: {"model": ...}, or {"disc": ..., "gen": ...}."""

Cond = Mapping[str, jax.Array]
"""What a sample is conditioned on: label, text, text_mask, image, mask. Empty means unconditional."""

PICTURES = ("x", "image")
"""Fields that are bytes on the host and floats in [-1, 1] on the device; `mask` keeps its values."""

Metrics = dict[str, jax.Array]
"""Scalars by name. A value of NaN means 'not computed in this step' and is dropped by the logs."""


class TrainState(flax.struct.PyTreeNode):
    """All that training carries from step to step: arrays only, no functions and no modules."""

    step: jax.Array  # int32 []
    params: dict[str, PyTree]
    ema: dict[str, PyTree]
    opt: dict[str, PyTree]
    extra: PyTree  # owned by the family: batch statistics, codebooks, frozen networks

    @property
    def averaged(self) -> dict[str, PyTree]:
        """Each player's parameters as they are sampled with: averaged, where the run averages them."""
        return {player: self.ema.get(player, own) for player, own in self.params.items()}


LossFn = Callable[[Params, TrainState, Batch, jax.Array], tuple[jax.Array, tuple[Metrics, PyTree]]]
"""(params, state, batch, key) -> (loss [], (metrics, extra)).

`params` holds every player's parameters and is differentiated with respect to the loss's own player only;
`state` is a read-only view for step, ema and extra; `extra` is returned, changed or not."""


@dataclasses.dataclass(frozen=True)
class Alarm:
    """A metric out of bounds, for `patience` reports on end, says that training has gone wrong: what it says of it, and
    what might mend it."""

    says: str
    fix: str
    low: float = -math.inf
    high: float = math.inf
    patience: int = 3


class Family(Protocol):
    """A way to model data: a frozen dataclass of networks, losses and numbers. One that has another family inside, as
    latent diffusion has the diffusion, calls it `model`.

    Six members are optional. `alarms`: an Alarm by the name of a metric, as it is logged; config.train.on_collapse
    says what is done about it. `settle(params, extra, key) -> extra`: what is computed once before samples are drawn,
    from the averaged parameters. `check_batch(batch_size)` raises UserError for a size that it cannot train with.
    `sample_keys`: the conditions that `sample` takes, where they are more than cond_keys: an `image` among them that
    is not read in training is the example's own x, to be reconstructed. `load() -> {...}`: entries of `extra` that are
    read from files (published weights), once, before the first step; `init` gives their shapes.
    `first_params(params, extra) -> params`: what the parameters are before the first step, where they come from another
    run's, which stand in extra by then."""

    @property
    def losses(self) -> Mapping[str, LossFn]:
        """One loss per player, in the order of the updates."""
        ...

    @property
    def cond_keys(self) -> tuple[str, ...]:
        """The conditions that the family reads from a batch, and takes in `sample`."""
        ...

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        """Parameters by player, and the family's `extra`, for batches shaped like `batch`."""
        ...

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        """One sample per key: x [n, ...] in [-1, 1]; sample i depends on keys[i] and cond[i] alone."""
        ...


def settings(family: Any) -> dict[str, Any]:
    """Every field of a family and of the model inside it, by name; the outer one's where both have it."""
    own = {field.name: getattr(family, field.name) for field in dataclasses.fields(family)}
    return (settings(own["model"]) if "model" in own else {}) | own


def with_settings(family: Any, **changes: Any) -> Any:
    """The family with other values of its fields, or of those of the model inside it."""
    own = {field.name for field in dataclasses.fields(family)}
    inner = {name: value for name, value in changes.items() if name not in own}
    outer = {name: value for name, value in changes.items() if name in own}
    if inner and "model" in own:
        outer["model"] = with_settings(family.model, **inner)
    elif inner:
        raise AttributeError(f"a {type(family).__name__} has no {', '.join(inner)}")
    return dataclasses.replace(family, **outer)


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """What a family must know of its data.

    shape: one example's shape, [h, w, c] for images. class_names: empty where there are no labels. dtype: "uint8", or
    "float32" for what networks see and give as it is: sounds, and latents of an autoencoder.
    conditions: (shape, dtype) of the other numeric fields that an example has (image, mask), by name. paired: whether
    these belong to the example's x; False where they are those of another, as in unpaired translation."""

    shape: tuple[int, ...]
    class_names: tuple[str, ...] = ()
    dtype: str = "uint8"
    conditions: Mapping[str, tuple[tuple[int, ...], str]] = dataclasses.field(default_factory=dict, hash=False)
    paired: bool = True

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


class Source(Protocol):
    """A data set that is read by position. `source[i]` is one example: a dict with `x` and what else it has."""

    info: DataInfo

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...
