"""First stages: the contract of codecs, the adaptive weight, when a discriminator is heard, what samples are."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.data.digits import digits
from gen_jax.errors import UserError
from gen_jax.families.autoencoder import adaptive_weight, last_kernel
from gen_jax.nn.mlp import MLP
from gen_jax.tasks.conditions import conditions, reconstructs
from gen_jax.types import DataInfo, TrainState

SHAPE = (8, 8, 1)
PLACES = {"width": 8, "hidden": 4, "blocks": 1}
BOOK = {"name": "nn.VectorQuantizer", "num_codes": 8, "width": 4}
PLAIN = {
    "name": "families.Autoencoder",
    "encoder": {"name": "nn.PlaceEncoder", "channels": 4, "downs": 1, **PLACES},
    "decoder": {"name": "nn.PlaceDecoder", "ups": 1, **PLACES},
    "bottleneck": BOOK,
    "conditioning": {"name": "nn.Conditioning", "width": 8},
    "reconstruction": {"name": "losses.Laplace"},
}
GAME = {
    **PLAIN,
    "discriminator": {"name": "nn.PatchDiscriminator", "width": 4, "layers": 1, "norm": "none"},
    "loss": {"name": "losses.hinge"},
    "disc_start": 5,
}
# by name: what is changed, latent_shape, token_shape (None: continuous)
CODECS = {
    "vq": ({}, (4, 4, 4), (4, 4)),
    "residual": ({"bottleneck": {"name": "nn.ResidualQuantizer", "of": BOOK, "levels": 2}}, (4, 4, 4), (4, 4, 2)),
    "two levels": (
        {
            "encoder": {**PLAIN["encoder"], "name": "nn.TwoLevelEncoder"},
            "decoder": {**PLAIN["decoder"], "name": "nn.TwoLevelDecoder"},
            "bottleneck": {"name": "nn.TwoLevelQuantizer", "of": BOOK, "downs": 1},
        },
        (20, 4),
        (20,),
    ),
    "kl": (
        {"encoder": {**PLAIN["encoder"], "channels": 6}, "bottleneck": {"name": "nn.KL", "width": 3}},
        (4, 4, 3),
        None,
    ),
}


def make(changes, base=PLAIN):
    return build(gen_jax, base | changes, shape=SHAPE, num_classes=0)


def images(n=6):
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (n, *SHAPE)), jnp.float32)


@functools.cache
def begun(name):
    family = make(CODECS[name][0]) if name in CODECS else make({}, GAME)
    params, extra = jax.jit(family.init)(jax.random.key(0), {"x": images()})
    return family, params, extra


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_encodes_decodes_and_shows_reconstructions(name):
    _, latent_shape, token_shape = CODECS[name]
    family, params, extra = begun(name)
    x = images()
    assert family.latent_shape == latent_shape
    z = jax.jit(family.encode)(params, extra, x, {})
    assert z.shape == (6, *latent_shape)
    decoded = jax.jit(family.decode)(params, extra, z, {})
    assert decoded.shape == x.shape
    assert float(jnp.abs(decoded).max()) <= 1
    keys = jax.random.split(jax.random.key(1), 6)
    np.testing.assert_allclose(jax.jit(family.sample)(params, extra, keys, {"image": x}), decoded, atol=1e-5)
    assert hasattr(family, "num_codes") == hasattr(family, "token_shape") == (token_shape is not None)
    if token_shape is not None:
        assert family.token_shape == token_shape
        tokens = jax.jit(family.tokens)(params, extra, x, {})
        assert tokens.shape == (6, *token_shape)
        assert int(tokens.max()) < family.num_codes == 8
        np.testing.assert_allclose(jax.jit(family.from_tokens)(params, extra, tokens, {}), z, atol=1e-6)


def test_the_adaptive_weight_on_a_linear_decoder():
    """Of out = z K, the gradient of |out - x|^2 / n by K is 2 z^T (out - x) / n, and that of -<v, out> is -z^T v."""
    rng = np.random.default_rng(3)
    z, kernel, x, v = (rng.normal(size=s).astype(np.float32) for s in ((5, 3), (3, 4), (5, 4), (5, 4)))
    near = np.linalg.norm(2 / x.size * z.T @ (z @ kernel - x))
    found = adaptive_weight(
        lambda k: jnp.asarray(z) @ k,
        jnp.asarray(kernel),
        lambda out: jnp.square(out - x).mean(),
        lambda out: -(v * out).sum(),
    )
    np.testing.assert_allclose(found, near / (np.linalg.norm(z.T @ v) + 1e-4), rtol=1e-5)
    most = adaptive_weight(lambda k: z @ k, jnp.asarray(kernel), lambda out: 1e6 * out.sum(), lambda out: 0 * out.sum())
    assert float(most) == 1e4


def test_the_last_kernel_is_the_one_that_the_output_is_linear_in():
    decoder = MLP(shape=SHAPE, features=(8,))
    family = make({"decoder": {"name": "nn.MLP", "features": (8,)}})
    params = jax.jit(family.init)(jax.random.key(0), {"x": images()})[0]["model"]["decoder"]
    kernel, put = last_kernel(decoder, params)
    z = jnp.ones((1, 4, 4, 4))

    def out(kernel):
        return family._decoder.evaluate(put(kernel), z, {})

    np.testing.assert_allclose(out(2 * kernel) - out(kernel), out(kernel) - out(0 * kernel), atol=1e-5)
    assert float(jnp.abs(out(2 * kernel) - out(kernel)).max()) > 1e-3

    class Odd(nn.Module):
        pass

    with pytest.raises(UserError, match=r"adaptive=True .* a Odd has none named out; set adaptive=False"):
        last_kernel(Odd(), {"network": {"last": {"kernel": kernel}}})


def test_the_discriminator_is_heard_from_its_start_on():
    family, params, extra = begun("game")
    batch, key = {"x": images()}, jax.random.key(1)

    @jax.jit
    def losses(step):
        state = TrainState(step, params, {}, {}, extra)
        return {player: loss(params, state, batch, key) for player, loss in family.losses.items()}

    before, after = losses(jnp.int32(4)), losses(jnp.int32(5))
    assert float(before["disc"][0]) == 0 < float(after["disc"][0])
    total, (metrics, _) = before["autoencoder"]
    np.testing.assert_allclose(total, metrics["reconstruction"] + metrics["bottleneck"], rtol=1e-5)
    total, (metrics, _) = after["autoencoder"]
    heard = metrics["adaptive"] * metrics["adversarial"]
    np.testing.assert_allclose(total, metrics["reconstruction"] + metrics["bottleneck"] + heard, rtol=1e-4)


def test_the_codebook_moves_with_the_autoencoder_alone():
    family, params, extra = begun("game")
    state = TrainState(jnp.int32(9), params, {}, {}, extra)
    for player, moves in (("disc", False), ("autoencoder", True)):
        new = jax.jit(family.losses[player])(params, state, {"x": images()}, jax.random.key(1))[1][1]
        assert (float(jnp.abs(new["bottleneck"]["codes"] - extra["bottleneck"]["codes"]).max()) > 0) == moves


def test_reconstructions_are_of_the_test_split():
    data, info = {"name": "digits"}, DataInfo(SHAPE, tuple("0123456789"))
    given = conditions(make({}), info, data)
    assert reconstructs(make({}))
    assert not reconstructs(make({"draws": "prior"}))
    assert (given.originals, given.count, given.names) == ("test", 355, ("image", "label"))
    read, expected = given.read(np.array([3, 0])), digits("test").take(np.array([3, 0]))
    np.testing.assert_array_equal(read["image"], expected["x"])
    np.testing.assert_array_equal(read["label"], expected["label"])
    assert conditions(make({"draws": "prior"}), info, data).names == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draws": "codes"}, "draws=codes: it is one of reconstructions, prior"),
        ({"loss": {"name": "losses.hinge"}}, "discriminator and family.loss go together"),
        ({"disc_penalties": {"r1": {"name": "losses.Penalty", "of": {"name": "losses.r1"}}}}, "disc_penalties is of"),
        ({"matching": {"conv_0": 1.0}}, "matching is of a discriminator"),
        ({"disc_weight": -1.0}, r"disc_weight=-1\.0: it cannot be below 0"),
        ({"bottleneck": {"name": "nn.FSQ"}, "encoder": {**PLAIN["encoder"], "channels": 3}}, "FSQ takes 4 channels"),
        ({"decoder": {**PLAIN["decoder"], "ups": 2}}, r"gives \(16, 16, 1\) .* where \(8, 8, 1\) is needed"),
        ({"perceptual": {"name": "losses.LPIPS"}}, r"8x8 are too small .*16x16; losses\.RandomFeatures"),
        ({**GAME, "matching": {"conv_9": 1.0}}, "unknown layer of the PatchDiscriminator 'conv_9': did you mean"),
    ],
)
def test_what_cannot_be_is_refused_while_tracing(changes, message):
    def trace():
        family = make(changes)
        params, extra = jax.eval_shape(family.init, jax.random.key(0), {"x": images()})
        state = TrainState(jnp.int32(0), params, {}, {}, extra)
        jax.eval_shape(list(family.losses.values())[-1], params, state, {"x": images()}, jax.random.key(0))

    with pytest.raises(UserError, match=message) as error:
        trace()
    assert "\n" not in str(error.value)
