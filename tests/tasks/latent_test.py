"""Walks in the latent spaces of small runs: ends, closed forms of a linear generator, and what is refused."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import gen_jax.main
import gen_jax.sample
from gen_jax.errors import UserError
from gen_jax.random import lerp, slerp
from gen_jax.tasks.directions import style_gram
from gen_jax.training.restore import open_run

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def trained(name, workdir, **family):
    spec = importlib.util.spec_from_file_location("config", CONFIGS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.train.update(steps=20, batch_size=16, steps_per_call=1, log_every=20, checkpoint_every=20, sample_every=0)
    config.sample.update(num=4, batch_size=4)
    config.family.update(family)
    gen_jax.main.run(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("latent")
    linear = dict(name="nn.MLP", features=(), final="none")
    return {
        "gan": trained("quickstart_gan.py", place / "gan"),
        "vae": trained("vae/vae.py", place / "vae"),
        "linear": trained("gan/vanilla.py", place / "linear", generator=linear, latent=6),
        "styled": trained("gan/stylegan2.py", place / "styled"),
    }


@given(st.integers(0, 2**31 - 1), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_arcs_and_lines(seed, t):
    a, b = jax.random.normal(jax.random.key(seed), (2, 3, 16))
    times = jnp.full(3, t, jnp.float32)
    for path in (slerp, lerp):
        np.testing.assert_allclose(path(a, b, jnp.zeros(3)), a, atol=1e-5)
        np.testing.assert_allclose(path(a, b, jnp.ones(3)), b, atol=1e-5)
        np.testing.assert_allclose(path(a, a, times), a, atol=1e-5)
    # of unit vectors the arc stays on the sphere, and at t it has turned by t of the angle
    a, b = (v / jnp.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    x = slerp(a, b, times)
    np.testing.assert_allclose(jnp.linalg.norm(x, axis=-1), 1, atol=1e-4)
    angle = jnp.arccos(jnp.clip((a * b).sum(-1), -1, 1))
    np.testing.assert_allclose(jnp.arccos(jnp.clip((a * x).sum(-1), -1, 1)), t * angle, atol=2e-3)


@pytest.mark.parametrize("name", ["gan", "vae", "styled"])
def test_paths_lead_from_sample_to_sample(runs, name):
    alone = gen_jax.sample.run(runs[name], num=4, label=3 if name == "gan" else None, seed=5)["x"]
    label = dict(label=3) if name == "gan" else {}
    options = {"frames": 5} | ({} if name == "styled" else {"space": "z"})
    walk = gen_jax.sample.run(runs[name], num=3, seed=5, task="interpolate", options=options, **label)
    x = walk["x"].reshape(3, 5, 8, 8, 1)
    if name != "styled":  # there the noise is that of the path's first end
        np.testing.assert_array_equal(x[:, -1], alone[1:])
    np.testing.assert_array_equal(x[:, 0], alone[:3])
    assert (x[:, 2] != x[:, 0]).any()


def test_paths_between_latents_of_a_file(runs, tmp_path):
    found = gen_jax.sample.run(runs["vae"], num=3, task="project", options={"steps": 2}, out=tmp_path / "found.npz")
    options = {"frames": 3, "latents": str(tmp_path / "found.npz")}
    walk = gen_jax.sample.run(runs["vae"], num=2, task="interpolate", options=options)
    latent = walk["latent"].reshape(2, 3, -1)
    np.testing.assert_allclose(latent[:, 0], found["latent"][:2], atol=1e-6)
    np.testing.assert_allclose(latent[:, -1], found["latent"][1:], atol=1e-6)
    with pytest.raises(UserError, match="has 3, and 5 paths have 6 ends"):
        gen_jax.sample.run(runs["vae"], num=5, task="interpolate", options=options)


def test_images_of_the_space_are_found_in_it(runs):
    short, long = (
        gen_jax.sample.run(runs["vae"], num=4, task="project", options={"steps": steps})["psnr"] for steps in (1, 300)
    )
    assert (long > short + 3).all()
    assert long.mean() > 30


def test_a_style_for_each_layer_comes_nearer(runs):
    one, each = (
        gen_jax.sample.run(runs["styled"], num=3, task="project", options={"steps": 150, "layers": layers}, seed=9)
        for layers in (False, True)
    )
    assert (one["latent"] == one["latent"][:, :1]).all()
    assert (each["latent"] != each["latent"][:, :1]).any()
    assert each["psnr"].mean() > one["psnr"].mean() - 1  # a larger space loses nothing but the search's luck


def test_an_image_file_is_projected(runs, tmp_path):
    Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))).save(tmp_path / "ramp.png")
    options = {"image": str(tmp_path / "ramp.png"), "steps": 5}
    sheet = gen_jax.sample.run(runs["vae"], num=1, task="project", options=options)
    assert sheet["x"].shape == (2, 8, 8, 1)
    ramp = sheet["x"][0, 4, :, 0].astype(int)
    assert (np.diff(ramp) > 0).all(), "the target is shown as it was read"
    for image, words in (("nothing.png", "no image there"), (__file__, "not an image")):
        with pytest.raises(UserError, match=words):
            gen_jax.sample.run(runs["vae"], num=1, task="project", options={"image": image})


def test_directions_of_a_linear_generator_are_its_singular_vectors(runs):
    run = open_run(runs["linear"])
    kernel = np.asarray(run.state.averaged["gen"]["network"]["out"]["kernel"], np.float64)  # [z, values]
    sheet = gen_jax.sample.run(runs["linear"], num=6, task="directions", options={"columns": 3})
    direction = sheet["direction"]
    np.testing.assert_allclose(direction @ direction.T, np.eye(6), atol=1e-5)
    u, singular, _ = np.linalg.svd(kernel)
    np.testing.assert_allclose(np.abs(np.diag(direction @ u)), 1, atol=1e-3)
    np.testing.assert_allclose(sheet["strength"], singular**2 / np.square(singular).sum(), rtol=1e-3)
    middle = sheet["x"].reshape(6, 3, 8, 8, 1)[:, 1]
    np.testing.assert_array_equal(middle, np.broadcast_to(gen_jax.sample.run(runs["linear"], num=1)["x"], middle.shape))


@pytest.mark.parametrize("method", ["ganspace", "sefa", "jacobian"])
def test_directions_of_styles(runs, method):
    sheet = gen_jax.sample.run(runs["styled"], num=4, task="directions", options={"method": method, "samples": 64})
    np.testing.assert_allclose(sheet["direction"] @ sheet["direction"].T, np.eye(4), atol=1e-4)
    assert (sheet["strength"] >= -1e-6).all()
    assert (np.diff(sheet["strength"]) <= 1e-7).all()


def test_style_gram_is_the_sum_over_style_layers():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 7))
    tree = {"x": {"affine": {"kernel": a}}, "y": {"affine": {"kernel": b}, "conv": {"kernel": np.ones((4, 4))}}}
    np.testing.assert_allclose(style_gram(tree, 4), a @ a.T + b @ b.T)
    with pytest.raises(UserError, match="no style layers"):
        style_gram({"conv": {"kernel": a}}, 4)


def test_mixing_shows_the_sources_and_keeps_them_apart(runs):
    sheet = gen_jax.sample.run(runs["styled"], num=2, task="mix", options={"columns": 3, "layers": [0, 1]})["x"]
    sheet = sheet.reshape(3, 4, 8, 8, 1)
    assert (sheet[0, 0] == 255).all()
    alone = gen_jax.sample.run(runs["styled"], num=5)["x"]
    np.testing.assert_array_equal(sheet[1:, 0], alone[:2])
    np.testing.assert_array_equal(sheet[0, 1:], alone[2:])
    with pytest.raises(UserError, match="the layers of this model"):
        gen_jax.sample.run(runs["styled"], num=2, task="mix", options={"layers": [0, 99]})


def test_less_truncation_is_less_variety(runs):
    options = {"psi": [0.001, 1.0]}
    for name in ("gan", "styled"):
        label = dict(label=2) if name == "gan" else {}
        x = gen_jax.sample.run(runs[name], num=6, task="truncation", options=options, **label)["x"]
        x = x.reshape(6, 2, -1).astype(float)
        assert x[:, 0].std(0).mean() < 0.5 * x[:, 1].std(0).mean()


def test_films_have_a_frame_for_each_step_there_and_back(runs, tmp_path):
    for name in ("walk.gif", "walk.webp"):
        gen_jax.sample.run(runs["vae"], num=4, task="interpolate", options={"frames": 6}, out=tmp_path / name)
        with Image.open(tmp_path / name) as film:
            assert film.n_frames == 10
    with pytest.raises(UserError, match="nothing moves"):
        gen_jax.sample.run(runs["vae"], num=2, task="project", options={"steps": 1}, out=tmp_path / "p.gif")


@pytest.mark.parametrize(
    ("name", "task", "options", "words"),
    [
        ("vae", "interpolat", {}, "did you mean 'interpolate'"),
        ("vae", "interpolate", {"frame": 3}, "did you mean 'frames'"),
        ("vae", "interpolate", {"frames": 1}, "two ends"),
        ("vae", "interpolate", {"space": "w"}, "no mapping"),
        ("vae", "interpolate", {"space": "q"}, "unknown latent space 'q'"),
        ("vae", "interpolate", {"latents": "nothing.npz"}, "cannot be read"),
        ("gan", "mix", {}, "no mapping"),
        ("vae", "truncation", {}, "has no truncation"),
        ("gan", "truncation", {"psi": [-1]}, "truncation=-1"),
        ("vae", "directions", {"method": "sefa"}, "take jacobian"),
        ("vae", "directions", {"columns": 4}, "columns=4"),
        ("linear", "directions", {}, "--num=7: the space has 6 directions"),
        ("vae", "project", {"steps": 0}, "steps=0"),
        ("vae", "project", {"layers": True}, "style-based"),
        ("vae", None, {"frames": 3}, "give --task too"),
    ],
)
def test_what_cannot_be_is_one_line(runs, name, task, options, words):
    with pytest.raises(UserError) as error:
        gen_jax.sample.run(runs[name], num=7, task=task, options=options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
