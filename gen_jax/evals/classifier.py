"""The classifier of images that label_agreement, modes and classification_accuracy read with."""

import concurrent.futures
import os
from collections.abc import Callable

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_images, check_labels

BLOCK = 1000  # images that are held as floats at a time, and read side by side with others


def train_classifier(
    metric: str, images: np.ndarray, labels: np.ndarray | None, max_train: int, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """A support vector machine (RBF kernel, C=10) on pixels: the function from uint8 [n, ...] to labels int [n].

    metric: whose it is, for the errors. images: uint8 [m, ...], with labels int [m]. max_train: of more images, so many
    are drawn (by `seed`), as the fit's time grows with their square.

    Raises:
      UserError: images that are not uint8, labels that are missing, of another count, or all of one class.
    """
    from sklearn.svm import SVC  # takes a second to import

    check_images(metric, 2, {"training images": images})
    check_labels(metric, "training images", images, labels)
    assert labels is not None
    if len(images) > max_train:
        drawn = np.random.default_rng(seed).choice(len(images), max_train, replace=False)
        images, labels = images[drawn], labels[drawn]
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UserError(f"{metric} needs training data of two classes or more, these are all of {classes[0]}")
    # gamma="scale" is 1 / (dimensions * variance): the kernel's width follows the data's resolution and contrast.
    machine = SVC(kernel="rbf", C=10.0, gamma="scale").fit(_pixels(images), labels)

    def read(x: np.ndarray) -> np.ndarray:
        blocks = [x[i : i + BLOCK] for i in range(0, max(len(x), 1), BLOCK)]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # libsvm releases the GIL
            return np.concatenate(list(pool.map(lambda block: machine.predict(_pixels(block)), blocks)))

    return read


def _pixels(x: np.ndarray) -> np.ndarray:
    """In [0, 1], one row an image [n, d]."""
    return x.reshape(len(x), -1).astype(np.float64) / 255
