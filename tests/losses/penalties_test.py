"""Penalties on critics of known slopes and generators of known path lengths, and their second derivatives."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen_jax.errors import UserError
from gen_jax.losses import penalties
from gen_jax.losses.penalties import Game, LeCam, PathLength, Penalty
from gen_jax.training import parallel
from gen_jax.training.optim import clip_weights, make_optimizer

W = jnp.array([3.0, 4.0])  # of length 5
STEP = jnp.int32(3)  # no interval is counted from it
REAL, FAKE = jnp.array([[1.0, 2.0], [0.0, -1.0]]), jnp.array([[3.0, 0.0], [1.0, 1.0]])


def linear(x):
    """D(x) = w.x, whose slope is |w| = 5 everywhere."""
    return x @ W


def quadratic(x):
    """D(x) = |x|^2 / 2, whose slope at x is |x|."""
    return jnp.square(x).sum(1) / 2


def a_game(critic=linear, real=REAL, fake=FAKE, decode=None, latent=None, params=None, seed=0):
    keys = jax.random.split(jax.random.key(seed), len(real))
    return Game(critic, real, fake, critic(real), critic(fake), decode, latent, params or {}, keys)


def test_r1_and_r2_by_hand():
    np.testing.assert_allclose(penalties.r1(a_game()), [12.5, 12.5])
    np.testing.assert_allclose(penalties.r2(a_game()), [12.5, 12.5])
    np.testing.assert_allclose(penalties.r1(a_game(quadratic)), [5 / 2, 1 / 2])
    np.testing.assert_allclose(penalties.r2(a_game(quadratic)), [9 / 2, 2 / 2])


def test_slopes_are_summed_over_all_values_of_an_image():
    x = jnp.arange(2 * 2 * 3 * 1.0).reshape(2, 2, 3, 1)
    square = lambda x: jnp.square(x).reshape(len(x), -1).sum(1) / 2  # noqa: E731
    np.testing.assert_allclose(penalties.r1(a_game(square, x, x)), [55 / 2, 451 / 2])  # 0+1+4+..25; 36+49+..+121


def test_gradient_penalties_of_a_linear_critic_by_hand():
    np.testing.assert_allclose(penalties.gradient_penalty(a_game()), [16, 16], rtol=1e-6)  # (5 - 1)^2
    np.testing.assert_allclose(penalties.gradient_penalty(a_game(), one_sided=True), [16, 16], rtol=1e-6)
    np.testing.assert_allclose(penalties.gradient_penalty(a_game(), target=6.0), [1, 1], rtol=1e-5)
    np.testing.assert_allclose(penalties.gradient_penalty(a_game(), target=6.0, one_sided=True), [0, 0])
    np.testing.assert_allclose(penalties.zero_centred(a_game()), [25, 25], rtol=1e-6)
    np.testing.assert_allclose(penalties.dragan(a_game()), [16, 16], rtol=1e-6)


def test_wgan_gp_looks_between_real_and_generated_examples():
    """Real and generated at the two ends of a line through 0: the slopes |x| of a quadratic critic are the places."""
    n = 4096
    real, fake = jnp.tile(jnp.array([[2.0, 0.0]]), (n, 1)), jnp.tile(jnp.array([[0.0, 0.0]]), (n, 1))
    squares = penalties.zero_centred(a_game(quadratic, real, fake))  # (2 u)^2, u uniform in [0, 1]
    places = np.sqrt(np.asarray(squares))
    assert 0 <= places.min() < 0.01
    assert 1.99 < places.max() <= 2
    np.testing.assert_allclose(places.mean(), 1.0, atol=0.04)
    np.testing.assert_allclose(squares.mean(), 4 / 3, atol=0.08)
    np.testing.assert_allclose(penalties.gradient_penalty(a_game(quadratic, real, fake)).mean(), 1 / 3, atol=0.03)
    one_sided = penalties.gradient_penalty(a_game(quadratic, real, fake), one_sided=True).mean()
    np.testing.assert_allclose(one_sided, 1 / 6, atol=0.03)


def test_dragan_looks_beside_real_examples():
    """All real examples but two at the origin: x = a c u, a and u uniform, c = spread * std, so E x^2 = (c / 3)^2."""
    n = 4096
    real = jnp.zeros((n, 2)).at[:2].set(jnp.array([[40.0, 40.0], [-40.0, -40.0]]))
    std = 40 * (2 / n) ** 0.5
    squares = penalties.dragan(a_game(quadratic, real, real), target=0.0)[2:]
    np.testing.assert_allclose(squares.mean(), 2 * (0.5 * std / 3) ** 2, rtol=0.06)
    assert squares.max() <= 2 * (0.5 * std) ** 2
    np.testing.assert_allclose(penalties.dragan(a_game(quadratic, real, real), target=0.0, spread=0.0)[2:], 0)


def test_consistency_by_hand():
    """T adds 1 to each value: a linear critic moves by 3 + 4 = 7 at every x."""
    moved = lambda keys, x: x + 1  # noqa: E731
    np.testing.assert_allclose(penalties.consistency(a_game(), moved), [49, 49], rtol=1e-6)
    np.testing.assert_allclose(penalties.balanced_consistency(a_game(), moved), [98, 98], rtol=1e-6)
    np.testing.assert_allclose(penalties.balanced_consistency(a_game(), moved, fake_weight=2.0), [147, 147], rtol=1e-6)
    # |x + 1|^2 / 2 - |x|^2 / 2 = sum(x) + 1
    np.testing.assert_allclose(penalties.consistency(a_game(quadratic), moved), [16, 0], atol=1e-5)
    halves = penalties.balanced_consistency(a_game(quadratic), moved)
    np.testing.assert_allclose(halves, [16 + 16, 0 + 9], rtol=1e-6)


def test_consistency_augments_real_and_generated_examples_by_keys_of_their_own():
    seen = []

    def augment(keys, x):
        seen.append(jax.random.key_data(keys))
        return x

    penalties.balanced_consistency(a_game(), augment)
    assert len(np.unique(np.concatenate(seen), axis=0)) == 4


def test_lecam_by_hand():
    game = a_game()  # real logits 11, -4; generated 9, 7
    lecam = LeCam(decay=0.9)
    value, memory = lecam(game, lecam.init())
    np.testing.assert_allclose(value, [11**2 + 9**2, 4**2 + 7**2])
    np.testing.assert_allclose([memory["real"], memory["fake"]], [0.35, 0.8], rtol=1e-6)
    value, memory = lecam(game, memory)
    np.testing.assert_allclose(value, [10.2**2 + 8.65**2, 4.8**2 + 6.65**2], rtol=1e-6)
    np.testing.assert_allclose([memory["real"], memory["fake"]], [0.9 * 0.35 + 0.35, 0.9 * 0.8 + 0.8], rtol=1e-6)


def test_orthogonal_is_its_formula():
    """W^T W of the kernel [[1, 2], [0, 1]] is [[1, 2], [2, 5]]: twice 2^2 beside the diagonal."""
    kernel = jnp.array([[1.0, 2.0], [0.0, 1.0]])
    one = a_game(params={"dense": {"kernel": kernel, "bias": jnp.ones(2)}, "scale": 3.0 * jnp.ones((2, 2))})
    np.testing.assert_allclose(penalties.orthogonal(one), 8.0)
    conv = np.random.default_rng(0).normal(size=(3, 3, 2, 5)).astype(np.float32)
    both = a_game(params={"a": {"kernel": kernel}, "b": {"weight": jnp.asarray(conv)}})
    flat = conv.reshape(18, 5).astype(np.float64)
    expected = 8.0 + (np.square(flat.T @ flat) * (1 - np.eye(5))).sum()
    np.testing.assert_allclose(penalties.orthogonal(both), expected, rtol=1e-5)


@given(st.integers(0, 1000))
def test_orthogonal_filters_of_any_length_are_not_penalized(seed):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(7, 4)))
    game = a_game(params={"kernel": jnp.asarray(q * rng.uniform(0.1, 5, 4), jnp.float32)})
    assert float(penalties.orthogonal(game)) < 1e-6


# Path lengths of x = A w: J^T y = A^T y, whose length's mean square is |A|^2 / (h w), for y normal over sqrt(h w).


def linear_generator(n=4096, image=(2, 2, 1), width=3, seed=0):
    """A game with x = A w, and A [values, width]."""
    a = np.random.default_rng(seed).normal(size=(int(np.prod(image)), width)).astype(np.float32)
    decode = lambda w: (w @ a.T).reshape(-1, *image)  # noqa: E731
    latent = jax.random.normal(jax.random.key(seed + 1), (n, width))
    x = decode(latent)
    critic = lambda x: x.reshape(len(x), -1).sum(1)  # noqa: E731
    return a_game(critic, x, x, decode, latent), a


@pytest.mark.parametrize("image", [(2, 2, 1), (4, 2, 3)])
def test_the_path_length_of_a_linear_generator_is_its_matrix(image):
    game, a = linear_generator(image=image)
    lengths = penalties.path_lengths(game.decode, game.latent, game.keys)
    np.testing.assert_allclose(jnp.square(lengths).mean(), np.square(a).sum() / (image[0] * image[1]), rtol=0.05)


def test_path_lengths_of_a_scaled_rotation_are_the_lengths_of_the_noise():
    """A = 3 Q with Q orthogonal: |A^T y| = 3 |y| exactly, and y is of the key of each image alone."""
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    decode = lambda w: 3 * (w @ q.T.astype(np.float32)).reshape(-1, 2, 2, 1)  # noqa: E731
    keys = jax.random.split(jax.random.key(0), 6)
    lengths = penalties.path_lengths(decode, jnp.ones((6, 4)), keys)
    y = jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys) / 2
    np.testing.assert_allclose(lengths, 3 * jnp.linalg.norm(y, axis=1), rtol=1e-5)
    np.testing.assert_allclose(penalties.path_lengths(decode, jnp.ones((2, 4)), keys[4:]), lengths[4:], rtol=1e-5)


def test_path_lengths_over_several_w_are_a_root_mean_square():
    """x = w_0 + 2 w_1 with an unused w_2: |J^T y|^2 over the three layers is (1 + 4 + 0) |y|^2 / 3."""
    decode = lambda w: (w[:, 0] + 2 * w[:, 1]).reshape(-1, 1, 2, 1)  # noqa: E731
    keys = jax.random.split(jax.random.key(0), 5)
    lengths = penalties.path_lengths(decode, jnp.ones((5, 3, 2)), keys)
    y = jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys) / 2**0.5
    np.testing.assert_allclose(lengths, jnp.sqrt(5 / 3) * jnp.linalg.norm(y, axis=1), rtol=1e-6)


def test_path_length_against_its_running_mean_by_hand():
    """x = 2 w in one dimension: lengths are 2 |y|."""
    game = a_game(linear, decode=lambda w: 2 * w[:, :, None, None], latent=jnp.ones((2, 1)))
    lengths = 2 * np.abs(jax.vmap(lambda key: jax.random.normal(key, (1,)))(game.keys))[:, 0]
    value, mean = PathLength(rate=0.25)(game, jnp.float32(1.0))
    np.testing.assert_allclose(mean, 0.75 + 0.25 * lengths.mean(), rtol=1e-6)
    np.testing.assert_allclose(value, np.square(lengths - (0.75 + 0.25 * lengths.mean())), rtol=1e-5)


def test_the_running_mean_comes_to_the_mean_length():
    game, _ = linear_generator(n=64)
    penalty, mean = PathLength(rate=0.1), PathLength().init()
    for _ in range(100):
        _, mean = penalty(game, mean)
    np.testing.assert_allclose(mean, penalties.path_lengths(game.decode, game.latent, game.keys).mean(), rtol=1e-3)


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_path_length_is_the_same_on_any_number_of_devices(devices):
    """The noise is of each image's key, and neither it nor the mean knows of the batch's layout."""
    game, a = linear_generator(n=16)

    def penalty(scale, latent, keys):
        decode = lambda w: scale * (w @ a.T).reshape(-1, 2, 2, 1)  # noqa: E731
        played = dataclasses.replace(game, decode=decode, latent=latent, keys=keys)
        value, mean = PathLength()(played, jnp.float32(0.5))
        return value.mean(), mean

    both = jax.value_and_grad(penalty, has_aux=True)
    expected = both(jnp.float32(1.5), game.latent, game.keys)
    mesh = parallel.make_mesh(devices)
    whole, split = parallel.replicated(mesh), parallel.split_batch(mesh)
    found = jax.jit(both, in_shardings=(whole, split, split), out_shardings=whole)(
        jnp.float32(1.5), jax.device_put(game.latent, split), jax.device_put(game.keys, split)
    )
    chex.assert_trees_all_close(found, expected, rtol=1e-5)


# Second derivatives: a penalty on a slope is differentiated again, by the parameters.

MOVED = lambda keys, x: 1.1 * x + 0.1  # noqa: E731
PENALTIES = {
    "r1": penalties.r1,
    "r2": penalties.r2,
    "gradient_penalty": penalties.gradient_penalty,
    "one_sided": functools.partial(penalties.gradient_penalty, one_sided=True, target=0.1),
    "zero_centred": penalties.zero_centred,
    "dragan": penalties.dragan,
    "consistency": functools.partial(penalties.consistency, augment=MOVED),
    "balanced_consistency": functools.partial(penalties.balanced_consistency, augment=MOVED),
    "lecam": LeCam(),
    "path_length": PathLength(rate=0.0),  # else the running mean moves, which is a constant of the loss
    "orthogonal": penalties.orthogonal,
}


def network(params, x):
    """A small smooth network, [b, 3] -> [b, 4]."""
    return jnp.tanh(x @ params["in"]["kernel"] + params["in"]["bias"]) @ params["out"]["kernel"]


def some_params(seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    hidden = {"kernel": jax.random.normal(keys[0], (3, 5)), "bias": jax.random.normal(keys[1], (5,))}
    return {"in": hidden, "out": {"kernel": jax.random.normal(keys[2], (5, 4))}}


def paid(name, params):
    """The mean of a penalty as a function of the parameters."""
    x = jax.random.normal(jax.random.key(7), (2, 6, 3))
    game = a_game(lambda x: network(params, x).sum(1), x[0], x[1], params=params)
    game = dataclasses.replace(game, decode=lambda w: network(params, w).reshape(-1, 2, 2, 1), latent=x[0])
    penalty = PENALTIES[name]
    memory = jax.tree.map(lambda m: m + 0.3, penalty.init()) if hasattr(penalty, "init") else None
    return (penalty(game) if memory is None else penalty(game, memory)[0]).mean()


@pytest.mark.parametrize("name", PENALTIES)
def test_the_gradient_of_a_penalty_is_that_of_finite_differences(name):
    params, direction = some_params(), some_params(1)
    grads = jax.jit(jax.grad(functools.partial(paid, name)))(params)
    chex.assert_tree_all_finite(grads)
    slope = sum(float((g * d).sum()) for g, d in zip(jax.tree.leaves(grads), jax.tree.leaves(direction), strict=True))
    value = jax.jit(lambda t: paid(name, jax.tree.map(lambda p, d: p + t * d, params, direction)))
    h = 2e-3
    expected = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    np.testing.assert_allclose(slope, expected, rtol=5e-3, atol=1e-3)
    assert abs(slope) > 1e-2


@pytest.mark.parametrize("name", PENALTIES)
def test_gradients_are_finite_where_all_slopes_are_zero(name):
    zeros = jax.tree.map(jnp.zeros_like, some_params())
    value, grads = jax.value_and_grad(functools.partial(paid, name))(zeros)
    chex.assert_tree_all_finite((value, grads))


# Lazy penalties.


def test_a_lazy_penalty_is_paid_as_much_on_the_mean():
    lazy, game = Penalty(penalties.r1, weight=2.0, every=4), a_game()
    memory, added, means = lazy.init(), [], []
    for _ in range(8):
        value, mean, memory = jax.jit(lambda memory: lazy(game, memory, STEP))(memory)
        added.append(float(value))
        means.append(float(mean))
    assert added == [100.0, 0, 0, 0, 100.0, 0, 0, 0]  # 2 * 4 * 12.5
    np.testing.assert_array_equal(means, [12.5, *[np.nan] * 3] * 2)
    eager = Penalty(penalties.r1, weight=2.0)
    value, mean, _ = eager(game, eager.init(), STEP)
    assert np.mean(added) == float(value) == 25.0
    assert float(mean) == 12.5


def test_a_lazy_penalty_keeps_its_memory_where_it_is_not_paid():
    lazy, game = Penalty(LeCam(decay=0.5), every=2), a_game()
    memory, seen = lazy.init(), []
    for _ in range(4):
        _, _, memory = lazy(game, memory, STEP)
        seen.append(float(memory["own"]["fake"]))
    assert seen == [4.0, 4.0, 6.0, 6.0]


def test_no_gradient_flows_from_a_step_that_is_not_paid():
    lazy = Penalty(penalties.r1, every=2)

    def loss(scale, memory):
        game = a_game(lambda x: scale * linear(x))
        return lazy(game, memory, STEP)[0]

    first, second = lazy.init(), lazy(a_game(), lazy.init(), STEP)[2]
    np.testing.assert_allclose(jax.grad(loss)(1.0, first), 2 * 25.0)
    assert float(jax.grad(loss)(1.0, second)) == 0


def test_an_interval_below_one_is_refused():
    with pytest.raises(UserError, match="every=0: it is paid every 1, 2, 3"):
        Penalty(penalties.r1, every=0)


# What is no penalty but has the same purpose.


def test_clipped_weights_are_the_nearest_within_the_limit():
    params = {"a": jnp.array([0.5, -0.02, 0.005]), "b": {"c": jnp.array([[-3.0, 0.0]])}}
    clipped = clip_weights(params, limit=0.01)
    np.testing.assert_allclose(clipped["a"], [0.01, -0.01, 0.005])
    np.testing.assert_allclose(clipped["b"]["c"], [[-0.01, 0.0]])
    chex.assert_trees_all_equal(clip_weights(clipped, limit=0.01), clipped)
    optimizer = make_optimizer({"name": "sgd", "learning_rate": 1.0, "project": {"name": "clip_weights", "limit": 0.1}})
    assert float(optimizer.project({"a": jnp.array([2.0])})["a"][0]) == pytest.approx(0.1)
    with pytest.raises(UserError, match=r"clip_weights limit=0: it must be above 0"):
        make_optimizer({"name": "sgd", "learning_rate": 1.0, "project": {"name": "clip_weights", "limit": 0}})
