"""TransGAN's networks against their published layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.attention import SelfAttention
from gen_jax.nn.conditioning import Context
from gen_jax.nn.transgan import TransGANDiscriminator, TransGANGenerator


def count(network, x):
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0), x, Context())))


def block(d, side, heads=4):
    """Two norms, q, k, v without and an output with biases, an MLP of ratio 4, relative positions."""
    relative = heads * (2 * side - 1) ** 2 if side else 0
    return 2 * 2 * d + 3 * d * d + (d * d + d) + (8 * d * d + 5 * d) + relative


def test_the_networks_for_cifar10_have_the_layers_of_the_authors_program():
    generator = (256 + 1) * 64 * 1024 + sum(side**2 * d for side, d in ((8, 1024), (16, 256), (32, 64)))
    generator += 5 * block(1024, 8) + 4 * block(256, 16) + 2 * block(64, 32) + (64 + 1) * 3
    assert count(TransGANGenerator((32, 32, 3)), jnp.zeros((1, 256))) == generator
    critic = (3 * 2 * 2 + 1) * 288 + (3 * 4 * 4 + 1) * 96  # patches of side 2 and 4
    critic += 16**2 * 288 + 8**2 * 384 + 384  # positions and the reading token
    critic += 3 * (block(288, 16) + 1) + 3 * (block(384, 8) + 1) + (block(384, 0) + 1)  # and the noise's strength each
    critic += 2 * 384 + (384 + 1)
    assert count(TransGANDiscriminator(), jnp.zeros((1, 32, 32, 3))) == critic


def test_relative_positions_are_added_to_the_scores():
    """With queries of zero the weights are the softmax of the table, by the difference of the places."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(1, 6, 4)), jnp.float32)
    layer = SelfAttention(heads=1, qkv_bias=False, grid=(2, 3))
    params = layer.init(jax.random.key(0), x)["params"]
    table = rng.normal(size=(1, 3, 5)).astype(np.float32)
    qkv = np.concatenate([np.zeros((4, 8)), np.eye(4)], axis=1)
    params = {**params, "position_bias": table, "qkv": {"kernel": qkv}}
    params["out"] = {"kernel": np.eye(4), "bias": np.zeros(4)}
    scores = np.zeros((6, 6))
    for a in range(6):
        for b in range(6):
            scores[a, b] = table[0, a // 3 - b // 3 + 1, a % 3 - b % 3 + 2]
    weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(layer.apply({"params": params}, x)[0], weights @ x[0], rtol=1e-5, atol=1e-5)


def test_pixel_shuffle_puts_four_channels_in_a_row_on_two_by_two_tokens():
    """Without blocks and positions, a generator whose last layer reads the first channel shows the tokens."""
    generator = TransGANGenerator((4, 4, 1), width=8, depths=(0, 0), heads=2)
    params = generator.init(jax.random.key(0), jnp.zeros((1, 4)), Context())["params"]
    tokens = np.arange(32.0).reshape(4, 8)  # of a 2x2 grid
    params["in"] = {"kernel": np.zeros((4, 32)), "bias": tokens.reshape(-1)}
    params = {**params, "position_0": np.zeros((4, 8)), "position_1": np.zeros((16, 2))}
    params["out"] = {"kernel": np.array([[1.0], [0.0]]), "bias": np.zeros(1)}
    x = generator.apply({"params": params}, jnp.zeros((1, 4)), Context())[0, :, :, 0]
    np.testing.assert_array_equal(x, [[0, 1, 8, 9], [2, 3, 10, 11], [16, 17, 24, 25], [18, 19, 26, 27]])


def test_the_discriminator_s_noise_is_each_example_s_own_and_starts_at_zero():
    critic = TransGANDiscriminator(width=16, depth=1, patch=1, heads=2)
    x = jax.random.normal(jax.random.key(1), (3, 4, 4, 1))
    keys = jax.random.split(jax.random.key(2), 3)
    variables = critic.init(jax.random.key(0), x, Context())
    plain = critic.apply(variables, x, Context())
    np.testing.assert_array_equal(critic.apply(variables, x, Context(keys=keys)), plain)
    loud = jax.tree.map(lambda p: p + 0.5 if p.ndim == 0 else p, variables)
    noisy = critic.apply(loud, x, Context(keys=keys))
    assert np.abs(noisy - plain).max() > 1e-4
    np.testing.assert_allclose(critic.apply(loud, x[1:], Context(keys=keys[1:])), noisy[1:], atol=1e-5)
    with pytest.raises(UserError, match="outputs=3; with a label"):
        TransGANDiscriminator(outputs=3, width=16, heads=2, patch=1).init(
            jax.random.key(0), x, Context(vector=jnp.ones((3, 4)))
        )
