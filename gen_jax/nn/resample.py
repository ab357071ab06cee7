"""Halving and doubling images by a separable FIR filter, in slices and sums that XLA fuses.

The taps are normalised to sum to one: (1, 1) averages blocks of pixels and repeats them, (1, 3, 3, 1) is the smoother
filter of NCSN++ and StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, appendix B; Zhang 2019, arXiv:1904.11486). Pixels
beyond the border are zero.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown


def fir_downsample(x: jax.Array, taps: Sequence[float] = (1, 1), pad: bool = True) -> jax.Array:
    """Filter, then every second pixel: [b, h, w, c] -> [b, h/2, w/2, c], for even h and w.

    pad=False: nothing beyond the border, so that h and w shrink by len(taps) - 2 first. Raises UserError for an odd
    number of taps, whose centre would shift the image by half a pixel.
    """
    weights = _normalized(taps)
    padding = (len(weights) - 1) // 2 if pad else 0
    for axis in (1, 2):
        x = _pad(x, axis, padding, padding)
        last = x.shape[axis] - len(weights)  # where the last window begins
        x = _weighted(
            [(w, jax.lax.slice_in_dim(x, i, i + last + 1, stride=2, axis=axis)) for i, w in enumerate(weights)]
        )
    return x


def fir_upsample(x: jax.Array, taps: Sequence[float] = (1, 1)) -> jax.Array:
    """Zeros between the pixels, then the filter with gain 2 per axis: [b, h, w, c] -> [b, 2h, 2w, c].

    The transpose of `fir_downsample`, four times it. Raises UserError for an odd number of taps.
    """
    weights = [2 * w for w in _normalized(taps)]
    padding = (len(weights) - 1) // 2
    for axis in (1, 2):
        n, reach = x.shape[axis], len(weights) // 2
        padded = _pad(x, axis, reach, reach)
        phases = []
        for phase in (0, 1):  # of the output: pixel 2j + phase is reached from j + (phase + padding - i) / 2 by tap i
            hits = [(w, (phase + padding - i) // 2) for i, w in enumerate(weights) if (phase + padding - i) % 2 == 0]
            parts = [(w, jax.lax.slice_in_dim(padded, reach + s, reach + s + n, axis=axis)) for w, s in hits]
            phases.append(_weighted(parts))
        shape = (*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])
        x = jnp.stack(phases, axis=axis + 1).reshape(shape)  # [..., n, 2, ...] -> [..., 2n, ...]
    return x


def fir_filter(x: jax.Array, taps: Sequence[float], padding: int, gain: float = 1.0) -> jax.Array:
    """The filter alone, with `padding` zeros around the image: [b, h, w, c] -> [b, h + 2 padding - len(taps) + 1, ...].

    gain: what a constant image is multiplied by. The number of taps may be odd."""
    weights = [gain**0.5 * t / sum(taps) for t in taps]
    for axis in (1, 2):
        x = _pad(x, axis, padding, padding)
        size = x.shape[axis] - len(weights) + 1
        x = _weighted([(w, jax.lax.slice_in_dim(x, i, i + size, axis=axis)) for i, w in enumerate(weights)])
    return x


RESAMPLE: dict[str, Callable[[jax.Array, Sequence[float]], jax.Array]] = {
    "keep": lambda x, taps: x,
    "down": fir_downsample,
    "up": fir_upsample,
}


def resampled(x: jax.Array, how: str, taps: Sequence[float] = (1, 1)) -> jax.Array:
    """x [b, h, w, c] kept, halved or doubled in size, as `how` says: "keep", "down" or "up"; UserError otherwise."""
    if how not in RESAMPLE:
        raise unknown("resampling", how, RESAMPLE)
    return RESAMPLE[how](x, taps)


def _normalized(taps: Sequence[float]) -> list[float]:
    if len(taps) % 2 or not len(taps):
        raise UserError(f"a filter that halves or doubles images needs an even number of taps, got {tuple(taps)}")
    return [t / sum(taps) for t in taps]


def _pad(x: jax.Array, axis: int, before: int, after: int) -> jax.Array:
    return jnp.pad(x, [(before, after) if a == axis else (0, 0) for a in range(x.ndim)])


def _weighted(parts: list[tuple[float, jax.Array]]) -> jax.Array:
    return sum((w * part for w, part in parts[1:]), parts[0][0] * parts[0][1])
