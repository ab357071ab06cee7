"""What a run cost, in DIR/run.json: the facts that gen_jax.compare shows beside its figures."""

import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from gen_jax.errors import UserError

FILE = "run.json"


class CostRecord:
    """Writes DIR/run.json: {"step", "seconds", "flops_per_step", "step_bytes", "device", "peak_bytes"}.

    seconds: wall clock since `started` (time.perf_counter), compilation, checkpoints, grids and evaluations included,
    added to those of the sessions before this one, up to the last record each of them made. device: also what the
    sessions before ran on, where it was another. peak_bytes: the most that one device had in use, or, on a CPU, the
    process; over all sessions."""

    def __init__(self, workdir: Path, started: float, plan: Mapping[str, float], devices: str):
        self._path = workdir / FILE
        self._started = started
        before = read_cost(workdir)
        self._seconds = before.get("seconds", 0.0)
        self._peak = before.get("peak_bytes", 0)
        known = before.get("device", devices)
        device = known if known.endswith(devices) else f"{known}, then {devices}"
        self._facts = {**plan, "device": device}

    def write(self, step: int) -> None:
        """Records the cost of the steps up to `step`; a record that is there is replaced only by a whole one."""
        seconds = self._seconds + time.perf_counter() - self._started
        record = {"step": step, "seconds": seconds, **self._facts, "peak_bytes": max(self._peak, peak_bytes())}
        partial = self._path.with_name(f".{FILE}.tmp")
        partial.write_text(json.dumps(record, indent=2) + "\n")
        partial.replace(self._path)


def read_cost(workdir: Path) -> dict[str, Any]:
    """The record in DIR/run.json; {} where there is none. Raises UserError where it is damaged."""
    path = workdir / FILE
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged: {error}; move it away") from error


def step_plan(compiled: Any) -> dict[str, float]:
    """XLA's count of a compiled step's FLOPs, and its plan of the memory of one device: {"flops_per_step",
    "step_bytes"}; 0 where it does not say."""
    cost, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    used = memory.argument_size_in_bytes + memory.temp_size_in_bytes if memory else 0
    return {"flops_per_step": cost.get("flops", 0.0), "step_bytes": used}


def peak_bytes() -> int:
    """The most memory that one device has had in use; of devices that do not count it, such as a CPU, the process."""
    counted = [(device.memory_stats() or {}).get("peak_bytes_in_use", 0) for device in jax.local_devices()]
    return max(counted) or process_peak_bytes()


def process_peak_bytes() -> int:
    """The most memory that this process has had in use."""
    status = Path("/proc/self/status")  # a new program's own peak; ru_maxrss may hold its parent's
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
