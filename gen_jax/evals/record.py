"""evals.json: {"evaluations": [{"figures": {name: {"value", "receipt"}}, "cost": {...}, ...}, ...]}, newest last.

An evaluation is added when it is whole, by replacing the file; no other one is ever changed.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gen_jax.errors import UserError

try:
    import fcntl
except ImportError:  # there is none on Windows
    fcntl = None  # type: ignore[assignment]


def read_evaluations(path: str | Path) -> list[dict[str, Any]]:
    """The evaluations in a file, oldest first; [] where there is no file.

    Raises:
      UserError: the file is none of evaluations.
    """
    path = Path(path)
    if not path.exists():
        return []
    try:
        evaluations = json.loads(path.read_text())["evaluations"]
        if all(isinstance(evaluation["figures"], dict) for evaluation in evaluations):
            return list(evaluations)
        raise ValueError("figures are missing")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no file of evaluations, or a damaged one ({error!r}): move it away") from error


def add_evaluation(path: str | Path, evaluation: Mapping[str, Any]) -> None:
    """Adds an evaluation to the file, which is made if it is not there. Other processes may add to it at that time."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        text = json.dumps({"evaluations": [*read_evaluations(path), evaluation]}, indent=2)
        write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file through a partial one: what was there is replaced by the whole new one, or stays."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_target(path: str | Path) -> None:
    """Raises UserError where an evaluation could not be added to the file, before it is made."""
    path = Path(path)
    there = next((p for p in path.absolute().parents if p.exists()), Path("/"))
    try:
        read_evaluations(path)
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Held by one process at a time, where the system has such locks; released when the process ends, too."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have none
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
