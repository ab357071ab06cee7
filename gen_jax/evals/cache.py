"""A cache of arrays by what they were computed from. A file that is damaged is computed anew, and a warning says so.

It lies in $GEN_JAX_CACHE, or ~/.cache/gen_jax, and may be removed at any time.
"""

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

log = logging.getLogger("gen_jax")

VERSION = 1  # of what is kept; another one computes anew
LARGEST = 2**31
"""More bytes than this are not kept."""


def folder() -> Path:
    """Where the cache is."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("GEN_JAX_CACHE") or base / "gen_jax")


def cached(
    kind: str, key: Mapping[str, Any], compute: Callable[[], Mapping[str, np.ndarray]]
) -> Mapping[str, np.ndarray]:
    """The arrays of `kind` that `key` (JSON) determines: from the cache, else computed and kept there."""
    text = json.dumps({"cache": VERSION, "kind": kind, **key}, sort_keys=True)
    path = folder() / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
    if path.exists():
        try:
            return _read(path, text)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s is damaged (%s): it is computed anew", path, error)
    arrays = compute()
    if sum(array.nbytes for array in arrays.values()) <= LARGEST:
        _write(path, arrays, text)
    return arrays


def _read(path: Path, text: str) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:  # reading an array checks its checksum
        arrays = {name: file[name] for name in file.files}
    if str(arrays.pop("key")) != text:
        raise ValueError("it is of something else")
    return arrays


def _write(path: Path, arrays: Mapping[str, np.ndarray], text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays, key=np.array(text))  # type: ignore[arg-type]
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be written (%s): it will be computed each time", path, error.strerror or error)
