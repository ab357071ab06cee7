"""What evaluation costs: features, the statistics of FID, and PRDC.

    python benchmarks/evaluate.py [--weights=FILE] [--images=512] [--rounds=3] [--only=features,statistics,prdc]
        [--out=FILE.json]

features    images per minute through Inception (resized from 32x32 to 299x299, tf-legacy), in batches of 64 over all
            devices, from the host and back to it, compiled before; the median of `rounds`. Without --weights they are
            random, which costs the same time
statistics  seconds for mean and covariance of 50,000 x 2,048 features, and for the Fréchet distance of two such
prdc        seconds and peak memory of a process that takes PRDC of 10,000 x 10,000 features 2,048 wide and does nothing
            else. `before` is its memory with both arrays made

Features are drawn, not computed: of a normal distribution whose variances fall as those of Inception's do. The time
depends on their numbers only.
"""

import json
import statistics as stats
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import report
from absl import flags

from gen_jax import cli
from gen_jax.errors import unknown
from gen_jax.evals.features.extract import Network, bind, extract
from gen_jax.evals.features.inception import DIM, SIZE, InceptionV3, inception, scale
from gen_jax.evals.frechet import frechet_distance, statistics

PARTS = ("features", "statistics", "prdc")
PRDC = """
import json, sys, time
import numpy as np
from gen_jax.evals.prdc import prdc
from gen_jax.training.cost import process_peak_bytes

count, width = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
features, real_features = (rng.standard_normal((count, width), np.float32) for _ in range(2))
before, start = process_peak_bytes(), time.perf_counter()
figures = prdc(features, real_features)
seconds = time.perf_counter() - start
costs = dict(count=count, width=width, seconds=seconds, bytes_before=before, peak_bytes=process_peak_bytes())
print(json.dumps(costs | figures))
"""


def run(
    out: str | Path,
    *,
    only: tuple[str, ...] = PARTS,
    weights: str | None = None,
    images: int = 512,
    image_size: int = 32,
    batch_size: int = 64,
    rounds: int = 3,
    count: int = 50_000,
    prdc_count: int = 10_000,
    width: int = 2048,
) -> dict[str, Any]:
    """Measures the parts named in `only`, prints a table, and writes the result to `out`."""
    for part in only:
        if part not in PARTS:
            raise unknown("part of this benchmark", part, PARTS)
    result = report.header("evaluate")
    if "features" in only:
        result["features"] = _features(weights, images, image_size, batch_size, rounds)
    if "statistics" in only:
        result["statistics"] = _statistics(count, width)
    if "prdc" in only:
        command = [sys.executable, "-c", PRDC, str(prdc_count), str(width)]
        result["prdc"] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    _show(result)
    report.write(out, result)
    print(f"written: {out}")
    return result


def _features(weights: str | None, images: int, size: int, batch_size: int, rounds: int) -> dict[str, Any]:
    network = inception(weights) if weights else _random_inception()
    x = np.random.default_rng(0).integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    start = time.perf_counter()
    extract(network, x[:batch_size], batch_size)
    compile_seconds = time.perf_counter() - start
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        extract(network, x, batch_size)
        seconds.append(time.perf_counter() - start)
    return {
        "images": images,
        "size": size,
        "batch_size": batch_size,
        "weights": weights or "random",
        "compile_seconds": compile_seconds,
        "seconds": seconds,
        "images_per_minute": 60 * images / stats.median(seconds),
    }


def _random_inception() -> Network:
    image = jnp.zeros((1, SIZE, SIZE, 3))
    tree = jax.jit(InceptionV3().init)(jax.random.key(0), image)
    forward = lambda tree, x: InceptionV3().apply(tree, scale(x, "tf-legacy"))  # noqa: E731
    return Network("inception", "random", "tf-legacy", bind(forward, tree), DIM)


def _statistics(count: int, width: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    spread = np.arange(1, width + 1, dtype=np.float32) ** -0.75
    sets = [rng.standard_normal((count, width), np.float32) * spread for _ in range(2)]
    start = time.perf_counter()
    first = statistics(sets[0])
    statistics_seconds = time.perf_counter() - start
    second = statistics(sets[1])
    start = time.perf_counter()
    distance = frechet_distance(first, second)
    distance_seconds = time.perf_counter() - start
    return {
        "count": count,
        "width": width,
        "statistics_seconds": statistics_seconds,
        "distance_seconds": distance_seconds,
        "seconds": statistics_seconds + distance_seconds,
        "distance": distance,
    }


def _show(result: dict[str, Any]) -> None:
    hardware = result["hardware"]
    rows: list[tuple[str, object]] = []
    if "features" in result:
        rows += [("features, images per minute", result["features"]["images_per_minute"])]
        rows += [("features, seconds to compile", result["features"]["compile_seconds"])]
    if "statistics" in result:
        own = result["statistics"]
        rows += [(f"mean and covariance of {own['count']} x {own['width']}, s", own["statistics_seconds"])]
        rows += [("Fréchet distance, s", own["distance_seconds"])]
    if "prdc" in result:
        own = result["prdc"]
        rows += [(f"PRDC of {own['count']} x {own['count']} x {own['width']}, s", own["seconds"])]
        rows += [("its peak memory, MiB", own["peak_bytes"] / 2**20)]
        rows += [("of which before, MiB", own["bytes_before"] / 2**20)]
    where = f"{hardware['cores']} cores of {hardware['cpu']}, {hardware['devices']} x {hardware['device_kind']}"
    report.show(f"evaluation on {where}", ("what", "value"), rows)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    run(given.out, only=tuple(given.only), weights=given.weights, images=given.images, rounds=given.rounds)


if __name__ == "__main__":
    flags.DEFINE_list("only", list(PARTS), "Which parts to measure.")
    flags.DEFINE_string("weights", None, "The file of Inception's weights; default: random ones.")
    flags.DEFINE_integer("images", 512, "How many images to take features of.")
    flags.DEFINE_integer("rounds", 3, "How often to take them.")
    flags.DEFINE_string("out", str(report.RESULTS / "evaluate.json"), "Where to write the result.")
    cli.run(main)
