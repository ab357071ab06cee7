"""StyleGAN's and StyleGAN2's networks."""

import zlib
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, Context, OneHot
from gen_jax.nn.equalized import resampled_conv
from gen_jax.nn.mapping import MappingNetwork, styles
from gen_jax.nn.stylegan import StyleGANGenerator
from gen_jax.nn.stylegan2 import StyleGAN2Generator, modulated_conv
from gen_jax.nn.stylegan2_discriminator import StyleGAN2Discriminator
from gen_jax.training.state import count_params

SMALL = {"shape": (16, 16, 3), "width": 8, "layers": 2, "channel_base": 128, "channel_max": 8, "lr_multiplier": 1.0}
GENERATORS = {
    "stylegan": StyleGANGenerator(**SMALL),
    "stylegan2": StyleGAN2Generator(**SMALL),
    "stylegan2, residual": StyleGAN2Generator(**SMALL, architecture="residual"),
    "stylegan2, plain": StyleGAN2Generator(**SMALL, architecture="plain"),
}
generators = pytest.mark.parametrize("name", GENERATORS)
KEYS = jax.random.split(jax.random.key(3), 4)


def normal(shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def some_variables(network, *args):
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(network.init, jax.random.key(0), *args)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), shapes)


def shapes_of(network, *shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(network.init, jax.random.key(0), x, Context())["params"]


@pytest.mark.parametrize("how", ["keep", "up", "down"])
@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_is_one_with_weights_of_its_own_for_each_image(how, demodulate):
    x, weight, style = normal((3, 6, 6, 4)), normal((3, 3, 4, 5), 2), normal((3, 4), 3)
    got = jax.jit(lambda *a: modulated_conv(*a, how, demodulate=demodulate))(x, weight, style)
    for i in range(3):
        own = np.asarray(weight) * np.asarray(style[i])[:, None]
        if demodulate:
            own = own / np.sqrt((own**2).sum((0, 1, 2)) + 1e-8)
        np.testing.assert_allclose(got[i], resampled_conv(x[i][None], jnp.asarray(own), how)[0], atol=1e-4)


def test_demodulation_gives_unit_variance_whatever_the_style():
    x, weight = normal((2, 32, 32, 16)), normal((3, 3, 16, 64), 2)
    style = jnp.stack([normal((16,), 3), 50 * normal((16,), 4)])
    y = modulated_conv(x, weight, style)[:, 1:-1, 1:-1]
    np.testing.assert_allclose(y.std((1, 2)).mean(1), [1, 1], rtol=0.05)


def test_a_modulated_convolution_in_less_precision_does_not_overflow():
    x, weight, style = normal((2, 6, 6, 4)), normal((3, 3, 4, 5), 2), 3e4 * normal((2, 4), 3)
    expected = modulated_conv(x, weight, style)
    for dtype in (jnp.bfloat16, jnp.float16):
        got = modulated_conv(x.astype(dtype), weight, style)
        chex.assert_type(got, dtype)
        np.testing.assert_allclose(got.astype(jnp.float32), expected, atol=0.05)


def test_parameters_of_the_authors_program():
    """As its tables of layers count them, for config F at 1024x1024 and "paper256"."""
    shapes = shapes_of(StyleGAN2Generator(shape=(1024, 1024, 3)), 1, 512)
    assert count_params(shapes) == 30_370_060
    assert count_params(shapes["mapping_network"]) == 8 * 262_656
    layers = {
        "b4/conv1": 2_622_465, "b4/torgb": 264_195, "b4/const": 8192, "b8/conv0": 2_622_465, "b64/torgb": 264_195,
        "b128/conv0": 1_442_561, "b128/conv1": 721_409, "b128/torgb": 132_099, "b256/conv0": 426_369,
        "b256/conv1": 213_249, "b256/torgb": 66_051, "b512/conv0": 139_457,
    }  # fmt: skip
    found = {name: count_params(shapes[name.split("/")[0]][name.split("/")[1]]) for name in layers}
    assert found == layers

    shapes = shapes_of(StyleGAN2Discriminator(), 4, 1024, 1024, 3)
    assert count_params(shapes) == 29_012_513
    layers = {
        "b1024/fromrgb": 128, "b1024/skip": 2048, "b1024/conv0": 9248, "b1024/conv1": 18_496, "b512/skip": 8192,
        "b512/conv0": 36_928, "b512/conv1": 73_856, "b256/conv1": 295_168, "b128/skip": 131_072,
        "b128/conv1": 1_180_160, "b64/skip": 262_144, "b64/conv0": 2_359_808,
    }  # fmt: skip
    found = {name: count_params(shapes[name.split("/")[0]][name.split("/")[1]]) for name in layers}
    assert found == layers

    assert count_params(shapes_of(StyleGAN2Generator(shape=(256, 256, 3), channel_base=16384), 1, 512)) == 24_767_458
    assert count_params(shapes_of(StyleGAN2Discriminator(channel_base=16384), 4, 256, 256, 3)) == 24_001_089


def test_parameters_of_stylegan():
    """26.2M, section 2 of the paper."""
    assert round(count_params(shapes_of(StyleGANGenerator(shape=(1024, 1024, 3)), 1, 512)) / 1e6, 1) == 26.2


@generators
def test_the_parts_make_the_whole_and_every_layer_reads_its_own_style(name):
    network, z = GENERATORS[name], normal((2, 5))
    variables = some_variables(network, z, Context())
    w = network.apply(variables, z, Context(), method="mapping")
    chex.assert_shape(w, (2, 6, 8))
    synthesis = jax.jit(lambda w: network.apply(variables, w, Context(), method="synthesis"))
    x = synthesis(w)
    np.testing.assert_allclose(x, network.apply(variables, z, Context()), atol=1e-4 * float(jnp.abs(x).max()))
    slopes = jax.jit(jax.grad(lambda w: jnp.sin(synthesis(w)).sum()))(w)
    assert bool((jnp.abs(slopes).max((0, 2)) > 0).all()), "a style is not read"
    far = [float(jnp.abs(synthesis(w.at[:, i].add(1.0)) - x).max()) for i in range(6)]
    assert min(far) > 1e-4


@pytest.mark.parametrize("name", ["stylegan", "stylegan2"])
def test_noise_comes_from_each_example_s_own_key_and_is_off_without(name):
    network, z = GENERATORS[name], jnp.broadcast_to(normal((1, 5)), (4, 5))
    variables = some_variables(network, z, Context())
    draw = jax.jit(lambda keys: network.apply(variables, z, Context(keys=keys)))
    silent = network.apply(variables, z, Context())
    np.testing.assert_allclose(silent[0], silent[1], atol=1e-5 * float(jnp.abs(silent).max()))
    noisy, other = draw(KEYS), draw(KEYS[::-1])
    assert float(jnp.abs(noisy[0] - noisy[1]).max()) > 1e-2
    np.testing.assert_allclose(noisy[::-1], other, atol=1e-4 * float(jnp.abs(noisy).max()))
    started = jax.jit(network.init)(jax.random.key(0), z, Context())
    assert not any(
        bool(jnp.any(p != 0))
        for path, p in jax.tree_util.tree_leaves_with_path(started)
        if "noise_strength" in jax.tree_util.keystr(path)
    )


def test_styles_are_mixed_from_a_layer_on_with_the_given_probability():
    network, z = MappingNetwork(6, 2, lr_multiplier=1.0), normal((400, 5))
    variables = network.init(jax.random.key(0), z, None)
    keys = jax.random.split(jax.random.key(1), 400)

    def mix(probability, keys=keys, z=z):
        context = Context(keys=keys)
        return nn_apply(network, variables, lambda module: styles(module, z, context, 5, probability))

    ws, w = mix(1.0)
    own = jnp.all(ws == w[:, None], axis=-1)  # [b, layers]
    starts = own.sum(1)
    assert bool(own[:, 0].all())
    assert bool((own == (jnp.arange(5) < starts[:, None])).all()), "not one cut"
    np.testing.assert_allclose(np.bincount(starts, minlength=5)[1:], 100, atol=35)
    assert bool((ws[:, -2] == ws[:, -1])[starts < 4].all()), "more than two styles"
    share = float((mix(0.5)[0][:, -1] != w).any(-1).mean())
    assert 0.4 < share < 0.6
    np.testing.assert_array_equal(mix(0.0)[0], jnp.broadcast_to(w[:, None], ws.shape))
    np.testing.assert_array_equal(mix(1.0, keys[::-1], z[::-1])[0], ws[::-1])


def nn_apply(module, variables, function):
    return module.apply(variables, method=function)


@pytest.mark.parametrize("name", ["stylegan", "stylegan2"])
def test_the_mean_of_w_is_followed_in_training_only(name):
    network, z = GENERATORS[name].clone(decay=0.75), normal((4, 5))
    variables = network.init(jax.random.key(0), z, Context())
    w = network.apply(variables, z, Context(), method="mapping")
    np.testing.assert_array_equal(variables["w_mean"]["mean"], jnp.zeros(8))
    _, after = network.apply(variables, z, Context(), True, method="mapping", mutable=["w_mean"])
    np.testing.assert_allclose(after["w_mean"]["mean"], 0.25 * w[:, 0].mean(0), rtol=1e-5)
    _, after = network.apply(variables, z, Context(), False, method="mapping", mutable=["w_mean"])
    np.testing.assert_array_equal(after["w_mean"]["mean"], jnp.zeros(8))


def test_one_hot_labels():
    conditioning = OneHot(3)
    assert conditioning.keys == ("label",)
    np.testing.assert_array_equal(conditioning({"label": jnp.array([1, -1])}).vector, [[0, 1, 0], [0, 0, 0]])
    assert OneHot(0).keys == ()
    assert OneHot(0)({"label": jnp.array([1])}).vector is None
    with pytest.raises(UserError, match="reads a label"):
        conditioning({})


def test_the_label_s_logit_is_a_projection():
    """D(x, y) = out(x) . mapping(y) / sqrt(c), so what it says of an image is linear in the mapped label."""
    network = Conditioned(
        StyleGAN2Discriminator(channel_base=64, channel_max=4, layers=2, lr_multiplier=1.0), OneHot(3)
    )
    x, label = jnp.broadcast_to(normal((1, 8, 8, 1)), (3, 8, 8, 1)), jnp.arange(3)
    variables = some_variables(network, x, {"label": label})
    logits = network.apply(variables, x, {"label": label})
    mapped = MappingNetwork(4, 2, lr_multiplier=1.0).apply(
        {"params": variables["params"]["network"]["mapping_network"]}, None, jnp.eye(3)
    )
    free = network.clone(network=network.network.clone(outputs=4), conditioning=OneHot(0))
    features = free.apply(variables, x, {})
    np.testing.assert_allclose(logits[:, 0], (features * mapped).sum(1) / 2, rtol=1e-4)


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (
            StyleGAN2Generator(**SMALL | {"shape": (28, 28, 1)}),
            (1, 5),
            "StyleGAN2Generator .* 28x28; resize them to 32x32",
        ),
        (StyleGANGenerator(**SMALL | {"shape": (28, 28, 1)}), (1, 5), "StyleGANGenerator .* 28x28"),
        (StyleGAN2Generator(**SMALL | {"shape": (64,)}), (1, 5), "StyleGAN2Generator draws images"),
        (StyleGAN2Generator(**SMALL | {"architecture": "resnet"}), (1, 5), "unknown StyleGAN2 architecture 'resnet'"),
        (StyleGAN2Discriminator(architecture="skips"), (4, 8, 8, 1), "did you mean 'skip'"),
        (StyleGAN2Discriminator(), (4, 12, 12, 1), "StyleGAN2Discriminator .* 12x12; resize them to 16x16"),
        (StyleGAN2Discriminator(), (6, 8, 8, 1), "a batch of 6 does not divide into groups of 4"),
        (StyleGAN2Discriminator(), (4, 64), "StyleGAN2Discriminator takes images"),
    ],
)
def test_errors(network, shape, message):
    with pytest.raises(UserError, match=message) as error:
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape), Context())
    assert "\n" not in str(error.value)


def official_weights(shapes, part):
    """The weights that parity/make_stylegan2.py made, by their names there, in our layout."""

    def weight(path, leaf):
        name = ".".join(key.key for key in path).replace("mapping_network", "mapping")
        name = f"synthesis.{name}" if part == "generator" and not name.startswith("mapping") else name
        back = {4: (3, 2, 0, 1), 3: (2, 0, 1), 2: (1, 0)}.get(leaf.ndim, tuple(range(leaf.ndim)))  # to the authors'
        numbers = np.random.default_rng(zlib.crc32(name.encode())).normal(size=[leaf.shape[i] for i in back])
        scale = 100 if ".fc" in name and name.startswith("mapping") and leaf.ndim == 2 else 1
        return jnp.asarray(scale * np.transpose(numbers, np.argsort(back)), jnp.float32)

    return jax.tree_util.tree_map_with_path(weight, shapes)


@pytest.mark.parametrize(
    ("case", "drawn", "judged", "classes"),
    [("skip", "skip", "residual", 0), ("residual", "residual", "skip", 3), ("plain", "plain", "plain", 3)],
)
def test_the_authors_program_computes_the_same(case, drawn, judged, classes):
    sizes = {"channel_base": 64, "channel_max": 6, "clamp": 256.0, "layers": 2}
    generator = StyleGAN2Generator(shape=(16, 16, 3), width=8, architecture=drawn, **sizes)
    discriminator = StyleGAN2Discriminator(architecture=judged, group=2, **sizes)
    z = jnp.asarray(np.random.default_rng(zlib.crc32(b"z")).normal(size=(4, 5)), jnp.float32)
    context = Context(vector=jnp.eye(3)[jnp.arange(4) % 3] if classes else None)
    with np.load(Path(__file__).parent / "parity" / "stylegan2.npz") as file:
        expected = {name.split("/")[1]: file[name] for name in file if name.startswith(f"{case}/")}

    shapes = jax.eval_shape(generator.init, jax.random.key(0), z, context)
    variables = {**shapes, "params": official_weights(shapes["params"], "generator")}
    variables["w_mean"] = {"mean": jnp.zeros(8)}
    w = generator.apply(variables, z, context, method="mapping")
    np.testing.assert_allclose(w[:, 0], expected["w"], rtol=1e-4, atol=1e-5)
    x = jax.jit(generator.apply)(variables, z, context)
    np.testing.assert_allclose(x, expected["x"], atol=1e-4 * np.abs(expected["x"]).max())
    shapes = jax.eval_shape(discriminator.init, jax.random.key(0), x, context)
    variables = {"params": official_weights(shapes["params"], "discriminator")}
    logit = jax.jit(discriminator.apply)(variables, jnp.asarray(expected["x"]), context)
    np.testing.assert_allclose(logit, expected["logit"], rtol=1e-3, atol=1e-4)
