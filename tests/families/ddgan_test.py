"""Denoising diffusion GANs: a generator that is perfect draws the data, in as many evaluations as there are steps."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.diffusion.schedule import Cosine, LinearBeta
from gen_jax.errors import UserError
from gen_jax.families.ddgan import DDGAN
from gen_jax.losses.adversarial import non_saturating
from gen_jax.nn.conditioning import Conditioned, Context
from gen_jax.random import fold, normal

MEAN, STD = 0.7, 0.4
SPEC = {
    "name": "families.DDGAN",
    "generator": {"name": "nn.MLP", "features": (8,)},
    "discriminator": {"name": "nn.MLP", "features": (8,), "outputs": 1},
    "conditioning": {"name": "nn.Conditioning", "width": 8},
    "mapping": {"name": "nn.MappingNetwork", "features": 4, "layers": 1},
    "schedule": {"name": "diffusion.LinearBeta"},
    "loss": {"name": "losses.non_saturating"},
    "latent": 3,
}


class Time(nn.Module):
    """The context's vector is the time itself."""

    keys = ()
    num_classes = 0

    def __call__(self, cond):
        return Context(vector=cond["noise"][:, None], spatial=cond.get("image"))


class Same(nn.Module):
    """w is z."""

    def __call__(self, z, vector):
        return z


class Perfect(nn.Module):
    """Draws x0 from p(x0 | x_t) for data that are normal with MEAN and STD, by z [b, 1]: closed form."""

    schedule: object

    def __call__(self, x, context, train=False):
        t, z = jnp.split(context.vector, 2, axis=-1)
        alpha, sigma = (a.reshape(-1, 1) for a in self.schedule(t[:, 0]))
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        std = STD * sigma / jnp.sqrt(alpha**2 * STD**2 + sigma**2)
        return MEAN + gain * (x - alpha * MEAN) + std * z


def perfect(schedule, steps=4):
    players = dict(generator=Perfect(schedule), discriminator=Perfect(schedule))
    others = dict(conditioning=Time(), mapping=Same(), loss=non_saturating, shape=(1,), latent=1, tanh=False)
    return DDGAN(**players, **others, schedule=schedule, steps=steps)


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("schedule", [LinearBeta(), Cosine()], ids=lambda s: type(s).__name__)
def test_a_perfect_generator_draws_the_law_of_the_data(schedule, steps):
    """Whatever the number of steps: the chain's marginals are those of the noised data (arXiv:2112.07804, eq. 5)."""
    keys = jax.random.split(jax.random.key(0), 20_000)
    x = jax.jit(perfect(schedule, steps).sample)({"gen": {}}, {}, keys, {})
    np.testing.assert_allclose(x.mean(), MEAN, atol=4 * STD / 20_000**0.5)
    np.testing.assert_allclose(x.std(), STD, rtol=0.025)


def test_the_discriminator_cannot_tell_a_perfect_generator():
    """Real and generated x_s have one mean, variance and covariance with x_t, at every step of the chain."""
    family, n = perfect(LinearBeta()), 40_000
    data = MEAN + STD * normal(jax.random.split(jax.random.key(1), n), (1,))
    seen = []

    def judge(self, params, x, cond, train=False, dropout=None):
        if "image" in cond:
            seen.append((np.asarray(x[:, 0]), np.asarray(cond["image"][:, 0]), np.asarray(cond["noise"])))
            return x
        return Conditioned(self.network, self.conditioning).apply({"params": params}, x, cond, train)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Conditioned, "evaluate", judge)
        family._play("gen", {"disc": {}, "gen": {}}, {"x": data}, jax.random.key(2))
    (real, x, t), (fake, same, _) = seen
    np.testing.assert_array_equal(x, same)
    for step in range(1, 5):
        at = np.isclose(t, step / 4)
        assert 0.2 < at.mean() < 0.3
        moments = [np.cov(one[at], x[at]) for one in (real, fake)]
        np.testing.assert_allclose(*moments, atol=0.06)
        np.testing.assert_allclose(real[at].mean(), fake[at].mean(), atol=0.05)


def test_a_sample_takes_as_many_evaluations_as_the_chain_has_steps():
    family, sizes = build(gen_jax, SPEC | {"steps": 3}, shape=(4,), num_classes=0), []
    params, extra = jax.jit(family.init)(jax.random.key(0), {"x": jnp.zeros((1, 4))})

    def count(call, args, kwargs, context):
        if isinstance(context.module, Conditioned):
            jax.debug.callback(lambda size: sizes.append(int(size)), jnp.int32(args[0].shape[0]))
        return call(*args, **kwargs)

    with nn.intercept_methods(count):
        jax.block_until_ready(jax.jit(family.sample)(params, extra, jax.random.split(jax.random.key(0), 5), {}))
    jax.effects_barrier()
    assert sizes == [5] * 3


def test_the_latent_makes_x0_another_one():
    family = build(gen_jax, SPEC, shape=(4,), num_classes=0)
    params, _ = jax.jit(family.init)(jax.random.key(0), {"x": jnp.zeros((1, 4))})
    params = jax.tree.map(lambda p: p + 0.3 * jnp.sin(1.7 * jnp.arange(p.size)).reshape(p.shape), params)
    keys, t = jax.random.split(jax.random.key(1), 6), jnp.full(6, 0.5)
    x, z = normal(keys, (4,)), normal(fold(keys, 1), (3,))
    one, other = (jax.jit(family.denoise)(params, x, t, latent, {}) for latent in (z, z[::-1]))
    assert float(jnp.abs(one - other).max()) > 1e-3
    assert float(jnp.abs(one).max()) < 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, ["family.steps=0"]),
        ({"latent": 0}, ["family.latent=0"]),
        ({"schedule": {"name": "diffusion.EDM"}}, ["EDM has no largest time"]),
        ({"generator": {"name": "nn.MLP", "outputs": 3}}, ["predicts x0", "(4,)"]),
        ({"discriminator": {"name": "nn.MLP", "outputs": 2}}, ["discriminator", "outputs=1"]),
    ],
)
def test_what_cannot_work_is_refused(changes, words):
    with pytest.raises(UserError) as error:
        jax.eval_shape(
            lambda: build(gen_jax, SPEC | changes, shape=(4,), num_classes=0).init(
                jax.random.key(0), {"x": jnp.zeros((1, 4))}
            )
        )
    assert all(word in str(error.value) for word in words), str(error.value)
