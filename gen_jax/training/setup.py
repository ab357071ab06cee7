"""From a config and the data's description to what a run is made of. Training and sampling share it."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError, unknown
from gen_jax.training.alarm import ON_COLLAPSE
from gen_jax.training.ema import Track, make_tracks
from gen_jax.training.optim import Optimizer, make_optimizer
from gen_jax.training.pretrained import Pretrained, find_pretrained
from gen_jax.training.state import first_state, init_state
from gen_jax.types import PICTURES, Batch, DataInfo, Family, Params, PyTree, TrainState

SECTIONS = ("seed", "family", "data", "optim", "ema", "train", "parallel", "sample", "evals")
SLOPE_PENALTIES = ("gradient_penalty", "zero_centred", "dragan", "r1", "r2")
OF_CODECS = {"shape": "latent_shape", "num_codes": "num_codes", "token_shape": "token_shape"}
"""Arguments that a family with a codec gets from it, by the codec's own names."""
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
    tracks: Mapping[str, Track]  # averages of the parameters
    shapes: TrainState  # of jax.ShapeDtypeStruct
    example: Batch  # zeros, one batch of one example
    pretrained: Mapping[str, Pretrained]  # other runs' models, by the family's field

    def init(self, key: jax.Array, sharding: jax.sharding.Sharding) -> TrainState:
        """The state before the first step."""
        load = getattr(self.family, "load", None)
        loaded = None if load is None else load()  # what is missing is found missing before anything compiles
        make = functools.partial(init_state, self.family, self.optimizers, self.tracks)
        state = jax.jit(make, out_shardings=sharding)(key, self.example)
        if loaded:
            state = state.replace(extra={**state.extra, **jax.device_put(loaded, sharding)})
        state = self.attach(state, sharding)
        if not hasattr(self.family, "first_params"):
            return state

        def begin(params: Params, extra: PyTree) -> TrainState:
            # copies, since what starts as something in extra is donated with it
            started = jax.tree.map(jnp.copy, self.family.first_params(params, extra))  # type: ignore[attr-defined]
            return first_state(self.optimizers, self.tracks, started, extra)

        return jax.jit(begin, out_shardings=sharding)(state.params, state.extra)

    def attach(self, state: TrainState, sharding: jax.sharding.Sharding) -> TrainState:
        """The state with the parameters of the other runs' models in extra."""
        if not self.pretrained:
            return state
        return state.replace(extra={**(state.extra or {}), **self.load_pretrained(sharding)})

    def load_pretrained(self, sharding: jax.sharding.Sharding) -> dict[str, PyTree]:
        """The other runs' models as they stand in extra, by the family's field."""
        return {
            field: run.load(set_up(run.config, run.info).shapes, sharding) for field, run in self.pretrained.items()
        }


def set_up(config: Mapping[str, Any], info: DataInfo) -> Setup:
    """Builds the family and its optimizers, and traces (does not run) the initialization.

    Raises:
      UserError: whatever in the config's family, optim or ema cannot work with this data or with each other.
    """
    spec = dict(config["family"]) if info.num_classes else without_classes(config["family"])
    pretrained = find_pretrained(spec, info)
    spec |= {field: set_up(run.config, run.info).family for field, run in pretrained.items()}
    known: dict[str, Any] = {f"{name}_shape": shape for name, (shape, _) in info.conditions.items()}
    known |= {"shape": info.shape, "num_classes": info.num_classes}
    codec = spec.get("codec")  # what it makes of the data is what the family sees
    known |= {name: getattr(codec, of) for name, of in OF_CODECS.items() if hasattr(codec, of)}
    family = build(gen_jax, spec, **known)
    if not hasattr(family, "losses"):
        raise UserError(f"family.name='{config['family']['name']}' is not a family; those are in gen_jax/families")
    if "label" in family.cond_keys:
        asked = getattr(family, "num_classes", family.conditioning.num_classes)
        if not info.num_classes:
            raise UserError(f"the model is conditional on {asked} classes, and the data has no labels")
        if asked < info.num_classes:
            raise UserError(f"family.conditioning.num_classes={asked}, and the data has {info.num_classes} classes")
    example = example_batch(info, family.cond_keys)
    if "label" in family.cond_keys and not info.paired:
        raise UserError("the model is conditional on a label, and unpaired data have one for x and another for image")
    players = family.losses
    for section in ("optim", "ema"):
        for player in config[section]:
            if player not in players:
                raise unknown(f"player in config.{section}", player, players)
    missing = [player for player in players if player not in config["optim"]]
    if missing:
        raise UserError(f"config.optim has no optimizer for: {', '.join(missing)}")
    check_clipping(config)
    tracks = make_tracks(config["ema"])
    optimizers = {player: make_optimizer(spec) for player, spec in config["optim"].items()}
    shapes = jax.eval_shape(functools.partial(init_state, family, optimizers, tracks), jax.random.key(0), example)
    return Setup(family, optimizers, tracks, shapes, example, pretrained)


def without_classes(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A family's spec for data without classes: where it leaves their number to the data (None) there is no guidance,
    neither in the family nor in the model inside it."""
    spec = dict(spec)
    if spec.get("conditioning", {}).get("num_classes", 0) is None and "guidance" in spec:
        spec["guidance"] = {} if isinstance(spec["guidance"], Mapping) else 1.0
    if isinstance(spec.get("model"), Mapping):
        spec["model"] = without_classes(spec["model"])
    return spec


def example_batch(info: DataInfo, cond_keys: Sequence[str]) -> Batch:
    """Zeros in the form of a batch of one example, as a family sees it.

    Raises:
      UserError: a condition that the data have no field for.
    """
    known = {"label": ((), "int32"), **info.conditions}
    batch = {"x": jnp.zeros((1, *info.shape))}
    for name in cond_keys:
        if name not in known:
            raise UserError(
                f"the model is conditional on '{name}', and the data's examples have only: "
                f"{', '.join(('x', *(['label'] if info.num_classes else []), *info.conditions))}"
                + ("; pairs of two domains have it, config.data=dict(name='pairs', ...)" if name == "image" else "")
            )
        shape, dtype = known[name]
        batch[name] = jnp.zeros((1, *shape), jnp.float32 if name in PICTURES else dtype)
    return batch


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
    on_collapse = train.get("on_collapse", ON_COLLAPSE[0])
    if on_collapse not in ON_COLLAPSE:
        raise unknown("train.on_collapse", on_collapse, ON_COLLAPSE)
    for section, name in (("sample", "num"), ("sample", "batch_size")):
        if config[section][name] < 1:
            raise UserError(f"{section}.{name}={config[section][name]}: it must be at least 1")


def check_clipping(config: Mapping[str, Any]) -> None:
    """Raises UserError where a player's parameters are clipped and its slopes penalized too."""
    for player, optim in config["optim"].items():
        project = optim.get("project")
        if (project.get("name") if isinstance(project, Mapping) else project) != "clip_weights":
            continue
        for name, penalty in (config["family"].get(f"{player}_penalties") or {}).items():
            if (kind := penalty.get("of", {}).get("name", "").rpartition(".")[2]) in SLOPE_PENALTIES:
                raise UserError(
                    f"optim.{player}.project=clip_weights with family.{player}_penalties.{name}={kind}: both bound the "
                    "slopes of the critic, and clipped weights cannot reach those that the penalty asks for; take one"
                )


def steps_per_call(train: Mapping[str, Any], start: int, *others: int) -> int:
    """The largest number up to train.steps_per_call that lets calls end at every interval, from step `start` on.

    others: intervals that are not in config.train; 0: none."""
    intervals = [train[name] for name in ("steps", "log_every", "checkpoint_every", "sample_every")]
    common = math.gcd(start, *intervals, *others)
    return max(n for n in range(1, train["steps_per_call"] + 1) if common % n == 0)
