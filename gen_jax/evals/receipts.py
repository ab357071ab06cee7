"""Receipts: the facts that make a figure comparable, kept with every figure.

    {"metric": "fid", "version": 1, "settings": {...},
     "features": {"network": "own", "hash": ..., "resize": "none"},     null where the metric reads no features
     "data": {"name": "digits", "split": "train", "hash": ..., "count": 1442},
     "samples": {"count": 1000, "dtype": "uint8", "seed": 0, "sampler": "Heun", "steps": 16, ...},
     "checkpoint": 500, "code": ..., "device": ..., "date": ...}

Two figures compare where metric, version, settings, features, data, and the samples' count and dtype agree. The rest
says how the samples were made, which is what one may want to compare.
"""

import dataclasses
import datetime
import functools
import inspect
import json
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

import gen_jax
from gen_jax.evals.metrics import Metric
from gen_jax.types import Family, settings

COMPUTING = ("batch_size",)
"""Settings of metrics that change how a figure is computed, and not what it is."""

SAMPLING = (
    *("sampler", "steps", "grid", "guidance", "start", "end", "denoise_last", "clip", "direction"),
    *("likelihood", "temperature", "choice_temperature", "top_k"),
)
"""Fields of families that say how samples are drawn."""


def make_receipt(
    metric: Metric,
    *,
    network: Mapping[str, str] | None,
    data: Mapping[str, Any],
    drawn: Mapping[str, Any],
    checkpoint: int | None,
) -> dict[str, Any]:
    """The receipt of a metric's figures, as JSON reads it back."""
    receipt = {
        "metric": metric.name,
        "version": metric.version,
        "settings": dict(metric.settings),
        "features": network,
        "data": data,
        "samples": drawn,
        "checkpoint": checkpoint,
        "code": code_version(),
        "device": _device(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return json.loads(json.dumps(receipt, default=str))


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Why the figures of two receipts don't compare: each field with both values; [] where they do.

    Data of one content are the same data, whatever their name and split are called."""
    ours, theirs = _compared(a), _compared(b)
    if "data.hash" in ours and ours["data.hash"] == theirs.get("data.hash"):
        ours = {name: value for name, value in ours.items() if not name.startswith("data.")}
        theirs = {name: value for name, value in theirs.items() if not name.startswith("data.")}
    fields = dict.fromkeys([*ours, *theirs])
    pairs = [(name, ours.get(name, "not given"), theirs.get(name, "not given")) for name in fields]
    return [f"{name} is {_short(x)} and {_short(y)}" for name, x, y in pairs if x != y]


def describe_family(family: Family) -> dict[str, Any]:
    """How a family draws: those of SAMPLING that it has, in words."""
    known = settings(family)
    return {name: _spell(known[name]) for name in SAMPLING if name in known}


@functools.cache
def code_version() -> str:
    """The package's version and, where it runs from its repository, the commit: 0.1.0+2fa56ce, -dirty if changed."""
    try:
        number = version("gen-jax")
    except PackageNotFoundError:  # run from its source folder
        number = "unknown"
    folder = Path(gen_jax.__path__[0]).parent
    if not (folder / ".git").exists():
        return number
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return number
    return f"{number}+{done.stdout.strip()}" if done.returncode == 0 else number


def _device() -> str:
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"


def _compared(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that must agree, by their dotted names."""
    found = {name: receipt.get(name) for name in ("metric", "version")}
    for section in ("settings", "features", "data"):
        values = receipt.get(section) or {}
        found |= {f"{section}.{name}": value for name, value in values.items() if name not in COMPUTING}
    drawn = receipt.get("samples") or {}
    return found | {f"samples.{name}": drawn.get(name) for name in ("count", "dtype")}


def _short(value: Any) -> str:
    """A hash by its first twelve digits."""
    text = str(value)
    is_hash = len(text) == 64 and all(c in "0123456789abcdef" for c in text)
    return f"{text[:12]}..." if is_hash else text


def _spell(value: Any) -> Any:
    """JSON's own values as they are; what was built from a spec by its name and what is not at its default."""
    if isinstance(value, functools.partial):
        return _call(value.func.__name__, value.keywords)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.init]
        return _call(type(value).__name__, {f.name: getattr(value, f.name) for f in fields if _changed(value, f)})
    if inspect.isfunction(value):
        return value.__name__
    if isinstance(value, Mapping):
        return {key: _spell(v) for key, v in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{k}={_spell(v)}' for k, v in arguments.items())})" if arguments else name


def _changed(value: Any, field: "dataclasses.Field[Any]") -> bool:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return repr(getattr(value, field.name)) != repr(default)
