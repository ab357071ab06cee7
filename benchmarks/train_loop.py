"""What the training loop costs: its images/s over those of the bare compiled step. The goal is 0.97 or more.

    python benchmarks/train_loop.py [--config=configs/quickstart.py] [--steps=400] [--rounds=5]

The loop is gen_jax.main.run on the config, in a new folder, with its own logging, prefetching and checkpoints; only the
sample grids are off (sample_every=0; the one at the end comes after the measured steps). The bare step is the same
compiled function on one batch that lies on the device already, waited for once at the end of a block.

The loop's time is that of metrics.jsonl: every row has the images/s since the row before it, and a row is written after
the devices have done its steps, so that the rows' times join without a gap. Measured are the steps from the first
checkpoint to the last one: the row of a step comes before that step's save, so this span holds one save per
checkpoint_every steps (the copy in the loop, the writing and the checksums in the background), as a long run does, and
the logging, the reading of the data and all waiting. Not in it: compiling, the steps before the first checkpoint (the
prefetch buffer is full at first), the last save and the last grid.

A shared machine drifts, so bare blocks and loops take turns, B L B L B, each loop is compared with the mean time of
the two blocks beside it, and the median of these ratios counts. `load_before` in the result should be well below the
number of cores, or other people's work is measured too.
"""

import contextlib
import io
import itertools
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import report
from absl import flags
from train_step import BareStep

import gen_jax.main
from gen_jax import cli
from gen_jax.data.load import batches, load, take_batches
from gen_jax.errors import UserError
from gen_jax.training.setup import check_config, set_up, steps_per_call
from gen_jax.training.writers import read_rows
from gen_jax.types import Config

GOAL = 0.97


def run(config_spec: str, out: str | Path, *, steps: int | None = None, rounds: int = 5) -> dict[str, Any]:
    """Measures the loop and the bare step by turns, prints a table, and writes the result to `out`.

    steps: of each loop, a multiple of checkpoint_every and at least two of them; None: two. A bare block has half of
    the steps that are measured in a loop.
    """
    result = report.header("train_loop")
    config = report.load_config(config_spec)
    config.train.sample_every = 0
    config.train.steps = steps or 2 * config.train.checkpoint_every
    _check(config)
    measured = config.train.steps - config.train.checkpoint_every
    bare = _bare_step(config)
    per_call = steps_per_call(config.train, 0)
    calls = max(1, measured // (2 * per_call))
    images = calls * per_call * config.train.batch_size

    def block() -> float:
        rate = images / bare.run(calls)
        print(f"bare step: {rate:,.1f} images/s", flush=True)
        return rate

    bare.run(max(1, calls // 4))  # not counted: the first calls allocate
    bare_rates, loop_rates = [block()], []
    for _ in range(rounds):
        loop_rates.append(_loop_rate(config))
        print(f"loop:      {loop_rates[-1]:,.1f} images/s", flush=True)
        bare_rates.append(block())
    # Times, not rates, are averaged: as many steps ran before the loop as after it.
    beside = [2 / (1 / a + 1 / b) for a, b in itertools.pairwise(bare_rates)]
    ratios = [loop / rate for loop, rate in zip(loop_rates, beside, strict=True)]
    result |= {
        "config": config_spec,
        "changed": {"train.sample_every": 0, "train.steps": config.train.steps},
        "batch_size": config.train.batch_size,
        "steps_per_call": per_call,
        "log_every": config.train.log_every,
        "checkpoint_every": config.train.checkpoint_every,
        "measured_steps": measured,
        "bare_images_per_second": bare_rates,
        "loop_images_per_second": loop_rates,
        "ratios": ratios,
        "ratio": statistics.median(ratios),
        "goal": GOAL,
        "load_after": round(os.getloadavg()[0], 2),
    }
    _show(result)
    report.write(out, result)
    print(f"written: {out}")
    return result


def _check(config: Config) -> None:
    check_config(config.to_dict())
    train = config.train
    if train.checkpoint_every % train.log_every:
        raise UserError(
            f"train.checkpoint_every={train.checkpoint_every} is no multiple of log_every={train.log_every}"
        )
    if train.steps % train.checkpoint_every or train.steps < 2 * train.checkpoint_every:
        raise UserError(f"--steps={train.steps}: give two or more times checkpoint_every={train.checkpoint_every}")


def _bare_step(config: Config) -> BareStep:
    """The step on the first batch of the config's own data."""
    source = load(config.data.to_dict())
    setup = set_up(config.to_dict(), source.info)
    per_call = steps_per_call(config.train, 0)
    data = batches(source, config.train.batch_size, keys=setup.family.cond_keys, seed=config.seed)
    return BareStep(config, setup, take_batches(data, per_call), per_call)


def _loop_rate(config: Config) -> float:
    """Images/s of one run from its first checkpoint to its last."""
    with tempfile.TemporaryDirectory() as workdir, contextlib.redirect_stdout(io.StringIO()):
        gen_jax.main.run(config, workdir)
        rows = read_rows(Path(workdir))
    return rate_between(rows, config.train.checkpoint_every, config.train.steps, config.train.batch_size)


def rate_between(rows: list[dict[str, float]], first: int, last: int, batch_size: int) -> float:
    """Images/s over the steps after `first` up to `last`, from rows with step and images_per_second."""
    steps = np.array([row["step"] for row in rows])
    rates = np.array([row["images_per_second"] for row in rows])
    images = np.diff(steps, prepend=0) * batch_size
    chosen = (steps > first) & (steps <= last)
    return float(images[chosen].sum() / (images / rates)[chosen].sum())


def _show(result: dict[str, Any]) -> None:
    hardware = result["hardware"]
    print(
        f"{hardware['cores']} cores of {hardware['cpu']}, {hardware['devices']} x {hardware['device_kind']}, "
        f"load {hardware['load_before']} before"
    )
    rows: list[tuple[object, ...]] = []
    for i, (loop, ratio) in enumerate(zip(result["loop_images_per_second"], result["ratios"], strict=True)):
        before, after = result["bare_images_per_second"][i : i + 2]
        rows.append((f"round {i + 1}", before, loop, after, f"{ratio:.3f}"))
    medians = (statistics.median(result[f"{name}_images_per_second"]) for name in ("bare", "loop"))
    bare, loop = medians
    rows.append(("median", bare, loop, "", f"{result['ratio']:.3f} (goal {GOAL})"))
    title = f"{result['config']}: the loop, over {result['measured_steps']} steps, and the bare step"
    report.show(title, ("", "bare before, images/s", "loop, images/s", "bare after, images/s", "ratio"), rows)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    run(given.config, given.out, steps=given.steps, rounds=given.rounds)


if __name__ == "__main__":
    flags.DEFINE_string("config", "configs/quickstart.py", "The recipe: FILE.py, or FILE.py:variant.")
    flags.DEFINE_integer("steps", None, "Of each loop; default: two times checkpoint_every.", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "Loops to measure; the median ratio counts.", lower_bound=1)
    flags.DEFINE_string("out", str(report.RESULTS / "train_loop.json"), "Where to write the result.")
    cli.run(main)
