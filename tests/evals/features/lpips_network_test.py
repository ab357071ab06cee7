from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_weights

from gen_jax.errors import UserError
from gen_jax.nn.pretrained import weights
from gen_jax.nn.pretrained.lpips import lpips


@pytest.fixture(scope="module")
def reference():
    """What the published package gives (make_reference.py)."""
    with np.load(Path(__file__).with_name("lpips.npz")) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def distances(reference, tmp_path_factory):
    """LPIPS by network, with random weights."""
    folder = tmp_path_factory.mktemp("weights")

    def make(net):
        drawn = random_weights.state(reference[f"{net}_shapes"])
        weights.save(folder / f"{net}.safetensors", {k: v for k, v in drawn.items() if k.startswith("features")}, {})
        weights.save(folder / f"{net}_lin.safetensors", {k: v for k, v in drawn.items() if k.startswith("lin")}, {})
        return lpips(net, str(folder / f"{net}.safetensors"), str(folder / f"{net}_lin.safetensors"))

    return {net: make(net) for net in ("alex", "vgg")}


def pairs():
    images = (random_weights.images(f"lpips {name}", (2, 64, 48, 3)) for name in "ab")
    return [jnp.asarray(x / np.float32(127.5) - 1) for x in images]


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_the_distance_equals_the_published_one(reference, distances, net):
    a, b = pairs()
    found = jax.jit(distances[net])(a, b)
    assert found.shape == (2,)
    np.testing.assert_allclose(found, reference[net], rtol=1e-4)


def test_it_is_a_distance_and_sees_grey_images_as_rgb(distances):
    distance = jax.jit(distances["alex"])
    a, b = (x[..., :1] for x in pairs())
    np.testing.assert_array_equal(distance(a, a), 0)
    np.testing.assert_allclose(distance(a, b), distance(b, a), rtol=1e-5)
    np.testing.assert_allclose(distance(a, b), distance(a.repeat(3, 3), b.repeat(3, 3)), rtol=1e-5)


def test_gradients_are_finite_where_maps_are_zero(distances):
    distance = distances["alex"]
    a = jnp.zeros((1, 32, 32, 3))
    gradient = jax.jit(jax.grad(lambda x: distance(x, a).sum()))
    assert np.abs(found := gradient(pairs()[0][:1, :32, :32])).max() > 0
    assert np.isfinite(found).all()
    assert np.isfinite(gradient(a)).all()


def test_bad_input_is_one_clear_line(distances, tmp_path):
    a = jnp.zeros((1, 16, 64, 3))
    with pytest.raises(UserError, match=r"images of 16x64 are too small for LPIPS \(alex\), which needs 31x31; PSNR"):
        distances["alex"](a, a)
    with pytest.raises(UserError, match=r"images of one shape, got \[1, 16, 64, 3\] and \[1, 16, 16, 3\]"):
        distances["alex"](a, a[:, :, :16])
    with pytest.raises(UserError, match=r"unknown network of LPIPS 'squeeze': .*Known: alex, vgg"):
        lpips("squeeze")


def test_the_hash_is_of_backbone_and_linear_weights(distances):
    assert len({d.hash for d in distances.values()}) == 2
