"""VAE-GAN: whose loss is whose, and what is refused. The table in families_test runs it too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError
from gen_jax.nn.priors import kl_to_standard_normal
from gen_jax.types import TrainState

MLP = {"name": "nn.MLP", "features": (8,)}
SPEC = {
    "name": "families.VAEGAN",
    "encoder": {**MLP, "outputs": 4},
    "decoder": {**MLP, "final": "tanh"},
    "discriminator": {**MLP, "outputs": 1},
    "conditioning": {"name": "nn.Conditioning", "width": 8},
    "loss": {"name": "losses.non_saturating"},
    "layer": "dense_0",
    "latent": 2,
    "gamma": 0.5,
}


def begin(changes=()):
    family = build(gen_jax, SPEC | dict(changes), shape=(4, 4, 1), num_classes=0)
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (5, 4, 4, 1)), jnp.float32)
    params, extra = family.init(jax.random.key(0), {"x": x})
    return family, TrainState(jnp.int32(0), params, {}, {}, extra), {"x": x}


def test_the_decoder_weighs_likeness_against_the_game_and_the_encoder_does_not_play():
    family, state, batch = begin()
    key = jax.random.key(1)
    total, (metrics, _) = jax.jit(family.losses["dec"])(state.params, state, batch, key)
    np.testing.assert_allclose(total, 0.5 * metrics["apart"] + metrics["adversarial"], rtol=1e-5)
    total, (metrics, _) = jax.jit(family.losses["enc"])(state.params, state, batch, key)
    np.testing.assert_allclose(total, metrics["kl"] + metrics["apart"], rtol=1e-5)
    mean, log_var = family._posterior(state.params, batch["x"], {}, train=False)
    np.testing.assert_allclose(metrics["kl"], kl_to_standard_normal(mean, log_var).sum(-1).mean(), rtol=1e-5)


def test_equal_images_are_not_apart_and_the_discriminator_learns_nothing_of_likeness():
    family, state, batch = begin()
    x = batch["x"]
    np.testing.assert_array_equal(family._apart(state.params, x, x, {}), 0)
    gradient = jax.grad(lambda p: family._apart(p, x, x[::-1], {}).sum())(state.params)
    assert all(float(jnp.abs(leaf).max()) == 0 for leaf in jax.tree.leaves(gradient))
    by_image = jax.grad(lambda y: family._apart(state.params, x, y, {}).sum())(x[::-1])
    assert float(jnp.abs(by_image).max()) > 0


def test_reconstructions_are_decoded_means():
    family, state, batch = begin({"draws": "reconstructions"})
    assert family.sample_keys == ("image",)
    z = family.encode(state.params, (), batch["x"], {})
    assert z.shape[1:] == family.latent_shape == (2,)
    keys = jax.random.split(jax.random.key(0), 5)
    shown = family.sample(state.params, (), keys, {"image": batch["x"]})
    np.testing.assert_allclose(shown, family.decode(state.params, (), z, {}), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": "conv_1"}, "unknown layer of the MLP 'conv_1'"),
        ({"latent": 3}, "latent=3 the encoder needs outputs=6"),
        ({"draws": "codes"}, "draws=codes"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(UserError, match=message):
        begin(changes)
