"""The variational diffusion model: its bound against an independent estimate, and the learned schedule's shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.diffusion.likelihood import bits, elbo
from gen_jax.diffusion.schedule import log_snr
from gen_jax.errors import UserError
from gen_jax.nn.noise_schedule import MonotoneNoise

SHAPE = (4, 4, 1)
SPEC = {
    "name": "families.VDM",
    "network": {"name": "nn.MLP", "features": (32,)},
    "conditioning": {"name": "nn.Conditioning", "width": 8},
    "noise": {"name": "nn.MonotoneNoise", "hidden": 16},
    "sampler": {"name": "diffusion.Ancestral"},
}


def make(**changes):
    return build(gen_jax, SPEC | changes, shape=SHAPE, num_classes=0)


def test_the_schedule_rises_from_zero_to_one_for_any_weights():
    t = jnp.linspace(0, 1, 201)
    for seed in range(4):
        module = MonotoneNoise(hidden=32)
        params = module.init(jax.random.key(seed), t)["params"]
        moved = jax.tree.map(lambda p, s=seed: p + 3 * jax.random.normal(jax.random.key(s), p.shape), params)
        for weights in (params, moved):
            u = module.apply({"params": weights}, t)
            np.testing.assert_allclose(u[jnp.array([0, -1])], [0, 1], atol=1e-6)
            assert (jnp.diff(u) > 0).all()


def test_the_log_snr_has_the_ends_that_are_learned():
    family = make(low=-8.0, high=4.0)
    params, _ = family.init(jax.random.key(0), {"x": jnp.zeros((1, *SHAPE))})
    np.testing.assert_allclose(log_snr(family.schedule(params), jnp.array([0.0, 1.0])), [8.0, -4.0], rtol=1e-5)


def test_the_loss_is_the_bound_that_likelihood_estimates_of_the_same_model():
    """Two estimates by different code: the family draws t uniformly, likelihood.elbo log snrs evenly."""
    family = make(low=-6.0, high=5.0)
    params, _ = family.init(jax.random.key(0), {"x": jnp.zeros((1, *SHAPE))})
    params["model"] = jax.tree.map(lambda p: p + 0.02 * jnp.cos(jnp.arange(p.size)).reshape(p.shape), params["model"])
    levels = jax.random.randint(jax.random.key(1), (256, *SHAPE), 100, 150)
    x = levels / 127.5 - 1.0
    state = gen_jax.types.TrainState(jnp.int32(0), params, {}, {}, ())
    loss = jax.jit(lambda key: family.losses["model"](params, state, {"x": x}, key)[1][0])
    draws = [loss(jax.random.key(i)) for i in range(30)]
    got = {name: np.mean([d[name] for d in draws]) for name in draws[0]}

    denoise, schedule = family.denoiser(params), family.schedule(params)
    keys = jax.random.split(jax.random.key(2), len(x))
    bound = elbo(keys, x, lambda x, t: denoise(x, t, {}), schedule, 1.0, 0.0, draws=60)
    for name, nats in (("diffusion", bound.diffusion), ("reconstruction", bound.reconstruction)):
        np.testing.assert_allclose(got[name], bits(-nats, SHAPE).mean(), rtol=0.03)
    np.testing.assert_allclose(got["bits_per_dim"], got["prior"] + got["reconstruction"] + got["diffusion"], rtol=1e-5)


def test_the_schedules_loss_does_not_move_the_network_and_has_a_gradient():
    family = make()
    params, _ = family.init(jax.random.key(0), {"x": jnp.zeros((1, *SHAPE))})
    state = gen_jax.types.TrainState(jnp.int32(0), params, {}, {}, ())
    batch = {"x": jax.random.uniform(jax.random.key(0), (8, *SHAPE), minval=-1, maxval=1)}

    def loss(own):
        return family.losses["schedule"]({**params, "schedule": own}, state, batch, jax.random.key(0))[0]

    assert any(jnp.any(g != 0) for g in jax.tree.leaves(jax.grad(loss)(params["schedule"])))


@pytest.mark.parametrize(("changes", "words"), [({"steps": 0}, ["steps=0"]), ({"low": 6.0}, ["low=6.0", "high=5.0"])])
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(UserError) as error:
        make(**changes)
    assert all(word in str(error.value) for word in words), str(error.value)
