"""Distillation by matching distributions: on normal laws, whose scores are known, and the start as the teacher."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.diffusion.parameterization import x0 as predict_x0
from gen_jax.diffusion.samplers import Heun
from gen_jax.diffusion.schedule import Cosine
from gen_jax.errors import UserError
from gen_jax.families.adversarial_distillation import AdversarialDistillation
from gen_jax.families.diffusion import Diffusion
from gen_jax.nn.conditioning import Conditioned, Conditioning, Context
from gen_jax.nn.mlp import MLP
from gen_jax.types import TrainState

SHAPE = (5,)


class Time(nn.Module):
    """The context's vector is the time itself."""

    keys = ()
    num_classes = 0

    def __call__(self, cond):
        return Context(vector=cond["noise"][:, None])


class Shift(nn.Module):
    """x less something, a part whose output a head may read."""

    @nn.compact
    def __call__(self, x):
        return x - self.param("mean", nn.initializers.zeros, ())


class NormalDenoiser(nn.Module):
    """E(x0 | x_t) of normal data, whose mean and log of the standard deviation are the parameters; schedule: Cosine."""

    @nn.compact
    def __call__(self, x, context, train=False):
        alpha, sigma = Cosine()(context.vector)
        std = jnp.exp(self.param("log_std", nn.initializers.zeros, ()))
        centred = Shift(name="shift")(x / alpha)
        mean = x / alpha - centred
        return mean + alpha**2 * std**2 / (alpha**2 * std**2 + sigma**2) * centred


def law(mean, std):
    network = {"shift": {"mean": jnp.float32(mean)}, "log_std": jnp.log(jnp.float32(std))}
    return {"network": network}


def make(**changes):
    model = dict(network=NormalDenoiser(), conditioning=Time(), schedule=Cosine(), parameterization=predict_x0)
    teacher = Diffusion(**model, sampler=Heun(), shape=SHAPE, start=0.99, end=0.01)
    head = dict(head=MLP(features=(4,), outputs=1), conditioning=Conditioning(8), features="shift")
    return AdversarialDistillation(teacher=teacher, **head, shape=SHAPE, **changes)


def drawn(n=6):
    keys = jax.random.split(jax.random.key(0), 3)
    x, eps = (jax.random.normal(key, (n, *SHAPE)) for key in keys[:2])
    return x, jnp.linspace(0.1, 0.9, n), eps


def taught(mean, std):
    return {"teacher": {"params": {"model": law(mean, std)}, "extra": ()}}


def student_gradient(family, params, extra, x):
    state = TrainState(jnp.int32(0), params, {}, {}, extra)

    @jax.jit
    @jax.grad
    def gradient(own):
        return family.losses["student"]({**params, "student": own}, state, {"x": x}, jax.random.key(1))[0]

    return gradient(params["student"])


def test_the_direction_is_the_difference_of_the_scores():
    """fake - real of the denoisers is sigma^2 / alpha (score_fake - score_real) at x_u, with the scores of normal laws
    N(alpha m, alpha^2 s^2 + sigma^2) in closed form."""
    family, (x, u, eps) = make(), drawn()
    params = {"fake": {"score": law(0.5, 0.3)}}
    got = jax.jit(family.match)(params, taught(-0.2, 0.8), x, u, eps, {})
    alpha, sigma = (np.asarray(a)[:, None] for a in Cosine()(u))
    noisy = alpha * np.asarray(x) + sigma * np.asarray(eps)
    fake, real = ((alpha * m - noisy) / (alpha**2 * s**2 + sigma**2) for m, s in ((0.5, 0.3), (-0.2, 0.8)))
    real_x0 = (noisy + sigma**2 * real) / alpha
    scale = np.abs(np.asarray(x) - real_x0).mean(1, keepdims=True)
    np.testing.assert_allclose(got, sigma**2 / alpha * (fake - real) / scale, rtol=2e-4, atol=1e-5)


def test_nothing_is_to_be_learned_where_the_fake_knows_the_same_law():
    """At the optimum the fake, which knows what the student draws, is the teacher: no direction and no gradient."""
    family, (x, u, eps) = make(gen_weight=0.0), drawn()
    head = jax.jit(family.init)(jax.random.key(0), {"x": x})[0]["fake"]["head"]
    params = {"fake": {"score": law(0.4, 0.6), "head": head}, "student": law(-1.0, 0.2)}
    found = jax.jit(family.match)(params, taught(0.4, 0.6), x, u, eps, {})
    np.testing.assert_allclose(found, 0.0, atol=1e-6)
    grads = student_gradient(family, params, taught(0.4, 0.6), x)
    assert all(float(jnp.abs(g)) < 1e-6 for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("far", [-1.0, 1.0])
def test_the_student_is_pulled_to_the_law_of_the_teacher(far):
    """Its mean falls where it is too large and rises where it is too small, beside a fake that knows it."""
    family, (x, *_) = make(gen_weight=0.0), drawn(32)
    head = jax.jit(family.init)(jax.random.key(0), {"x": x})[0]["fake"]["head"]
    params = {"fake": {"score": law(0.3 + far, 0.5), "head": head}, "student": law(0.3 + far, 0.5)}
    grads = student_gradient(family, params, taught(0.3, 0.5), x)
    assert np.sign(float(grads["network"]["shift"]["mean"])) == np.sign(far)


def test_the_student_starts_as_the_teacher_and_so_does_the_fake():
    family, batch = make(), {"x": jnp.zeros((2, *SHAPE))}
    params, _ = jax.jit(family.init)(jax.random.key(0), batch)
    started = family.first_params(params, taught(0.7, 0.2))
    for got in (started["student"], started["fake"]["score"]):
        jax.tree.map(np.testing.assert_array_equal, got, law(0.7, 0.2))
    jax.tree.map(np.testing.assert_array_equal, started["fake"]["head"], params["fake"]["head"])
    x, t = jax.random.normal(jax.random.key(1), (2, *SHAPE)), jnp.float32(0.6)
    teacher = family.teacher.denoiser({"model": law(0.7, 0.2)})(x, jnp.full(2, t), {}).x0
    np.testing.assert_array_equal(family.draw(started["student"], x, t, {}), teacher)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_sample_takes_as_many_evaluations_as_there_are_steps(steps):
    family, calls = make(steps=steps), []

    def count(call, args, kwargs, context):
        calls.append(isinstance(context.module, Conditioned))
        return call(*args, **kwargs)

    keys = jax.random.split(jax.random.key(0), 2)
    with nn.intercept_methods(count):
        x = jax.eval_shape(family.sample, {"student": law(0.0, 1.0)}, (), keys, {})
    assert (sum(calls), x.shape) == (steps, (2, *SHAPE))


def test_a_perfect_student_is_trained_on_what_it_draws_itself():
    """Backward simulation: at every time the student sees its own x0 with new noise. One that always draws its mean
    sees N(alpha mean, sigma^2) after its first evaluation, and pure noise at it."""
    family, seen = make(steps=2, times=(0.4,)), []
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = family.draw
    object.__setattr__(family, "draw", lambda model, x, t, cond: (seen.append((x, t)), draw(model, x, t, cond))[1])

    @jax.jit
    def last_seen(model, keys):
        family._generate(model, keys, {})
        return seen[-1]

    x, t = map(np.asarray, last_seen(law(2.0, 1e-4), keys))
    later = np.isclose(t, 0.4)
    assert 0.45 < later.mean() < 0.55
    alpha, sigma = (float(a) for a in Cosine()(jnp.float32(0.4)))
    np.testing.assert_allclose(x[later].mean(), alpha * 2.0, atol=0.03)
    np.testing.assert_allclose(x[later].std(), sigma, rtol=0.03)
    np.testing.assert_allclose(x[~later].mean(), 0.0, atol=0.05)


TEACHER = {
    "name": "families.Diffusion",
    "network": {"name": "nn.MLP", "features": (8,)},
    "conditioning": {"name": "nn.Conditioning", "width": 8, "num_classes": 3},
    "schedule": {"name": "diffusion.Cosine"},
    "parameterization": {"name": "diffusion.v"},
    "sampler": {"name": "diffusion.Heun"},
}
SPEC = {
    "name": "families.AdversarialDistillation",
    "teacher": TEACHER,
    "head": {"name": "nn.MLP", "features": (4,), "outputs": 1},
    "conditioning": {"name": "nn.Conditioning", "width": 8},
    "features": "dense_0",
}
GAN = {
    "name": "families.GAN",
    "generator": {"name": "nn.MLP"},
    "discriminator": {"name": "nn.MLP", "outputs": 1},
    "conditioning": {"name": "nn.Conditioning", "width": 8},
    "loss": {"name": "losses.hinge"},
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, ["family.steps=0"]),
        ({"gen_weight": -1.0}, ["family.gen_weight=-1.0"]),
        ({"teacher": GAN}, ["family.teacher is a GAN", "Diffusion"]),
        ({"teacher": TEACHER | {"self_condition": 0.5}}, ["family.teacher has self_condition=0.5"]),
        (
            {"teacher": TEACHER | {"conditioning": {**TEACHER["conditioning"], "num_classes": 7}}},
            ["7 classes", "has 3"],
        ),
        ({"times": (0.5,), "steps": 2, "teacher": TEACHER | {"start": 0.4}}, ["times=(0.5,)", "0.4"]),
        ({"times": (0.2, 0.5), "steps": 3}, ["times=(0.2, 0.5)", "fall"]),
        ({"time": {"name": "diffusion.karras_levels"}}, ["family.time", "Cosine", "[0, 1]"]),
        (
            {
                "teacher": TEACHER | {"parameterization": {"name": "diffusion.x0"}},
                "time": {"name": "diffusion.uniform"},
            },
            [],
        ),
        (
            {
                "teacher": TEACHER | {"parameterization": {"name": "diffusion.eps"}, "start": 0.9},
                "time": {"name": "diffusion.uniform", "low": 0.9999999, "high": 1.0},
            },
            ["family.time", "does not give x0"],
        ),
        ({"features": "dense_7"}, ["features='dense_7'", "dense_0", "film_0"]),
        ({"head": {"name": "nn.MLP", "outputs": 2}}, ["head reads features (8,)", "outputs=1"]),
    ],
)
def test_teachers_and_numbers_that_cannot_work_are_refused(changes, words):
    def init():
        family = build(gen_jax, SPEC | changes, shape=(4,), num_classes=3)
        batch = {"x": jnp.zeros((1, 4)), "label": jnp.zeros(1, jnp.int32)}
        return jax.eval_shape(family.init, jax.random.key(0), batch)

    if not words:
        init()
        return
    with pytest.raises(UserError) as error:
        init()
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)
