"""Does a model copy its training data? Nearest neighbours in pixels, next to those of real held-out images.

All distances are Euclidean, over the flattened pixels. They see copies and near copies, not a copy that is moved or
recoloured. What a number means shows beside the same number of held-out images, which nobody can have copied.
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_images

VERSION = 1


def memorization(x: np.ndarray, train_x: np.ndarray, test_x: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Compares samples x [n, ...] with training [m, ...] and held-out test images [k, ...], all uint8 of one shape.

    Let i be the training image nearest to a sample. The search is exact and goes in blocks: its memory does not grow
    with n * m.

    Returns:
      exact_copies: the share of samples that equal a training image in every pixel.
      authenticity: the share of samples that lie farther from i than i lies from its own nearest other training
        image (Alaa et al. 2022). 0: all are copies, up to noise that is small beside the gaps between
        training images. Samples of the data's own law reach authenticity_test, often near 0.5.
      authenticity_test: the same for the test images.
      distance_median, distance_median_test: the median distance to the nearest training image, in units of pixel
        values (0 to 255), of the samples and of the test images.
      distance_ratio: the first over the second. 1: as far from the training data as new data are; well below 1:
        copies, or images that are simpler than real ones (blurred, say); above 1: far from all data.
      two_sample_accuracy: how often the label 'sample' or 'test image' of an image is that of its nearest other one,
        leave-one-out, over equal numbers of both (min(n, k), drawn by `seed`; an exact tie counts one half)
        (Lopez-Paz & Oquab 2017). 0.5: no telling apart; 1: different; well below 0.5: the samples sit upon the test
        images, one by one, as they do when these were trained on.
      two_sample_accuracy_real, two_sample_accuracy_samples: its two halves (Xu et al. 2018). Low for real images and
        high for samples: a part of the data is never drawn.

    Raises:
      UserError: images that are not uint8, shapes that don't agree, fewer than two images in a set, or test images of
        which more than half are training images too.
    """
    check_images("memorization", 2, {"training images": train_x, "samples": x, "test images": test_x})
    samples, train, test = _rows(x), _rows(train_x), _rows(test_x)

    distance, nearest = _nearest(samples, train)
    distance_test, nearest_test = _nearest(test, train)
    around, inverse = np.unique(np.concatenate([nearest, nearest_test]), return_inverse=True)
    own, _ = _nearest(train[around], train, rank=2)  # the first is the image itself, or its equal
    gap, gap_test = np.split(own[inverse], [len(nearest)])

    median, median_test = float(np.median(distance)), float(np.median(distance_test))
    if median_test == 0:
        raise UserError("memorization: more than half of the test images are training images too; they must be others")
    same = (x == train_x[nearest]).reshape(len(x), -1).all(axis=1)
    real, generated = _two_sample(samples, test, seed)
    return {
        "exact_copies": float(same.mean()),
        "authenticity": float((distance > gap).mean()),
        "authenticity_test": float((distance_test > gap_test).mean()),
        "distance_median": median,
        "distance_median_test": median_test,
        "distance_ratio": median / median_test,
        "two_sample_accuracy": (real + generated) / 2,
        "two_sample_accuracy_real": real,
        "two_sample_accuracy_samples": generated,
    }


def nearest_training(images: np.ndarray, train_x: np.ndarray, num: int = 1) -> np.ndarray:
    """Which training images [m, ...] lie nearest to each of images [n, ...]: indices int [n, num], the nearest first.

    All are uint8 of one shape; the distance is that of `memorization`, and the search as exact.

    Raises:
      UserError: images that are not uint8, shapes that don't agree, or a num that is not from 1 to m.
    """
    check_images("nearest_training", 1, {"images": images, "training images": train_x})
    if not 1 <= num <= len(train_x):
        raise UserError(f"nearest_training: num={num}; needed: 1 to {len(train_x)}, the number of training images")
    return _search(_rows(images), _rows(train_x), num)[1]


def _two_sample(samples: np.ndarray, test: np.ndarray, seed: int) -> tuple[float, float]:
    """Leave-one-out accuracy of the nearest neighbour on the test images, and on as many samples."""
    rng = np.random.default_rng(seed)
    count = min(len(samples), len(test))
    # Drawn at random, not taken from the front: samples and data often come sorted by class.
    a, b = (rows[rng.choice(len(rows), count, replace=False)] for rows in (test, samples))
    return _accuracy(a, b), _accuracy(b, a)


def _accuracy(own: np.ndarray, other: np.ndarray) -> float:
    """How often a row of `own` has its nearest other row in `own`, not in `other`; a tie counts one half."""
    within, across = _nearest(own, own, rank=2)[0], _nearest(own, other)[0]
    return float((within < across).mean() + (within == across).mean() / 2)


def _nearest(queries: np.ndarray, rows: np.ndarray, rank: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The distance to the rank-th nearest row, and which it is: float [n], int [n]."""
    distance, index = _search(queries, rows, rank)
    return distance[:, -1], index[:, -1]


def _search(queries: np.ndarray, rows: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """The distances to the `num` nearest rows, in order, and which they are: float [n, num], int [n, num]."""
    from sklearn.neighbors import NearestNeighbors  # takes a second to import

    return NearestNeighbors(n_neighbors=num, algorithm="brute").fit(rows).kneighbors(queries)


def _rows(x: np.ndarray) -> np.ndarray:
    """One row an image, float32 [n, d]: scikit-learn takes differences in float64, so that equal images lie at 0."""
    return x.reshape(len(x), -1).astype(np.float32)
