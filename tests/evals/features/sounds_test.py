"""Sounds evaluated: the Fréchet audio distance through the own classifier."""

import numpy as np
import pytest

import gen_jax.evaluate
from gen_jax.errors import UserError
from gen_jax.evals.features.extract import extract
from gen_jax.evals.features.sounds import own_sounds
from gen_jax.evals.receipts import differences

FREQUENCIES = (400, 1600)


def tones(count, seed, frequencies=FREQUENCIES):
    """Sounds [count, 1600, 1] of a tenth of a second, a class for each frequency in turn, and a little noise."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % len(frequencies)
    frequency = np.asarray(frequencies)[label] * rng.uniform(0.95, 1.05, count)
    sound = rng.uniform(0.2, 0.6, (count, 1)) * np.sin(2 * np.pi * frequency[:, None] * np.arange(1600) / 16_000)
    return (sound + 0.01 * rng.standard_normal(sound.shape)).astype(np.float32)[..., None], label


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The real sounds (real.npz), and samples: the same, others of their law, and of another. One cache serves all
    tests, so that the classifier of the real ones is trained once."""
    tmp_path = tmp_path_factory.mktemp("sounds")
    for name, (x, label) in {
        "real": tones(96, 0),
        "same": tones(96, 0),
        "other": tones(96, 1),
        "far": tones(96, 2, (800, 3200)),
    }.items():
        np.savez(tmp_path / f"{name}.npz", x=x, label=label)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GEN_JAX_CACHE", "GEN_JAX_WEIGHTS"):
            patch.setenv(name, str(tmp_path / name))
        yield tmp_path


def test_the_distance_is_0_to_itself_and_grows_with_the_difference(place):
    def evaluate(name, evals):
        return gen_jax.evaluate.run(
            evals=evals, samples=place / f"{name}.npz", reference=place / "real.npz", out=place / f"{name}.json"
        )

    found = {name: evaluate(name, "fad")["figures"]["fad_own"] for name in ("same", "far")}
    found["other"] = evaluate("other", None)["figures"]["fad_own"]
    assert found["same"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["other"]["value"] < found["far"]["value"] / 3
    receipt = found["same"]["receipt"]
    assert receipt["features"]["network"] == "own"
    assert len(receipt["features"]["hash"]) == 64
    assert receipt["features"]["resize"] == "log-mel as of 16000 Hz"
    assert not differences(receipt, found["other"]["receipt"])


def test_it_reads_the_classes(place):
    network = own_sounds(*tones(96, 0))
    x, label = tones(40, 3)
    logits = extract(network, [x[:7], x[7:]]).logits
    assert (logits.argmax(-1) == label).mean() > 0.9


def test_what_is_of_the_other_kind_is_refused_in_one_line(place):
    images = {name: place / f"{name}-images.npz" for name in ("x", "real")}
    for seed, path in enumerate(images.values()):
        np.savez(path, x=np.random.default_rng(seed).integers(0, 256, (20, 8, 8, 1), np.uint8))
    sounds = dict(samples=place / "same.npz", reference=place / "real.npz")
    short = place / "short.npz"
    np.savez(short, x=tones(20, 0)[0][:, :300])
    for arguments, says in (
        (dict(samples=images["x"], reference=images["real"], evals="fad"), "metric fad: it is of sounds .* is fid"),
        (sounds | dict(features="inception"), "--features=inception: a network of images, and .* of sounds"),
        (sounds | dict(resize="clean"), "--resize=clean: the own classifier has none"),
        (dict(samples=short, reference=short), "sounds of 300 samples; a window"),
    ):
        with pytest.raises(UserError, match=says) as error:
            gen_jax.evaluate.run(**arguments)
        assert "\n" not in str(error.value)
