"""Codecs and what is built on them: images/s encoded and decoded, what a cache of latents saves, tokens/s.

    python benchmarks/latents.py [--config=configs/hybrid/latent_dit.py] [--tokens=configs/hybrid/vq_autoregressive.py]
        [--resolution=128] [--codec=JSON] [--network=JSON] [--batch_size=8] [--length=256] [--rounds=5]
        [--out=FILE.json]

Nothing is trained: parameters are as they start, and times do not depend on what they hold.

    codec    the first stage of --config with the fields of --codec, which are Stable Diffusion's f8 where nothing is
             given: images/s of --resolution encoded and decoded, in batches of --batch_size
    cache    the train step of the second stage, with the fields of --network (DiT-S/2 where nothing is given): with
             the codec in the step, and on latents that were encoded before (train.latent_cache); the two take turns
    tokens   the autoregressive sampler of --tokens with a codec of --length tokens: tokens/s of a batch of
             --batch_size with keys and values kept, and without; the two take turns

The result is images/s, tokens/s, and the ratios of the median blocks.
"""

import dataclasses
import functools
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import report
from absl import flags
from train_step import make_info

import gen_jax
from gen_jax import cli
from gen_jax.build import build
from gen_jax.errors import UserError
from gen_jax.sample import parse_json
from gen_jax.training.setup import set_up
from gen_jax.training.state import init_state
from gen_jax.training.step import make_train_step

F8 = {"width": 128, "multipliers": [1, 2, 4, 4], "blocks": 2, "groups": 32}
"""Rombach et al. 2022, the autoencoder of Stable Diffusion: 8 times smaller on a side."""
DIT_S2 = {"width": 384, "depth": 12, "heads": 6, "patch": 2}
"""Peebles & Xie 2022, table 1."""


@dataclasses.dataclass(frozen=True)
class Codes:
    """A codec of so many tokens and no cost, for the sampler alone."""

    num_codes: int
    token_shape: tuple[int, ...]
    cond_keys: tuple[str, ...] = ()

    def tokens(self, params, extra, x, cond):
        """Not called: sampling reads the token's shape only."""
        raise NotImplementedError


def run(
    spec: str,
    tokens_spec: str,
    out: str | Path,
    *,
    resolution: int = 128,
    codec: Mapping[str, Any] = F8,
    network: Mapping[str, Any] = DIT_S2,
    batch_size: int = 8,
    length: int = 256,
    rounds: int = 5,
) -> dict[str, Any]:
    """Measures the three, prints a table, and writes the result to `out`."""
    size = {"resolution": resolution, "batch_size": batch_size, "length": length}
    size |= {"codec_fields": dict(codec), "network_fields": dict(network)}
    result = report.header("latents") | {"config": spec, "tokens_config": tokens_spec, **size, "rounds": rounds}
    result |= of_codec(spec, resolution, codec, network, batch_size, rounds)
    result |= {"tokens": of_tokens(tokens_spec, batch_size, length, rounds)}
    _show(result)
    report.write(out, result)
    print(f"written: {out}")
    return result


def of_codec(
    spec: str, resolution: int, fields: Mapping[str, Any], network: Mapping[str, Any], batch_size: int, rounds: int
) -> dict[str, Any]:
    """images/s of the codec, and the step with and without it."""
    stage = report.first_stage(spec)
    if stage is None:
        raise UserError(f"--config={spec}: it has no first stage; give one such as configs/hybrid/latent_dit.py")
    info = make_info((resolution, resolution, 3), 10)
    first = report.load_config(stage[1])
    first.family.encoder.update(fields)
    first.family.decoder.update(fields)
    codec = set_up(first.to_dict(), info).family
    config = report.load_config(spec).to_dict()
    config["family"]["model"]["network"].update(network)
    setup = set_up(config | {"family": {**config["family"], "codec": codec}}, info)
    family: Any = setup.family
    keys = jax.random.split(jax.random.key(0), batch_size)
    x = jax.random.uniform(jax.random.key(1), (batch_size, *info.shape), minval=-1, maxval=1)
    batch = {"x": x, "label": jnp.arange(batch_size) % 10, "index": jnp.arange(batch_size)}
    state = jax.jit(functools.partial(init_state, family, setup.optimizers, setup.tracks))(keys[0], batch)
    own = state.extra["codec"]

    encode = jax.jit(family.latents)
    decode = jax.jit(lambda z: codec.decode(own["params"], own["extra"], z, {}))
    latents = encode(state.extra, batch)
    steps = {}
    for cached in (False, True):
        changed = dataclasses.replace(family, cached=cached)
        step = jax.jit(make_train_step(changed, setup.optimizers, setup.tracks))
        given = {**batch, "x": latents} if cached else batch
        steps["cached" if cached else "with_codec"] = functools.partial(step, state, given, keys[0])
    calls = {"encode": lambda: encode(state.extra, batch), "decode": lambda: decode(latents), **steps}
    seconds = turns(calls, rounds)
    return {
        "latent_shape": list(codec.latent_shape),
        "codec": {f"{name}_images_per_second": batch_size / seconds[name] for name in ("encode", "decode")},
        "cache": {
            "seconds": {name: seconds[name] for name in steps},
            "speed_up": seconds["with_codec"] / seconds["cached"],
        },
    }


def of_tokens(spec: str, batch_size: int, length: int, rounds: int) -> dict[str, Any]:
    """tokens/s of the autoregressive sampler, with and without its cache."""
    config = report.load_config(spec).family.to_dict()
    codec = Codes(1024, (length,))
    known = {"num_codes": codec.num_codes, "token_shape": codec.token_shape, "num_classes": 10}
    family: Any = build(gen_jax, {**config, "codec": codec, "guidance": 1.0}, **known)
    keys, cond = jax.random.split(jax.random.key(0), batch_size), {"label": jnp.arange(batch_size) % 10}
    shape = (family.length, codec.num_codes)
    start = jnp.zeros((batch_size, length), jnp.int32)
    params = {"model": family._model.create(keys[0], start, cond, shape, "")}
    draws = {
        name: functools.partial(jax.jit(dataclasses.replace(family, cache=cache).draw), params, keys, cond)
        for name, cache in (("cached", True), ("plain", False))
    }
    seconds = turns(draws, rounds)
    rates = {f"{name}_per_second": batch_size * length / seconds[name] for name in draws}
    return rates | {"speed_up": seconds["plain"] / seconds["cached"]}


def turns(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each call; they take turns, after a first call that compiles."""
    for call in calls.values():
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def _show(result: dict[str, Any]) -> None:
    hardware = result["hardware"]
    print(f"{hardware['cores']} cores of {hardware['cpu']}, {hardware['devices']} x {hardware['device_kind']}")
    rows = [(name, value) for name, value in result["codec"].items()]
    rows += [(f"step_{name}_seconds", value) for name, value in result["cache"]["seconds"].items()]
    rows += [("latent_cache_speed_up", result["cache"]["speed_up"])]
    rows += [(f"tokens_{name}", value) for name, value in result["tokens"].items()]
    report.show(f"{result['config']} at {result['resolution']}, {result['length']} tokens", ("figure", "value"), rows)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    sizes = {name: getattr(given, name) for name in ("resolution", "batch_size", "length", "rounds")}
    fields = {name: parse_json(name, getattr(given, name)) or {} for name in ("codec", "network")}
    run(given.config, given.tokens, given.out, **sizes, **fields)


if __name__ == "__main__":
    flags.DEFINE_string("config", "configs/hybrid/latent_dit.py", "The second stage: FILE.py, or FILE.py:variant.")
    flags.DEFINE_string("tokens", "configs/hybrid/vq_autoregressive.py", "The autoregressive model.")
    flags.DEFINE_integer("resolution", 128, "Of the images that the codec sees.", lower_bound=8)
    flags.DEFINE_string("codec", json.dumps(F8), "JSON: fields of the codec's encoder and decoder.")
    flags.DEFINE_string("network", json.dumps(DIT_S2), "JSON: fields of the second stage's network.")
    flags.DEFINE_integer("batch_size", 8, "Of all three.", lower_bound=1)
    flags.DEFINE_integer("length", 256, "How many tokens.", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "The median counts.", lower_bound=1)
    flags.DEFINE_string("out", str(report.RESULTS / "latents.json"), "Where to write the result.")
    cli.run(main)
