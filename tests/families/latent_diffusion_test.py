import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError
from gen_jax.evals.receipts import describe_family
from gen_jax.families.latent import Latent
from gen_jax.random import example_keys
from gen_jax.types import TrainState, settings, with_settings


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A codec that loses nothing: 2x2 pixels of one channel become one of four, at 3 times their size, plus 1."""

    cond_keys: ClassVar[tuple[str, ...]] = ()
    latent_shape: tuple[int, ...] = (4, 4, 4)

    def init(self, key, batch):
        return {"model": {"size": jnp.float32(0)}}, ()

    def encode(self, params, extra, x, cond):
        b, h, w, _ = x.shape
        z = x.reshape(b, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 2, 4).reshape(b, h // 2, w // 2, 4)
        return params["model"]["size"] * z + 1

    def decode(self, params, extra, z, cond, keys=None):
        z = (z - 1) / params["model"]["size"]
        b, h, w, _ = z.shape
        return z.reshape(b, h, w, 2, 2).transpose(0, 1, 3, 2, 4).reshape(b, 2 * h, 2 * w, 1)


def diffusion(**fields):
    spec = {
        "name": "families.Diffusion",
        "network": {"name": "nn.UNet", "width": 8, "multipliers": (1,), "blocks": 1, "groups": 4},
        "conditioning": {"name": "nn.Conditioning", "width": 16, "num_classes": 2},
        "schedule": {"name": "diffusion.RectifiedFlow"},
        "parameterization": {"name": "diffusion.flow"},
        "sampler": {"name": "diffusion.Euler"},
        "steps": 2,
        **fields,
    }
    return build(gen_jax, spec, shape=(4, 4, 4), num_classes=2)


def made(family, n=6):
    x = jax.random.normal(jax.random.key(0), (n, 8, 8, 1)) * jnp.linspace(0.1, 1, 8)[:, None]
    batch = {"x": x, "label": jnp.arange(n) % 2}
    params, extra = family.init(jax.random.key(1), batch)
    extra["codec"]["params"]["model"]["size"] = jnp.float32(3)
    return TrainState(jnp.int32(0), params, {}, {}, extra), batch


def loss_of(family, state, batch):
    return family.losses["model"](state.params, state, batch, jax.random.key(2))


@pytest.mark.parametrize("scaling", ["channels", "one", "none"])
def test_the_first_batch_sets_the_scale_and_no_other_changes_it(scaling):
    family = Latent(Blocks(), diffusion(), scaling=scaling)
    state, batch = made(family)
    _, (_, extra) = loss_of(family, state, batch)
    scaled = (family.latents(state.extra, batch) - extra["mean"]) / extra["std"]
    if scaling == "channels":
        np.testing.assert_allclose(scaled.mean((0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(scaled.std((0, 1, 2)), 1, rtol=1e-4)
    elif scaling == "one":
        np.testing.assert_allclose(scaled.std(), 1, rtol=1e-4)
        np.testing.assert_array_equal(extra["mean"], 0)
    else:
        np.testing.assert_array_equal(scaled, family.latents(state.extra, batch))
    _, (_, later) = loss_of(family, state.replace(extra=extra), {**batch, "x": 5 * batch["x"] - 2})
    jax.tree.map(np.testing.assert_array_equal, later, extra)


def test_the_loss_is_the_models_on_scaled_latents():
    family = Latent(Blocks(), diffusion())
    state, batch = made(family)
    loss, (metrics, extra) = loss_of(family, state, batch)
    z = (family.latents(extra, batch) - extra["mean"]) / extra["std"]
    plain, (same, _) = loss_of(family.model, state.replace(extra=()), {**batch, "x": z})
    np.testing.assert_allclose(loss, plain, rtol=1e-6)
    assert set(metrics) == set(same)
    held = {**batch, "x": family.latents(extra, batch)}
    cached, _ = loss_of(dataclasses.replace(family, cached=True), state, held)
    assert cached == loss


def test_the_codec_stays_as_it_is():
    family = Latent(Blocks(), diffusion())
    state, batch = made(family)
    _, (_, extra) = loss_of(family, state, batch)
    jax.tree.map(np.testing.assert_array_equal, extra["codec"], state.extra["codec"])
    assert set(state.params) == {"model"}

    def of_codec(size):
        codec = {"params": {"model": {"size": size}}, "extra": ()}
        return loss_of(family, state.replace(extra={**extra, "codec": codec}), batch)[0]

    assert jax.grad(of_codec)(jnp.float32(3)) == 0


def test_samples_are_the_models_decoded():
    family = Latent(Blocks(), diffusion())
    state, batch = made(family)
    _, (_, extra) = loss_of(family, state, batch)
    keys, cond = example_keys(jax.random.key(5), batch), {"label": batch["label"]}
    z = family.model.sample(state.params, (), keys, cond) * extra["std"] + extra["mean"]
    x = family.sample(state.params, extra, keys, cond)
    np.testing.assert_allclose(family.latents(extra, {"x": x}), z, rtol=1e-5, atol=1e-5)


def test_settings_reach_the_model_inside():
    family = Latent(Blocks(), diffusion())
    assert settings(family)["steps"] == 2
    assert settings(family)["scaling"] == "channels"
    changed = with_settings(family, steps=7, scaling="one")
    assert (changed.model.steps, changed.scaling) == (7, "one")
    assert family.model.steps == 2
    with pytest.raises(AttributeError, match="a Diffusion has no levels"):
        with_settings(family, levels=3)
    assert describe_family(family)["sampler"] == "Euler"


def test_what_cannot_be():
    with pytest.raises(UserError, match="a Diffusion, which has no latents to model"):
        Latent(diffusion(), diffusion())
    with pytest.raises(UserError, match=r"unknown family\.scaling 'two'"):
        Latent(Blocks(), diffusion(), scaling="two")
    with pytest.raises(UserError, match=r"family\.model is a Blocks"):
        Latent(Blocks(), Blocks())
