"""Are conditional samples of the class that was asked for? A classifier of real data reads them.

GAN-test of Shmelkov et al. 2018 (How good is my GAN?): whether labels are obeyed, not whether samples are varied. It is
to be read beside the classifier's own accuracy on held-out data; above that, samples are plainer than real data.
"""

import numpy as np

from gen_jax.evals.checks import check_images, check_labels
from gen_jax.evals.classifier import train_classifier

VERSION = 1


def label_agreement(
    x: np.ndarray,
    label: np.ndarray | None,
    train_x: np.ndarray,
    train_label: np.ndarray,
    test_x: np.ndarray | None = None,
    test_label: np.ndarray | None = None,
    *,
    max_train: int = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """Reads each sample with a support vector machine (RBF kernel, C=10) that is trained on real training data.

    Args:
      x: samples, uint8 [n, ...]. label: int [n], the class that was asked for; None for unconditional models.
      train_x, train_label: uint8 [m, ...] and int [m], of two classes at least.
      test_x, test_label: held-out data of the same form; None leaves `classifier_accuracy` out.
      max_train: of more training data, so many are drawn (by `seed`), as the fit's time grows with their square.

    Returns:
      agreement: the share of samples read as asked, in [0, 1]; agreement/3: of those asked for as class 3.
      classes_read: how many of the data's classes are read at least once; read/3: the share of samples read as class 3.
      classifier_accuracy: the share of the held-out data that the classifier reads right.
      classifier_examples: how many it was trained on.
      Without `label` there is no agreement; a class that was not asked for has none either.

    Raises:
      UserError: no samples, images that are not uint8, arrays whose lengths or shapes don't agree, or training data of
        a single class.
    """
    check_images("label_agreement", 1, {"samples": x, "training images": train_x})
    if label is not None:
        check_labels("label_agreement", "samples", x, label)
    read_label = train_classifier("label_agreement", train_x, train_label, max_train, seed)

    read = read_label(x)
    figures: dict[str, float] = {}
    if label is not None:
        right = read == label
        figures["agreement"] = float(right.mean())
        figures |= {f"agreement/{c}": float(right[label == c].mean()) for c in np.unique(label)}
    classes = np.unique(train_label)
    figures["classes_read"] = float(np.isin(classes, read).sum())
    figures |= {f"read/{c}": float((read == c).mean()) for c in classes}
    if test_x is not None and test_label is not None:
        check_images("label_agreement", 1, {"test images": test_x, "training images": train_x})
        check_labels("label_agreement", "test images", test_x, test_label)
        figures["classifier_accuracy"] = float((read_label(test_x) == test_label).mean())
    figures["classifier_examples"] = float(min(len(train_x), max_train))
    return figures
