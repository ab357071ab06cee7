"""Training on latents that were encoded before, with the smallest of codecs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import gen_jax.main
import gen_jax.sample
from gen_jax.errors import UserError

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def load(name):
    spec = importlib.util.spec_from_file_location("config", CONFIGS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.train.update(steps=4, batch_size=16, steps_per_call=1, log_every=1, checkpoint_every=2, sample_every=0)
    config.sample.update(num=4, batch_size=4)
    config.evals = dict()
    config.parallel.data = 1
    return config


def codec(workdir, seed=0):
    config = load("vae/kl_autoencoder.py")
    config.family.encoder.update(width=8, groups=4)
    config.family.decoder.update(width=8, groups=4)
    config.seed = seed
    gen_jax.main.run(config, workdir)
    return workdir


def second_stage(of, cache, **train):
    config = load("hybrid/latent_dit.py")
    config.family.model.network.update(width=16, depth=1, heads=2)
    config.family.model.conditioning.width = 16
    config.family.model.steps = 2
    config.family.codec.workdir = str(of)
    config.train.update(latent_cache=None if cache is None else str(cache), **train)
    return config


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return codec(tmp_path_factory.mktemp("first") / "kl")


def losses(config, workdir):
    return gen_jax.main.run(config, workdir)[1]["loss"]


def test_the_same_training_without_running_the_codec(first, tmp_path):
    without = losses(second_stage(first, None), tmp_path / "without")
    config = second_stage(first, tmp_path / "cache")
    config.evals = dict(every=4, num=8, metrics=dict(sw=dict(name="evals.sliced_wasserstein")))  # against images
    cached = losses(config, tmp_path / "cached")
    np.testing.assert_allclose(cached, without, rtol=1e-4)
    written = (tmp_path / "cache" / "latent.npy").stat()
    again = losses(second_stage(first, tmp_path / "cache"), tmp_path / "again")
    np.testing.assert_array_equal(again, cached)
    assert (tmp_path / "cache" / "latent.npy").stat().st_mtime_ns == written.st_mtime_ns, "it was written anew"
    assert np.load(tmp_path / "cache" / "latent.npy").shape == (1442, 4, 4, 4)
    assert not list((tmp_path / "cache").glob("*.part.npy"))
    assert gen_jax.sample.run(tmp_path / "cached", num=2)["x"].shape == (2, 8, 8, 1)


def test_what_is_half_written_is_written_again(first, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "latent.part.npy").write_bytes(b"half")
    (tmp_path / "cache" / "label.npy").write_bytes(b"of another time")
    assert np.isfinite(losses(second_stage(first, tmp_path / "cache"), tmp_path / "run")).all()


def test_what_cannot_be(first, tmp_path):
    config = second_stage(first, tmp_path / "cache", flip=True)
    with pytest.raises(UserError, match=r"with train\.flip=True images are mirrored"):
        gen_jax.main.run(config, tmp_path / "flipped")
    plain = load("vae/vae.py")
    plain.train.latent_cache = str(tmp_path / "cache")
    with pytest.raises(UserError, match="a VAE has no codec whose latents could be kept"):
        gen_jax.main.run(plain, tmp_path / "plain")
    assert not (tmp_path / "cache").exists()
    losses(second_stage(first, tmp_path / "cache"), tmp_path / "run")
    other = codec(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match=r"does not hold what this codec makes of these data \(latent\): delete"):
        gen_jax.main.run(second_stage(other, tmp_path / "cache"), tmp_path / "mixed")
    np.save(tmp_path / "cache" / "latent.npy", np.zeros((7, 4, 4, 4), np.float32))
    with pytest.raises(UserError, match="has 7 examples and the data 1,442"):
        gen_jax.main.run(second_stage(first, tmp_path / "cache"), tmp_path / "short")
