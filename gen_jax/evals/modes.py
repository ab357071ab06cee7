"""How many of the data's modes do samples reach, and how evenly? Its classes are the modes; a classifier finds them.

Number of modes and KL divergence as in unrolled GANs, Metz et al. 2017 (arXiv:1611.02163, sec. 3.3.2), and VEEGAN,
Srivastava et al. 2017 (arXiv:1705.07761). Stacked digits, three in the colour channels of one image, have 1,000.
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_images, check_labels
from gen_jax.evals.classifier import train_classifier

VERSION = 1


def modes(
    x: np.ndarray,
    train_x: np.ndarray,
    train_label: np.ndarray,
    *,
    channel_classes: int | None = None,
    max_train: int = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """Counts the classes that samples x uint8 [n, h, w, c] are read as, by a support vector machine on training data.

    Args:
      train_x, train_label: uint8 [m, h, w, c] and int [m]. Where they have one channel and the samples more, each
        channel is read by itself and a mode is a class for each channel.
      channel_classes: the training data are stacked too, and their label is the number whose digits to this base are
        the channels' classes, the first channel's the highest: 10 for stacked digits. None: they are not stacked.
      max_train: of more training images, so many are drawn (by `seed`).

    Returns:
      modes: how many are read at least once. modes/known: how many there are. A classifier's own mistakes add modes:
        compare with the figure of real images.
      modes/rarest: the share of the samples that are read as the rarest mode, 0 where one is missing.
      modes/kl_uniform: KL(read || uniform) in nats, 0: all modes equally often; log(modes/known): one only.
      modes/kl_train: KL(read || shares of the classes in the training data); channels are taken for independent.

    Raises:
      UserError: images that are not uint8 or whose shapes don't agree, labels that don't fit, or a single class.
    """
    if x.ndim != 4 or train_x.ndim != 4:
        raise UserError(f"modes: images of shape {list(x.shape)} and {list(train_x.shape)}; needed: [n, h, w, c]")
    check_images("modes", 1, {"samples": x[..., :1], "training images": train_x[..., :1]})
    check_labels("modes", "training images", train_x, train_label)
    channels = x.shape[-1]
    if train_x.shape[-1] not in ((1, channels) if channel_classes is None else (channels,)):
        raise UserError(f"modes: samples of {channels} channels cannot be read by data of {train_x.shape[-1]}")
    if channel_classes is not None:
        train_x, train_label = _unstack(train_x, train_label, channel_classes)
    if train_x.shape[-1] < channels:
        x, _ = _unstack(x, np.zeros(len(x), int), 1)
    else:
        channels = 1
    classes, train_index = np.unique(train_label, return_inverse=True)
    if len(classes) ** channels > 10_000_000:
        raise UserError(f"modes: {len(classes)} classes in each of {channels} channels are too many to count")
    read_label = train_classifier("modes", train_x, train_label, max_train, seed)

    read = np.searchsorted(classes, read_label(x)).reshape(channels, -1)  # [channels, n]
    known = (len(classes),) * channels
    p = np.bincount(np.ravel_multi_index(tuple(read), known), minlength=int(np.prod(known))) / read.shape[1]
    one = np.bincount(train_index) / len(train_index)
    q = one
    for _ in range(channels - 1):
        q = np.outer(q, one).ravel()
    there = p > 0
    return {
        "modes": float(there.sum()),
        "modes/known": float(len(p)),
        "modes/rarest": float(p.min()),
        "modes/kl_uniform": float((p[there] * np.log(p[there] * len(p))).sum()),
        "modes/kl_train": float((p[there] * np.log(p[there] / q[there])).sum()),
    }


def _unstack(images: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, h, w, c] as [c n, h, w, 1], channel by channel, and the labels of each: [c n]."""
    n, h, w, c = images.shape
    if labels.max() >= classes**c or labels.min() < 0:
        raise UserError(
            f"modes: labels up to {labels.max()}; {c} channels of {classes} classes have 0 to {classes**c - 1}"
        )
    by_channel = [labels // classes ** (c - 1 - i) % classes for i in range(c)]
    return np.moveaxis(images, -1, 0).reshape(c * n, h, w, 1), np.concatenate(by_channel)
