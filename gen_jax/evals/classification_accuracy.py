"""Can a classifier be trained on samples instead of data? It is tested on real images: they must be right and varied.

Classification accuracy score, Ravuri & Vinyals 2019 (arXiv:1905.10887), and GAN-train of Shmelkov et al. 2018. Kinds
that are never drawn, or labels that are not obeyed, lower it; label_agreement sees the second only.
"""

import numpy as np

from gen_jax.evals.checks import check_images, check_labels
from gen_jax.evals.classifier import train_classifier

VERSION = 1


def classification_accuracy(
    x: np.ndarray,
    label: np.ndarray | None,
    train_x: np.ndarray,
    train_label: np.ndarray,
    test_x: np.ndarray,
    test_label: np.ndarray,
    *,
    max_train: int = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """Trains one support vector machine on samples and one on as many real images, and tests both on held-out ones.

    Args:
      x, label: samples, uint8 [n, ...], and the classes that were asked for, int [n].
      train_x, train_label, test_x, test_label: real data of the same form.
      max_train: more samples than that are drawn from (by `seed`), as the fit's time grows with their square.

    Returns:
      cas: the share of the test images that the samples' classifier reads right. Chance: wrong or collapsed samples.
      cas_real: the same after training on as many real images (all, where there are fewer), the figure to reach.
      cas_examples: how many samples it was trained on.

    Raises:
      UserError: an unconditional model's samples (no labels), images that are not uint8, arrays whose lengths or shapes
        don't agree, or a single class.
    """
    name = "classification_accuracy"
    check_images(name, 2, {"samples": x, "training images": train_x, "test images": test_x})
    check_labels(name, "samples", x, label)
    check_labels(name, "test images", test_x, test_label)
    count = min(len(x), max_train)
    by_samples = train_classifier(name, x, label, count, seed)
    by_real = train_classifier(name, train_x, train_label, count, seed)
    return {
        "cas": float((by_samples(test_x) == test_label).mean()),
        "cas_real": float((by_real(test_x) == test_label).mean()),
        "cas_examples": float(count),
    }
