"""Optimizers by spec: one per player, from optax."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import optax

from gen_jax.build import build
from gen_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One player's update rule; it is applied in every `every`-th step."""

    transform: optax.GradientTransformation
    every: int = 1


def make_optimizer(spec: Mapping[str, Any]) -> Optimizer:
    """Optimizer from {"name": an optax optimizer, **its arguments, "clip": norm or None, "every": k}.

    `learning_rate` is a number or the spec of an optax schedule; `clip` bounds the gradient's global norm before the
    optimizer sees it; `every=k` updates this player in steps k, 2 k, ... only (n_critic = k, seen from the generator).

    Raises:
      UserError: an optimizer, schedule or argument that optax does not have, or a number out of range.
    """
    spec = dict(spec)
    clip, every = spec.pop("clip", None), spec.pop("every", 1)
    if every < 1:
        raise UserError(f"optim every={every}: a player is updated every 1, 2, 3, ... steps")
    rate = spec.get("learning_rate")
    if isinstance(rate, Mapping):
        spec["learning_rate"] = _call(rate)
    elif rate is not None and rate <= 0:
        raise UserError(f"optim learning_rate={rate}: it must be above 0")
    transform = _call(spec)
    if clip is not None:
        if clip <= 0:
            raise UserError(f"optim clip={clip}: a gradient norm above 0, or None for no clipping")
        transform = optax.chain(optax.clip_by_global_norm(clip), transform)
    return Optimizer(transform, every)


def _call(spec: Mapping[str, Any]) -> Any:
    make = build(optax, spec)
    try:
        return make()
    except TypeError as error:  # an argument without a default that the spec leaves out
        raise UserError(f"optax.{spec['name']}: {error}") from error
