"""What training left in a run's folder: its config, its metrics, its evaluations, its record; nothing is computed."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.record import read_evaluations
from gen_jax.training.cost import read_cost
from gen_jax.training.workdir import read_config
from gen_jax.training.writers import read_metrics

MODES = ("modes", "classes_read", "point_modes")
"""The figures that count how many of the data's classes are drawn."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One run of the comparison.

    metrics: metrics.jsonl by column, [rows] each. evaluations: those of evals.json, the oldest first.
    record: run.json, what the run cost; empty where training kept none."""

    name: str
    workdir: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, np.ndarray]
    evaluations: Sequence[Mapping[str, Any]]
    record: Mapping[str, Any]

    @property
    def players(self) -> list[str]:
        return list(self.config["optim"])

    @property
    def family(self) -> str:
        """The family's class, such as GAN."""
        return self.config["family"]["name"].rpartition(".")[2]

    @property
    def steps(self) -> int:
        """The last step that was reported, 0 before the first one."""
        return int(self.metrics["step"][-1]) if "step" in self.metrics else 0

    def column(self, player: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(steps, values) of one of a player's metrics, without the rows that do not have it."""
        key = f"{player}/{name}" if len(self.players) > 1 else name
        values = self.metrics.get(key, np.zeros(0))
        there = np.isfinite(values)
        return self.metrics.get("step", np.zeros(0))[: len(values)][there], values[there]


def read_entry(folder: Path, name: str) -> Entry:
    """The run in a folder. Raises UserError where there is none, or a file of it is damaged."""
    config = read_config(folder)
    evaluations = read_evaluations(folder / "evals.json")
    return Entry(name, folder, config, read_metrics(folder), evaluations, read_cost(folder))


def read_entries(workdirs: Sequence[str | Path], names: Sequence[str] | None = None) -> list[Entry]:
    """The runs in `workdirs`, called by `names`, or by as much of the ends of their paths as tells them apart.

    Raises:
      UserError: fewer than two folders, one that is given twice or holds no run, names that do not fit, or a file of a
        run that is damaged.
    """
    folders = [Path(w) for w in workdirs]
    if len(folders) < 2:
        given = f"={folders[0]}" if folders else ""
        raise UserError(
            f"--workdirs{given}: two runs or more are compared, as in --workdirs=A,B; "
            f"for one, python -m gen_jax.evaluate --workdir{given or '=A'}"
        )
    resolved = [folder.resolve() for folder in folders]
    for i, folder in enumerate(folders):
        if resolved[i] in resolved[:i]:
            raise UserError(f"--workdirs: {folder} is given twice")
    if names is None:
        names = _names(resolved)
    elif len(names) != len(folders) or len(set(names)) != len(names):
        raise UserError(f"--names={','.join(names)}: {len(folders)} different names are needed, one for each run")
    return [read_entry(folder, name) for folder, name in zip(folders, names, strict=True)]


def same_but_seed(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The runs that are repetitions of each other, of one config with different seeds, in groups of two or more."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        config = {k: v for k, v in entry.config.items() if k != "seed"}
        groups.setdefault(json.dumps(config, sort_keys=True), []).append(entry)
    return [group for group in groups.values() if len(group) > 1]


def last_quarter(entry: Entry, player: str, name: str) -> tuple[float, float]:
    """Mean and standard deviation over the rows of the last quarter of training; NaN with fewer than two."""
    steps, values = entry.column(player, name)
    late = values[steps > 0.75 * entry.steps]
    return (float(late.mean()), float(late.std(ddof=1))) if len(late) > 1 else (math.nan, math.nan)


def collapses(entry: Entry, classes: int) -> tuple[int, int] | None:
    """In how many of the evaluations during training fewer than half of the data's classes were drawn, and of how many
    evaluations; None where none counted them."""
    counted = [entry.metrics[key] for key in (f"evals/{name}" for name in MODES) if key in entry.metrics]
    counts = np.concatenate(counted) if counted else np.zeros(0)
    counts = counts[np.isfinite(counts)]
    return (int((counts < classes / 2).sum()), len(counts)) if len(counts) else None


def training_cost(entry: Entry) -> dict[str, float | str | None]:
    """What training took, each None where it was not recorded.

    Returns:
      steps; batch_size; images_per_second (the median row); seconds (wall clock, compilation, checkpoints and grids
      included); flops (of the whole training); step_bytes (XLA's plan of the step's memory on a
      device); peak_bytes (the most that a device had in use); device (a text).
    """
    rates, record = entry.metrics.get("images_per_second", np.zeros(0)), entry.record
    per_step = record.get("flops_per_step")
    return {
        "steps": float(entry.steps),
        "batch_size": float(entry.config["train"]["batch_size"]),
        "images_per_second": float(np.nanmedian(rates)) if np.isfinite(rates).any() else None,
        "seconds": record.get("seconds"),
        "flops": per_step and per_step * entry.steps,
        "step_bytes": record.get("step_bytes"),
        "peak_bytes": record.get("peak_bytes"),
        "device": record.get("device"),
    }


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that differ."""
    for count in range(1, max(len(f.parts) for f in folders)):
        names = ["/".join(folder.parts[-count:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]
