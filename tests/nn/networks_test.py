"""What every network promises, in one table."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.autoencoder import ConvDecoder, ConvEncoder
from gen_jax.nn.conditioning import Conditioned, Conditioning, Context
from gen_jax.nn.dit import DiT
from gen_jax.nn.mlp import MLP
from gen_jax.nn.unet import UNet

IMAGE = (8, 8, 1)
DIT = {"width": 16, "depth": 1, "heads": 2, "patch": 2}
UNET = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "groups": 4}

# name: (class, arguments, one input's shape, one output's shape)
NETWORKS = {
    "mlp generator": (MLP, {"features": (16,), "shape": IMAGE, "final": "tanh"}, (6,), IMAGE),
    "mlp discriminator": (MLP, {"features": (16,), "shape": IMAGE, "outputs": 1, "norm": "layer"}, IMAGE, (1,)),
    "mlp decoder": (MLP, {"features": (16,), "shape": (5, 3, 3), "channels_per_value": 2}, (6,), (5, 3, 6)),
    "conv encoder": (ConvEncoder, {"widths": (8, 8), "outputs": 6}, (7, 10, 3), (6,)),
    "conv decoder": (ConvDecoder, {"widths": (8, 8), "shape": (7, 10, 3), "channels_per_value": 2}, (6,), (7, 10, 6)),
    "dit": (DiT, DIT, IMAGE, IMAGE),
    "dit, two values": (DiT, DIT | {"channels_per_value": 2, "remat": True}, (4, 6, 3), (4, 6, 6)),
    "unet": (UNet, UNET | {"channels_per_value": 2, "heads": 2}, (4, 6, 3), (4, 6, 6)),
}
table = pytest.mark.parametrize("name", NETWORKS)


def make(name, num_classes=4, **kwargs):
    """The network with its conditioning, its variables, input and condition, and the shape of one output."""
    cls, arguments, shape, out = NETWORKS[name]
    dtype = kwargs.get("dtype", "float32")
    network = Conditioned(cls(**arguments, **kwargs), Conditioning(16, num_classes, dtype=dtype))
    x = normal((3, *shape))
    cond = {"label": jnp.array([0, 2, -1])} if num_classes else {}
    return network, some_variables(network, x, cond), x, cond, out


def some_variables(network, *args):
    """Parameters away from the start, so that nothing is zero. Drawn by NumPy: compiling `init` is slow."""
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(network.init, jax.random.key(0), *args)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(0, 0.3, p.shape), p.dtype), shapes)


def normal(shape):
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


@table
def test_output_and_context(name):
    network, variables, x, cond, out = make(name)
    apply = jax.jit(network.apply)
    y = apply(variables, x, cond)
    chex.assert_shape(y, (3, *out))
    chex.assert_type(y, jnp.float32)
    chex.assert_tree_all_finite(y)
    assert not np.allclose(y, apply(variables, x, {"label": jnp.array([1, 3, 0])}), atol=1e-4)

    # Example 0 does not depend on the others, nor on their labels.
    others = apply(variables, x.at[1:].add(1.0), {"label": jnp.array([0, 1, 1])})
    np.testing.assert_allclose(others[0], y[0], atol=1e-5)
    assert not np.allclose(others[1], y[1], atol=1e-4)


@pytest.mark.parametrize("name", ["mlp discriminator", "conv encoder", "conv decoder", "dit", "unet"])
def test_bfloat16_computes_in_it_and_keeps_float32_outside(name):
    network, variables, x, cond, _ = make(name, dtype="bfloat16")
    y = jax.jit(network.apply)(variables, x, cond)
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    chex.assert_type(y, jnp.float32)
    reference, *_ = make(name)
    expected = jax.jit(reference.apply)(variables, x, cond)
    difference = np.abs(y - expected).max() / np.abs(expected).max()
    assert 0 < difference < 0.1


@table
def test_unconditional(name):
    network, variables, x, cond, out = make(name, num_classes=0)
    y = jax.jit(network.apply)(variables, x, cond)
    chex.assert_shape(y, (3, *out))
    chex.assert_tree_all_finite(y)


@pytest.mark.parametrize("name", ["mlp discriminator", "conv encoder", "dit", "unet"])
def test_spatial_context_matters(name):
    cls, arguments, shape, out = NETWORKS[name]
    network, x = cls(**arguments), jnp.ones((2, *shape))
    spatial = normal((2, *shape[:-1], 2))
    variables = some_variables(network, x, Context(spatial=spatial))
    apply = jax.jit(network.apply)
    y = apply(variables, x, Context(spatial=spatial))
    chex.assert_shape(y, (2, *out))
    assert not np.allclose(y, apply(variables, x, Context(spatial=spatial + 1)), atol=1e-4)


SMALL_UNET = UNET | {"multipliers": (1,), "attention": ()}


@pytest.mark.parametrize(("cls", "arguments"), [(DiT, DIT), (UNet, SMALL_UNET)], ids=["dit", "unet"])
def test_remat_and_dropout(cls, arguments):
    x, context = normal((2, *IMAGE)), Context(vector=jnp.ones((2, 16)))
    plain, remat = cls(**arguments, dropout=0.5), cls(**arguments, dropout=0.5, remat=True)
    variables = some_variables(plain, x, context)
    chex.assert_trees_all_equal_shapes(variables, jax.eval_shape(remat.init, jax.random.key(1), x, context))

    # rbg: XLA's CPU compiler takes a minute for threefry's dropout masks at these tiny widths.
    keys = [jax.random.key(seed, impl="rbg") for seed in (0, 1)]

    def losses_and_gradients(network):
        def loss(v, key):
            return jnp.mean(network.apply(v, x, context, True, rngs={"dropout": key}) ** 2)

        step = jax.jit(jax.value_and_grad(loss))
        return [step(variables, key) for key in keys]

    (loss0, _), (loss1, _) = trained = losses_and_gradients(plain)
    assert loss0 != loss1
    chex.assert_trees_all_close(trained, losses_and_gradients(remat), rtol=1e-3, atol=1e-5)

    evaluate = jax.jit(lambda key: plain.apply(variables, x, context, rngs={"dropout": key}))
    chex.assert_trees_all_equal(evaluate(keys[0]), evaluate(keys[1]))


@pytest.mark.parametrize(
    ("network", "x", "message"),
    [
        (DiT(**DIT | {"patch": 3}), (1, 8, 8, 1), "patch=3 does not divide images of 8x8; patches that do: 1, 2, 4, 8"),
        (DiT(**DIT | {"patch": None}), (1, 17, 19, 1), "no patch leaves at most 256 tokens of 17x19"),
        (DiT(**DIT | {"heads": 3}), (1, 8, 8, 1), "heads=3 must divide the width 16"),
        (DiT(**DIT | {"width": 18}), (1, 8, 8, 1), "must be even"),
        (DiT(**DIT), (1, 64), r"DiT takes images \[b, h, w, c\], got an array of shape \[1, 64\]"),
        (UNet(**UNET), (1, 7, 8, 1), "multiples of 2, and the images are 7x8; sizes that work: 8x8"),
        (UNet(**UNET | {"groups": 3}), (1, 8, 8, 1), "groups=3 must divide"),
        (UNet(**UNET), (1, 64), "UNet takes images"),
        (ConvEncoder(outputs=2), (1, 64), "ConvEncoder takes images"),
        (ConvDecoder(shape=(64,)), (1, 6), "ConvDecoder draws images"),
        (MLP(), (1, 64), "either outputs or shape"),
        (MLP(outputs=1, norm="batch"), (1, 64), "unknown norm 'batch'"),
        (MLP(outputs=1, activation="rellu"), (1, 64), "did you mean 'relu'"),
    ],
)
def test_errors(network, x, message):
    with pytest.raises(UserError, match=message) as error:
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(x), Context())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("network", [MLP(outputs=1), ConvEncoder(outputs=1), DiT(**DIT), UNet(**UNET)])
def test_a_context_that_would_be_ignored_is_refused(network):
    with pytest.raises(UserError, match="reads vector, spatial of its context and cannot use: tokens"):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *IMAGE)), Context(tokens=jnp.zeros((1, 2, 3))))
