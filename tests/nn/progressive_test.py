import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.growth import Growth
from gen_jax.nn.layers import upsample
from gen_jax.nn.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from gen_jax.nn.resample import fir_downsample
from gen_jax.nn.stylegan import StyleGANGenerator
from gen_jax.training.state import count_params

SHAPE, STAGES = (16, 16, 2), 2
NETWORKS = {
    "generator": (ProgressiveGenerator(shape=SHAPE, channel_max=6), (3, 5)),
    "discriminator": (ProgressiveDiscriminator(channel_max=6), (3, *SHAPE)),
    "discriminator, blurred": (ProgressiveDiscriminator(channel_max=6, blur=(1, 2, 1)), (3, *SHAPE)),
    "stylegan": (StyleGANGenerator(shape=SHAPE, width=6, layers=2, channel_max=6, lr_multiplier=1.0), (3, 5)),
}
networks = pytest.mark.parametrize("name", NETWORKS)


def normal(shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@functools.cache
def make(name):
    """(variables, x, progress) -> output, compiled once for any progress; the variables; x."""
    network, shape = NETWORKS[name]
    x = normal(shape)
    shapes = jax.eval_shape(network.init, jax.random.key(0), x, Context())
    rng = np.random.default_rng(2)
    variables = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), shapes)

    def apply(variables, x, progress):
        return network.apply(variables, x, Context(progress=progress))

    chex.clear_trace_counter()  # it goes by names, and these are all called apply
    grow = jax.jit(chex.assert_max_traces(apply, n=1))  # or the step would compile again as the network grows
    return grow, variables, x


@networks
def test_fading_in_is_continuous_at_every_border_and_linear_between(name):
    grow, variables, x = make(name)
    at = functools.partial(grow, variables, x)
    levels = [at(jnp.float32(s)) for s in range(STAGES + 1)]
    scale = float(jnp.abs(levels[0]).max())
    for s in range(STAGES + 1):
        for near in (s - 1e-4, s + 1e-4):
            np.testing.assert_allclose(at(jnp.float32(near)), levels[s], atol=1e-2 * scale)
    if name in ("generator", "stylegan"):  # what is faded is the image, which nothing follows
        for s in range(STAGES):
            np.testing.assert_allclose(at(jnp.float32(s + 0.25)), 0.75 * levels[s] + 0.25 * levels[s + 1], atol=1e-4)
    assert all(float(jnp.abs(a - b).max()) > 0.01 * scale for a, b in itertools.pairwise(levels))


@networks
def test_fully_grown_it_is_the_plain_network(name):
    grow, variables, x = make(name)
    network, _ = NETWORKS[name]
    plain = jax.jit(network.apply)(variables, x, Context())
    np.testing.assert_allclose(grow(variables, x, jnp.float32(STAGES)), plain, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(grow(variables, x, jnp.float32(STAGES + 5)), plain, rtol=1e-4, atol=1e-4)


def test_a_young_generator_repeats_pixels_and_a_young_discriminator_sees_their_means():
    grow, variables, x = make("generator")
    for stage in range(STAGES + 1):
        image = grow(variables, x, jnp.float32(stage))
        chex.assert_shape(image, (3, *SHAPE))
        coarse = image
        for _ in range(STAGES - stage):
            coarse = fir_downsample(coarse)
        for _ in range(STAGES - stage):
            coarse = upsample(coarse)
        np.testing.assert_allclose(image, coarse, atol=1e-5)

    judge, variables, image = make("discriminator")
    means = fir_downsample(fir_downsample(image))
    other = image + normal(image.shape, 7)
    other += upsample(upsample(means - fir_downsample(fir_downsample(other))))  # the same means, other details
    young, grown = (judge(variables, other, jnp.float32(p)) - judge(variables, image, jnp.float32(p)) for p in (0, 1))
    np.testing.assert_allclose(young, np.zeros((3, 1)), atol=1e-4)
    assert float(jnp.abs(grown).max()) > 1e-2


def test_only_the_levels_that_have_grown_are_trained():
    grow, variables, x = make("generator")
    grads = jax.jit(jax.grad(lambda v, p: jnp.square(grow(v, x, p)).sum()))(variables, jnp.float32(0.5))["params"]
    alive = {name for name, tree in grads.items() if any(bool(jnp.any(g != 0)) for g in jax.tree.leaves(tree))}
    assert alive == {"blocks_0", "blocks_1", "to_image_0", "to_image_1"}


def test_the_slope_of_a_growing_critic_has_a_gradient():
    """Second derivatives run through the switch, as a gradient penalty needs them."""
    judge, variables, x = make("discriminator")

    def penalty(variables, progress):
        return jnp.square(jax.grad(lambda x: judge(variables, x, progress).sum())(x)).sum()

    value, grads = jax.jit(jax.value_and_grad(penalty))(variables, jnp.float32(1.5))
    numeric = []
    for eps in (-1e-2, 1e-2):
        moved = jax.tree.map(lambda p: p, variables)
        moved["params"]["dense"]["weight"] = moved["params"]["dense"]["weight"].at[0, 0].add(eps)
        numeric.append(jax.jit(penalty)(moved, jnp.float32(1.5)))
    chex.assert_tree_all_finite((value, grads))
    slope = (numeric[1] - numeric[0]) / 2e-2
    np.testing.assert_allclose(grads["params"]["dense"]["weight"][0, 0], slope, rtol=0.05, atol=1e-4 * float(value))


def test_growth_by_hand():
    growth = Growth(stages=2, hold=10, fade=5)
    steps = [0, 9, 10, 11, 14, 15, 24, 25, 27, 30, 31, 1000]
    expected = [0, 0, 0, 0.2, 0.8, 1, 1, 1, 1.4, 2, 2, 2]
    np.testing.assert_allclose([growth(jnp.int32(s)) for s in steps], expected, rtol=1e-6)
    np.testing.assert_allclose(Growth(stages=3, hold=0, fade=4, start=1.0)(jnp.int32(2)), 1.5)


def test_real_images_are_shown_with_the_details_of_the_stage():
    growth, x = Growth(stages=2, hold=1, fade=1), normal((2, *SHAPE))
    show = jax.jit(growth.show)
    coarse = [upsample(upsample(fir_downsample(fir_downsample(x)))), upsample(fir_downsample(x)), x]
    for stage, expected in enumerate(coarse):
        np.testing.assert_allclose(show(x, jnp.float32(stage)), expected, atol=1e-5)
    np.testing.assert_allclose(show(x, jnp.float32(1.25)), 0.75 * coarse[1] + 0.25 * coarse[2], atol=1e-5)


def test_parameters_of_the_paper():
    """Table 2 gives 23.1M for each at 1024x1024, and the layers' sizes."""
    generator, discriminator = ProgressiveGenerator(shape=(1024, 1024, 3)), ProgressiveDiscriminator()
    shapes = jax.eval_shape(generator.init, jax.random.key(0), jnp.zeros((1, 512)), Context())["params"]
    assert round(count_params(shapes) / 1e6, 1) == 23.1
    assert count_params(shapes["blocks_0"]["dense"]) + count_params(shapes["blocks_0"]["bias"]) == 512 * 16 * 512 + 512
    # thousands: 2359 (2.4M) up to 32x32, 1180 and 590, 295 and 148, 74 and 37, 18 and 9.2, 4.6 and 2.3
    convs = [[count_params(shapes[f"blocks_{i}"][f"conv{j}"]) // 100 for j in (0, 1)] for i in range(3, 9)]
    assert convs == [[23598, 23598], [11799, 5900], [2950, 1475], [737, 369], [184, 92], [46, 23]]
    image = jax.ShapeDtypeStruct((4, 1024, 1024, 3), jnp.float32)
    shapes = jax.eval_shape(discriminator.init, jax.random.key(0), image, Context())["params"]
    assert round(count_params(shapes) / 1e6, 1) == 23.1
    assert count_params(shapes["conv"]) == 513 * 512 * 9 + 512


def test_errors():
    for arguments in ({"stages": 0}, {"fade": 0}, {"hold": -1}, {"start": 4.0}):
        with pytest.raises(UserError, match=f"{next(iter(arguments))}={next(iter(arguments.values()))}"):
            Growth(**{"stages": 3, "hold": 1, "fade": 1} | arguments)
    with pytest.raises(UserError, match=r"stages=3 end at 32x32, and an example's shape is \(16, 16, 2\)"):
        Growth(stages=3, hold=1, fade=1).check(SHAPE)
