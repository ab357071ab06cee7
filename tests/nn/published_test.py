"""The published networks, counted and looked at without being run."""

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, Conditioning, Context
from gen_jax.nn.dit import DiT, DiTBlock, patchify, unpatchify
from gen_jax.nn.unet import UNet


def count(network, shape):
    x, cond = jnp.zeros((1, *shape)), {"noise": jnp.zeros(1), "label": jnp.zeros(1, jnp.int32)}
    variables = jax.eval_shape(network.init, jax.random.key(0), x, cond)
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


# arXiv:2212.09748, table 1 (and table 4 for the exact sizes): millions of parameters on 32x32x4 latents.
@pytest.mark.parametrize(
    ("width", "depth", "heads", "millions"),
    [(384, 12, 6, 33), (768, 12, 12, 130), (1024, 24, 16, 458), (1152, 28, 16, 675)],
    ids=["S/2", "B/2", "L/2", "XL/2"],
)
def test_dit_sizes(width, depth, heads, millions):
    network = DiT(width, depth, heads, patch=2, channels_per_value=2)
    conditioned = Conditioned(network, Conditioning(width, num_classes=1000, noise_features=256))
    assert round(count(conditioned, (32, 32, 4)) / 1e6) == millions


def test_dit_xl_counted_by_hand():
    d = 1152
    blocks = 28 * (18 * d**2 + 15 * d)  # qkv 3, out 1, MLP 8 and AdaLN 6 matrices, and their biases
    ends = (16 * d + d) + (2 * d**2 + 2 * d) + (d * 32 + 32)  # patches, last AdaLN, last layer
    conditioning = (256 * d + d) + (d**2 + d) + 1001 * d
    network = Conditioned(DiT(d, 28, 16, 2, channels_per_value=2), Conditioning(d, 1000, noise_features=256))
    assert count(network, (32, 32, 4)) == blocks + ends + conditioning


def test_ddpm_unet_has_the_published_parameters():
    network = Conditioned(UNet(), Conditioning(512, noise_features=128, noise_scale=1.0))
    assert count(network, (32, 32, 3)) == 35_746_307


def test_ddpm_unet_attends_at_16_and_in_the_middle():
    x, context = jnp.zeros((1, 32, 32, 3)), Context(vector=jnp.zeros((1, 512)))
    params = jax.eval_shape(UNet().init, jax.random.key(0), x, context)["params"]
    attention = {k for k in params if k.endswith("_attention")}
    levels = {f"{way}_1_{i}_attention" for way, n in (("down", 2), ("up", 3)) for i in range(n)}
    assert attention == levels | {"middle_attention"}


@pytest.mark.parametrize("network", [DiT(16, 2, 2, 2), UNet(8, (1,), 1, (), groups=4)], ids=["dit", "unet"])
def test_output_is_zero_at_the_start(network):
    x, context = (
        jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 1)), jnp.float32),
        Context(vector=jnp.ones((2, 16))),
    )
    y, _ = jax.jit(network.init_with_output)(jax.random.key(1), x, context)
    np.testing.assert_array_equal(y, jnp.zeros_like(x))


def test_dit_block_is_the_identity_at_the_start():
    x, vector = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 16)), jnp.float32), jnp.ones((2, 16))
    y, _ = jax.jit(DiTBlock(heads=2).init_with_output)(jax.random.key(1), x, vector)
    np.testing.assert_array_equal(y, x)


@hypothesis.given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
@hypothesis.settings(deadline=None, max_examples=20)
def test_patchify_round_trip(b, rows, columns, patch, c):
    h, w = rows * patch, columns * patch
    x = np.arange(b * h * w * c, dtype=np.float32).reshape(b, h, w, c)
    tokens = patchify(x, patch)
    chex.assert_shape(tokens, (b, rows * columns, patch * patch * c))
    np.testing.assert_array_equal(tokens[0, columns - 1], x[0, :patch, w - patch :].reshape(-1))  # the end of row 0
    np.testing.assert_array_equal(unpatchify(tokens, h, w, patch), x)


@pytest.mark.parametrize(
    ("size", "outputs"), [((8, 8), 1), ((16, 16), 1), ((28, 28), 4), ((32, 32), 4), ((64, 32), 16), ((33, 33), 9)]
)
def test_patch_none_is_the_smallest_that_leaves_256_tokens(size, outputs):
    params = jax.eval_shape(DiT(16, 1, 2).init, jax.random.key(0), jnp.zeros((1, *size, 1)), Context())["params"]
    assert params["out"]["bias"].size == outputs  # patch * patch values per token


def test_unet_names_sizes_that_work():
    with pytest.raises(UserError, match="multiples of 8, and the images are 28x30; sizes that work: 32x32"):
        jax.eval_shape(UNet().init, jax.random.key(0), jnp.zeros((1, 28, 30, 3)), Context())
