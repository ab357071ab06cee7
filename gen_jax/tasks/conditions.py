"""What samples are asked for: the conditions of sample i, for every family and every command.

A family that is conditional on nothing but a label is asked for classes. One that reads more (image, mask, text) is
asked for what a data set has: sample i gets all conditions of its example i % n, as they belong together. That data set
is the test split of the run's own data (the train split where there is no test split), or what the user gives. One that
reconstructs is given the examples themselves as the image.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gen_jax.data.image_folder import image_folder
from gen_jax.data.load import load
from gen_jax.data.memory import InMemory
from gen_jax.errors import UserError
from gen_jax.types import DataInfo, Family, Source

Fields = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What is known of samples before they are drawn: their conditions and, where the data have it, the right answer.

    names: of the fields. read: indices of samples [b] -> the fields [b, ...], pictures as bytes. `target`, of the form
    of x, is what is to come out: no family sees it, pictures and metrics do. count: how many samples differ in them;
    None: as many as one likes. originals: the split whose x sample i is to be like, of its example i; "": it is to be
    like none."""

    names: tuple[str, ...]
    read: Callable[[np.ndarray], Fields]
    count: int | None = None
    originals: str = ""


def sample_keys(family: Family) -> tuple[str, ...]:
    """The conditions that `family.sample` reads."""
    return getattr(family, "sample_keys", family.cond_keys)


def reconstructs(family: Family) -> bool:
    """Whether samples are the data's own examples once more."""
    return "image" in sample_keys(family) and "image" not in family.cond_keys


def conditions(family: Family, info: DataInfo, data: Mapping[str, Any] | None = None) -> Conditions:
    """The conditions that a run's samples are drawn with when nothing else is said.

    data: the spec of the run's data, of which the test split is read where the family reads more than a label.

    Raises:
      UserError: the data cannot be read, or lack what the family reads.
    """
    keys = sample_keys(family)
    if set(keys) <= {"label"}:
        return in_turn(info.num_classes) if keys else Conditions((), lambda index: {})
    if data is None:
        raise UserError(f"a {type(family).__name__} reads {', '.join(keys)}: give data that have them")
    split = "test"
    try:
        source = load(data, split)
    except UserError:
        split = "train"
        source = load(data, split)
    if not reconstructs(family):
        return of_source(source, keys)
    return dataclasses.replace(of_source(_Own(source), keys), originals=split)


def in_turn(num_classes: int) -> Conditions:
    """Labels 0, 1, 2, ... in turn."""
    return Conditions(("label",), lambda index: {"label": (index % num_classes).astype(np.int32)})


def of_labels(labels: Sequence[int] | np.ndarray) -> Conditions:
    """These labels [n], one for each sample."""
    known = np.asarray(labels, np.int32)
    return Conditions(("label",), lambda index: {"label": known[index % len(known)]}, len(known))


def of_source(source: Source, cond_keys: Sequence[str]) -> Conditions:
    """The conditions of a data set's examples in order; with their labels, and x as the target where data are paired.

    Raises:
      UserError: the examples lack one of cond_keys.
    """
    example = source[0]
    if missing := [name for name in cond_keys if name not in example]:
        raise UserError(f"the data's examples have {', '.join(example)}, and the model reads {', '.join(missing)} too")
    names = tuple(dict.fromkeys((*cond_keys, *(["label"] if source.info.num_classes else []))))
    paired = source.info.paired and "x" in example
    take = getattr(source, "take", None) or (lambda index: _stacked([source[i] for i in index.tolist()]))

    def read(index: np.ndarray) -> Fields:
        found = take(index % len(source))
        return {name: found[name] for name in names} | ({"target": found["x"]} if paired else {})

    return Conditions((*names, "target") if paired else names, read, len(source))


def of_files(path: str, family: Family, info: DataInfo) -> Conditions:
    """The pictures at `path` as the condition `image`: a folder or archive of images, each cropped to its central
    square and resized to the size that the model was trained on; or an .npz of `image` or x uint8 [n, h, w, c] of that
    size, and of the other conditions that the family reads.

    Raises:
      UserError: the family reads no image, there is nothing at `path`, or not what is needed in it.
    """
    keys = sample_keys(family)
    if "image" not in keys:
        raise UserError(f"--source={path}: this model makes its samples from nothing; leave --source out")
    shape, _ = info.conditions["image"] if "image" in family.cond_keys else (info.shape, info.dtype)
    others = [name for name in keys if name != "image"]
    if Path(path).suffix == ".npz":
        return of_source(_arrays(path, shape, keys), keys)
    if others:
        raise UserError(f"--source={path}: the model reads {', '.join(others)} too; give an .npz that has them")
    if shape[0] != shape[1]:
        raise UserError(f"--source={path}: the model was trained on {shape[1]}x{shape[0]}; give an .npz of that size")
    found = image_folder(path=path, resolution=shape[0], channels=shape[2])

    def read(index: np.ndarray) -> Fields:
        return {"image": np.stack([found[i]["x"] for i in (index % len(found)).tolist()])}

    return Conditions(("image",), read, len(found))


def _arrays(path: str, shape: tuple[int, ...], names: Sequence[str]) -> Source:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in names if name in file}
            if "image" not in found and "x" in file:
                found["image"] = file["x"]
    except FileNotFoundError as error:
        raise UserError(f"--source={path}: no such file") from error
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UserError(f"--source={path}: not an .npz file, or a damaged one") from error
    if missing := [name for name in names if name not in found]:
        raise UserError(f"--source={path}: it has no {', '.join(missing)}, which the model reads")
    image = found["image"]
    if image.dtype != np.uint8 or image.shape[1:] != shape or not len(image):
        raise UserError(
            f"--source={path}: image is {image.dtype} {list(image.shape)}, and the model was trained on uint8 "
            f"[n, {', '.join(map(str, shape))}]"
        )
    if uneven := [name for name, values in found.items() if len(values) != len(image)]:
        raise UserError(f"--source={path}: {uneven[0]} has {len(found[uneven[0]])} entries and image {len(image)}")
    return _Sources(DataInfo(shape, paired=False), found)


class _Own:
    """Examples with their own x as their image, and no x."""

    def __init__(self, source: Source):
        self.info = source.info
        self._source = source
        if hasattr(source, "take"):
            self.take = lambda index: _renamed(source.take(index))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return _renamed(self._source[index])


def _renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"image" if name == "x" else name: value for name, value in fields.items() if name != "image"}


class _Sources(InMemory):
    """Conditions without an x."""

    def __len__(self) -> int:
        return len(self._fields["image"])


def _stacked(examples: list[dict[str, Any]]) -> Fields:
    return {k: np.stack([e[k] for e in examples]) for k, v in examples[0].items() if not isinstance(v, str)}
