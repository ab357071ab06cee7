"""What the benchmarks share: the machine's description, the config, the table and the JSON."""

import datetime
import importlib.util
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import rich.console
import rich.table

from gen_jax.errors import UserError
from gen_jax.types import Config

RESULTS = Path(__file__).parent / "results"


def load_config(spec: str) -> Config:
    """The config of "configs/quickstart.py", or of one of its variants: "configs/gan/vanilla.py:cifar10".

    Raises:
      UserError: there is no such file or variant, or it has no get_config.
    """
    path, _, variant = spec.partition(":")
    module = _module(path)
    if not hasattr(module, "get_config"):
        raise UserError(f"{path} has no get_config")
    try:
        return module.get_config(variant) if variant else module.get_config()
    except ValueError as error:  # configs import nothing of gen_jax, not its errors either
        raise UserError(f"{path}: {error}") from error


def first_stage(spec: str) -> tuple[str, str] | None:
    """The flag of a two-stage config that names the first stage's folder, and the first stage's config; None: it has
    one stage. Such a config's file says so in FIRST_STAGE, by variant."""
    path, _, variant = spec.partition(":")
    module = _module(path)
    stage = getattr(module, "FIRST_STAGE", {}).get(variant or "digits")
    if stage is None:
        return None
    family = load_config(spec).family.to_dict()
    field = next(name for name, value in family.items() if isinstance(value, dict) and "workdir" in value)
    return f"config.family.{field}.workdir", stage


def _module(path: str) -> ModuleType:
    if not Path(path).is_file():
        raise UserError(f"no config file {path}; give FILE.py or FILE.py:variant")
    found = importlib.util.spec_from_file_location("benchmarked_config", path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def hardware() -> dict[str, Any]:
    """The machine: processor, cores that this process may use, devices, and the load before the measurement."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    devices = jax.devices()
    return {
        "cpu": _cpu(),
        "cores": cores,
        "devices": len(devices),
        "device_kind": devices[0].device_kind,
        "platform": devices[0].platform,
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,  # 1 minute's average
    }


def header(benchmark: str) -> dict[str, Any]:
    """What every result says first: which benchmark, when, on what, with which versions, by which command."""
    return {
        "benchmark": benchmark,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("gen-jax", "jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn")},
    }


def write(path: str | Path, result: Mapping[str, Any]) -> None:
    """Writes a result as JSON; a file that is there is replaced only by a whole one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text(json.dumps(result, indent=2) + "\n")
    partial.replace(path)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table: the first column to the left, numbers to the right."""
    table = rich.table.Table(title=title)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    # What is no terminal has no width of its own, and would get cells cut off at 80 columns.
    rich.console.Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
