import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from gen_jax.errors import UserError
from gen_jax.nn.layers import upsample
from gen_jax.nn.resample import fir_downsample, fir_filter, fir_upsample, resampled

TAPS = [(1, 1), (1, 3, 3, 1), (1, 2, 5, 3, 2, 1)]  # the last one is not symmetric


def normal(shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def kernel(taps):
    taps = np.asarray(taps) / np.sum(taps)
    return np.outer(taps, taps)


@pytest.mark.parametrize("taps", TAPS, ids=len)
def test_downsampling_is_scipy_s_convolution(taps):
    x, reach = normal((1, 6, 8, 1)), len(taps) // 2 - 1
    # correlate: what neural networks call convolution does not flip the kernel
    full = scipy.signal.correlate2d(np.pad(x[0, :, :, 0], reach), kernel(taps), mode="valid")
    np.testing.assert_allclose(fir_downsample(x, taps)[0, :, :, 0], full[::2, ::2], atol=1e-6)
    inside = scipy.signal.correlate2d(x[0, :, :, 0], kernel(taps), mode="valid")
    np.testing.assert_allclose(fir_downsample(x, taps, pad=False)[0, :, :, 0], inside[::2, ::2], atol=1e-6)


@pytest.mark.parametrize("taps", TAPS, ids=len)
def test_upsampling_is_scipy_s_convolution(taps):
    x, reach = normal((1, 3, 4, 1)), len(taps) // 2 - 1
    stuffed = np.zeros((6, 8))
    stuffed[::2, ::2] = x[0, :, :, 0]
    full = scipy.signal.convolve2d(stuffed, 4 * kernel(taps), mode="full")
    expected = full[reach : reach + 6, reach : reach + 8]
    np.testing.assert_allclose(fir_upsample(x, taps)[0, :, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize("taps", TAPS, ids=len)
def test_up_is_four_times_the_transpose_of_down(taps):
    x, y = normal((2, 6, 4, 3)), normal((2, 3, 2, 3), seed=2)
    np.testing.assert_allclose(4 * jnp.vdot(fir_downsample(x, taps), y), jnp.vdot(x, fir_upsample(y, taps)), rtol=1e-4)


def test_the_shortest_filter_averages_and_repeats():
    x = normal((2, 4, 6, 3))
    blocks = x.reshape(2, 2, 2, 3, 2, 3)
    np.testing.assert_allclose(fir_downsample(x), blocks.mean((2, 4)), atol=1e-6)
    np.testing.assert_array_equal(fir_upsample(x), upsample(x))


def test_resampled():
    x = normal((1, 4, 4, 2)).astype(jnp.bfloat16)
    assert resampled(x, "keep", (1, 3, 3, 1)) is x
    chex.assert_shape(resampled(x, "down", (1, 3, 3, 1)), (1, 2, 2, 2))
    chex.assert_type(resampled(x, "up", (1, 3, 3, 1)), jnp.bfloat16)
    with pytest.raises(UserError, match="unknown resampling 'dwn': did you mean 'down'"):
        resampled(x, "dwn")
    with pytest.raises(UserError, match=r"even number of taps, got \(1, 2, 1\)"):
        jax.eval_shape(lambda x: fir_upsample(x, (1, 2, 1)), x)


@pytest.mark.parametrize("taps", [(1, 1), (1, 3, 3, 1), (1, 5, 10, 10, 5, 1)], ids=len)
def test_a_constant_image_is_kept(taps):
    """By filters whose even and odd taps have the same sum."""
    x, reach = jnp.full((1, 12, 12, 2), 1.7), len(taps)
    for y in (fir_upsample(x, taps), fir_downsample(x, taps), fir_filter(x, taps, len(taps) // 2)):
        inside = y[:, reach // 2 : -(reach // 2) or None, reach // 2 : -(reach // 2) or None]
        np.testing.assert_allclose(inside, jnp.full_like(inside, 1.7), rtol=1e-6)
    np.testing.assert_allclose(
        fir_filter(x, taps, 0, gain=4.0), jnp.full((1, 13 - reach, 13 - reach, 2), 6.8), rtol=1e-6
    )


@pytest.mark.parametrize("frequency", [0.0, 0.1, 0.25, 0.4, 0.5])
def test_the_frequency_response_of_the_binomial_filters(frequency):
    """(1 + z)^n / 2^n has the response cos(pi f)^n: the constant passes, the checkerboard does not."""
    wave = np.cos(2 * np.pi * frequency * np.arange(40) + 0.3)
    image = jnp.asarray(np.broadcast_to(wave[:, None], (40, 40))[None, :, :, None], jnp.float32)
    for taps in ((1, 1), (1, 2, 1), (1, 3, 3, 1)):
        n = len(taps) - 1
        shifted = np.cos(2 * np.pi * frequency * (np.arange(40 - n) + n / 2) + 0.3)  # the centre of each window
        got = fir_filter(image, taps, 0)[0, :, 5, 0]
        np.testing.assert_allclose(got, np.cos(np.pi * frequency) ** n * shifted, atol=1e-5)
