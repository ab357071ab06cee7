"""Published weights: found or downloaded, checked, converted once to safetensors, and laid out as flax wants them.

They lie in $GEN_JAX_WEIGHTS, or ~/.cache/gen_jax/weights. A file that bears a published name must have the published
sha256. Beside FILE.pth, read without PyTorch by torch_file.py, FILE.safetensors is written, and read from then on: it
holds the same tensors under the same names. Where FILE.pth changes it is written anew.
"""

import contextlib
import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

from gen_jax.errors import UserError
from gen_jax.nn.pretrained.torch_file import read_torch
from gen_jax.types import PyTree

log = logging.getLogger("gen_jax")

CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Published:
    """A file of weights that others published.

    name: of the file. url: where it is. sha256: of the whole file, hexadecimal. megabytes: its size. instead: what a
    user can do without it. prefix: of the tensors that are kept."""

    name: str
    url: str
    sha256: str
    megabytes: int
    instead: str
    prefix: str = ""


@dataclasses.dataclass(frozen=True)
class Weights:
    """tensors: by their published names and in their published layout. hash: sha256 of them (`digest`), the same
    whichever file they came in. file: where they were read, for messages."""

    tensors: Mapping[str, np.ndarray]
    hash: str
    file: Path


def folder() -> Path:
    """Where weights are looked for and kept: $GEN_JAX_WEIGHTS, or ~/.cache/gen_jax/weights."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("GEN_JAX_WEIGHTS") or cache / "gen_jax" / "weights")


def load(published: Published, path: str | Path | None = None) -> Weights:
    """The published weights: from `path`, else from the weights' folder, else downloaded to there.

    Args:
      path: a .pth or .safetensors file, whose weights need not be the published ones.

    Raises:
      UserError: there is no such file, it has another sha256 than its name promises, it is unreadable, or it cannot be
        downloaded.
    """
    source = Path(path) if path is not None else folder() / published.name
    converted = source.with_suffix(".safetensors")
    if not source.exists() and not converted.exists():
        if path is not None:
            raise UserError(f"there are no weights at {path}; {_advice(published)}")
        _download(published, source)
    if not source.exists() or source == converted:
        return read(converted, published.prefix)
    stat = source.stat()
    stamp = f"{stat.st_size} bytes, {stat.st_mtime_ns} ns"
    if converted.exists() and _metadata(converted).get("source") == stamp:
        return read(converted, published.prefix)
    if source.name == published.name and (found := file_hash(source)) != published.sha256:
        raise UserError(
            f"{source} has sha256 {found[:8]}..., and the published file {published.sha256[:8]}...: it is damaged or "
            f"another one; remove it and {_advice(published)}"
        )
    tensors = {name: tensor for name, tensor in read_torch(source).items() if name.startswith(published.prefix)}
    save(converted, tensors, {"source": stamp})
    return Weights(tensors, digest(tensors), source)


def digest(tensors: Mapping[str, np.ndarray]) -> str:
    """sha256 of tensors: of their names in order, dtypes, shapes and values."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        found.update(np.asarray(tensor, order="C").data)
    return found.hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes tensors, and their digest, to a .safetensors file: through a partial one, so that no half one is seen.

    It is for the next time only: where it cannot be written, that is logged."""
    from safetensors.numpy import save_file

    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
        save_file(arrays, partial, {**metadata, "digest": digest(tensors)})
        partial.replace(path)
    except OSError as error:
        log.warning("%s cannot be written (%s), and will be made anew each time", path, error.strerror or error)
    finally:
        _remove(partial)


def read(path: Path, prefix: str = "") -> Weights:
    """The tensors of a .safetensors file whose names begin with `prefix`.

    Raises UserError where it is no such file, or not what `save` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as safetensors ({error}); remove it, and it is made anew") from error
    hashed = digest(tensors)
    if _metadata(path).get("digest", hashed) != hashed:
        raise UserError(f"{path} is not what was written to it; remove it, and it is made anew")
    return Weights(tensors, hashed, path)


def _metadata(path: Path) -> dict[str, str]:
    """The metadata of a .safetensors file; {} where it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _download(published: Published, target: Path) -> None:
    import http.client
    import urllib.request

    partial = target.with_name(f".{target.name}.{os.getpid()}")
    found = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        log.warning("downloading %s (%d MB) to %s", published.url, published.megabytes, target.parent)
        with urllib.request.urlopen(published.url, timeout=30) as source, partial.open("wb") as file:
            while chunk := source.read(CHUNK):
                found.update(chunk)
                file.write(chunk)
        if found.hexdigest() != published.sha256:
            raise UserError(
                f"{published.url} gave a file of sha256 {found.hexdigest()[:8]}..., and {published.sha256[:8]}... was "
                f"published: it is not used; {_advice(published)}"
            )
        partial.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"{published.url} cannot be downloaded ({error}); {_advice(published)}") from error
    finally:
        _remove(partial)


def _advice(published: Published) -> str:
    return (
        f"put {published.name} ({published.megabytes} MB) in {folder()}, or name the file (weights=FILE); what works "
        f"without it: {published.instead}"
    )


def variables(module: nn.Module, weights: Weights, *example: Any, renamed: Mapping[str, str] | None = None) -> PyTree:
    """PyTorch's tensors as the variables of a flax module whose submodules have PyTorch's names.

    Kernels [out, in, h, w] become [h, w, in, out], matrices [out, in] become [in, out], a number joins the name before
    it ("blocks.3" is blocks_3), and tensors that the module has no use for are dropped.

    Args:
      example: the module's arguments, for its shapes. renamed: parts of the tensors' names, and what they become.

    Raises:
      UserError: a tensor that the module needs is missing or has another shape.
    """
    wanted = flax.traverse_util.flatten_dict(jax.eval_shape(module.init, jax.random.key(0), *example), sep=".")
    found: dict[str, np.ndarray] = {}
    for name, tensor in weights.tensors.items():
        for old, new in (renamed or {}).items():
            name = name.replace(old, new)
        found.update([_flax_form(re.sub(r"\.(\d+)", r"_\1", name), tensor)])
    for name, shape in wanted.items():
        have = list(found[name].shape) if name in found else "none"
        if have != list(shape.shape):
            what = name.partition(".")[2]
            raise UserError(
                f"{weights.file} is not of this network: {what} {list(shape.shape)} is needed, it has {have}"
            )
    tree = flax.traverse_util.unflatten_dict({name: found[name].astype(np.float32) for name in wanted}, sep=".")
    return jax.tree.map(jax.numpy.asarray, tree)


def _flax_form(name: str, tensor: np.ndarray) -> tuple[str, np.ndarray]:
    *path, leaf = name.split(".")
    kind = "params"
    if leaf in ("running_mean", "running_var"):
        kind, leaf = "batch_stats", leaf.removeprefix("running_")
    elif leaf == "weight" and tensor.ndim == 1:
        leaf = "scale"
    elif leaf == "weight":
        leaf, tensor = "kernel", tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
    return ".".join([kind, *path, leaf]), tensor
