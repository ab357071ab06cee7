"""DCGAN, the residual networks and BigGAN: the published ones counted, and what each promises of its own."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.biggan import BigGANDeepDiscriminator, BigGANDeepGenerator, BigGANGenerator
from gen_jax.nn.conditioning import Conditioned, Context, OneHot
from gen_jax.nn.critic import Concatenate, Projection
from gen_jax.nn.dcgan import DCGANDiscriminator, DCGANGenerator
from gen_jax.nn.non_local import NonLocal
from gen_jax.nn.resnet_gan import ResNetDiscriminator, ResNetGenerator

IMAGENET, CIFAR = (128, 128, 3), (32, 32, 3)
WIDE = ResNetDiscriminator(None, (96, 192, 384, 768, 1536), 1, wide=True, attention=(64,), kernel_init="orthogonal")
SAGAN = ResNetDiscriminator(None, (64, 128, 256, 512, 1024), 1, wide=True, attention=(32,))


def count(network, shape, num_classes=0):
    x, cond = jnp.zeros((1, *shape)), {"label": jnp.zeros(1, jnp.int32)} if num_classes else {}
    variables = jax.eval_shape(Conditioned(network, OneHot(num_classes)).init, jax.random.key(0), x, cond)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def normal(*shape):
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


def test_biggan_has_the_parameters_that_the_authors_program_prints():
    assert count(BigGANGenerator(IMAGENET), (120,), 1000) == 70_433_988
    assert count(Projection(WIDE), IMAGENET, 1000) == 87_982_370


def test_biggan_deep_has_the_published_parameters():
    """arXiv:1809.11096, appendix B: 50.4 and 34.6 million."""
    assert round(count(BigGANDeepGenerator(IMAGENET), (128,), 1000) / 1e5) == 504
    assert round(count(Projection(BigGANDeepDiscriminator(None)), IMAGENET, 1000) / 1e5) == 346


def test_sagan_has_the_published_parameters():
    """arXiv:1809.11096, table 1, row 1: 81.5 million in both players, with norms per class."""
    generator = ResNetGenerator(IMAGENET, (64, 128, 256, 512, 1024, 1024), (32,))
    both = count(generator, (128,), 1000) + count(Projection(SAGAN), IMAGENET, 1000)
    assert round(both / 1e5) == 815


def conv(c_in, c_out, size=3):
    return size**2 * c_in * c_out + c_out


@pytest.mark.parametrize(("width", "bias"), [(256, 0), (128, 1)], ids=["SNGAN", "WGAN-GP"])
def test_residual_networks_for_cifar_counted_by_hand(width, bias):
    """arXiv:1802.05957, tables 4a and 4b; arXiv:1704.00028, appendix C. A norm has two numbers per channel."""
    block = 2 * conv(width, width) + conv(width, width, 1) + 2 * 2 * width
    generator = (128 + 1) * 16 * width + 3 * block + 2 * width + conv(width, 3)
    assert count(ResNetGenerator(CIFAR, (width,) * 4), (128,)) == generator
    d = 128
    critic = conv(3, d) + conv(d, d) + conv(3, d, 1) + 3 * 2 * conv(d, d) + conv(d, d, 1) + d + bias
    assert count(ResNetDiscriminator(bias=bool(bias)), CIFAR) == critic


def test_dcgan_counted_by_hand():
    """arXiv:1511.06434, figure 1: 100 -> 4x4x1024 -> 8x8x512 -> 16x16x256 -> 32x32x128 -> 64x64x3, kernels of 5x5."""
    dense, widths = 4 * 4 * 1024, (1024, 512, 256, 128)
    kernels = 100 * dense + sum(25 * a * b for a, b in zip(widths, (*widths[1:], 3), strict=True))
    assert count(DCGANGenerator((64, 64, 3)), (100,)) == kernels + 2 * (dense + 512 + 256 + 128)
    kernels = dense + sum(25 * a * b for a, b in zip(widths, (*widths[1:], 3), strict=True))
    assert count(DCGANDiscriminator(), (64, 64, 3)) == kernels + 2 * (1024 + 512 + 256)


@pytest.mark.parametrize("size", [8, 28, 32, 64])
@pytest.mark.parametrize("kernel", [4, 5])
def test_dcgan_draws_and_judges_every_size(size, kernel):
    def shapes(network, x):
        _, variables = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), x, Context()))
        return variables["params"]

    generator = DCGANGenerator((size, size, 3), (4, 6), kernel)
    x, _ = jax.eval_shape(lambda: generator.init_with_output(jax.random.key(0), jnp.zeros((2, 5)), Context()))
    assert x.shape == (2, size, size, 3)
    start = -(-size // 4)
    assert shapes(generator, jnp.zeros((2, 5)))["in"]["kernel"].shape == (5, start * start * 6)
    params = shapes(DCGANDiscriminator(1, (4, 6), kernel), jnp.zeros((2, size, size, 3)))
    assert params["out"]["kernel"].shape == (start * start * 6, 1)


def test_dcgan_starts_as_published():
    variables = DCGANDiscriminator().init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), Context())
    params = variables["params"]
    np.testing.assert_allclose(np.std(params["conv_3"]["kernel"]), 0.02, rtol=0.01)
    np.testing.assert_allclose(np.std(params["norm_3"]["scale"]), 0.02, rtol=0.1)
    np.testing.assert_allclose(np.mean(params["norm_3"]["scale"]), 1, atol=0.01)
    assert "norm_0" not in params
    assert not any("bias" in layer for name, layer in params.items() if "norm" not in name)


def test_uniform_latents_are_uniform():
    """A generator whose dense layer passes z on shows the law: mean 0 and variance 1/3, cut off at +-1."""
    z = normal(4000, 1)
    generator = DCGANGenerator((2, 2, 1), (1,), 2, norm="none", uniform=True)
    variables = generator.init(jax.random.key(0), z, Context())
    variables["params"]["in"]["kernel"] = jnp.array([[1.0]])
    variables["params"]["in"]["bias"] = jnp.array([1.0])  # past the ReLU
    variables["params"]["conv_0"]["kernel"] = jnp.full((2, 2, 1, 1), 0.25)
    u = np.asarray(jnp.arctanh(generator.apply(variables, z, Context()))[:, 0, 0, 0]) * 4 - 1
    assert -1 <= u.min() < u.max() <= 1
    np.testing.assert_allclose([u.mean(), u.var()], [0, 1 / 3], atol=0.02)
    np.testing.assert_allclose(np.quantile(u, [0.25, 0.75]), [-0.5, 0.5], atol=0.04)


def test_a_layer_norm_keeps_examples_apart_and_batch_norm_does_not():
    x = normal(4, 8, 8, 1)
    for norm, apart in (("layer", True), ("none", True), ("batch", False)):
        network = DCGANDiscriminator(1, (8, 8), norm=norm)
        variables = network.init(jax.random.key(0), x, Context())
        first = [
            network.apply(variables, batch, Context(), True, mutable=["batch_stats"])[0][0]
            for batch in (x, x.at[1:].add(1.0))
        ]
        assert np.allclose(*first, atol=1e-6) == apart


def test_non_local_starts_as_the_identity_and_is_its_formula():
    x = normal(2, 4, 6, 16)
    layer = NonLocal()
    variables = layer.init(jax.random.key(0), x)
    np.testing.assert_array_equal(layer.apply(variables, x), x)
    assert count_of(variables) == 16 * 2 * 2 + 16 * 8 * 2 + 1  # queries, keys; values, output; gamma
    variables["params"]["gamma"] = jnp.float32(0.5)
    kernels = {name: np.asarray(variables["params"][name]["kernel"])[0, 0] for name in ("query", "key", "value", "out")}
    a = np.asarray(x)

    def pooled(y):  # the largest of each 2x2 places
        return y.reshape(2, 2, 2, 3, 2, -1).max((2, 4)).reshape(2, 6, -1)

    query = (a @ kernels["query"]).reshape(2, 24, -1)
    key, value = pooled(a @ kernels["key"]), pooled(a @ kernels["value"])
    scores = np.exp(query @ key.transpose(0, 2, 1))
    shares = scores / scores.sum(-1, keepdims=True)
    expected = a + 0.5 * ((shares @ value) @ kernels["out"]).reshape(a.shape)
    np.testing.assert_allclose(layer.apply(variables, x), expected, rtol=1e-3, atol=1e-4)


def count_of(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def test_the_latents_of_biggan_enter_by_their_blocks():
    """z has a part for the dense layer and one for each block; the label reaches all blocks but no more."""
    generator = BigGANGenerator((8, 8, 1), 8, (1, 1, 1), (), shared=3)
    x, context = normal(2, 6), Context(vector=jnp.eye(4)[:2])
    params = generator.init(jax.random.key(0), x, context)["params"]
    assert params["in"]["kernel"].shape[0] == 2
    assert params["shared"]["table"].shape == (4, 3)
    assert {params[f"block_{i}"]["norm_0"]["gain"]["kernel"].shape[0] for i in (0, 1)} == {3 + 2}
    whole = BigGANGenerator((8, 8, 1), 8, (1, 1, 1), (), shared=None, hierarchical=False)
    params = whole.init(jax.random.key(0), x, context)["params"]
    assert params["in"]["kernel"].shape[0] == 6
    assert params["block_0"]["norm_0"]["gain"]["kernel"].shape[0] == 4


@pytest.mark.parametrize("network", [WIDE, SAGAN, BigGANDeepDiscriminator(None)], ids=["wide", "sagan", "deep"])
def test_features_come_out_pooled(network):
    shape = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), jnp.zeros((2, *IMAGENET)), Context())[0])
    chex.assert_shape(shape, (2, network.widths[-1] if isinstance(network, ResNetDiscriminator) else 2048))


def test_kernels_start_at_the_published_sizes():
    """3x3 convolutions in a block at sqrt(2) times Glorot's standard deviation, the others at Glorot's."""
    params = ResNetDiscriminator().init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), Context())["params"]["block_1"]
    np.testing.assert_allclose(np.std(params["conv_0"]["kernel"]), math.sqrt(2 * 2 / (2 * 9 * 128)), rtol=0.02)
    np.testing.assert_allclose(np.std(params["skip"]["kernel"]), math.sqrt(2 / (2 * 128)), rtol=0.02)
    kernel = np.asarray(
        BigGANDeepDiscriminator(1, 8, (1, 1), 1, ()).init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), Context())[
            "params"
        ]["in"]["kernel"]
    ).reshape(-1, 8)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(8), atol=1e-5)


@pytest.mark.parametrize(
    ("network", "x", "message"),
    [
        (DCGANGenerator((64,)), (1, 5), r"draws images \(h, w, c\), and the data's shape is \(64,\)"),
        (DCGANGenerator((8, 8, 1), (8,), norm="layer"), (1, 5), "unknown DCGANGenerator norm 'layer'"),
        (DCGANDiscriminator(1, (8,), norm="group"), (1, 8, 8, 1), "norm 'group': Known: batch, layer, none"),
        (DCGANDiscriminator(1, (8,)), (1, 64), "DCGANDiscriminator takes images"),
        (ResNetGenerator((28, 28, 1)), (1, 5), "multiples of 8, and the images are 28x28; sizes that work: 32x32"),
        (ResNetGenerator((8, 8, 1), (8, 8), (4,)), (1, 5), r"attention=\(4,\): its blocks give sizes 8"),
        (ResNetGenerator((8, 8, 1), (8, 8), kernel_init="he"), (1, 5), "unknown init 'he'"),
        (ResNetDiscriminator(), (1, 6, 8, 1), "multiples of 4, and the images are 6x8; sizes that work: 8x8"),
        (ResNetDiscriminator(pool="max"), (1, 8, 8, 1), "unknown ResNetDiscriminator pool 'max'"),
        (BigGANGenerator((8, 8, 1), 8, (1, 1), ()), (1, 5), "latents into 2 parts, and has latent=5: take a multiple"),
        (BigGANDeepGenerator((12, 12, 1), 8, (1, 1, 1, 1), ()), (1, 4), "sizes that work: 16x16"),
        (NonLocal(), (1, 4, 4, 4), "at least 8 channels and 2x2 pixels, and has 4 and 4x4"),
    ],
)
def test_errors(network, x, message):
    with pytest.raises(UserError, match=message) as error:
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(x), *([] if network == NonLocal() else [Context()]))
    assert "\n" not in str(error.value)


def test_a_label_that_nothing_reads_is_refused():
    context, x = Context(vector=jnp.ones((1, 3))), jnp.zeros((1, 8, 8, 1))
    with pytest.raises(UserError, match="DCGANGenerator reads nothing of its context and cannot use: vector"):
        jax.eval_shape(DCGANGenerator((8, 8, 1), (8,)).init, jax.random.key(0), jnp.zeros((1, 4)), context)
    with pytest.raises(UserError, match="ResNetDiscriminator reads spatial of its context and cannot use: vector"):
        jax.eval_shape(ResNetDiscriminator(1, (8,)).init, jax.random.key(0), x, context)
    jax.eval_shape(Concatenate(ResNetDiscriminator(1, (8,))).init, jax.random.key(0), x, context)
