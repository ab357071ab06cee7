"""How far apart are two sets of sounds? 0: features of the same mean and covariance. Fréchet audio distance.

Kilgour et al. 2019 (arXiv:1812.08466): the Fréchet distance of frechet.py, of features of log-mel spectrograms. There
they are VGGish's; the library's own classifier, trained on such spectrograms of the data itself, gives `fad_own`.
Figures by different networks don't compare.
"""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.frechet import Statistics, fid

VERSION = 1
OFFSET = 0.01  # log(mel + OFFSET), as in VGGish
LOUDEST = 4.6  # of log_mel, about; a full-scale sine's at 16 kHz
BLOCK = 64  # sounds whose windows are held at a time


def fad(
    features: np.ndarray, real_statistics: Statistics, *, bootstrap: int = 0, level: float = 0.95, seed: int = 0
) -> dict[str, float]:
    """Fréchet audio distance of the sounds' features, float [n, d], to the reference's statistics. Less is better.

    Settings, interval (fad/low, fad/high), bias and errors are those of frechet.fid."""
    figures = fid(features, real_statistics, bootstrap=bootstrap, level=level, seed=seed)
    return {name.replace("fid", "fad"): value for name, value in figures.items()}


def log_mel(
    sounds: np.ndarray,
    rate: int,
    *,
    bands: int = 64,
    window: float = 0.025,
    hop: float = 0.010,
    low: float = 125.0,
    high: float | None = None,
) -> np.ndarray:
    """Log-mel spectrograms float32 [n, frames, bands] of sounds float [n, samples, channels] in [-1, 1].

    log(M |STFT| + 0.01), M triangles that are evenly spaced in mel, 1127 ln(1 + f / 700), over periodic Hann windows;
    the settings are VGGish's. Channels are averaged, and what does not fill a last window is left out.

    Args:
      rate: samples a second. window, hop: in seconds. low, high: the bands' range in Hz; high None: 7,500, or half the
        rate where that is less.

    Raises:
      UserError: sounds of another form, shorter than a window, or a range of frequencies that cannot be.
    """
    if sounds.ndim != 3 or sounds.dtype.kind != "f" or not len(sounds):
        raise UserError(
            f"log_mel: sounds are {sounds.dtype} {list(sounds.shape)}; needed: floats [n, samples, channels]"
        )
    high = min(7500.0, rate / 2) if high is None else high
    if not 0 <= low < high <= rate / 2 or bands < 1:
        raise UserError(
            f"log_mel: {bands} bands from {low} to {high} Hz at {rate} samples a second; high is {rate / 2} at most"
        )
    width, step = round(window * rate), max(1, round(hop * rate))
    if sounds.shape[1] < width:
        raise UserError(f"log_mel: sounds of {sounds.shape[1]} samples; a window of {window} s has {width}")
    size = 2 ** int(np.ceil(np.log2(width)))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)
    triangles = _triangles(np.fft.rfftfreq(size, 1 / rate), bands, low, high)
    out = []
    for i in range(0, len(sounds), BLOCK):
        mono = sounds[i : i + BLOCK].mean(axis=2, dtype=np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(mono, width, axis=1)[:, ::step]  # [b, frames, width]
        magnitude = np.abs(np.fft.rfft(frames * hann, size))  # [b, frames, size / 2 + 1]
        out.append(np.log(magnitude @ triangles + OFFSET).astype(np.float32))
    return np.concatenate(out)


def log_mel_images(sounds: np.ndarray, rate: int, **settings: float) -> np.ndarray:
    """log_mel as images uint8 [n, frames, bands, 1], for networks that read images: silence 0, full scale 255."""
    quiet = np.log(OFFSET)
    level = (log_mel(sounds, rate, **settings) - quiet) / (LOUDEST - quiet)  # type: ignore[arg-type]
    return np.round(255 * np.clip(level, 0, 1)).astype(np.uint8)[..., None]


def _triangles(frequencies: np.ndarray, bands: int, low: float, high: float) -> np.ndarray:
    """The weight of each frequency [f] in each band: [f, bands], 1 at the band's middle and 0 at its neighbours'."""
    mel = lambda f: 1127 * np.log1p(np.asarray(f) / 700)  # noqa: E731
    edges = np.linspace(mel(low), mel(high), bands + 2)
    at = mel(frequencies)[:, None]
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))
