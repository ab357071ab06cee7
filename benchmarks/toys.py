"""Trains the four methods of configs/gan/toys.py on both mixtures of Gaussians, and counts the modes of each.

    python benchmarks/toys.py [--runs=runs/toys] [--num=10000] [--seed=0] [--out=FILE.json]

The figures are those of gen_jax/evals/point_modes.py and sample_distance.py, of --num samples against the train split.
Seconds are from the call of gen_jax.main.run to its end, with compilation and the evaluations on the way, in this
process; a run that is there already is evaluated as it is, without a time. Beside the JSON a picture of the same name
shows the samples, with the data in the first column.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import report
from absl import flags

import gen_jax.evaluate
import gen_jax.main
import gen_jax.sample
from gen_jax import cli
from gen_jax.data.load import load

CONFIG = "configs/gan/toys.py"
METHODS = ("vanilla", "wgan_gp", "r1", "r3gan")
DATA = ("gaussians_grid", "gaussians_ring")
SHOWN = 2500  # points of a panel
COLUMNS = {
    "modes": "point_modes",
    "of": "point_modes/known",
    "within 3 sigma": "point_modes/within",
    "KL to the data, nats": "point_modes/kl_real",
    "distance of samples": "sample_distance",
}


def run(
    out: str | Path,
    runs: str | Path = "runs/toys",
    *,
    methods: Sequence[str] = METHODS,
    data: Sequence[str] = DATA,
    num: int = 10_000,
    seed: int = 0,
    steps: int | None = None,
) -> dict[str, Any]:
    """Trains what is missing in `runs`, prints a table, and writes `out` and the picture beside it.

    num: samples that are counted. seed: of training. steps: of training; None: the config's."""
    result = report.header("toys") | {"config": CONFIG, "seed": seed, "num": num, "runs": []}
    panels = []
    for name in data:
        panels.append([("data", load({"name": name}).take(np.arange(SHOWN))["x"])])
        for method in methods:
            workdir = Path(runs) / f"{method}-{name}-{seed}"
            seconds = _train(method, name, seed, steps, workdir)
            evaluation = gen_jax.evaluate.run(workdir, "point_modes,sample_distance", num)
            figures = {figure: found["value"] for figure, found in evaluation["figures"].items()}
            result["runs"].append({"method": method, "data": name, "seconds": seconds, "figures": figures})
            panels[-1].append((method, gen_jax.sample.run(workdir, num=SHOWN)["x"]))
    rows = [
        (r["data"], r["method"], *(r["figures"].get(f) for f in COLUMNS.values()), r["seconds"]) for r in result["runs"]
    ]
    shown = [tuple("–" if value is None else value for value in row) for row in rows]
    report.show(f"{num:,} samples of each", ("data", "method", *COLUMNS, "training, s"), shown)
    report.write(out, result)
    picture = Path(out).with_suffix(".png")
    _draw(panels, picture)
    print(f"written: {out}, {picture}")
    return result


def _train(method: str, data: str, seed: int, steps: int | None, workdir: Path) -> float | None:
    """Seconds of training; None where the run was there."""
    config = cli.load_config(f"{CONFIG}:{method}")
    config.data.name, config.seed = data, seed
    if steps is not None:
        every = dict(steps=steps, steps_per_call=1, log_every=1, checkpoint_every=steps, sample_every=0)
        config.train.update(every)
        config.evals.every = steps
    if (workdir / "checkpoints" / str(config.train.steps)).is_dir():
        return None
    start = time.perf_counter()
    gen_jax.main.run(config, workdir)
    return time.perf_counter() - start


def _draw(panels: Sequence[Sequence[tuple[str, np.ndarray]]], path: Path) -> None:
    """A row of scatter plots for each data set."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows, columns = len(panels), len(panels[0])
    figure, axes = plt.subplots(rows, columns, figsize=(2 * columns, 2.2 * rows), squeeze=False)
    for row, line in zip(axes, panels, strict=True):
        for ax, (title, x) in zip(row, line, strict=True):
            ax.plot(*x[:, :2].T, ".", markersize=1, alpha=0.3, color="black", rasterized=True)
            ax.set(title=title, xlim=(-2, 2), ylim=(-2, 2), xticks=[], yticks=[], aspect="equal")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    run(given.out, given.runs, num=given.num, seed=given.seed)


if __name__ == "__main__":
    flags.DEFINE_string("runs", "runs/toys", "Where the runs are kept.")
    flags.DEFINE_integer("num", 10_000, "How many samples are counted.")
    flags.DEFINE_integer("seed", 0, "Of training.")
    flags.DEFINE_string("out", str(report.RESULTS / "toys.json"), "Where to write the result.")
    cli.run(main)
