"""What a frozen codec makes of the training data, written to disk once, so that no step has to run the codec again.

A folder of .npy files that are mapped into memory: `latent` [n, ...] and each condition that the family reads [n, ...].
Any family with `latents(extra, batch) -> [b, ...]` and a field `cached` can be trained so: Latent, MaskGIT.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.memory import InMemory
from gen_jax.data.transforms import scale
from gen_jax.errors import UserError
from gen_jax.types import Family, PyTree, Source

log = logging.getLogger("gen_jax")
CHECKED = 64
"""Examples, spread over the data, that a cache on disk is compared with."""


def cache_latents(
    folder: str | Path, source: Source, family: Family, extra: PyTree, batch_size: int, flip: bool = False
) -> tuple[Source, Family]:
    """The data as `family` sees them behind its codec, and the family that takes them so. Their x are latents; their
    `info` is still that of the data that they were made of.

    folder: where they are kept; it is made and filled where there is none, and otherwise compared with the data.
    extra: with the trained codec. batch_size: of the codec. flip: whether training is to mirror the images.

    Raises:
      UserError: a family without a codec; images that are to be mirrored, which latents cannot be; a folder with the
        latents of other data or of another codec; a disk that is full.
    """
    if not hasattr(family, "latents"):
        raise UserError(
            f"train.latent_cache={folder}: a {type(family).__name__} has no codec whose latents could be kept"
        )
    if flip:
        raise UserError(
            f"train.latent_cache={folder}: with train.flip=True images are mirrored, and their latents cannot be; "
            "set train.flip=False, or train.latent_cache=None"
        )
    folder = Path(folder)
    if not (folder / "latent.npy").exists():
        _fill(folder, source, family, extra, batch_size)
    fields = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("latent", *family.cond_keys)}
    _compare(folder, fields, source, family, extra)
    fields["x"] = fields.pop("latent")
    cached: Any = dataclasses.replace(family, cached=True)  # type: ignore[type-var]
    return InMemory(source.info, fields), cached


def _fill(folder: Path, source: Source, family: Family, extra: PyTree, batch_size: int) -> None:
    """Writes the fields; latent.npy comes to be under its name when all of it is there."""
    log.warning("writing the latents of %s examples to %s ...", f"{len(source):,}", folder)
    encode = jax.jit(family.latents)  # type: ignore[attr-defined]
    files: dict[str, np.memmap] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(source), batch_size):
            index = np.minimum(np.arange(start, start + batch_size), len(source) - 1)
            found = _encoded(encode, source, family, extra, index)
            for name, values in found.items():
                if name not in files:
                    shape = (len(source), *values.shape[1:])
                    files[name] = np.lib.format.open_memmap(folder / f"{name}.part.npy", "w+", values.dtype, shape)
                files[name][start : start + batch_size] = values[: len(source) - start]
        for name in sorted(files, key=lambda name: name == "latent"):  # the latents last
            files[name].flush()
            (folder / f"{name}.part.npy").rename(folder / f"{name}.npy")
    except OSError as error:
        raise UserError(f"train.latent_cache={folder} cannot be written: {error}") from error


def _encoded(encode: Any, source: Source, family: Family, extra: PyTree, index: np.ndarray) -> dict[str, np.ndarray]:
    examples = [source[i] for i in index.tolist()]
    batch = {name: np.stack([example[name] for example in examples]) for name in ("x", *family.cond_keys)}
    latent = encode(extra, scale({name: jnp.asarray(values) for name, values in batch.items()}))
    return {"latent": np.asarray(latent)} | {name: np.asarray(batch[name]) for name in family.cond_keys}


def _compare(folder: Path, fields: Mapping[str, np.ndarray], source: Source, family: Family, extra: PyTree) -> None:
    """Raises UserError where the fields are not what the codec makes of these data."""
    fix = "delete the folder, or name another one"
    if len(fields["latent"]) != len(source):
        raise UserError(
            f"train.latent_cache={folder} has {len(fields['latent']):,} examples and the data {len(source):,}: {fix}"
        )
    index = np.linspace(0, len(source) - 1, CHECKED).astype(int)
    found = _encoded(jax.jit(family.latents), source, family, extra, index)  # type: ignore[attr-defined]
    for name, values in found.items():
        kept = fields[name][index]
        if kept.shape != values.shape or not np.mean(np.isclose(kept, values, rtol=0.05, atol=0.05)) > 0.98:
            raise UserError(
                f"train.latent_cache={folder} does not hold what this codec makes of these data ({name}): {fix}"
            )
