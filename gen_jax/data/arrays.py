"""Images, sounds or latents in one .npz file of NumPy arrays."""

import zipfile
from pathlib import Path

import numpy as np

from gen_jax.data.memory import InMemory
from gen_jax.errors import UserError, unknown
from gen_jax.types import DataInfo

LAYOUTS = (
    {"train": ("train_x", "train_y"), "test": ("test_x", "test_y")},
    {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},  # Keras
    {"train": ("x", "label")},
)
"""The names of the data and of their labels, by split. The first layout of which the file has any data is taken."""


def arrays(split: str = "train", *, path: str) -> InMemory:
    """The arrays of an .npz file: x and label, train_x/train_y/test_x/test_y, or x_train/y_train/x_test/y_test.

    Images are uint8 [n, h, w] or [n, h, w, c], sounds float32 [n, samples, channels] in [-1, 1], latents of an
    autoencoder float32 [n, h, w, c], best of unit variance. Labels are integers [n] from 0 and may be left out;
    `class_names`, an array of strings, may be there too. Nothing is ever unpickled.

    Raises:
      UserError: no such file or split, not an .npz, arrays missing or of another type, rank or length.
    """
    file, layout = _open(path)
    with file:
        if split not in layout or layout[split][0] not in file:
            raise unknown(f"split of {path}", split, [s for s, (x, _) in layout.items() if x in file])
        x_name, label_name = layout[split]
        x = _data(path, x_name, _read(path, file, x_name))
        found = {s: _labels(path, name, _read(path, file, name)) for s, (_, name) in layout.items() if name in file}
        names = tuple(str(n) for n in _read(path, file, "class_names")) if "class_names" in file else ()
    if split not in found:
        return InMemory(DataInfo(x.shape[1:], dtype=str(x.dtype)), {"x": x})
    label = found[split]
    if len(label) != len(x):
        raise UserError(f"{path}: {label_name} has {len(label)} labels and {x_name} {len(x)} examples; they must agree")
    used = np.unique(np.concatenate(list(found.values())))
    if used[0] != 0 and not names:
        raise UserError(f"{path}: labels are {used[0]} to {used[-1]}; they must start at 0")
    if names and used[-1] >= len(names):
        raise UserError(f"{path}: label {used[-1]} has no name, class_names has {len(names)}")
    names = names or tuple(str(i) for i in range(used[-1] + 1))
    return InMemory(DataInfo(x.shape[1:], names, str(x.dtype)), {"x": x, "label": label})


def _open(path: str) -> tuple[np.lib.npyio.NpzFile, dict[str, tuple[str, str]]]:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        file = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not an .npz file, or a damaged one") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise UserError(f"{path}: a single array; save it by name, numpy.savez(path, x=..., label=...)")
    for layout in LAYOUTS:
        if any(x in file for x, _ in layout.values()):
            return file, layout
    raise UserError(f"{path}: holds {', '.join(file.files) or 'no arrays'}; expected x, or train_x and test_x")


def _read(path: str, file: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        return file[name]
    except ValueError as error:  # an array of Python objects, which only unpickling could read
        raise UserError(f"{path}: {name} cannot be read without unpickling; save it as numbers or strings") from error
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: {name} is damaged: {error}") from error


def _data(path: str, name: str, x: np.ndarray) -> np.ndarray:
    got = f"{path}: {name} is {x.dtype} {list(x.shape)}"
    if not len(x):
        raise UserError(f"{got}: it has no examples")
    if x.dtype == np.uint8 and x.ndim in (3, 4):
        if x.ndim == 4 and x.shape[-1] > 4 and x.shape[1] in (1, 3):
            raise UserError(f"{got}: channels come last; save {name}.transpose(0, 2, 3, 1)")
        return x if x.ndim == 4 else x[..., None]
    if x.dtype == np.float32 and x.ndim == 3:
        # NaN compares as false, so that it is refused here too
        if not (largest := np.abs(x).max()) <= 1:
            raise UserError(f"{got}: its largest magnitude is {largest}; sounds lie in [-1, 1]")
        return x
    if x.dtype == np.float32 and x.ndim == 4:
        if not np.isfinite(x).all():
            raise UserError(f"{got}: {np.sum(~np.isfinite(x))} of its values are not finite")
        return x
    raise UserError(
        f"{got}; expected images, uint8 [n, h, w, c], sounds, float32 [n, samples, channels], or latents, "
        "float32 [n, h, w, c]"
    )


def _labels(path: str, name: str, label: np.ndarray) -> np.ndarray:
    if label.ndim == 2 and label.shape[1] == 1:  # as Keras gives CIFAR-10's
        label = label[:, 0]
    if label.dtype.kind not in "iu" or label.ndim != 1:
        raise UserError(f"{path}: {name} is {label.dtype} {list(label.shape)}; expected integers [n]")
    if len(label) and label.min() < 0:
        raise UserError(f"{path}: {name} has the label {label.min()}; they must start at 0")
    return label.astype(np.int32)
