"""Three digits of MNIST in the three colour channels of one image: 1,000 modes, of which a model may lose some."""

import numpy as np

from gen_jax.data.memory import in_memory
from gen_jax.data.standard import mnist
from gen_jax.errors import UserError, unknown
from gen_jax.types import DataInfo, Source

SIZES = {"train": 128_000, "test": 26_000}
"""The first is the number of training images in PacGAN, the second that of the samples in which modes are counted."""


def stacked_mnist(
    split: str = "train", *, path: str | None = None, size: int | None = None, seed: int = 0
) -> "Stacked":
    """Images of three digits drawn at random from a split of MNIST: x uint8 [28, 28, 3], label int32, 0 to 999.

    The label's three digits are the channels', the first channel's in front: "000" to "999". Metz et al. 2017
    (arXiv:1611.02163), with the numbers of PacGAN (Lin et al. 2018, arXiv:1712.04086). Which digits are in example i
    depends on (seed, split, i) alone; images are put together when they are read.

    Modes are counted by dict(name="evals.modes", channel_classes=10).

    path: of MNIST, as for `mnist`; None downloads it. size: how many examples; None: 128,000 and 26,000 (test).

    Raises:
      UserError: as `mnist` does; no such split; a size below 1.
    """
    if split not in SIZES:
        raise unknown("split", split, SIZES)
    size = SIZES[split] if size is None else size
    if size < 1:
        raise UserError(f"stacked_mnist: size {size} must be 1 or more")
    return Stacked(mnist(split, path), size, (seed, list(SIZES).index(split)))


class Stacked:
    """The Source that `stacked_mnist` returns."""

    def __init__(self, digits: Source, size: int, seed: tuple[int, int]):
        if digits.info.shape[-1:] != (1,) or digits.info.num_classes != 10:
            raise UserError(
                f"stacked_mnist: the data at path are of shape {list(digits.info.shape)} with "
                f"{digits.info.num_classes} classes; needed: images of one channel of the ten digits"
            )
        self.info = DataInfo((*digits.info.shape[:-1], 3), tuple(f"{i:03}" for i in range(1000)))
        self._chosen = np.random.default_rng(seed).integers(len(digits), size=(size, 3), dtype=np.int64)
        self._digits = in_memory(digits)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        found = self.take(np.array([index]))
        return {name: values[0] for name, values in found.items()}

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices` [b], stacked. See gen_jax.data.load."""
        chosen = self._chosen[indices]  # [b, 3]
        found = self._digits.take(chosen.ravel())
        x = found["x"].reshape(*chosen.shape, *self.info.shape[:2])  # [b, 3, h, w]
        label = found["label"].reshape(chosen.shape) @ np.array([100, 10, 1])
        return {"x": np.moveaxis(x, 1, -1), "label": label.astype(np.int32)}
