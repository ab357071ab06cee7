"""Training through the networks: gradients, dropout, and recomputing."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nn.conditioning import Context
from gen_jax.nn.dit import DiT
from gen_jax.nn.edm2 import EDM2UNet
from gen_jax.nn.ncsnpp import NCSNpp
from gen_jax.nn.unet import UNet
from gen_jax.nn.uvit import UViT

LEVELS = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention": ()}
ADM = {"scale_shift": True, "resblock_updown": True}
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


@pytest.mark.parametrize(
    ("cls", "arguments", "context"),
    [
        (DiT, DIT | {"depth": 1}, TOKENS),
        pytest.param(UNet, LEVELS | {"groups": 4} | ADM, VECTOR, marks=pytest.mark.slow),
        pytest.param(NCSNpp, LEVELS | {"encoder": "residual", "decoder": "skip"}, VECTOR, marks=pytest.mark.slow),
        pytest.param(EDM2UNet, LEVELS | {"head_width": 8}, VECTOR, marks=pytest.mark.slow),
        (UViT, BLOCKS | {"depth": 2}, TOKENS),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_gradients_dropout_and_remat(cls, arguments, context):
    plain, remat = cls(**arguments, dropout=0.5), cls(**arguments, dropout=0.5, remat=True)
    variables = some_variables(plain, X, context)
    chex.assert_trees_all_equal_shapes(variables, jax.eval_shape(remat.init, jax.random.key(1), X, context))

    key = jax.random.key(0)
    loss, gradient = jax.jit(jax.value_and_grad(loss_of(remat, context)))(variables, key)
    for path, g in jax.tree.leaves_with_path(gradient):
        assert jnp.isfinite(g).all(), path
        assert jnp.abs(g).max() > 1e-7, path

    # The gradient with remat is the slope of the loss without it.
    plain_loss = jax.jit(loss_of(plain, context))
    np.testing.assert_allclose(plain_loss(variables, key), loss, rtol=1e-4)
    length = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))
    step = 3e-3 * jnp.abs(loss) / length

    def moved(step):
        return plain_loss(jax.tree.map(lambda p, g: p + step * g / length, variables, gradient), key)

    np.testing.assert_allclose((moved(step) - moved(-step)) / (2 * step), length, rtol=0.02)

    assert plain_loss(variables, jax.random.key(1)) != loss
    evaluate = jax.jit(lambda key: plain.apply(variables, X, context, rngs={"dropout": key}))
    chex.assert_trees_all_equal(evaluate(key), evaluate(jax.random.key(1)))
