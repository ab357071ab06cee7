"""Samples and reference data of other programs: a folder of images, an .npz of arrays, or published statistics."""

import dataclasses
import functools
import hashlib
import logging
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gen_jax.data.arrays import arrays
from gen_jax.data.image_folder import image_folder
from gen_jax.data.load import data_sets, load
from gen_jax.data.memory import InMemory
from gen_jax.errors import UserError, unknown
from gen_jax.evals.frechet import Statistics
from gen_jax.evals.reference import Reference, Split
from gen_jax.evals.run import Samples, check_same
from gen_jax.types import DataInfo, Source

log = logging.getLogger("gen_jax")

ADVICE = (" or give --config.data.on_error=skip", ", --config.data.resolution=64")
"""What image_folder advises for training, by flags that evaluation does not have."""


def load_reference(name: str, split: str = "train") -> Reference:
    """The reference that a user names: a folder or archive of images, an .npz, or one of gen_jax's data sets.

    An .npz has images (x, or train_x and test_x, or arr_0 as OpenAI's), or the mean `mu` [d] and covariance `sigma`
    [d, d] of features, as pytorch-fid and EDM publish them, or both.

    Raises:
      UserError: there is nothing of that name, no such split, or not what is needed in it.
    """
    path = Path(name).expanduser()
    if path.exists():
        published = _statistics(path) if path.suffix == ".npz" else None
        if published is not None and not _has_images(path):
            return Reference(name, None, split, published)
        return Reference(name, functools.partial(_source, path), split, published)
    known = data_sets()
    if name in known:
        return Reference(name, functools.partial(load, {"name": name}), split)
    if "/" in name or "." in name:
        raise UserError(f"--reference={name}: no such file or folder")
    raise unknown("reference (no such file or folder, and no such data set)", name, known)


def load_samples(name: str, reference: Reference, num: int | None = None, seed: int = 0) -> Samples:
    """The samples in a folder, archive or .npz. num: so many of them, drawn by `seed`; None: all.

    Raises:
      UserError: there are none, fewer than `num`, or they are not of the reference's type, size and range.
    """
    path = Path(name).expanduser()
    if not path.exists():
        raise UserError(f"--samples={name}: no such file or folder")
    if path.suffix == ".npz" and not _has_images(path) and _statistics(path) is not None:
        raise UserError(f"--samples={name}: statistics (mu, sigma); the samples themselves are needed")
    split = Split(_source(path, "train"))
    count = len(split)
    if num is not None and num > count:
        raise UserError(f"--num={num}: {name} has {count} samples; leave --num out to take them all")
    if split.info.dtype != "uint8" and reference.info is not None and reference.info.dtype == "uint8":
        x, _ = next(split.blocks())
        raise UserError(
            f"--samples={name} are {split.info.dtype} from {x.min():.3g} to {x.max():.3g}, and {reference.name} is "
            "uint8: save them as bytes, np.round(255 * x) of values in [0, 1], or np.round(127.5 * (x + 1)) of [-1, 1]"
        )
    translate = _translation(split.info, reference, name)
    indices = None
    if num is not None and num < count:
        indices = np.sort(np.random.default_rng(seed).choice(count, num, replace=False))
    facts = {"source": path.name, "hash": split.hash, "seed": None if indices is None else seed}
    info = dataclasses.replace(split.info, class_names=() if translate is None else split.info.class_names)
    samples = Samples(functools.partial(_chunks, split, translate, indices), num or count, info, facts)
    check_same(samples, reference)
    _check_range(name, split, reference)
    return samples


def _chunks(
    split: Split, translate: np.ndarray | None, indices: np.ndarray | None
) -> Iterator[Mapping[str, np.ndarray]]:
    """The samples at `indices`, with their labels as the reference numbers them (None: without)."""
    start = 0
    for x, label in split.blocks():
        chosen = np.arange(len(x))
        if indices is not None:
            chosen = indices[(indices >= start) & (indices < start + len(x))] - start
        start += len(x)
        if len(chosen):
            yield {"x": x[chosen]} | ({} if translate is None or label is None else {"label": translate[label[chosen]]})


def _translation(info: DataInfo, reference: Reference, name: str) -> np.ndarray | None:
    """The reference's number of each class of the samples, int [k]; None where there are no classes in common."""
    if not info.num_classes or reference.info is None or not reference.info.num_classes:
        return None
    theirs = reference.info.class_names
    if set(info.class_names) <= set(theirs):
        return np.array([theirs.index(c) for c in info.class_names])
    numbered = all(c.isdigit() for c in info.class_names)
    if numbered and max(map(int, info.class_names)) < len(theirs):
        return np.array([int(c) for c in info.class_names])
    log.warning(
        "the classes of %s (%s, ...) are not those of %s (%s, ...): its labels are left out",
        *(name, info.class_names[0], reference.name, theirs[0]),
    )
    return None


def _check_range(name: str, split: Split, reference: Reference) -> None:
    """Raises UserError where bytes were made of values in [0, 1] by cutting them off, in samples or reference."""
    if split.info.dtype != "uint8" or reference.info is None:
        return
    largest = {name: _largest(split), reference.name: _largest(reference.get(reference.split))}
    for what, value in largest.items():
        if value == 1 < max(largest.values()):
            raise UserError(
                f"{what} has values 0 and 1 only, and the other images go up to {max(largest.values())}: save it as "
                "bytes from 0 to 255, np.round(255 * x)"
            )


def _largest(split: Split) -> int:
    """The largest value; reading stops where it is seen to be above 1."""
    largest = 0
    for x, _ in split.blocks():
        largest = max(largest, int(x.max()))
        if largest > 1:
            break
    return largest


def _source(path: Path, split: str) -> Source:
    """Images from a folder, an archive or an .npz."""
    if path.suffix != ".npz":
        try:
            return image_folder(split, path=str(path))
        except UserError as error:
            text = str(error)
            for advice in ADVICE:
                text = text.replace(advice, "")
            raise UserError(text) from error
    with _open(path) as file:
        if "arr_0" not in file:
            return arrays(split, path=str(path))
        if split != "train":
            raise UserError(f"{path}: arr_0 is all there is, it has no {split} split")
        x, label = file["arr_0"], file.get("arr_1")
    if x.dtype != np.uint8 or x.ndim != 4 or not len(x):
        raise UserError(f"{path}: arr_0 is {x.dtype} {list(x.shape)}; expected images, uint8 [n, h, w, c]")
    if label is None or label.dtype.kind not in "iu" or label.shape != (len(x),) or label.min() < 0:
        return InMemory(DataInfo(x.shape[1:]), {"x": x})
    names = tuple(str(i) for i in range(int(label.max()) + 1))
    return InMemory(DataInfo(x.shape[1:], names), {"x": x, "label": label.astype(np.int32)})


def _has_images(path: Path) -> bool:
    with _open(path) as file:
        return not {"mu", "sigma"} & set(file.files) or "arr_0" in file


def _statistics(path: Path) -> tuple[Statistics, str] | None:
    """Mean and covariance of an .npz, and the hash of their content; None where it has none."""
    with _open(path) as file:
        if not {"mu", "sigma"} <= set(file.files):
            return None
        try:
            mean, cov = file["mu"].astype(np.float64), file["sigma"].astype(np.float64)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: mu and sigma cannot be read: {error}") from error
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
        raise UserError(f"{path}: mu {list(mean.shape)} and sigma {list(cov.shape)}; expected [d] and [d, d]")
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise UserError(f"{path}: mu or sigma is not finite")
    found = hashlib.sha256(np.ascontiguousarray(mean).data)
    found.update(np.ascontiguousarray(cov).data)
    return Statistics(mean, cov, 0), found.hexdigest()


def _open(path: Path) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not an .npz file, or a damaged one") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise UserError(f"{path}: a single array; save it by name, numpy.savez(path, x=..., label=...)")
    return file
