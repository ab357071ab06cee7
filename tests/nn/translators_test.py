"""The networks of image-to-image translation: the published sizes, what they see, and what is random in them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nn.conditioning import Context
from gen_jax.nn.patch import InstanceNorm, PatchDiscriminator
from gen_jax.nn.translators import ResNetTranslator, UNetTranslator, noise_dropout, transposed
from gen_jax.training.state import count_params

RGB = (256, 256, 3)


@pytest.mark.parametrize(
    ("network", "spatial", "published"),
    [
        # Of the authors' programs; in millions, 11.378, 7.837, 54.414, 2.765 and, with the source beside, 2.769.
        (ResNetTranslator(shape=RGB), None, 11_378_179),
        (ResNetTranslator(shape=RGB, blocks=6), None, 7_837_699),
        (UNetTranslator(shape=RGB), None, 54_413_955),
        (PatchDiscriminator(), None, 2_764_737),
        (PatchDiscriminator(norm="instance_affine"), RGB, 2_768_705),
    ],
)
def test_published_sizes(network, spatial, published):
    context = Context(spatial=None if spatial is None else jnp.zeros((1, *spatial)))
    out, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), jnp.zeros((1, *RGB)), context)
    assert count_params(variables["params"]) == published
    assert out.shape[1:] == ((30, 30, 1) if isinstance(network, PatchDiscriminator) else RGB)


@pytest.mark.parametrize(("layers", "field"), [(0, 1), (1, 16), (2, 34), (3, 70)])
def test_a_patch_has_the_published_size(layers, field):
    """The pixels that the gradient of the middle patch's logit reaches. Without norms, which see the whole image."""
    network, size = PatchDiscriminator(layers=layers, width=2, norm="none"), 2 * field + 2 ** (layers + 2)
    size -= size % 2**layers
    x = jax.random.normal(jax.random.key(0), (1, size, size, 1))
    variables = jax.jit(network.init)(jax.random.key(1), x, Context())
    middle = jax.eval_shape(network.apply, variables, x, Context()).shape[1] // 2
    grad = jax.jit(jax.grad(lambda x: network.apply(variables, x, Context())[0, middle, middle, 0]))(x)
    rows = np.flatnonzero(np.any(np.asarray(grad)[0, :, :, 0] != 0, axis=1))
    assert rows[-1] - rows[0] + 1 == field


def test_instance_norm_leaves_neither_brightness_nor_contrast():
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    norm = InstanceNorm()
    y = norm.apply({}, x)
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(norm.apply({}, 3 * x + 7), y, atol=1e-4)
    scaled = InstanceNorm(affine=True).apply({"params": {"scale": jnp.full(3, 2.0), "bias": jnp.full(3, 1.0)}}, x)
    np.testing.assert_allclose(scaled, 2 * y + 1, atol=1e-6)


class Up(nn.Module):
    """`transposed` by itself."""

    size: int
    pad: tuple[int, int]

    @nn.compact
    def __call__(self, x):
        return transposed(x, 1, self.size, self.pad, False, "float32", "up")


@pytest.mark.parametrize(
    ("size", "pad", "taps", "shift"),
    [(3, (1, 2), (0.5, 1, 0.5), 0.0), (4, (2, 2), (0.25, 0.75, 0.75, 0.25), -0.25)],
)
def test_a_transposed_convolution_doubles_in_place(size, pad, taps, shift):
    """Linear weights in the kernel: a ramp stays one, twice as dense, where no border is. Output pixel 2i lies on input
    pixel i where the kernel is odd, and a quarter of one before it where it is even."""
    kernel = np.multiply.outer(taps, taps)[..., None, None].astype(np.float32)
    ramp = jnp.arange(6.0).reshape(1, 6, 1, 1) * jnp.ones((1, 6, 6, 1))
    y = Up(size, pad).apply({"params": {"up": {"kernel": jnp.asarray(kernel)}}}, ramp)
    assert y.shape == (1, 12, 12, 1)
    np.testing.assert_allclose(y[0, 2:-2, 5, 0], np.arange(12)[2:-2] / 2 + shift, atol=1e-5)


def test_dropout_noise_is_each_examples_own():
    x, keys = jnp.ones((4, 10, 10, 2)), jax.random.split(jax.random.key(0), 4)
    y = noise_dropout(keys, x, 0.25)
    np.testing.assert_array_equal(np.unique(y), np.float32([0, 1 / 0.75]))
    assert abs(float((y == 0).mean()) - 0.25) < 0.05
    np.testing.assert_array_equal(noise_dropout(keys[2:], x[2:], 0.25), y[2:])
    assert not np.array_equal(y[0], y[1])


def test_the_unet_draws_noise_only_where_it_is_given_keys():
    network = UNetTranslator(shape=(8, 8, 1), width=2, depth=3, dropped=1)
    x, keys = jax.random.normal(jax.random.key(0), (2, 8, 8, 1)), jax.random.split(jax.random.key(1), 2)
    variables = jax.jit(network.init)(jax.random.key(1), x, Context())
    apply = jax.jit(network.apply, static_argnames="train")
    still = apply(variables, x, Context())
    np.testing.assert_array_equal(still, apply(variables, x, Context(), train=True))
    noisy = apply(variables, x, Context(keys=keys))
    assert np.abs(noisy - still).max() > 1e-6
    np.testing.assert_allclose(noisy, apply(variables, x, Context(keys=keys), train=True), atol=1e-7)
    np.testing.assert_allclose(noisy[1], apply(variables, x[1:], Context(keys=keys[1:]))[0], atol=1e-6)
