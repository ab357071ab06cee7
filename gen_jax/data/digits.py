"""Handwritten digits, embedded in scikit-learn: the data of the quick start."""

import numpy as np

from gen_jax.data.binarize import binarized
from gen_jax.data.memory import InMemory
from gen_jax.errors import unknown
from gen_jax.types import DataInfo, Source

CLASS_NAMES = tuple("0123456789")


def digits(split: str = "train", binarize: str | None = None) -> Source:
    """scikit-learn's 1,797 digits (UCI optical recognition): x uint8 [8, 8, 1], label int32.

    Every fifth example of each class is the test split (355 examples), the others are the train split (1,442).

    binarize: "static", "dynamic" or "threshold" makes them black and white, as data/binarize.py says; None: grey.

    Raises:
      UserError: no such split or binarize.
    """
    from sklearn.datasets import load_digits  # takes a second to import, and only this data set needs it

    if split not in ("train", "test"):
        raise unknown("split", split, ["train", "test"])
    flat, labels = load_digits(return_X_y=True)
    place_in_class = np.zeros(len(labels), int)
    for label in range(len(CLASS_NAMES)):
        members = labels == label
        place_in_class[members] = np.arange(members.sum())
    chosen = (place_in_class % 5 == 4) == (split == "test")
    x = np.round(flat[chosen] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)  # 0..16 -> 0..255
    source = InMemory(DataInfo(x.shape[1:], CLASS_NAMES), {"x": x, "label": labels[chosen].astype(np.int32)})
    return binarized(source, split, binarize)
