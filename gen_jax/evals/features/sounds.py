"""The own classifier (own.py) of sounds: it sees their log-mel spectrograms as images."""

import dataclasses
import functools

import numpy as np

from gen_jax.evals.features.extract import Network
from gen_jax.evals.features.own import own
from gen_jax.evals.frechet_audio import log_mel_images
from gen_jax.types import DataInfo

RATE = 16_000
"""Data do not say how many samples a second has. All sounds are seen as if of this rate: at another one the bands and
windows are as much lower and longer, in samples and reference alike."""


def is_sounds(info: DataInfo | None) -> bool:
    """Whether examples are sounds, float32 [samples, channels]."""
    return info is not None and info.dtype == "float32" and len(info.shape) == 2


def own_sounds(sounds: np.ndarray, label: np.ndarray | None) -> Network:
    """The classifier of a data set of sounds, float32 [m, samples, channels] in [-1, 1], with labels int [m] or None.

    Raises:
      UserError: as log_mel and own do, so for sounds of less than a window (400 samples).
    """
    prepare = functools.partial(log_mel_images, rate=RATE)
    return dataclasses.replace(own(prepare(sounds), label), resize=f"log-mel as of {RATE} Hz", prepare=prepare)
