"""R3GAN's networks against their published layout and against SciPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, Context, OneHot
from gen_jax.nn.r3gan import GroupedBlock, R3GANDiscriminator, R3GANGenerator

SMALL = {"widths": (8, 4), "groups": (4, 2), "blocks": 2}


def count(network, x, classes):
    variables = jax.eval_shape(Conditioned(network, OneHot(classes)).init, jax.random.key(0), x, labels(x, classes))
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def labels(x, classes):
    return {"label": jnp.zeros(len(x), jnp.int32)} if classes else {}


def block(width, groups):
    """Of expansion 2: 1x1 in, 3x3 in groups, 1x1 out, without biases, and a bias before each of two activations."""
    inner = 2 * width
    return width * inner + inner * (inner // groups) * 9 + inner * width + 2 * inner


# The presets of the authors' program. FFHQ-256 is 23.06M and 23.01M in arXiv:2501.05441; ImageNet-64 104M and 107M.
PRESETS = {
    "cifar10": ((768,) * 4, (96,) * 4, 10, 32, (20_781_952, 21_280_512)),
    "ffhq256": ((768,) * 4 + (384, 192, 96), (96,) * 4 + (48, 24, 12), 0, 256, (23_057_952, 23_009_568)),
    "imagenet64": ((1536,) * 5, (96,) * 5, 1000, 64, (103_570_432, 107_205_120)),
}


@pytest.mark.parametrize("name", PRESETS)
def test_published_sizes_layer_by_layer(name):
    widths, groups, classes, size, published = PRESETS[name]
    trunk = sum(2 * block(width, group) for width, group in zip(widths, groups, strict=True))
    trunk += sum(a * b for a, b in itertools.pairwise(widths) if a != b)
    embedded = 64 if classes else 0
    ends = 16 * widths[0] + (64 + embedded) * widths[0] + classes * embedded + 3 * widths[-1]
    generator = R3GANGenerator((size, size, 3), widths, groups)
    assert count(generator, jnp.zeros((1, 64)), classes) == trunk + ends == published[0]
    features = widths[0] if classes else 1
    ends = 3 * widths[-1] + 16 * widths[0] + widths[0] * features + classes * features
    critic = R3GANDiscriminator(widths=widths, groups=groups)
    assert count(critic, jnp.zeros((1, size, size, 3)), classes) == trunk + ends == published[1]


def test_the_networks_start_as_linear_maps_with_the_published_variances():
    """Blocks are the identity at the start; what is left is the basis, the filters and the 1x1 convolutions."""
    z = jax.random.normal(jax.random.key(1), (6, 64))
    generator = R3GANGenerator((8, 8, 3), **SMALL)
    variables = generator.init(jax.random.key(0), z, Context())
    x = generator.apply(variables, z, Context())
    np.testing.assert_allclose(generator.apply(variables, 3 * z, Context()), 3 * x, rtol=1e-4, atol=1e-5)
    critic = R3GANDiscriminator(**SMALL)
    variables = critic.init(jax.random.key(0), x, Context())
    logit = critic.apply(variables, x, Context())
    np.testing.assert_allclose(critic.apply(variables, 3 * x, Context()), 3 * logit, rtol=1e-4, atol=1e-5)

    many = R3GANGenerator((8, 8, 3), (256, 128), (16, 8)).init(jax.random.key(0), z, Context())["params"]
    gain = np.sqrt(2 / 1.04) * 4**-0.25  # a leaky ReLU of 0.2, and L^(-1/4) of four blocks
    expected = {"conv_0": gain / np.sqrt(256), "conv_1": gain / np.sqrt(9 * 512 // 16), "conv_2": 0}
    for layer, std in expected.items():
        np.testing.assert_allclose(many["block_0_0"][layer]["kernel"].std(), std, rtol=0.02)
    np.testing.assert_allclose(many["basis"].std(), 1, rtol=0.05)
    np.testing.assert_allclose(many["in"]["kernel"].std(), 1 / 8, rtol=0.05)


def test_a_block_is_its_formula():
    """By SciPy's correlation, a group of channels at a time."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 6, 4)).astype(np.float32)
    layer = GroupedBlock(groups=2)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), shapes)
    p = jax.tree.map(np.asarray, variables["params"])
    act = lambda y: np.where(y > 0, y, 0.2 * y)  # noqa: E731
    y = act(x @ p["conv_0"]["kernel"][0, 0] + p["bias_0"])  # [2, 5, 6, 8]
    kernel, middle = p["conv_1"]["kernel"], np.zeros_like(y)  # [3, 3, 4, 8]: two groups of 4
    for out in range(8):
        group = out // 4
        for i in range(4):
            middle[..., out] += ndimage.correlate(y[..., 4 * group + i], kernel[None, :, :, i, out], mode="constant")
    expected = x + act(middle + p["bias_1"]) @ p["conv_2"]["kernel"][0, 0]
    np.testing.assert_allclose(layer.apply(variables, x), expected, rtol=1e-4, atol=1e-4)


def test_labels_choose_a_direction_of_the_features():
    """The logit is linear in the label's vector, and 0 without one."""
    x = jax.random.normal(jax.random.key(1), (3, 8, 8, 1))
    critic = Conditioned(R3GANDiscriminator(**SMALL), OneHot(4))
    variables = critic.init(jax.random.key(0), x, {"label": jnp.zeros(3, jnp.int32)})
    logits = [critic.apply(variables, x, {"label": jnp.full(3, k)}) for k in range(-1, 4)]
    np.testing.assert_array_equal(logits[0], 0)
    mixed = critic.network.apply({"params": variables["params"]["network"]}, x, Context(vector=jnp.full((3, 4), 0.25)))
    np.testing.assert_allclose(mixed, np.mean(logits[1:], axis=0), rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match="outputs=2; with a label it gives one logit"):
        R3GANDiscriminator(outputs=2, **SMALL).init(jax.random.key(0), x, Context(vector=jnp.ones((3, 4))))


def test_bfloat16_starts_after_the_stages_that_stay_in_float32():
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    networks = [R3GANDiscriminator(**SMALL, dtype="bfloat16", float32_stages=n) for n in (0, 1, 2)]
    exact = R3GANDiscriminator(**SMALL)
    shapes = jax.eval_shape(exact.init, jax.random.key(0), x, Context())
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda p: jnp.asarray(rng.normal(0, 0.5, p.shape), jnp.float32), shapes)
    wanted = exact.apply(variables, x, Context())
    none, one, both = (np.abs(n.apply(variables, x, Context()) - wanted).max() for n in networks)
    assert none > 0
    assert one > 0
    assert both == 0
