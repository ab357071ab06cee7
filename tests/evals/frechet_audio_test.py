import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals.frechet import fid, statistics
from gen_jax.evals.frechet_audio import _triangles, fad, log_mel, log_mel_images


def tone(frequency, rate=8000, seconds=0.2, loudness=1.0):
    t = np.arange(int(rate * seconds)) / rate
    return (loudness * np.sin(2 * np.pi * frequency * t)).astype(np.float32)[None, :, None]


def test_it_is_the_distance_of_frechet():
    rng = np.random.default_rng(0)
    features, reference = rng.standard_normal((50, 4)), statistics(1 + rng.standard_normal((60, 4)))
    expected = fid(features, reference, bootstrap=5)
    figures = fad(features, reference, bootstrap=5)
    assert set(figures) == {"fad", "fad/low", "fad/high"}
    assert list(figures.values()) == list(expected.values())


@pytest.mark.parametrize("frequency", [300, 1000, 2500])
def test_a_tone_is_loudest_in_its_band(frequency):
    spectrum = log_mel(tone(frequency), 8000, bands=16)
    assert spectrum.shape == (1, 18, 16)  # 0.2 s in steps of 10 ms, the last at 0.175 s
    assert spectrum.dtype == np.float32
    mel = lambda f: 1127 * np.log(1 + f / 700)  # noqa: E731
    middles = np.linspace(mel(125), mel(4000), 18)[1:-1]
    assert (spectrum[0].argmax(axis=1) == np.abs(middles - mel(frequency)).argmin()).all()


def test_loudness_adds_and_silence_is_the_offset():
    loud, quiet = (log_mel(tone(1000, loudness=a), 8000).max() for a in (1.0, np.exp(-1)))
    assert loud - quiet == pytest.approx(1, abs=2e-3)  # but for the 0.01 that is added
    np.testing.assert_allclose(log_mel(np.zeros((2, 400, 1)), 8000), np.log(0.01), rtol=1e-6)


def test_channels_are_averaged():
    stereo = np.concatenate([tone(500), -tone(500)], axis=2)
    np.testing.assert_allclose(log_mel(stereo, 8000), np.log(0.01), rtol=1e-5)


def test_bands_overlap_to_1_between_their_middles():
    weights = _triangles(np.linspace(200, 3500, 500), 20, 125, 4000)
    assert weights.min() == 0
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_as_images():
    images = log_mel_images(np.concatenate([tone(1000), 0 * tone(1000)]), 8000)
    assert images.dtype == np.uint8
    assert images.shape == (2, 18, 64, 1)
    assert images[0].max() > 180
    assert images[1].max() == 0


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"float32 \[1, 1600\]"):
        log_mel(tone(500)[..., 0], 8000)
    with pytest.raises(UserError, match="100 samples; a window of"):
        log_mel(tone(500)[:, :100], 8000)
    with pytest.raises(UserError, match="high is 4000"):
        log_mel(tone(500), 8000, high=5000)
