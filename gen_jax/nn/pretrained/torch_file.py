"""Tensors out of a file of PyTorch's torch.save, without PyTorch, and without running anything that the file asks for.

Such a file is a pickle beside raw numbers: in a zip archive since PyTorch 1.6, and one after the other before. A pickle
can name any function to be called. Here it can name what tensors are made of; whatever else it names, the file is
refused.
"""

import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from gen_jax.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C
DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

Storage = Callable[[str, np.dtype, int], np.ndarray]
"""(key, dtype, count) -> the numbers of that key, [count]."""


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file of torch.save by name; names within dicts within dicts are joined by dots.

    bfloat16 becomes float32, the other dtypes stay.

    Raises:
      UserError: the file is no such file, is damaged, or holds anything but tensors in dicts.
    """
    try:
        content = _read_zip(path) if zipfile.is_zipfile(path) else _read_stream(path)
        tensors = dict(_flatten("", content))
    except _RefusedError as error:
        raise UserError(f"{path} is refused: {error}; of a file of weights only tensors in dicts are read") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise UserError(f"{path} is no file of torch.save, or is damaged: {type(error).__name__}: {error}") from error
    if not tensors:
        raise UserError(f"{path} holds no tensors")
    return tensors


class _RefusedError(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    """Builds dicts and tensors, and refuses everything else."""

    def __init__(self, file: BinaryIO, storage: Storage):
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        # What is given back is new or immutable: a pickle can also set attributes.
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2":
                return lambda storage, offset, size, stride, *_: _strided(storage, offset, size, stride)
            case "torch._utils", "_rebuild_parameter":
                return lambda data, *_: data
            case "torch", name if name in DTYPES:
                return name
        raise _RefusedError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, storage_type, key, _, count, *view = pid
        if kind != "storage" or storage_type not in DTYPES or any(v is not None for v in view):
            raise _RefusedError(f"it refers to {kind} {storage_type}")
        return self._storage(str(key), DTYPES[storage_type], int(count))


def _strided(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """The view of a storage that a tensor is. Nothing outside the storage can be asked for."""
    if min((offset, *size, *stride)) < 0 or len(size) != len(stride) or math.prod(size) > len(storage):
        raise ValueError(f"a tensor of {list(size)} in a storage of {len(storage)}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) and last >= len(storage):
        raise ValueError(f"a tensor up to number {last} of a storage of {len(storage)}")
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl"))
        root = pickled.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        loaded: dict[str, np.ndarray] = {}

        def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
            if key not in loaded:
                info = archive.getinfo(f"{root}data/{key}")
                if info.file_size != info.compress_size:
                    raise ValueError("its numbers are compressed")
                loaded[key] = np.frombuffer(archive.read(info), dtype, count)
            return loaded[key]

        with archive.open(pickled) as file:
            return _Unpickler(file, storage).load()  # type: ignore[arg-type]


def _read_stream(path: Path) -> Any:
    """The form before PyTorch 1.6: pickles of magic, version, system, content and keys, then counted numbers by key."""
    room = path.stat().st_size
    loaded: dict[str, np.ndarray] = {}

    def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        if count < 0 or count * dtype.itemsize > room:
            raise ValueError(f"a storage of {count} numbers in a file of {room} bytes")
        return loaded.setdefault(key, np.zeros(count, dtype))  # filled below: its numbers come after the pickle

    with path.open("rb") as file:
        magic, _, system, content, keys = (_Unpickler(file, storage).load() for _ in range(5))
        if magic != MAGIC or not system["little_endian"]:
            raise ValueError("it does not begin as one")
        for key in keys:
            (count,) = struct.unpack("<q", file.read(8))
            data = file.read(count * loaded[key].itemsize)
            loaded[key][:] = np.frombuffer(data, loaded[key].dtype, count)
    return content


def _flatten(name: str, value: Any):
    if isinstance(value, np.ndarray):
        yield name, value.astype(np.float32) if value.dtype == DTYPES["BFloat16Storage"] else np.array(value, order="C")
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _flatten(f"{name}.{key}" if name else str(key), part)
    else:
        raise _RefusedError(f"it holds a {type(value).__name__} under '{name}'")
