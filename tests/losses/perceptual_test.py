"""Perceptual losses: zero for equal images, symmetric, differentiable; their networks are fixed."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.losses.perceptual import LPIPS, RandomFeatures
from gen_jax.nn.pretrained import lpips, weights

sys.path.append(str(Path(__file__).parents[1] / "evals" / "features"))


def images(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, shape), jnp.float32)


@pytest.mark.parametrize("shape", [(3, 8, 8, 1), (2, 5, 7, 3)])
def test_random_features_are_a_distance_by_seed(shape):
    loss = RandomFeatures((4, 6), seed=3)
    a, b = images(shape), images(shape, 1)
    variables = loss.init(jax.random.key(0), a)
    distance = jax.jit(loss)
    np.testing.assert_array_equal(distance(variables, a, a), 0)
    np.testing.assert_allclose(distance(variables, a, b), distance(variables, b, a), rtol=1e-5)
    assert float(distance(variables, a, b).min()) > 0
    assert float(distance(variables, a, b).max()) <= 4
    gradient = jax.jit(jax.grad(lambda x: loss(variables, x, b).sum()))
    assert np.isfinite(gradient(a)).all()
    assert np.isfinite(gradient(jnp.zeros(shape))).all()
    assert float(jnp.abs(gradient(a)).max()) > 0
    jax.tree.map(np.testing.assert_array_equal, variables, loss.init(jax.random.key(9), a))
    other = RandomFeatures((4, 6), seed=4).init(jax.random.key(0), a)
    assert float(jnp.abs(distance(other, a, b) - distance(variables, a, b)).max()) > 0


def test_lpips_weights_take_the_place_of_zeros(tmp_path):
    """`load` gives what the metric reads, in the shapes that `init` gives without any file."""
    import random_weights

    with np.load(Path(__file__).parents[1] / "evals" / "features" / "lpips.npz") as arrays:
        drawn = random_weights.state(arrays["alex_shapes"])
    files = [str(tmp_path / f"{part}.safetensors") for part in ("net", "linear")]
    for file, prefix in zip(files, ("features", "lin"), strict=True):
        weights.save(Path(file), {k: v for k, v in drawn.items() if k.startswith(prefix)}, {})
    loss = LPIPS("alex", *files)
    a, b = images((1, 32, 32, 3)), images((1, 32, 32, 3), 1)
    empty, loaded = loss.init(jax.random.key(0), a), loss.load()
    assert jax.tree.map(jnp.shape, empty) == jax.tree.map(jnp.shape, loaded)
    np.testing.assert_allclose(loss(loaded, a, b), lpips.lpips("alex", *files)(a, b), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomFeatures(()), r"widths=\(\): give at least one layer"),
        (lambda: LPIPS("squeeze"), "unknown network of LPIPS 'squeeze'"),
        (lambda: LPIPS("vgg").init(jax.random.key(0), jnp.zeros((1, 8, 8, 1))), "8x8 are too small .* needs 16x16"),
        (lambda: LPIPS("vgg", weights="nowhere.pth").load(), "there are no weights at nowhere.pth"),
    ],
)
def test_errors(make, message):
    with pytest.raises(UserError, match=message):
        make()
