"""The data sets of TensorFlow Datasets. TensorFlow prepares them; to read them afterwards it is not needed."""

import contextlib
import difflib
import importlib.util
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from gen_jax.errors import UserError, unknown
from gen_jax.types import DataInfo

NEEDED = ("tensorflow", "importlib_resources")
"""What tensorflow_datasets imports in order to prepare a data set, and doesn't require."""


def tfds(
    split: str = "train",
    *,
    dataset: str,
    data_dir: str | None = None,
    image_key: str = "image",
    label_key: str = "label",
) -> "TfdsSource":
    """A data set of TensorFlow Datasets, downloaded and prepared in ArrayRecord format if it isn't yet.

    Fields: x uint8 [h, w, c] from `image_key`, and label int32 from `label_key` if the data set has it.

    Args:
      dataset: its name there, "cifar10" or "name/config:version".
      data_dir: where it is, or is to be prepared; TFDS_DATA_DIR or ~/tensorflow_datasets by default.

    Raises:
      UserError: unknown data set, split or field; images of several sizes; TensorFlow missing where it is needed;
        a download that fails; a copy in a format without random access.
    """
    builder = _builder(dataset, data_dir)
    features, splits = builder.info.features, list(builder.info.splits)
    if split not in splits:
        raise unknown(f"split of {dataset}", split, splits)
    if image_key not in features:
        raise unknown(f"image_key of {dataset}", image_key, features)
    shape = features[image_key].shape
    if shape is None or len(shape) != 3 or None in shape:
        raise UserError(
            f"{dataset}: images of shape {shape}, of several sizes; export them to files and use image_folder"
        )
    if np.dtype(features[image_key].np_dtype) != np.uint8:
        raise UserError(f"{dataset}: {image_key} is {features[image_key].np_dtype}; expected uint8")
    names = tuple(getattr(features[label_key], "names", None) or ()) if label_key in features else ()
    try:
        data = builder.as_data_source(split=split)
    except NotImplementedError as error:
        raise UserError(
            f"{dataset}: was prepared at {builder.data_dir} in a format without random access; "
            "delete that copy, or give another data_dir"
        ) from error
    return TfdsSource(DataInfo(tuple(shape), names), data, image_key, label_key)


class TfdsSource:
    """The Source that `tfds` returns: decoded on access, safe to read from several threads."""

    def __init__(self, info: DataInfo, data: Any, image_key: str, label_key: str):
        self.info = info
        self._data, self._image_key, self._label_key = data, image_key, label_key

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self._data[index]
        x = {"x": np.asarray(example[self._image_key])}
        return x | {"label": np.int32(example[self._label_key])} if self.info.class_names else x


def _builder(dataset: str, data_dir: str | None) -> Any:
    """The builder of a prepared data set: from its files if they are there, which needs no TensorFlow."""
    with _quiet():
        import tensorflow_datasets
        from tensorflow_datasets.core import read_only_builder, registered
    with contextlib.suppress(registered.DatasetNotFoundError):
        return read_only_builder.builder_from_files(dataset, data_dir=data_dir)
    try:
        known = tensorflow_datasets.builder_cls(re.split("[/:]", dataset)[0])
    except registered.DatasetNotFoundError as error:
        names = re.findall(r"^\s*- (\w+)$", str(error), re.MULTILINE)  # of 400, in the error's text only
        near = difflib.get_close_matches(dataset, names, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UserError(
            f"unknown data set of TensorFlow Datasets '{dataset}': {hint}See https://www.tensorflow.org/datasets/catalog"
        ) from error
    except ImportError:
        known = None
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing or known is None:
        raise UserError(
            f"{dataset} is not prepared yet, and to prepare it needs {' and '.join(missing) or 'TensorFlow'}: "
            "pip install 'gen-jax[tfds]'"
        )
    try:
        builder = tensorflow_datasets.builder(dataset, data_dir=data_dir, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # a download fails in as many ways as there are hosts
        raise UserError(f"{dataset}: could not be prepared: {type(error).__name__}: {error}") from error
    return builder


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TensorFlow, if it is there, logs its build options to standard error as it is imported."""
    before = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
