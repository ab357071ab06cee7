"""Are conditional samples of the class that was asked for? A classifier of real data reads them.

GAN-test of Shmelkov et al. 2018 (How good is my GAN?): whether labels are obeyed, not whether samples are varied. It is
to be read beside the classifier's own accuracy on held-out data; above that, samples are plainer than real data.
"""

import numpy as np

from gen_jax.errors import UserError


def label_agreement(
    x: np.ndarray,
    label: np.ndarray | None,
    real_x: np.ndarray,
    real_label: np.ndarray,
    test_x: np.ndarray | None = None,
    test_label: np.ndarray | None = None,
    *,
    max_train: int = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """Reads each sample with a support vector machine (RBF kernel, C=10) that is trained on real training data.

    Args:
      x: samples, uint8 [n, ...]. label: int [n], the class that was asked for; None for unconditional models.
      real_x, real_label: the training data, uint8 [m, ...] and int [m], of two classes at least.
      test_x, test_label: held-out data of the same form; None leaves `classifier_accuracy` out.
      max_train: of more training data, so many are drawn (by `seed`), as the fit's time grows with their square.

    Returns:
      agreement: the share of samples read as asked, in [0, 1]; agreement/3: of those asked for as class 3.
      classes_read: how many of the data's classes are read at least once; read/3: the share of samples read as class 3.
      classifier_accuracy: the share of the held-out data that the classifier reads right.
      classifier_examples: how many it was trained on.
      Without `label` there is no agreement; a class that was not asked for has none either.

    Raises:
      UserError: no samples, arrays whose lengths or shapes don't agree, or training data of a single class.
    """
    from sklearn.svm import SVC  # takes a second to import

    _check(x, label, real_x, "samples")
    _check(real_x, real_label, real_x, "training data")
    classes = np.unique(real_label)
    if len(classes) < 2:
        raise UserError(f"label agreement needs training data of two classes or more, these are all of {classes[0]}")
    if len(real_x) > max_train:
        drawn = np.random.default_rng(seed).choice(len(real_x), max_train, replace=False)
        real_x, real_label = real_x[drawn], real_label[drawn]
    # gamma="scale" is 1 / (dimensions * variance): the kernel's width follows the data's resolution and contrast.
    classifier = SVC(kernel="rbf", C=10.0, gamma="scale").fit(_features(real_x), real_label)

    read = classifier.predict(_features(x))
    figures: dict[str, float] = {}
    if label is not None:
        right = read == label
        figures["agreement"] = float(right.mean())
        figures |= {f"agreement/{c}": float(right[label == c].mean()) for c in np.unique(label)}
    figures["classes_read"] = float(np.isin(classes, read).sum())
    figures |= {f"read/{c}": float((read == c).mean()) for c in classes}
    if test_x is not None and test_label is not None:
        _check(test_x, test_label, real_x, "held-out data")
        figures["classifier_accuracy"] = float((classifier.predict(_features(test_x)) == test_label).mean())
    figures["classifier_examples"] = float(len(real_x))
    return figures


def _features(x: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1], one row an image [n, d]."""
    return x.reshape(len(x), -1).astype(np.float64) / 255


def _check(x: np.ndarray, label: np.ndarray | None, like: np.ndarray, what: str) -> None:
    if not len(x) or x.shape[1:] != like.shape[1:]:
        raise UserError(f"{what} of shape {list(x.shape)} cannot be read by a classifier of {list(like.shape)}")
    if label is not None and len(label) != len(x):
        raise UserError(f"{what}: {len(x)} images and {len(label)} labels; they must agree")
