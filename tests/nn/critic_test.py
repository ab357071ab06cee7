import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, Context, OneHot
from gen_jax.nn.critic import Concatenate, Projection
from gen_jax.nn.dcgan import DCGANDiscriminator
from gen_jax.nn.mlp import MLP


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


class Echo(MLP):
    """Shows what a network is given."""

    def __call__(self, x, context, train=False):
        assert context.vector is None
        return x


@pytest.mark.parametrize("shape", [(5,), (4, 6, 2)])
def test_concatenate_sets_the_vector_beside_every_place(shape):
    x, vector = normal(3, *shape), normal(3, 7, seed=1)
    out = Concatenate(Echo()).apply({}, x, Context(vector=vector))
    assert out.shape == (3, *shape[:-1], shape[-1] + 7)
    np.testing.assert_array_equal(out[..., : shape[-1]], x)
    for place in np.ndindex(*shape[:-1]):
        np.testing.assert_array_equal(out[(slice(None), *place)][:, shape[-1] :], vector)
    np.testing.assert_array_equal(Concatenate(Echo()).apply({}, x, Context()), x)


@pytest.mark.parametrize("bias", [True, False])
def test_projection_is_its_formula(bias):
    """arXiv:1802.05637, equation 3, with a row of V for each class."""
    network = MLP(features=(6,), outputs=5)
    critic = Conditioned(Projection(network, bias=bias), OneHot(4))
    x, label = normal(8, 3), jnp.array([0, 1, 2, 3, 3, 2, 1, -1])
    variables = critic.init(jax.random.key(0), x, {"label": label})
    params = variables["params"]["network"]
    features = np.asarray(network.apply({"params": params["network"]}, x, Context()))
    expected = features @ np.asarray(params["out"]["kernel"]) + (params["out"]["bias"] if bias else 0)
    rows = np.concatenate([params["label"]["kernel"], np.zeros((1, 5))])[np.asarray(label)]  # -1: no label, no term
    expected = expected + np.sum(rows * features, axis=1, keepdims=True)
    out = critic.apply(variables, x, {"label": label})
    assert out.shape == (8, 1)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


def test_projection_says_what_it_lacks():
    x = normal(2, 8, 8, 1)
    with pytest.raises(UserError, match=r"there is none: set conditioning\.num_classes, or .* outputs=1") as error:
        Projection(DCGANDiscriminator(None, (8,))).init(jax.random.key(0), x, Context())
    assert "\n" not in str(error.value)
    context = Context(vector=normal(2, 3))
    with pytest.raises(UserError, match=r"needs features \[b, d\], and MLP gives \[2, 8, 8, 1\]"):
        Projection(MLP((4,), shape=(8, 8, 1))).init(jax.random.key(0), x, context)
    with pytest.raises(UserError, match="unknown init 'xavier'"):
        Projection(MLP((4,), outputs=3), kernel_init="xavier").init(jax.random.key(0), x, context)


def test_one_hot_vectors():
    label = jnp.array([2, 0, -1, 3])
    vector = OneHot(3).apply({}, {"label": label}).vector
    np.testing.assert_array_equal(vector[:3], [[0, 0, 1], [1, 0, 0], [0, 0, 0]])
    assert np.isnan(vector[3]).all(), "a label beyond the classes is not silently none"
    assert OneHot().apply({}, {}).vector is None
    assert (OneHot(3).keys, OneHot().keys) == (("label",), ())
    with pytest.raises(UserError, match="reads a label"):
        OneHot(3).apply({}, {})
