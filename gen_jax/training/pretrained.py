"""Models of other runs inside a family: {"workdir": DIR} in a family's spec, where a field wants another family.

The field gets the family that DIR's config describes, and its parameters (averaged, of the newest checkpoint, or of
the one that {"workdir": DIR, "checkpoint": STEP} names) come to stand, frozen, in TrainState.extra[FIELD], as
{"params": ..., "extra": ...}: what the family's own init puts there gives their shapes.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from gen_jax.errors import UserError
from gen_jax.training.checkpoint import Checkpoints
from gen_jax.training.workdir import data_info, read_config
from gen_jax.types import DataInfo, TrainState


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """One trained run: its folder, the step of the checkpoint (None: the newest), and its config."""

    workdir: Path
    checkpoint: int | None
    config: Mapping[str, Any]
    info: DataInfo

    def load(self, shapes: TrainState, sharding: jax.sharding.Sharding) -> dict[str, Any]:
        """{"params", "extra"} of the run, for the shapes that its own set-up gives."""
        with Checkpoints(self.workdir / "checkpoints", read_only=True) as checkpoints:
            _, state = checkpoints.restore_model(shapes, sharding, self.checkpoint)
        return {"params": state.averaged, "extra": state.extra}


def find_pretrained(family: Mapping[str, Any], info: DataInfo) -> dict[str, Pretrained]:
    """The runs that the fields of a family's spec name, by field.

    Raises:
      UserError: there is no such run or no checkpoint in it, or its data has another shape.
    """
    found = {}
    for field, spec in family.items():
        if not (isinstance(spec, Mapping) and "workdir" in spec):
            continue
        if set(spec) - {"workdir", "checkpoint"}:
            raise UserError(f"family.{field} has the fields {', '.join(spec)}; it takes workdir, checkpoint")
        if not spec["workdir"]:
            raise UserError(f"family.{field}.workdir is needed: the folder of a trained run")
        workdir, checkpoint = Path(spec["workdir"]), spec.get("checkpoint")
        config = read_config(workdir)
        with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
            own = data_info(checkpoints.describe(checkpoint))
        if own.shape != info.shape:
            raise UserError(
                f"family.{field}.workdir={workdir} was trained on {list(own.shape)} and the data is {list(info.shape)}"
            )
        found[field] = Pretrained(workdir, checkpoint, config, own)
    return found
