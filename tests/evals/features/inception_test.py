from pathlib import Path

import jax
import numpy as np
import pytest
import random_weights

from gen_jax.errors import UserError
from gen_jax.evals.features.inception import InceptionV3, inception, scale
from gen_jax.evals.features.resize import MODES
from gen_jax.nn.pretrained import weights


@pytest.fixture(scope="module")
def reference():
    """What pytorch-fid and torch-fidelity give (make_reference.py)."""
    with np.load(Path(__file__).with_name("inception.npz")) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def file(reference, tmp_path_factory):
    """The random weights, as a file that a user would name."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    weights.save(path, random_weights.state(reference["shapes"]), {})
    return path


def test_the_published_weights_have_the_shapes_of_the_graph(reference):
    """All but the count of batches and the bias of the logits, and no others."""
    shapes = random_weights.json.loads(str(reference["shapes"]))
    published = sum(int(np.prod(s)) for name, s in shapes.items() if "num_batches" not in name and name != "fc.bias")
    tree = jax.eval_shape(InceptionV3().init, jax.random.key(0), jax.ShapeDtypeStruct((1, 299, 299, 3), np.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(tree)) == published


def test_the_graph_equals_torch_fidelitys_and_pytorch_fids(reference, file):
    """From bytes of 40x52 to 2,048 features and 1,008 logits, by either resizer. 1e-4 is of features of order 1."""
    images = random_weights.images("inception", (2, 40, 52, 3))
    for resize, name in (("tf-legacy", "tf_legacy"), ("pytorch-fid", "pytorch_fid")):
        network = inception(str(file), resize)
        features, logits = network.apply(images)
        expected = reference[name]
        assert features.shape == (2, 2048) == (2, network.dim)
        np.testing.assert_allclose(features, expected, atol=1e-4 * max(1, np.abs(expected).mean()))
        assert np.abs(expected[0] - expected[1]).mean() > 0.01  # they do tell images apart
        if f"{name}_logits" in reference:
            expected = reference[f"{name}_logits"]
            np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1, np.abs(expected).mean()))


@pytest.mark.parametrize("resize", MODES)
def test_images_come_scaled_to_about_1_and_grey_ones_as_rgb(resize):
    x = random_weights.images("grey", (2, 8, 6, 1))
    found = scale(x, resize)
    assert found.shape == (2, 299, 299, 3)
    np.testing.assert_array_equal(found, scale(x.repeat(3, axis=3), resize))
    black, white = (-1.0, 1.0) if resize == "pytorch-fid" else (-1.0, 127 / 128)
    np.testing.assert_allclose(scale(np.full((1, 2, 2, 3), 0, np.uint8), resize), black, atol=1e-6)
    np.testing.assert_allclose(scale(np.full((1, 2, 2, 3), 255, np.uint8), resize), white, atol=1e-6)


def test_the_facts_of_the_network(file):
    network = inception(str(file), "clean")
    assert (network.name, network.resize, network.dim) == ("inception", "clean", 2048)
    assert network.hash == weights.read(file).hash
    assert len(network.hash) == 64


def test_an_unknown_resizer_and_another_networks_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match="unknown resize mode 'pil'"):
        inception(resize="pil")
    weights.save(tmp_path / "a.safetensors", {"fc.weight": np.zeros((1000, 2048), np.float32)}, {})
    with pytest.raises(UserError, match=r"a\.safetensors is not of this network: Conv2d.* is needed, it has none"):
        inception(str(tmp_path / "a.safetensors"))
