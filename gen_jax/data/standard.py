"""The data sets of the published figures: from a local copy, or downloaded through TensorFlow Datasets."""

from gen_jax.data.arrays import arrays
from gen_jax.data.binarize import binarized
from gen_jax.data.image_folder import image_folder
from gen_jax.data.tfds import tfds
from gen_jax.types import Source


def mnist(split: str = "train", path: str | None = None, binarize: str | None = None) -> Source:
    """MNIST, 60,000 and 10,000 examples of x uint8 [28, 28, 1] and label; from `path` (.npz, folder, .tar) if given.

    binarize: "static", "dynamic" or "threshold" makes it black and white, as data/binarize.py says; None: grey.
    """
    source = _local(split, path, channels=1) if path else tfds(split, dataset="mnist")
    return binarized(source, split, binarize)


def cifar10(split: str = "train", path: str | None = None) -> Source:
    """CIFAR-10, 50,000 and 10,000 examples of x uint8 [32, 32, 3] and label; from `path` (as for mnist) if given.

    Figures measured on a copy that was stored as JPEG don't compare with the published ones, on lossless data.
    """
    return _local(split, path, channels=3) if path else tfds(split, dataset="cifar10")


def _local(split: str, path: str, channels: int) -> Source:
    return arrays(split, path=path) if path.endswith(".npz") else image_folder(split, path=path, channels=channels)
