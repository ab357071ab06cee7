"""Grey images as black and white ones, for likelihoods of bits: pixels 0 and 255.

"static": a pixel of grey g is white with probability g / 255, drawn once, so that it is the same in every epoch: as
Larochelle & Murray 2011 made the binarized MNIST of the published figures, whose own draws were others.
"dynamic": the same for the test split; the train split stays grey, and its bits are drawn anew in every step (prepare
of transforms.py), as in Burda et al. 2015 (arXiv:1509.00519, sec. 5).
"threshold": white from grey 128 on.
"""

import numpy as np

from gen_jax.data.memory import InMemory, in_memory
from gen_jax.errors import unknown
from gen_jax.types import Source

BINARIZE = ("static", "dynamic", "threshold")
SEED = 0


def binarized(source: Source, split: str, how: str | None) -> Source:
    """The source with black and white images; None: as it is. The static bits of image i depend on (split, i) alone.

    Raises:
      UserError: `how` is none of BINARIZE.
    """
    if how is None:
        return source
    if how not in BINARIZE:
        raise unknown("data.binarize", how, BINARIZE)
    if how == "dynamic" and split == "train":
        return source
    held = in_memory(source)
    fields = held.take(np.arange(len(held)))
    if how == "threshold":
        white = fields["x"] >= 128
    else:
        rng = np.random.default_rng([SEED, int(split == "train")])
        # An integer of 0 to 254 is below g with probability g / 255.
        white = rng.integers(255, size=fields["x"].shape, dtype=np.uint8) < fields["x"]
    return InMemory(held.info, {**fields, "x": np.where(white, np.uint8(255), np.uint8(0))})
