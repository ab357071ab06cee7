"""The best checkpoint of a run by a figure, in DIR/best: one as those of DIR/checkpoints, kept besides them."""

import logging
import math
from pathlib import Path
from typing import Any

from gen_jax.errors import UserError
from gen_jax.training.checkpoint import Checkpoints
from gen_jax.types import PyTree

log = logging.getLogger("gen_jax")


class Best:
    """Keeps the checkpoint at which `figure` was best. Use it in a `with` block.

    What it keeps stands in the checkpoint's metadata, so that a run that goes on knows it. An equal figure is not
    better: steps that are done again after a kill change nothing. After a roll-back the best one stays, also if it is
    of the steps that were given up: it was that good."""

    def __init__(self, directory: Path, figure: str, mode: str):
        """mode: "min" or "max", whichever is best."""
        self._checkpoints = Checkpoints(directory, keep=1)
        self._figure, self._sign = figure, 1 if mode == "min" else -1
        self._value = math.inf  # the least so far, of the figure times the sign
        if self._checkpoints.steps:
            try:
                known = self._checkpoints.describe()["best"]
            except (UserError, KeyError) as error:
                log.warning("the best checkpoint in %s cannot be read and counts for none: %s", directory, error)
            else:
                if known["figure"] == figure:
                    self._value = self._sign * known["value"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._checkpoints.__exit__()

    def offer(self, value: float, step: int, state: PyTree, data: Any, metadata: dict[str, Any]) -> bool:
        """Saves the state if the figure's value at it is the best so far, and says whether it did. NaN never is.

        It returns when the checkpoint is written: the run's own one of the same step, saved after it, is a promise that
        this one is there."""
        if not self._sign * value < self._value:
            return False
        self._value = self._sign * value
        best = {"figure": self._figure, "value": value, "step": step}
        self._checkpoints.save(step, state, data, metadata | {"best": best})
        self._checkpoints.wait()
        return True
