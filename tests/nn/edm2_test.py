import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, Context
from gen_jax.nn.edm2 import (
    EDM2Conditioning,
    EDM2UNet,
    MPConv,
    Uncertainty,
    mp_cat,
    mp_fourier,
    mp_silu,
    mp_sum,
    normalized,
    pixel_norm,
)

RNG = np.random.default_rng(0)
SMALL = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "head_width": 8}


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def magnitude(x):
    return float(jnp.sqrt(jnp.mean(jnp.square(x))))


def test_every_operation_keeps_the_magnitude():
    a, b = normal(20_000, 8), normal(20_000, 24)
    assert abs(magnitude(mp_silu(a)) - 1) < 0.01
    for t in (0.0, 0.3, 1.0):
        assert abs(magnitude(mp_sum(a, b[:, :8], t)) - 1) < 0.01
    for t in (0.3, 0.5):
        joined = mp_cat(a, b, t)
        assert abs(magnitude(joined) - 1) < 0.01
        share = np.sum(np.square(joined[:, 8:])) / np.sum(np.square(joined))
        assert abs(share - t**2 / ((1 - t) ** 2 + t**2)) < 0.01
    np.testing.assert_allclose(np.square(pixel_norm(3 * a)).mean(1), 1, rtol=2e-3)
    chex.assert_tree_all_finite(jax.grad(lambda x: pixel_norm(x).sum())(jnp.zeros((2, 3))))


@pytest.mark.parametrize("bandwidth", [0.5, 1.0])
def test_fourier_features_are_of_magnitude_one_and_tell_noise_levels_apart(bandwidth):
    x = jnp.linspace(-1.5, 1.1, 200)
    features = mp_fourier(x, 256, bandwidth)
    np.testing.assert_allclose(np.square(features).mean(1), 1, atol=0.05)
    # E[features(x) . features(y)] / d is exp(-(2 pi bandwidth (x - y))^2 / 2), the kernel of normal frequencies.
    difference = 2 * np.pi * bandwidth * (x[:, None] - x[None])
    np.testing.assert_allclose(features @ features.T / 256, np.exp(-(difference**2) / 2), atol=0.1)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), ()], ids=str)
def test_layers_keep_the_magnitude_whatever_the_weight_s_length(kernel):
    x = normal(4, 16, 16, 12) if kernel else normal(1000, 12)
    layer = MPConv(64, kernel)
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    y = layer.apply(variables, x)
    inner = y[:, 1:-1, 1:-1] if kernel else y  # at the border the zeros beyond it are seen
    assert abs(magnitude(inner) - 1) < 0.03
    longer = jax.tree.map(lambda w: 5 * w, variables)
    np.testing.assert_allclose(layer.apply(longer, x), y, atol=2e-3)
    np.testing.assert_allclose(layer.apply(variables, x, 0.5), 0.5 * y, atol=1e-5)
    weight = normalized(5 * variables["params"]["weight"])
    np.testing.assert_allclose(np.square(weight).mean(tuple(range(weight.ndim - 1))), 1, rtol=1e-3)


@pytest.fixture(scope="module")
def network():
    model = Conditioned(EDM2UNet(**SMALL), EDM2Conditioning(16, num_classes=3))
    x, cond = normal(4, 8, 8, 2), {"noise": jnp.linspace(-1, 1, 4), "label": jnp.array([0, 1, 2, -1])}
    return model, jax.jit(model.init)(jax.random.key(0), x, cond), x, cond


def test_output_is_zero_at_the_start_and_of_magnitude_one_at_gain_one(network):
    model, variables, x, cond = network
    apply = jax.jit(model.apply)
    np.testing.assert_array_equal(apply(variables, x, cond), jnp.zeros_like(x))
    gained = jax.tree.map(lambda p: jnp.ones_like(p) if p.shape == () else p, variables)
    assert 0.7 < magnitude(apply(gained, x, cond)) < 1.4


def test_the_parameters_are_weights_and_gains_and_weights_have_no_length(network):
    model, variables, x, cond = network
    names = {path[-1].key for path, _ in jax.tree.leaves_with_path(variables)}
    assert names == {"weight", "gain"}
    shapes = {p.shape == () for path, p in jax.tree.leaves_with_path(variables) if path[-1].key == "gain"}
    assert shapes == {True}

    def loss(scale):
        scaled = jax.tree.map(lambda p: p + 0.7 if p.shape == () else p * scale, variables)
        return jnp.mean(model.apply(scaled, x, cond) ** 2)

    np.testing.assert_allclose(jax.jit(loss)(3.0), jax.jit(loss)(1.0), rtol=1e-2)


def test_conditioning():
    conditioning = EDM2Conditioning(64, num_classes=3)
    assert conditioning.keys == ("label",)
    assert EDM2Conditioning(64).keys == ()
    cond = {"noise": jnp.linspace(-1, 1, 64), "label": jnp.arange(64) % 4 - 1}
    variables = jax.jit(conditioning.init)(jax.random.key(0), cond)
    vector = conditioning.apply(variables, cond).vector
    assert abs(magnitude(vector[cond["label"] >= 0]) - 1) < 0.1
    # The null label adds nothing: what is left is the noise's half, and the difference to it is the label's row.
    nothing = conditioning.apply(variables, cond | {"label": jnp.full(64, -1)}).vector
    np.testing.assert_array_equal(nothing[cond["label"] == -1], vector[cond["label"] == -1])
    rows = normalized(variables["params"]["weight"])
    np.testing.assert_allclose((vector - nothing)[1], rows[0] / np.sqrt(2), atol=1e-5)
    assert np.isnan(conditioning.apply(variables, cond | {"label": jnp.full(64, 3)}).vector).all()
    spatial = conditioning.apply(variables, cond | {"image": jnp.ones((64, 2, 2, 3)), "mask": jnp.ones((64, 2, 2, 1))})
    chex.assert_shape(spatial.spatial, (64, 2, 2, 4))
    with pytest.raises(UserError, match="reads a label and was given: noise"):
        conditioning.init(jax.random.key(0), {"noise": jnp.zeros(2)})
    with pytest.raises(UserError, match="reads a noise and was given: nothing"):
        EDM2Conditioning(64).init(jax.random.key(0), {})
    assert Context().vector is None


def test_uncertainty_learns_the_logarithm_of_the_loss():
    noise = jnp.linspace(-1.5, 1.1, 64)
    expected = jnp.exp(1 - 2 * noise**2)  # a loss that depends on the noise level
    head = Uncertainty(32)
    variables = head.init(jax.random.key(0), noise)
    np.testing.assert_array_equal(head.apply(variables, noise), jnp.zeros(64))

    @jax.jit
    def descend(variables):
        def loss(v):
            u = head.apply(v, noise)
            return jnp.mean(expected / jnp.exp(u) + u)

        def step(v, _):
            return jax.tree.map(lambda p, g: p - g, v, jax.grad(loss)(v)), None

        return jax.lax.scan(step, variables, length=20_000)[0]

    np.testing.assert_allclose(head.apply(descend(variables), noise), jnp.log(expected), atol=0.1)
