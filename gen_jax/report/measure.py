"""What is measured of a run for the report, on the machine that makes it: samples, speed, network evaluations.

Times are from the call to images on the host, with everything compiled before; the median of some rounds.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.choose import choose_network
from gen_jax.evals.features.extract import extract
from gen_jax.evals.frechet import frechet_distance, statistics
from gen_jax.evals.reference import Reference, Split
from gen_jax.nn.conditioning import Conditioned
from gen_jax.tasks.conditions import conditions
from gen_jax.tasks.generation import Generate, make_generate
from gen_jax.training import parallel
from gen_jax.training.restore import Run
from gen_jax.training.state import count_params
from gen_jax.types import Family, settings, with_settings

Samples = Mapping[str, np.ndarray]
COLLAPSED = 0.25
"""Samples that vary less than this share of what training images do are called collapsed."""


def generator(run: Run, family: Family | None = None, batch_size: int | None = None) -> Generate:
    """The function that draws from a run (tasks/generation.py), at its own batch size unless told another."""
    size, family = batch_size or run.config["sample"]["batch_size"], family or run.setup.family
    sharding = None if size == 1 else parallel.split_batch(run.mesh)
    return make_generate(family, run.info, size, sharding, conditions(family, run.info, run.config["data"]))


def speed(run: Run, generate: Generate, rounds: int = 10) -> dict[str, float]:
    """images_per_second at the run's batch_size; latency, seconds for one image by itself; evaluations per sample."""
    size = run.config["sample"]["batch_size"]
    alone = generator(run, batch_size=1)
    return {
        "batch_size": float(size),
        "images_per_second": size / seconds(lambda: generate(run.state, size), rounds),
        "latency": seconds(lambda: alone(run.state, 1), rounds),
        "evaluations": network_evaluations(run),
    }


def seconds(call: Callable[[], Any], rounds: int = 10, budget: float = 10.0) -> float:
    """The median time of a call, after one that compiles; as many rounds as the budget of seconds has room for."""
    call()
    times: list[float] = []
    while not times or (len(times) < rounds and sum(times) < budget):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def network_evaluations(run: Run, family: Family | None = None, num: int = 2) -> float:
    """How many times a network is evaluated for a sample, counted while `num` samples are drawn.

    Guidance that asks a network twice counts twice, and so does another network that is asked."""
    family, sizes = family or run.setup.family, []

    def intercept(call, args, kwargs, context):
        if isinstance(context.module, Conditioned) and context.method_name == "__call__":
            # A callback is run as often as the compiled program comes by: in every step of a scan.
            jax.debug.callback(lambda size: sizes.append(int(size)), jnp.int32(args[0].shape[0]))
        return call(*args, **kwargs)

    cond = {name: jnp.repeat(run.setup.example[name], num, axis=0) for name in family.cond_keys}
    draw = jax.jit(lambda state, keys, cond: family.sample(state.averaged, state.extra, keys, cond))
    with nn.intercept_methods(intercept):
        jax.block_until_ready(draw(run.state, jax.random.split(jax.random.key(0), num), cond))
    jax.effects_barrier()
    return sum(sizes) / num


def parameters(run: Run) -> dict[str, int]:
    """How many parameters each player has."""
    return {player: count_params(tree) for player, tree in run.setup.shapes.params.items()}


def sweep(run: Run, steps: Sequence[int], num: int, quality: Callable[[Samples], float]) -> list[dict[str, float]]:
    """Speed and quality over the number of sampler steps; one row for a model that draws in one pass.

    Returns:
      rows of steps (0 without a sampler), evaluations per sample, seconds per image at the run's batch size, and
      quality(samples) of `num` samples. Numbers of steps that the model cannot draw with are left out.
    """
    family = run.setup.family
    if "steps" not in settings(family):
        steps = [0]
    size, rows = run.config["sample"]["batch_size"], []
    for count in steps:
        try:
            changed = with_settings(family, steps=count) if count else family
            generate = generator(run, changed)
            per_batch = seconds(functools.partial(generate, run.state, size), rounds=3, budget=5.0)
        except UserError:
            continue
        rows.append(
            {
                "steps": float(count),
                "evaluations": network_evaluations(run, changed),
                "seconds_per_image": per_batch / size,
                "quality": quality(generate(run.state, num)),
            }
        )
    return rows


def variety(samples: Samples, real: tuple[np.ndarray, np.ndarray | None]) -> float:
    """How far samples of one class are apart from each other, on the mean over pairs, beside real images of it.

    samples: x [n, ...] and, of conditional models, label [n]; real: x [m, ...] and label [m], None where the data have
    none. Distances are Euclidean over pixels. 1: as different from each other as real images; 0: all the same."""
    label = samples.get("label")
    own, other = _spread(samples["x"], label), _spread(real[0], None if label is None else real[1])
    return own / other if other else float("nan")


def _spread(x: np.ndarray, label: np.ndarray | None) -> float:
    from scipy.spatial.distance import pdist

    rows = x.reshape(len(x), -1).astype(np.float32)
    groups = [rows] if label is None else [rows[label == c] for c in np.unique(label)]
    pairs = np.concatenate([pdist(group) for group in groups])
    return float(pairs.mean()) if len(pairs) else float("nan")


def own_distance(data: Reference) -> Callable[[Samples], float]:
    """The function samples -> fid_own: their Fréchet distance to the data in features of the data's own classifier."""
    network = choose_network("own", None, None, data)()
    reference = data.statistics(network)
    return lambda samples: frechet_distance(statistics(extract(network, samples["x"]).features), reference)


def nearest(x: np.ndarray, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The training images that are nearest to x [n, ...] in pixels, and how far: [n, ...] and float [n].

    Distances are Euclidean over pixel values (0 to 255). All of the split is searched, block by block."""
    from sklearn.metrics import pairwise_distances_argmin_min

    images, distance = np.zeros_like(x), np.full(len(x), np.inf)
    flat = x.reshape(len(x), -1).astype(np.float32)
    for block, _ in split.blocks():
        which, far = pairwise_distances_argmin_min(flat, block.reshape(len(block), -1).astype(np.float32))
        closer = far < distance
        images[closer], distance[closer] = block[which[closer]], far[closer]
    return images, distance
