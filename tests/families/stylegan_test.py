"""What growing and style-based networks are in the family: truncation, progress, path lengths, precision."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError
from gen_jax.losses.penalties import Game, PathLength, path_lengths
from gen_jax.nn.layers import upsample
from gen_jax.nn.resample import fir_downsample
from gen_jax.random import normal as draw
from gen_jax.training import parallel
from gen_jax.training.optim import make_optimizer
from gen_jax.training.state import init_state
from gen_jax.training.step import make_train_step

SHAPE = (8, 8, 1)
SMALL = {"channel_base": 64, "channel_max": 8}
STYLED = {**SMALL, "width": 8, "layers": 2, "lr_multiplier": 1.0}
STYLE2 = {
    "name": "families.GAN",
    "generator": {"name": "nn.StyleGAN2Generator", **STYLED},
    "discriminator": {"name": "nn.StyleGAN2Discriminator", **SMALL},
    "conditioning": {"name": "nn.OneHot", "num_classes": 0},
    "loss": {"name": "losses.non_saturating"},
    "latent": 4,
    "disc_penalties": {"r1": {"name": "losses.Penalty", "of": {"name": "losses.r1"}, "every": 2}},
    "gen_penalties": {"path": {"name": "losses.Penalty", "of": {"name": "losses.PathLength"}, "every": 2}},
}
GROWING = {
    **STYLE2,
    "generator": {"name": "nn.ProgressiveGenerator", **SMALL},
    "discriminator": {"name": "nn.ProgressiveDiscriminator", **SMALL},
    "growth": {"name": "nn.Growth", "stages": 1, "hold": 1, "fade": 2},
    "gen_penalties": {},
}


def make(spec, shape=SHAPE, **changes):
    return build(gen_jax, spec | changes, shape=shape, num_classes=10)


def a_batch(n=16):
    x = jax.random.uniform(jax.random.key(0), (n, *SHAPE), minval=-1, maxval=1)
    return {"x": x, "index": jnp.arange(n)}


@functools.cache
def prepared():
    family = make(STYLE2)
    optimizers = {player: make_optimizer({"name": "adam", "learning_rate": 1e-3}) for player in family.losses}
    init = jax.jit(lambda key: init_state(family, optimizers, {}, key, a_batch()))
    return family, init(jax.random.key(0)), make_train_step(family, optimizers, {})


@pytest.mark.parametrize("name", ["nn.StyleGANGenerator", "nn.StyleGAN2Generator"])
def test_truncation_goes_from_the_mean_image_to_the_whole_variety(name):
    generator = {"name": name, **STYLED}
    whole = make(STYLE2, generator=generator)
    params, extra = jax.jit(whole.init)(jax.random.key(0), a_batch())
    mean = jnp.linspace(-1.0, 1.0, 8)
    extra["gen"]["w_mean"]["network"]["mean"] = mean
    z = jax.random.normal(jax.random.key(1), (4, 4))
    w = whole.map(params, extra, z, {})

    def truncated(psi):
        return make(STYLE2, generator=generator, truncation=psi)

    np.testing.assert_allclose(truncated(1.0).map(params, extra, z, {}), w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(truncated(0.5).map(params, extra, z, {}), (w + mean) / 2, rtol=1e-5, atol=1e-6)
    images = jax.jit(truncated(0.0).decode)(params, extra, z, {})
    image = whole.synthesize(params, extra, jnp.broadcast_to(mean, (1, *w.shape[1:])), {})
    np.testing.assert_allclose(images, jnp.broadcast_to(image, images.shape), atol=1e-5)
    assert float(jnp.abs(whole.decode(params, extra, z, {}) - image).max()) > 1e-3


def test_path_lengths_of_a_linear_generator():
    """x = W w has J^T y = W^T y; for several w it is the root mean square over them. y is noise / sqrt(pixels)."""
    keys = jax.random.split(jax.random.key(0), 3)
    y = np.asarray(draw(keys, (2, 4, 3))).reshape(3, -1) / np.sqrt(8)
    matrix = np.random.default_rng(0).normal(size=(5, 2 * 6, 24)).astype(np.float32)[0]

    def decode(w):
        return (w.reshape(w.shape[0], -1) @ matrix).reshape(-1, 2, 4, 3)

    pulled = (y @ matrix.T).reshape(3, 2, 6)
    expected = np.sqrt(np.square(pulled).sum(-1).mean(-1))
    np.testing.assert_allclose(path_lengths(decode, jnp.ones((3, 2, 6)), keys), expected, rtol=1e-5)

    game = Game(*[None] * 5, decode=decode, latent=jnp.ones((3, 2, 6)), params={}, keys=keys)
    value, mean = PathLength(rate=0.25)(game, jnp.float32(2.0))
    np.testing.assert_allclose(mean, 2 + 0.25 * (expected.mean() - 2), rtol=1e-5)
    np.testing.assert_allclose(value, np.square(expected - mean), rtol=1e-4)


def test_path_lengths_do_not_depend_on_the_number_of_devices():
    family, state, _ = prepared()

    def loss(state, batch, key):
        value, (metrics, _) = family.losses["gen"](state.params, state, batch, key)
        return value, metrics["path"]

    found = []
    for devices in (1, 2, 8):
        mesh = parallel.make_mesh(devices)
        whole, split = parallel.replicated(mesh), parallel.split_batch(mesh)
        run = jax.jit(loss, in_shardings=(whole, split, whole), out_shardings=whole)
        found.append(run(jax.device_put(state, whole), jax.device_put(a_batch(), split), jax.random.key(1)))
    assert float(found[0][1]) > 1e-6
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-4)


def test_lazy_penalties_and_the_mean_of_w_over_steps():
    _, state, step = prepared()
    step, paid, means = jax.jit(step), [], []
    for _ in range(4):
        state, metrics = step(state, a_batch(), jax.random.key(1))
        chex.assert_tree_all_finite(state)
        paid.append([bool(jnp.isfinite(metrics[name])) for name in ("gen/path", "disc/r1")])
        means.append(state.extra["gen"]["w_mean"]["network"]["mean"])
    assert paid == [[True, True], [False, False]] * 2
    assert float(state.extra["memory"]["gen"]["path"]["own"]) > 0
    assert all(float(jnp.abs(a - b).max()) > 0 for a, b in zip(means[1:], means, strict=False))


@pytest.mark.slow
def test_a_step_in_bfloat16_is_finite_and_near_float32():
    losses = []
    for dtype in ("float32", "bfloat16"):
        half = {"dtype": dtype, "clamp": 256.0}
        family = make(
            STYLE2,
            generator={**STYLE2["generator"], **half},
            discriminator={**STYLE2["discriminator"], **half},
        )
        params, extra = jax.jit(family.init)(jax.random.key(0), a_batch())
        _, state, _ = prepared()
        state = state.replace(params=params, extra=extra)
        for player, loss_fn in family.losses.items():
            (loss, _), grads = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(
                params, state, a_batch(), jax.random.key(1)
            )
            chex.assert_tree_all_finite((loss, grads[player]))
            losses.append(float(loss))
    np.testing.assert_allclose(losses[2:], losses[:2], rtol=0.05)
    assert losses[2:] != losses[:2]


def test_a_run_grows_and_is_sampled_as_far_as_it_has_grown():
    family = make(GROWING)
    optimizers = {player: make_optimizer({"name": "adam", "learning_rate": 1e-3}) for player in family.losses}
    state = jax.jit(lambda key: init_state(family, optimizers, {}, key, a_batch()))(jax.random.key(0))
    step = jax.jit(chex.assert_max_traces(make_train_step(family, optimizers, {}), 1))
    sample, keys = jax.jit(family.sample), jax.random.split(jax.random.key(2), 3)
    blocky, progress = [], []
    for _ in range(5):
        x = sample(state.params, state.extra, keys, {})
        blocky.append(bool(jnp.allclose(upsample(fir_downsample(x)), x, atol=1e-5)))
        progress.append(float(state.extra["progress"]))
        state, metrics = step(state, a_batch(), jax.random.key(1))
        np.testing.assert_allclose(metrics["disc/progress"], state.extra["progress"])
    np.testing.assert_allclose(progress, [0, 0, 0.5, 1, 1], atol=1e-6)
    assert blocky == [True, True, False, False, False]


def test_what_cannot_work_is_told_before_anything_compiles():
    with pytest.raises(UserError, match="a batch of 10 does not divide into groups of 4"):
        make(STYLE2).check_batch(10)
    make(STYLE2).check_batch(12)
    with pytest.raises(UserError, match="a batch of 10 does not divide into groups of 4"):
        make(GROWING).check_batch(10)
    with pytest.raises(UserError, match=r"stages=1 end at 8x8, and an example's shape is \(16, 16, 1\)"):
        jax.eval_shape(make(GROWING, (16, 16, 1)).init, jax.random.key(0), {"x": jnp.zeros((2, 16, 16, 1))})
    with pytest.raises(UserError, match=r"truncation=0\.0"):
        make(GROWING, truncation=0.0)
