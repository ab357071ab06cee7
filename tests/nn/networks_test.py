"""What every network promises, in one table."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.autoencoder import ConvDecoder, ConvEncoder
from gen_jax.nn.biggan import BigGANDeepDiscriminator, BigGANDeepGenerator, BigGANGenerator
from gen_jax.nn.conditioning import Conditioned, Conditioning, Context
from gen_jax.nn.critic import Concatenate, Projection
from gen_jax.nn.dcgan import DCGANDiscriminator, DCGANGenerator
from gen_jax.nn.dit import DiT
from gen_jax.nn.edm2 import EDM2UNet
from gen_jax.nn.latent_autoencoder import LatentDecoder, LatentEncoder
from gen_jax.nn.mlp import MLP
from gen_jax.nn.ncsnpp import NCSNpp
from gen_jax.nn.noise_schedule import FourierInputs
from gen_jax.nn.patch import PatchDiscriminator
from gen_jax.nn.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from gen_jax.nn.r3gan import R3GANDiscriminator, R3GANGenerator
from gen_jax.nn.resnet_gan import ResNetDiscriminator, ResNetGenerator
from gen_jax.nn.stylegan import StyleGANGenerator
from gen_jax.nn.stylegan2 import StyleGAN2Generator
from gen_jax.nn.stylegan2_discriminator import StyleGAN2Discriminator
from gen_jax.nn.time_discriminator import TimeDiscriminator
from gen_jax.nn.transgan import TransGANDiscriminator, TransGANGenerator
from gen_jax.nn.translators import ResNetTranslator, UNetTranslator
from gen_jax.nn.unet import UNet
from gen_jax.nn.uvit import UViT
from gen_jax.nn.vq_vae import PlaceDecoder, PlaceEncoder, TwoLevelDecoder, TwoLevelEncoder

IMAGE = (8, 8, 1)
DIT = {"width": 16, "depth": 1, "heads": 2, "patch": 2}
MODERN = DIT | {"qk_norm": True, "norm": "rms", "mlp": "swiglu", "rope": True, "scan": True, "depth": 2}
LEVELS = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (4,)}
UNET = LEVELS | {"groups": 4}
ADM = UNET | {"head_width": 4, "scale_shift": True, "resblock_updown": True}
NCSN = LEVELS | {"taps": (1, 3, 3, 1), "encoder": "residual", "decoder": "skip"}
EDM2 = LEVELS | {"head_width": 4}
BIGGAN = {"width": 8, "multipliers": (1, 2), "shared": 4, "attention": (8,), "shape": IMAGE}
UVIT = {"width": 16, "depth": 2, "heads": 2, "patch": 2}
R3GAN = {"widths": (8, 4), "groups": (4, 2), "blocks": 1}
TRANSGAN_G, TRANSGAN_D = {"width": 32, "depths": (1, 1), "heads": 2}, {"width": 16, "depth": 1, "patch": 1, "heads": 2}

GROWN = {"channel_base": 64, "channel_max": 8}
STYLED = GROWN | {"shape": IMAGE, "width": 8, "layers": 2, "lr_multiplier": 1.0}
ALONE = GROWN | {"stddev_features": 0}  # an example's output must not depend on the others here
STYLE2 = ALONE | {"layers": 2, "lr_multiplier": 1.0}

PATCH = {"layers": 1, "width": 8}
RESNET = {"shape": IMAGE, "width": 4, "downs": 1, "blocks": 1, "norm": "none"}

PLACES = {"width": 8, "hidden": 4, "blocks": 1}
LATENT = {"width": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4, "attention": (8,)}

# name: (class, arguments, one input's shape, one output's shape)
NETWORKS = {
    "mlp generator": (MLP, {"features": (16,), "shape": IMAGE, "final": "tanh"}, (6,), IMAGE),
    "mlp discriminator": (MLP, {"features": (16,), "shape": IMAGE, "outputs": 1, "norm": "layer"}, IMAGE, (1,)),
    "mlp decoder": (MLP, {"features": (16,), "shape": (5, 3, 3), "channels_per_value": 2}, (6,), (5, 3, 6)),
    "conv encoder": (ConvEncoder, {"widths": (8, 8), "outputs": 6}, (7, 10, 3), (6,)),
    "conv decoder": (ConvDecoder, {"widths": (8, 8), "shape": (7, 10, 3), "channels_per_value": 2}, (6,), (7, 10, 6)),
    "dcgan generator": (Concatenate, {"network": DCGANGenerator((7, 10, 3), (8, 8))}, (6,), (7, 10, 3)),
    "dcgan discriminator": (Concatenate, {"network": DCGANDiscriminator(1, (8, 8))}, (7, 10, 3), (1,)),
    "resnet generator": (ResNetGenerator, {"shape": IMAGE, "widths": (8, 8), "attention": (8,)}, (6,), IMAGE),
    "resnet discriminator": (Projection, {"network": ResNetDiscriminator(None, (8,), 1, attention=(4,))}, IMAGE, (1,)),
    "biggan generator": (BigGANGenerator, BIGGAN, (6,), IMAGE),
    "biggan-deep generator": (BigGANDeepGenerator, BIGGAN, (6,), IMAGE),
    "biggan-deep discriminator": (
        Projection,
        {"network": BigGANDeepDiscriminator(None, 8, (1, 2), attention=(4,))},
        IMAGE,
        (1,),
    ),
    "progressive generator": (ProgressiveGenerator, GROWN | {"shape": IMAGE}, (6,), IMAGE),
    "progressive discriminator": (ProgressiveDiscriminator, ALONE, IMAGE, (1,)),
    "stylegan generator": (StyleGANGenerator, STYLED, (6,), IMAGE),
    "stylegan discriminator": (ProgressiveDiscriminator, ALONE | {"blur": (1, 2, 1)}, IMAGE, (1,)),
    "stylegan2 generator": (StyleGAN2Generator, STYLED, (6,), IMAGE),
    "stylegan2 generator, residual": (StyleGAN2Generator, STYLED | {"architecture": "residual"}, (6,), IMAGE),
    "stylegan2 discriminator": (StyleGAN2Discriminator, STYLE2, IMAGE, (1,)),
    "stylegan2 discriminator, skips": (StyleGAN2Discriminator, STYLE2 | {"architecture": "skip"}, IMAGE, (1,)),
    "dit": (DiT, DIT, IMAGE, IMAGE),
    "dit, two values": (DiT, DIT | {"channels_per_value": 2, "remat": True}, (4, 6, 3), (4, 6, 6)),
    "dit, modern": (DiT, MODERN, IMAGE, IMAGE),
    "unet": (UNet, UNET | {"channels_per_value": 2, "heads": 2}, (4, 6, 3), (4, 6, 6)),
    "unet, adm": (UNet, ADM, IMAGE, IMAGE),
    "unet, no resampling convolutions": (UNet, UNET | {"conv_resample": False, "attention": ()}, (4, 6, 3), (4, 6, 3)),
    "ddpm++": (NCSNpp, LEVELS | {"scale_shift": True}, IMAGE, IMAGE),
    "ncsn++": (NCSNpp, NCSN | {"channels_per_value": 2}, (4, 6, 3), (4, 6, 6)),
    "ncsn++, skips": (NCSNpp, NCSN | {"encoder": "skip", "attention": ()}, (4, 6, 3), (4, 6, 3)),
    "edm2": (EDM2UNet, EDM2 | {"channels_per_value": 2}, (4, 6, 3), (4, 6, 6)),
    "fourier inputs": (FourierInputs, {"network": DiT(**DIT), "exponents": (2, 3)}, IMAGE, IMAGE),
    "fourier inputs, none": (FourierInputs, {"network": DiT(**DIT), "exponents": ()}, IMAGE, IMAGE),
    "patch": (PatchDiscriminator, PATCH, IMAGE, (2, 2, 1)),
    "resnet translator": (ResNetTranslator, RESNET | {"shape": (8, 8, 3)}, IMAGE, (8, 8, 3)),
    "unet translator": (UNetTranslator, {"shape": IMAGE, "width": 4, "depth": 2}, (4, 8, 3), (4, 8, 1)),
    "place encoder": (PlaceEncoder, PLACES | {"channels": 5, "downs": 1}, (4, 6, 3), (2, 3, 5)),
    "place decoder": (PlaceDecoder, PLACES | {"shape": (8, 12, 3)}, (2, 3, 5), (8, 12, 3)),
    "two-level encoder": (TwoLevelEncoder, PLACES | {"channels": 5, "downs": 1}, (8, 4, 3), (10, 5)),
    "two-level decoder": (TwoLevelDecoder, PLACES | {"shape": (8, 4, 3), "ups": 1}, (10, 5), (8, 4, 3)),
    "latent encoder": (LatentEncoder, LATENT | {"channels": 6}, (8, 6, 3), (4, 3, 6)),
    "latent decoder": (LatentDecoder, LATENT | {"shape": (8, 6, 3), "remat": True}, (4, 3, 6), (8, 6, 3)),
    "uvit": (UViT, UVIT | {"channels_per_value": 2, "scan": True}, (4, 6, 3), (4, 6, 6)),
    "r3gan generator": (R3GANGenerator, R3GAN | {"shape": (4, 6, 3)}, (6,), (4, 6, 3)),
    "r3gan discriminator": (R3GANDiscriminator, R3GAN, (4, 6, 3), (1,)),
    "time discriminator": (
        TimeDiscriminator,
        {"start": 4, "widths": (4, 8), "group": 0, "project": True},
        IMAGE,
        (1,),
    ),
    "transgan generator": (TransGANGenerator, TRANSGAN_G | {"shape": (4, 6, 3)}, (6,), (4, 6, 3)),
    "transgan discriminator": (TransGANDiscriminator, TRANSGAN_D, (4, 6, 3), (1,)),
}
ADVERSARIAL = [name for name in NETWORKS if name.startswith(("r3gan", "transgan", "progressive", "stylegan"))]
DENOISERS = ["dit", "dit, modern", "unet", "unet, adm", "ncsn++", "edm2", "uvit"]
FIRST_STAGES = ["place encoder", "place decoder", "latent encoder", "latent decoder"]
NORMALIZED = ["resnet generator", "biggan generator", "biggan-deep generator"]  # over the batch
NEED_LABELS = ["resnet discriminator", "biggan-deep discriminator"]
TRANSLATORS = ["patch", "resnet translator", "unet translator"]
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

    def some(path, p):
        value = rng.normal(0, 0.3, p.shape)
        return jnp.asarray(np.exp(value) if path[-1].key == "var" else value, p.dtype)  # a variance is positive

    return jax.tree_util.tree_map_with_path(some, shapes)


def normal(shape):
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


@functools.cache
def compiled(name):
    """`make(name)` with its function compiled, for the tests that share it."""
    network, *rest = make(name)
    return jax.jit(network.apply), *rest


@table
def test_output_and_context(name):
    apply, variables, x, cond, out = compiled(name)
    y = apply(variables, x, cond)
    chex.assert_shape(y, (3, *out))
    chex.assert_type(y, jnp.float32)
    chex.assert_tree_all_finite(y)
    assert not np.allclose(y, apply(variables, x, {"label": jnp.array([1, 3, 0])}), atol=1e-4)

    # Example 0 does not depend on the others, nor on their labels.
    others = apply(variables, x.at[1:].add(1.0), {"label": jnp.array([0, 1, 1])})
    np.testing.assert_allclose(others[0], y[0], atol=1e-5)
    assert not np.allclose(others[1], y[1], atol=1e-4)


@pytest.mark.parametrize(
    "name", ["mlp discriminator", "conv encoder", "conv decoder", *FIRST_STAGES, *ADVERSARIAL, *NORMALIZED, *DENOISERS]
)
def test_bfloat16_computes_in_it_and_keeps_float32_outside(name):
    network, variables, x, cond, _ = make(name, dtype="bfloat16")
    y = jax.jit(network.apply)(variables, x, cond)
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    chex.assert_type(y, jnp.float32)
    expected = compiled(name)[0](variables, x, cond)
    difference = np.abs(y - expected).max() / np.abs(expected).max()
    assert 0 < difference < 0.1


SPATIAL = [
    "mlp discriminator",
    "conv encoder",
    "place encoder",
    "two-level encoder",
    "latent encoder",
    "dit",
    "unet",
    "ncsn++",
    "edm2",
    "uvit",
    "time discriminator",
    *TRANSLATORS,
]


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in SPATIAL + NEED_LABELS])  # the others: next test
def test_unconditional(name):
    network, variables, x, cond, out = make(name, num_classes=0)
    y = jax.jit(network.apply)(variables, x, cond)
    chex.assert_shape(y, (3, *out))
    chex.assert_tree_all_finite(y)


@pytest.mark.parametrize("name", SPATIAL)
def test_spatial_context_matters_without_another(name):
    cls, arguments, shape, out = NETWORKS[name]
    network, x = cls(**arguments), jnp.ones((2, *shape))
    spatial = normal((2, *shape[:-1], 2))
    variables = some_variables(network, x, Context(spatial=spatial))
    apply = jax.jit(network.apply)
    y = apply(variables, x, Context(spatial=spatial))
    chex.assert_shape(y, (2, *out))
    chex.assert_tree_all_finite(y)
    assert not np.allclose(y, apply(variables, x, Context(spatial=spatial + 1)), atol=1e-4)


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
        (UNet(**ADM | {"head_width": 3}), (1, 8, 8, 1), "head_width=3 must divide the 16 channels"),
        (UNet(**UNET), (1, 64), "UNet takes images"),
        (DiT(**DIT | {"norm": "batch"}), (1, 8, 8, 1), "unknown DiT norm 'batch': Known: layer, rms"),
        (DiT(**DIT | {"tokens": "cross"}), (1, 8, 8, 1), "tokens='cross' reads tokens, and the context has none"),
        (DiT(**DIT | {"heads": 8, "rope": True}), (1, 8, 8, 1), "multiple of 4, got 2"),
        (DiT(**DIT | {"attention_impl": "cudnn"}), (1, 8, 8, 1), "attention_impl='cudnn' needs an NVIDIA GPU"),
        (DiT(**DIT | {"dropout": 1.0}), (1, 8, 8, 1), "a rate lies in"),
        (NCSNpp(**NCSN | {"multipliers": (1, 2, 2)}), (1, 6, 8, 1), "NCSNpp: with 3 levels, .* multiples of 4"),
        (NCSNpp(**NCSN | {"encoder": "input"}), (1, 8, 8, 1), "unknown NCSNpp encoder 'input'"),
        (NCSNpp(**NCSN | {"width": 3}), (1, 8, 8, 1), "cannot group 3 channels"),
        (NCSNpp(**NCSN | {"taps": (1, 2, 1)}), (1, 8, 8, 1), "even number of taps"),
        (EDM2UNet(**EDM2), (1, 7, 8, 1), "EDM2UNet: with 2 levels, .* sizes that work: 8x8"),
        (EDM2UNet(**EDM2 | {"head_width": 5}), (1, 8, 8, 1), "head_width=5 must divide the 16 channels"),
        (UViT(**UVIT | {"depth": 3}), (1, 8, 8, 1), "depth=3 counts the blocks down and up and must be even"),
        (UViT(**UVIT | {"patch": 3}), (1, 8, 8, 1), "UViT: patch=3 does not divide"),
        (R3GANGenerator(**R3GAN | {"shape": (8, 7, 1)}), (1, 6), "with 2 stages, .* multiples of 2, .* 8x7; .* 8x8"),
        (R3GANGenerator(**R3GAN | {"groups": (4, 3), "shape": IMAGE}), (1, 6), "groups=3 must divide the 8 channels"),
        (R3GANDiscriminator(**R3GAN | {"groups": (4,)}), (1, 8, 8, 1), "must be of one length"),
        (R3GANDiscriminator(**R3GAN), (1, 64), "R3GANDiscriminator takes images"),
        (TransGANGenerator(**TRANSGAN_G | {"shape": (8, 7, 1)}), (1, 6), "with 2 stages, .* multiples of 2"),
        (TransGANGenerator(**TRANSGAN_G | {"width": 12, "shape": IMAGE}), (1, 6), "width=12 must be a multiple of 8"),
        (TransGANDiscriminator(**TRANSGAN_D | {"patch": 2}), (1, 8, 6, 1), "multiples of 4, .* 8x6; .* 8x8"),
        (TransGANDiscriminator(**TRANSGAN_D | {"width": 12}), (1, 8, 8, 1), "width=12 must be a multiple of 8"),
        (TimeDiscriminator(widths=(4, 4, 4)), (1, 6, 8, 1), "TimeDiscriminator: with 3 levels, .* multiples of 4"),
        (TimeDiscriminator(widths=(4,), group=4), (6, 8, 8, 1), "a batch of 6 does not divide into groups of 4"),
        (PatchDiscriminator(**PATCH | {"layers": 2}), (1, 8, 8, 1), "8x8 leave no patch .* it takes 12x12 or more"),
        (PatchDiscriminator(**PATCH | {"norm": "batch"}), (1, 8, 8, 1), "unknown PatchDiscriminator norm 'batch'"),
        (ResNetTranslator(**RESNET), (1, 7, 8, 1), "7x8 cannot be halved 1 times; .* multiples of 2, such as 8x8"),
        (ResNetTranslator(**RESNET | {"downs": 2}), (1, 4, 4, 1), "4x4 are too small .* it takes 8 pixels or more"),
        (ResNetTranslator(**RESNET | {"norm": "layer"}), (1, 8, 8, 1), "unknown ResNetTranslator norm 'layer'"),
        (ResNetTranslator(**RESNET | {"shape": ()}), (1, 8, 8, 1), "draws images of shape"),
        (UNetTranslator(shape=IMAGE, depth=4), (1, 8, 8, 1), "8x8 cannot be halved 4 times; .* such as 16x16"),
        (UNetTranslator(shape=IMAGE, depth=3, dropout=1.0), (1, 8, 8, 1), "a rate lies in"),
        (UNetTranslator(shape=IMAGE), (1, 64), "UNetTranslator takes images"),
        (PlaceEncoder(5), (1, 6, 8, 1), "PlaceEncoder: with 3 levels, .* multiples of 4, .* 6x8"),
        (TwoLevelEncoder(5, downs=1), (1, 6, 8, 1), "TwoLevelEncoder: with 3 levels, .* multiples of 4, .* 6x8"),
        (TwoLevelDecoder((8, 8, 1), ups=1), (1, 16, 5), "2x2 and 4x4 are 20 places, not .16."),
        (PlaceDecoder((8, 8, 1)), (1, 64), "PlaceDecoder takes images"),
        (LatentEncoder(8), (1, 12, 16, 3), "LatentEncoder: with 4 levels, .* multiples of 8, .* 12x16"),
        (LatentEncoder(8, width=30), (1, 16, 16, 3), "LatentEncoder: groups=32 must divide the 30 channels"),
        (LatentDecoder((8, 8, 1), groups=3), (1, 4, 4, 4), "LatentDecoder: groups=3 must divide the 128 channels"),
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


def test_bits_are_read_as_zero_and_one():
    bits = jax.random.bernoulli(jax.random.key(0), shape=(3, *IMAGE)).astype(jnp.float32)
    network = MLP(features=(6,), outputs=2)
    params = network.init(jax.random.key(1), bits, Context())
    read = MLP(features=(6,), outputs=2, bits=True).apply(params, 2 * bits - 1, Context())
    np.testing.assert_array_equal(read, network.apply(params, bits, Context()))


@pytest.mark.parametrize(
    "network",
    [MLP(outputs=1), ConvEncoder(outputs=1), DiT(**DIT), UNet(**UNET), NCSNpp(**NCSN), EDM2UNet(**EDM2)],
    ids=lambda network: type(network).__name__,
)
def test_a_context_that_would_be_ignored_is_refused(network):
    with pytest.raises(UserError, match="reads vector, spatial of its context and cannot use: tokens"):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *IMAGE)), Context(tokens=jnp.zeros((1, 2, 3))))
