"""Tasks of models that encode images, on small runs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gen_jax.main
import gen_jax.sample
from gen_jax.data.load import load
from gen_jax.errors import UserError

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def trained(name, workdir, steps):
    spec = importlib.util.spec_from_file_location("config", CONFIGS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.train.update(steps=steps, steps_per_call=10, log_every=steps, checkpoint_every=steps, sample_every=0)
    config.sample.update(num=4, batch_size=8)
    config.evals = dict()
    gen_jax.main.run(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("codes")
    return {
        "vae": trained("quickstart_vae.py", place / "vae", 150),  # conditional on the label
        "vq": trained("vae/vq_vae.py", place / "vq", 10),
        "gan": trained("gan/vanilla.py", place / "gan", 10),
    }


def task(workdir, name, num=3, label=None, **options):
    return gen_jax.sample.run(workdir, num=num, label=label, task=name, options=options)


TEST = load({"name": "digits"}, "test")


@pytest.mark.parametrize("name", ["vae", "vq"])
def test_reconstructions_stand_beside_the_test_splits_images(runs, name):
    found = task(runs[name], "reconstruct", num=11)
    pairs = found["x"].reshape(11, 2, 8, 8, 1)
    np.testing.assert_array_equal(pairs[:, 0], TEST.take(np.arange(11))["x"])
    errors = np.square(pairs[:, 0].astype(float) - pairs[:, 1]).reshape(11, -1).mean(1)
    np.testing.assert_allclose(found["psnr"], 10 * np.log10(255**2 / errors))


def test_a_trained_vae_reconstructs_and_reads_the_label(runs):
    found = task(runs["vae"], "reconstruct", num=20, label=3)
    assert (found["label"] == 3).all()
    assert found["psnr"].mean() > 12
    mean = TEST.take(np.arange(len(TEST)))["x"].astype(float).mean(0)
    originals = found["x"][::2].astype(float)
    of_mean = 10 * np.log10(255**2 / np.square(originals - mean).reshape(20, -1).mean(1))
    assert found["psnr"].mean() > of_mean.mean() + 1


def test_images_of_a_file(runs, tmp_path):
    image = TEST[5]["x"]
    Image.fromarray(image[..., 0]).save(tmp_path / "five.png")
    found = task(runs["vq"], "reconstruct", images=str(tmp_path / "five.png"))
    np.testing.assert_array_equal(found["x"][0], image)
    assert len(found["x"]) == 2


def test_a_traverse_changes_one_latent_and_nothing_else(runs):
    found = task(runs["vae"], "traverse", num=2, columns=5, span=2.0)
    latent, dims = found["latent"].reshape(2, 5, -1), found["dims"]
    for row, dim in enumerate(dims):
        np.testing.assert_allclose(latent[row, :, dim], [-2, -1, 0, 1, 2])
        others = np.delete(latent[row], dim, axis=1)
        np.testing.assert_array_equal(others, np.broadcast_to(others[:1], others.shape))
    assert found["x"].shape == (10, 8, 8, 1)
    named = task(runs["vae"], "traverse", dims=[4], columns=2)
    assert named["dims"].tolist() == [4]


def test_arithmetic_adds_the_difference_of_two_classes(runs):
    found = task(runs["vae"], "arithmetic", num=2, plus=7, minus=1, strengths=[0.0, 1.0, 3.0])
    latent = found["latent"].reshape(2, 3, -1)
    step = latent[:, 1] - latent[:, 0]
    np.testing.assert_allclose(step[0], step[1], atol=1e-5)
    np.testing.assert_allclose(latent[:, 2] - latent[:, 0], 3 * step, atol=1e-4)
    assert np.abs(step).max() > 0.01
    back = task(runs["vae"], "arithmetic", num=2, label=1, plus=1, minus=7, strengths=[1.0])["latent"]
    np.testing.assert_allclose(back - latent[:, 0], -step, atol=1e-5)
    assert (found["label"] == 1).all()


def test_a_path_between_images_begins_and_ends_at_their_reconstructions(runs):
    for name in ("vae", "vq"):
        path = task(runs[name], "interpolate", num=2, frames=4, images=True)
        kept = task(runs[name], "reconstruct", num=3)
        frames = path["x"].reshape(2, 4, 8, 8, 1).astype(int)
        reconstructed = kept["x"][1::2].astype(int)
        assert np.abs(frames[:, 0] - reconstructed[:2]).max() <= 1
        if name == "vq":  # a path of the VAE stays in the class of its first image
            assert np.abs(frames[:, -1] - reconstructed[1:]).max() <= 1


@pytest.mark.parametrize(
    ("run", "name", "options", "message"),
    [
        ("gan", "reconstruct", {}, "a GAN encodes no images; VAEs and autoencoders do"),
        ("gan", "interpolate", {"images": True}, "a GAN encodes no images"),
        ("vq", "interpolate", {}, "no latent space to draw from.*images=True"),
        ("vq", "traverse", {}, r"this model's latents are \[4, 4, 16\]"),
        ("vae", "traverse", {"dims": [99]}, "99 is none of them"),
        ("vae", "traverse", {"columns": 1}, "columns=1"),
        ("vae", "arithmetic", {"plus": 10, "minus": 1}, "plus=10: the data have 10 classes"),
        ("vae", "reconstruct", {"images": "/nothing/here"}, "/nothing/here"),
    ],
)
def test_what_cannot_be(runs, run, name, options, message):
    with pytest.raises(UserError, match=message):
        task(runs[run], name, **options)
