"""The run's folder: claimed before training starts, and never shared with a run of another config."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen_jax.errors import UserError
from gen_jax.types import DataInfo


def claim(workdir: Path, config: Mapping[str, Any], needed_bytes: int) -> None:
    """Makes `workdir` this run's: it exists, can be written, has room, and its config.json is this config.

    Raises:
      UserError: it cannot be made or written, the disk has less than `needed_bytes` left, or it belongs to a run of
        another config (the differences are named).
    """
    known = workdir / "config.json"
    checkpoints = workdir / "checkpoints"
    if not known.exists() and checkpoints.is_dir() and any(checkpoints.iterdir()):
        raise UserError(
            f"--workdir={workdir} has checkpoints and no config.json that says of which run; put it back, or take "
            "another --workdir"
        )
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / ".writable"
        probe.write_text("")
        probe.unlink()
        free = shutil.disk_usage(workdir).free
    except OSError as error:
        raise UserError(f"--workdir={workdir} cannot be written: {error.strerror or error}") from error
    if free < needed_bytes:
        raise UserError(
            f"--workdir={workdir}: the run's checkpoints need about {needed_bytes / 1e6:,.0f} MB and the disk has "
            f"{free / 1e6:,.0f} MB left; free some, take another --workdir, or keep fewer (--config.train.keep=1)"
        )
    if known.exists():
        differences = compare(read_config(workdir), _as_json(config))
        if differences:
            raise UserError(
                f"--workdir={workdir} holds a run of another config: {'; '.join(differences)}. "
                "Take another --workdir, or the config of that run"
            )
    else:
        partial = workdir / ".config.json.tmp"
        partial.write_text(json.dumps(_as_json(config), indent=2) + "\n")
        partial.replace(known)


def read_config(workdir: Path) -> dict[str, Any]:
    """The config of the run in `workdir`.

    Raises:
      UserError: there is no run, or its config.json is not JSON.
    """
    path = Path(workdir) / "config.json"
    if not path.exists():
        what = "has no config.json, so it is not a run's folder" if path.parent.is_dir() else "does not exist"
        raise UserError(f"--workdir={workdir} {what}; train one with python -m gen_jax.main --workdir={workdir}")
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def compare(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every difference between two configs, as 'train.steps is 600 there and 100 here'."""
    differences = []
    for key in sorted({*old, *new}):
        name = f"{prefix}{key}"
        a, b = old.get(key, "not set"), new.get(key, "not set")
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            differences += compare(a, b, f"{name}.")
        elif a != b:
            differences.append(f"{name} is {a} there and {b} here")
    return differences


def describe(config: Mapping[str, Any], info: DataInfo) -> dict[str, Any]:
    """What a checkpoint says of its run, so that sampling needs neither the config file nor the data. JSON."""
    data = {"shape": info.shape, "class_names": info.class_names, "dtype": info.dtype, "conditions": info.conditions}
    return json.loads(json.dumps({"config": config, "data": data, "rollbacks": 0}))


def data_info(metadata: Mapping[str, Any]) -> DataInfo:
    """The DataInfo that `describe` wrote."""
    data = metadata["data"]
    conditions = {name: (tuple(shape), dtype) for name, (shape, dtype) in data.get("conditions", {}).items()}
    return DataInfo(tuple(data["shape"]), tuple(data["class_names"]), data["dtype"], conditions)


def _as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as it reads back from config.json: tuples are lists."""
    return json.loads(json.dumps(config))
