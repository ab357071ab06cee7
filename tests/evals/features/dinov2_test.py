from pathlib import Path

import jax
import numpy as np
import pytest
import random_weights

from gen_jax.errors import UserError
from gen_jax.evals.features.dinov2 import ViT, dinov2, interpolate
from gen_jax.nn.pretrained import weights


@pytest.fixture(scope="module")
def reference():
    """What the published code gives, with 3 blocks of width 128 (make_reference.py)."""
    with np.load(Path(__file__).with_name("dinov2.npz")) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", ["plain", "registers"])
def test_the_transformer_equals_the_published_one(reference, tmp_path, name):
    file = tmp_path / "random.safetensors"
    weights.save(file, random_weights.state(reference[f"{name}_shapes"]), {})
    network = dinov2(str(file))
    features, logits = network.apply(random_weights.images("dinov2", (2, 224, 224, 3)))
    np.testing.assert_allclose(features, reference[name], atol=1e-4)
    assert logits is None
    assert (network.name, network.resize, network.dim) == ("dinov2", "clean", 128)


# The published counts, in millions (Oquab et al. 2023, table 17 and the model cards): 21, 86, 300.
@pytest.mark.parametrize(("width", "depth", "millions"), [(384, 12, 22), (768, 12, 86), (1024, 24, 303)])
def test_sizes(width, depth, millions):
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)
    tree = jax.eval_shape(ViT(width, depth).init, jax.random.key(0), x)
    assert round(sum(leaf.size for leaf in jax.tree.leaves(tree)) / 1e6) == millions


@pytest.mark.parametrize("antialias", [True, False])
def test_positions_are_interpolated_between_those_of_37_by_37(antialias):
    """A cubic reproduces a ramp inside the grid: pixel i lies at (i + 1/2) s - 1/2, with s = 37 / 16, or 37 / 16.1."""
    rows, columns = np.meshgrid(np.arange(37), np.arange(37), indexing="ij")
    grid = np.stack([rows, columns, np.ones_like(rows)], axis=-1).reshape(1, -1, 3).astype(np.float32)
    first = np.full((1, 1, 3), -5, np.float32)
    found = interpolate(np.concatenate([first, grid], axis=1), antialias)
    np.testing.assert_array_equal(found[0, 0], first[0, 0])
    found = found[0, 1:].reshape(16, 16, 3)
    place = (np.arange(16) + 0.5) * 37 / (16 if antialias else 16.1) - 0.5
    inside = slice(2, 14)
    np.testing.assert_allclose(found[inside, 5, 0], place[inside], atol=0.15)  # slope -3/4 does not keep ramps exactly
    np.testing.assert_allclose(found[5, inside, 1], place[inside], atol=0.15)
    np.testing.assert_allclose(found[..., 2], 1, atol=1e-5)
    same = np.zeros((1, 257, 3), np.float32)
    assert interpolate(same, antialias) is same


def test_bad_arguments_and_other_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"unknown size of DINOv2 'G': .*Known: B, L, S"):
        dinov2(size="G")
    with pytest.raises(UserError, match=r"unknown resize mode 'none'"):
        dinov2(resize="none")
    weights.save(tmp_path / "a.safetensors", {"cls_token": np.zeros((1, 1, 64), np.float32)}, {})
    with pytest.raises(UserError, match=r"a\.safetensors is not of a DINOv2: it has no pos_embed"):
        dinov2(str(tmp_path / "a.safetensors"))
