"""Trains a config, draws 100 samples of each class and compares them with the real data.

    python benchmarks/quickstart.py [--config=configs/quickstart.py[:variant]] [--workdir=DIR] [--out=FILE.json]
        [--likelihood]

For any config whose data are labelled images with a test split. Training is the command that a user types, in a
process of its own, timed from its start to its end, the last grid and checkpoint included, with an empty compilation
cache. A workdir that holds the finished run is evaluated as it is, without a time. Without --workdir the run is made in
a temporary folder.

The classifier and the neighbours see the train split, the reference is the test split: gen_jax/evals/label_agreement.py
and memorization.py say what each figure means. Conditional models are asked for all classes equally often. With
--likelihood, bits_per_dim.py on the test split too, for diffusion models.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import report
from absl import flags

import gen_jax.sample
from gen_jax import cli
from gen_jax.data.load import load
from gen_jax.errors import UserError
from gen_jax.evals.bits_per_dim import bits_per_dim
from gen_jax.evals.label_agreement import label_agreement
from gen_jax.evals.memorization import memorization
from gen_jax.training.restore import open_run
from gen_jax.training.workdir import compare, read_config
from gen_jax.training.writers import read_metrics
from gen_jax.types import Source


def run(
    config_spec: str,
    workdir: str | Path,
    out: str | Path,
    per_class: int = 100,
    seed: int = 0,
    likelihood: bool = False,
) -> dict[str, Any]:
    """Trains the config in `workdir` if it is not there yet, evaluates it, and writes the result to `out`."""
    result = report.header("quickstart")  # before training: it holds the load that the machine had by then
    config, workdir = report.load_config(config_spec), Path(workdir)
    train, test = (_arrays(load(config.data.to_dict(), split)) for split in ("train", "test"))
    classes = len(np.unique(train[1]))

    train_seconds = train_run(config_spec, config, workdir)
    start = time.perf_counter()
    samples = gen_jax.sample.run(workdir, num=per_class * classes, seed=seed)
    sample_seconds = time.perf_counter() - start

    rate = read_metrics(workdir)["images_per_second"]
    result |= {
        "config": config_spec,
        "seed": {"train": config.seed, "sample": seed},
        "steps": config.train.steps,
        "samples": len(samples["x"]),
        "data": {"name": config.data.name, "train": len(train[0]), "test": len(test[0]), "classes": classes},
        # With an empty compilation cache, but the files of the packages were read before.
        "seconds": {"train": train_seconds, "sample": sample_seconds},
        "images_per_second": float(np.nanmedian(rate)),
        "label_agreement": label_agreement(samples["x"], samples.get("label"), *train, *test),
        "memorization": memorization(samples["x"], train[0], test[0]),
    }
    if likelihood:
        result["likelihood"] = bits_per_dim(open_run(workdir), *test)
    _show(result)
    report.write(out, result)
    print(f"written: {out}")
    return result


def train_run(config_spec: str, config: Any, workdir: Path, first: Path | None = None) -> float | None:
    """Seconds from the command's start to its end; None where (a part of) the run was there before.

    first: the folder of the first stage of a config of two, which is trained there if it is not there yet; None:
    beside `workdir`. Its time does not count."""
    chosen = []
    if stage := report.first_stage(config_spec):
        flag, stage_spec = stage
        first = first or workdir.with_name(f"{workdir.name}_first_stage")
        train_run(stage_spec, report.load_config(stage_spec), first)
        config.update_from_flattened_dict({flag.removeprefix("config."): str(first)})
        chosen = [f"--{flag}={first}"]
    there = (workdir / "checkpoints").is_dir()
    asked = json.loads(json.dumps(config.to_dict()))  # as it reads back: tuples are lists
    if there and (differences := compare(read_config(workdir), asked)):
        raise UserError(f"--workdir={workdir} holds a run of another config: {'; '.join(differences)}")
    if (workdir / "checkpoints" / str(config.train.steps)).is_dir():
        return None
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "gen_jax.main", f"--config={config_spec}", f"--workdir={workdir}", *chosen]
        status = subprocess.run(command, env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}).returncode
    if status:
        raise UserError(f"training ended with status {status}: {' '.join(command[1:])}")
    return None if there else time.perf_counter() - start


def _arrays(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """All images of a source and their labels."""
    if not source.info.num_classes or len(source.info.shape) != 3:
        raise UserError("this benchmark needs labelled images")
    if hasattr(source, "take"):
        fields = source.take(np.arange(len(source)))
        return fields["x"], fields["label"]
    examples = [source[i] for i in range(len(source))]
    return np.stack([e["x"] for e in examples]), np.array([e["label"] for e in examples])


def _show(result: dict[str, Any]) -> None:
    hardware = result["hardware"]
    print(f"{hardware['cores']} cores of {hardware['cpu']}, {hardware['devices']} x {hardware['device_kind']}")
    seconds = {f"seconds/{name}": "not timed" if s is None else s for name, s in result["seconds"].items()}
    figures = seconds | {"images_per_second": result["images_per_second"]}
    rows = [(name, value) for name, value in figures.items()]
    for section in ("label_agreement", "memorization", *(["likelihood"] if "likelihood" in result else [])):
        rows += [(f"{section}/{name}", value) for name, value in result[section].items()]
    report.show(f"{result['config']}: {result['samples']} samples", ("figure", "value"), rows)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    with tempfile.TemporaryDirectory() as temporary:
        run(given.config, given.workdir or f"{temporary}/run", given.out, given.per_class, given.seed, given.likelihood)


if __name__ == "__main__":
    flags.DEFINE_string("config", "configs/quickstart.py", "The recipe: FILE.py, or FILE.py:variant.")
    flags.DEFINE_string("workdir", None, "The run's folder; default: a temporary one.")
    flags.DEFINE_integer("per_class", 100, "How many samples of each class.")
    flags.DEFINE_boolean("likelihood", False, "Whether to measure bits per dimension of the test split.")
    flags.DEFINE_integer("seed", 0, "Of the samples.")
    flags.DEFINE_string("out", str(report.RESULTS / "quickstart.json"), "Where to write the result.")
    cli.run(main)
