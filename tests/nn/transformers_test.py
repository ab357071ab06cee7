"""Transformers whose blocks are scanned, and those that read tokens."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nn.conditioning import Context
from gen_jax.nn.dit import DiT
from gen_jax.nn.layers import sincos_2d
from gen_jax.nn.uvit import UViT

BLOCKS = {"width": 16, "depth": 4, "heads": 2, "patch": 2}
DIT = BLOCKS | {"qk_norm": True, "mlp": "swiglu", "tokens": "cross"}


def normal(shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def some_variables(network, *args):
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(network.init, jax.random.key(0), *args)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(0, 0.3, p.shape), p.dtype), shapes)


X = normal((2, 4, 4, 1))
VECTOR = Context(vector=normal((2, 16), 3))
TOKENS = VECTOR.replace(tokens=normal((2, 3, 6), 4), token_mask=jnp.array([[1, 1, 0], [1, 0, 0]]))


def loss_of(network, context):
    def loss(variables, key):
        y = network.apply(variables, X, context, True, rngs={"dropout": key})
        return jnp.mean(y**2) + jnp.mean(y * normal(y.shape, 5))

    return loss


def stack(blocks):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)


def scanned_dit(params):
    rest = {k: v for k, v in params.items() if not k.startswith("block_")}
    return rest | {"blocks": stack([params[f"block_{i}"] for i in range(2)])}


def scanned_uvit(params):
    rest = {k: v for k, v in params.items() if not k.startswith(("down_", "up_"))}
    return rest | {way: stack([params[f"{way}_{i}"] for i in range(2)]) for way in ("down", "up")}


@pytest.mark.parametrize(
    ("plain", "restack", "remat"),
    [
        (DiT(**DIT | {"depth": 2, "rope": True}), scanned_dit, True),
        (UViT(**BLOCKS), scanned_uvit, False),
    ],
    ids=lambda v: type(v).__name__,
)
def test_scanned_blocks_are_the_same_function(plain, restack, remat):
    scanned = plain.clone(scan=True, remat=remat)
    variables = some_variables(plain, X, TOKENS)
    stacked = {"params": restack(variables["params"])}
    chex.assert_trees_all_equal_shapes(stacked, jax.eval_shape(scanned.init, jax.random.key(0), X, TOKENS))

    key = jax.random.key(0)
    loss, gradient = jax.jit(jax.value_and_grad(loss_of(plain, TOKENS)))(variables, key)
    expected = (loss, {"params": restack(gradient["params"])})
    out = jax.jit(jax.value_and_grad(loss_of(scanned, TOKENS)))(stacked, key)
    chex.assert_trees_all_close(out, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("cls", [DiT, UViT])
def test_scanned_blocks_start_and_drop_differently(cls):
    network = cls(**BLOCKS, scan=True, dropout=0.5)
    params = jax.jit(network.init)(jax.random.key(0), X, VECTOR)["params"]
    kernel = params["blocks" if cls is DiT else "down"]["mlp_in"]["kernel"]
    assert kernel.shape[0] in (2, 4)
    assert len(np.unique(np.asarray(kernel)[:, 0, 0])) == kernel.shape[0]
    variables = some_variables(network, X, VECTOR)
    apply = jax.jit(lambda key: network.apply(variables, X, VECTOR, True, rngs={"dropout": key}))
    assert not np.allclose(apply(jax.random.key(0)), apply(jax.random.key(1)), atol=1e-3)


@pytest.mark.parametrize(
    "network",
    [DiT(**BLOCKS, tokens="cross"), DiT(**BLOCKS, tokens="in_context", rope=True), UViT(**BLOCKS)],
    ids=["cross", "in context", "uvit"],
)
def test_tokens_are_read_and_masked_ones_are_not(network):
    variables = some_variables(network, X, TOKENS)
    apply = jax.jit(network.apply)
    y = apply(variables, X, TOKENS)
    chex.assert_shape(y, X.shape)
    read = TOKENS.token_mask[:, :, None] == 1
    hidden = TOKENS.replace(tokens=jnp.where(read, TOKENS.tokens, jnp.nan))
    np.testing.assert_array_equal(apply(variables, X, hidden), y)
    seen = apply(variables, X, TOKENS.replace(tokens=jnp.where(read, TOKENS.tokens + 1, TOKENS.tokens)))
    assert not np.allclose(seen, y, atol=1e-3)
    if isinstance(network, DiT):  # with tokens that nobody reads or without them, it is the same
        longer = jax.tree.map(
            lambda t: jnp.pad(t, [(0, 0), (0, 2)] + [(0, 0)] * (t.ndim - 2)), TOKENS.replace(vector=None)
        )
        np.testing.assert_allclose(apply(variables, X, longer.replace(vector=TOKENS.vector)), y, atol=1e-4)


def test_learned_positions_start_as_the_fixed_ones():
    fixed, learned = DiT(**BLOCKS), DiT(**BLOCKS, learn_position=True)
    variables = some_variables(fixed, X, VECTOR)
    position = jnp.asarray(sincos_2d(2, 2, 16))
    started = jax.jit(learned.init)(jax.random.key(0), X, VECTOR)["params"]["position"]
    np.testing.assert_allclose(started, position, atol=1e-6)
    y = fixed.apply(variables, X, VECTOR)
    same = {"params": variables["params"] | {"position": position}}
    np.testing.assert_allclose(learned.apply(same, X, VECTOR), y, atol=1e-5)
    moved = {"params": variables["params"] | {"position": position[::-1]}}
    assert not np.allclose(learned.apply(moved, X, VECTOR), y, atol=1e-3)
