"""From a config and the data's description to what a run is made of. Training and sampling share it."""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError, unknown
from gen_jax.training.optim import Optimizer, make_optimizer
from gen_jax.training.state import init_state
from gen_jax.types import Batch, DataInfo, Family, TrainState

SECTIONS = ("seed", "family", "data", "optim", "ema", "train", "parallel", "sample", "evals")
FIELDS = {
    "family": ("name",),
    "data": ("name",),
    "train": (
        *("steps", "batch_size", "steps_per_call", "log_every", "checkpoint_every", "keep", "sample_every"),
        *("flip", "max_skipped"),
    ),
    "parallel": ("data",),
    "sample": ("num", "batch_size", "seed"),
}


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a run is made of, before anything is computed."""

    family: Family
    optimizers: Mapping[str, Optimizer]
    ema: Mapping[str, float]  # decay by player
    shapes: TrainState  # of jax.ShapeDtypeStruct
    example: Batch  # zeros, one batch of one example

    def init(self, key: jax.Array, sharding: jax.sharding.Sharding) -> TrainState:
        """The state before the first step."""
        make = functools.partial(init_state, self.family, self.optimizers, self.ema)
        return jax.jit(make, out_shardings=sharding)(key, self.example)


def set_up(config: Mapping[str, Any], info: DataInfo) -> Setup:
    """Builds the family and its optimizers, and traces (does not run) the initialization.

    Raises:
      UserError: whatever in the config's family, optim or ema cannot work with this data or with each other.
    """
    spec = dict(config["family"])
    if not info.num_classes and spec.get("conditioning", {}).get("num_classes", 0) is None:
        spec["guidance"] = {}  # the config leaves the classes to the data (None), and there are none to guide to
    family = build(gen_jax, spec, shape=info.shape, num_classes=info.num_classes)
    if not hasattr(family, "losses"):
        raise UserError(f"family.name='{config['family']['name']}' is not a family; those are in gen_jax/families")
    if "label" in family.cond_keys:
        asked = family.conditioning.num_classes
        if not info.num_classes:
            raise UserError(f"the model is conditional on {asked} classes, and the data has no labels")
        if asked < info.num_classes:
            raise UserError(f"family.conditioning.num_classes={asked}, and the data has {info.num_classes} classes")
    players, ema = family.losses, {p: spec["decay"] for p, spec in config["ema"].items()}
    for section in ("optim", "ema"):
        for player in config[section]:
            if player not in players:
                raise unknown(f"player in config.{section}", player, players)
    missing = [player for player in players if player not in config["optim"]]
    if missing:
        raise UserError(f"config.optim has no optimizer for: {', '.join(missing)}")
    for player, decay in ema.items():
        if not 0 <= decay < 1:
            raise UserError(f"ema.{player}.decay={decay}: a decay lies in [0, 1)")
    optimizers = {player: make_optimizer(spec) for player, spec in config["optim"].items()}
    example: Batch = {"x": jnp.zeros((1, *info.shape))} | {k: jnp.zeros(1, jnp.int32) for k in family.cond_keys}
    shapes = jax.eval_shape(functools.partial(init_state, family, optimizers, ema), jax.random.key(0), example)
    return Setup(family, optimizers, ema, shapes, example)


def check_config(config: Mapping[str, Any]) -> None:
    """Raises UserError where sections or fields are missing, or numbers of config.train are out of range."""
    missing = [section for section in SECTIONS if section not in config]
    if missing:
        raise UserError(f"the config has no section: {', '.join(missing)}")
    missing = [
        f"{section}.{name}" for section, names in FIELDS.items() for name in names if name not in config[section]
    ]
    if missing:
        raise UserError(f"the config has no field: {', '.join(missing)}")
    train = config["train"]
    for name in ("steps", "steps_per_call", "batch_size", "log_every", "checkpoint_every", "keep"):
        if train[name] < 1:
            raise UserError(f"train.{name}={train[name]}: it must be at least 1")
    for name in ("sample_every", "max_skipped"):
        if train[name] < 0:
            raise UserError(f"train.{name}={train[name]}: it cannot be below 0")
    for section, name in (("sample", "num"), ("sample", "batch_size")):
        if config[section][name] < 1:
            raise UserError(f"{section}.{name}={config[section][name]}: it must be at least 1")


def steps_per_call(train: Mapping[str, Any], start: int) -> int:
    """The largest number up to train.steps_per_call that lets calls end at every interval, from step `start` on."""
    common = math.gcd(start, *(train[name] for name in ("steps", "log_every", "checkpoint_every", "sample_every")))
    return max(n for n in range(1, train["steps_per_call"] + 1) if common % n == 0)


def describe(config: Mapping[str, Any], info: DataInfo) -> dict[str, Any]:
    """What a checkpoint says of its run, so that sampling needs neither the config file nor the data. JSON."""
    data = {"shape": list(info.shape), "class_names": list(info.class_names)}
    return json.loads(json.dumps({"config": config, "data": data, "rollbacks": 0}))


def data_info(metadata: Mapping[str, Any]) -> DataInfo:
    """The DataInfo that `describe` wrote."""
    return DataInfo(tuple(metadata["data"]["shape"]), tuple(metadata["data"]["class_names"]))
