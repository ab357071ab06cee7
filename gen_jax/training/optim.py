"""Optimizers by spec: one per player, from optax."""

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gen_jax.build import build
from gen_jax.errors import UserError, unknown
from gen_jax.types import PyTree


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One player's update rule; it is applied in every `every`-th step."""

    transform: optax.GradientTransformation
    every: int = 1
    project: Callable[[PyTree], PyTree] = lambda params: params  # what the new parameters go through after an update
    skip_above: float | None = None  # an update whose gradient has a larger norm is left out


def make_optimizer(spec: Mapping[str, Any]) -> Optimizer:
    """Optimizer from {"name": an optax optimizer, **its arguments, "clip": norm or None, "every": k, "project": ...,
    "skip_above": norm or None}.

    `learning_rate`, or any other number that the optimizer takes (adam's `b2`), may be the spec of a schedule over its
    own updates, one of optax's or of `SCHEDULES`; `clip` bounds the gradient's global norm before the optimizer sees
    it; `every=k` updates this player in steps k, 2 k, ... only (n_critic = k, seen from the generator); `project` is a
    function of `PROJECTIONS` that the parameters go through after each update, by its name or as a spec, {"name":
    "clip_weights", "limit": 0.01}; None for none. `skip_above` leaves out updates whose gradient has a larger global
    norm, before clipping, as if the step had not been (Child 2020, arXiv:2011.10650); the log has their
    share, `large_gradients`.

    Raises:
      UserError: an optimizer, schedule or argument that optax does not have, or a number out of range.
    """
    spec = dict(spec)
    clip, every, project = spec.pop("clip", None), spec.pop("every", 1), spec.pop("project", None)
    skip_above = spec.pop("skip_above", None)
    if skip_above is not None and skip_above <= 0:
        raise UserError(f"optim skip_above={skip_above}: a gradient norm above 0, or None to leave no update out")
    if isinstance(project, str):
        project = {"name": project}
    if project is not None and project.get("name") not in PROJECTIONS:
        raise unknown("optim project", str(project.get("name")), PROJECTIONS)
    if every < 1:
        raise UserError(f"optim every={every}: a player is updated every 1, 2, 3, ... steps")
    rate = spec.get("learning_rate")
    if isinstance(rate, Mapping):
        spec["learning_rate"] = _call(rate)
    elif rate is not None and rate <= 0:
        raise UserError(f"optim learning_rate={rate}: it must be above 0")
    scheduled = {name: _call(value) for name, value in spec.items() if isinstance(value, Mapping)}
    transform = _call({name: value for name, value in spec.items() if name not in scheduled}, scheduled)
    if clip is not None:
        if clip <= 0:
            raise UserError(f"optim clip={clip}: a gradient norm above 0, or None for no clipping")
        transform = optax.chain(optax.clip_by_global_norm(clip), transform)
    if project is None:
        return Optimizer(transform, every, skip_above=skip_above)
    projection = build(sys.modules[__name__], project)
    projection({})  # an argument out of range is found now, and not when the step is traced
    return Optimizer(transform, every, projection, skip_above)


def unit_weights(params: PyTree) -> PyTree:
    """Each tensor named "weight" with unit variance for every output, its last axis: forced weight normalization,
    Karras et al. 2023 (arXiv:2312.02696, sec. 2.3, eq. 66), for networks that normalize these weights themselves."""

    def normalize(path, leaf):
        if jax.tree_util.keystr(path[-1:], simple=True) != "weight":
            return leaf
        axes = tuple(range(leaf.ndim - 1))
        norm = jnp.linalg.norm(leaf.reshape(-1, leaf.shape[-1]), axis=0) / math.prod(leaf.shape[a] for a in axes) ** 0.5
        return leaf / (norm + 1e-4)

    return jax.tree_util.tree_map_with_path(normalize, params)


def clip_weights(params: PyTree, limit: float = 0.01) -> PyTree:
    """Every parameter clipped to [-limit, limit]: how the first Wasserstein GAN kept its critic Lipschitz, Arjovsky et
    al. 2017 (arXiv:1701.07875, algorithm 1).

    Raises:
      UserError: limit <= 0.
    """
    if limit <= 0:
        raise UserError(f"clip_weights limit={limit}: it must be above 0")
    return jax.tree.map(lambda p: jnp.clip(p, -limit, limit), params)


PROJECTIONS = ("unit_weights", "clip_weights")


def inverse_sqrt(reference: float, decay_after: float, warmup: int = 0) -> optax.Schedule:
    """reference / sqrt(max(step / decay_after, 1)), after a linear warm-up, Karras et al. 2023 (arXiv:2312.02696, eq.
    67)."""

    def rate(step):
        warm = jnp.minimum((step + 1) / max(warmup, 1), 1.0)
        return reference * warm / jnp.sqrt(jnp.maximum(step / decay_after, 1.0))

    return rate


def stairs(values: Sequence[float], lengths: Sequence[int]) -> optax.Schedule:
    """values[i] for lengths[i] updates, one after the other, and the last for good.

    Raises:
      UserError: no values, not as many lengths, or a length below 1.
    """
    if not values or len(values) != len(lengths) or min(lengths) < 1:
        raise UserError(f"stairs values={values}, lengths={lengths}: a length of 1 or more is needed for each value")
    ends = np.cumsum(lengths)[:-1]
    return lambda step: jnp.asarray(values, jnp.float32)[jnp.searchsorted(jnp.asarray(ends), step, side="right")]


SCHEDULES = ("inverse_sqrt", "stairs")
"""Those of this module, beside optax's."""


def _call(spec: Mapping[str, Any], scheduled: Mapping[str, optax.Schedule] | None = None) -> Any:
    """What the spec names, called with its arguments; `scheduled` are numbers that follow the optimizer's own steps."""
    make = build(sys.modules[__name__] if spec.get("name") in SCHEDULES else optax, {**spec, **(scheduled or {})})
    try:
        if not scheduled:
            return make()
        fixed = {name for name in spec if name != "name"}
        return optax.inject_hyperparams(make.func, static_args=fixed)(**make.keywords)
    except TypeError as error:  # an argument without a default that the spec leaves out
        raise UserError(f"optax.{spec['name']}: {error}") from error
