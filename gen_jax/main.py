"""Trains a config: python -m gen_jax.main --config=configs/quickstart.py[:variant] --workdir=DIR

Any field of the config can be set by a flag, as --config.train.steps=100. In a folder that holds checkpoints of the
same config it goes on from the newest one.
"""

from pathlib import Path

import numpy as np
from absl import flags

from gen_jax import cli
from gen_jax.errors import UserError
from gen_jax.training.loop import train
from gen_jax.types import Config, TrainState


def run(config: Config, workdir: str | Path) -> tuple[TrainState, dict[str, np.ndarray]]:
    """Trains `config` in `workdir`, what the command does: the final state, and the logged metrics by column."""
    return train(config, workdir)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    for name in ("config", "workdir"):
        if getattr(flags.FLAGS, name) is None:
            raise UserError(f"--{name} is needed: python -m gen_jax.main --config=configs/quickstart.py --workdir=DIR")
    run(flags.FLAGS.config, flags.FLAGS.workdir)


if __name__ == "__main__":
    cli.define_config()
    flags.DEFINE_string("workdir", None, "The run's folder: made if it is not there, gone on with if it is.")
    cli.run(main, "stopped; training goes on from its last checkpoint by the same command")
