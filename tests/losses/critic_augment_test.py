"""What the discriminator is shown: augmentation against numpy, its laws, and how p adapts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen_jax.errors import UserError
from gen_jax.losses.augment import AdaptiveProbability, ScheduledProbability, diff_augment, pseudo_augment

X = jax.random.uniform(jax.random.key(0), (400, 8, 12, 3), minval=-1)
KEYS = jax.random.split(jax.random.key(1), 400)


def run(*policy, p=1.0, x=X):
    return np.asarray(jax.jit(lambda x: diff_augment(KEYS[: len(x)], x, p, policy))(x))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_as_many_are_augmented_as_p_says_and_the_others_left_alone(p):
    changed = (run("color", p=p) != np.asarray(X)).any(axis=(1, 2, 3))
    np.testing.assert_allclose(changed.mean(), p, atol=4 * np.sqrt(p * (1 - p) / 400))


def test_color_is_affine_in_grey_and_saturation():
    """Within an image every pixel's distance to its grey is scaled alike, and grey moves by one line."""
    y, x = run("color"), np.asarray(X)
    grey_x, grey_y = x.mean(3), y.mean(3)
    contrast = grey_y.std(axis=(1, 2)) / grey_x.std(axis=(1, 2))
    brightness = y.mean(axis=(1, 2, 3)) - x.mean(axis=(1, 2, 3))  # contrast and saturation keep the mean
    saturation = (y - grey_y[..., None]).std(axis=(1, 2, 3)) / (x - grey_x[..., None]).std(axis=(1, 2, 3)) / contrast
    expected = saturation[:, None, None, None] * (x - grey_x[..., None]) + grey_x[..., None]
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    expected = mean + contrast[:, None, None, None] * (expected - mean) + brightness[:, None, None, None]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    for found, low, high in ((brightness, -0.5, 0.5), (saturation, 0, 2), (contrast, 0.5, 1.5)):
        assert low <= found.min() + 1e-5
        assert found.max() <= high + 1e-5
        np.testing.assert_allclose(found.mean(), (low + high) / 2, atol=4 * (high - low) / np.sqrt(12 * 400))


def test_translation_is_a_roll_with_zeros():
    """By up to an eighth of the size, rounded, each way: 1 of 8 rows, 2 of 12 columns."""
    padded = np.pad(np.asarray(X), ((0, 0), (1, 1), (2, 2), (0, 0)))
    moves = {(d, r): np.roll(padded, (d, r), (1, 2))[:, 1:-1, 2:-2] for d in (-1, 0, 1) for r in range(-2, 3)}
    found = np.array([[np.array_equal(y, moves[m][i]) for m in moves] for i, y in enumerate(run("translation"))])
    assert (found.sum(1) == 1).all()
    np.testing.assert_allclose(found.mean(0), 1 / 15, atol=4 * np.sqrt(1 / 15 / 400))


def test_cutout_is_a_hole_of_half_the_size_with_its_centre_in_the_image():
    y = run("cutout")
    hole = (y == 0).all(3)
    np.testing.assert_array_equal(np.where(hole[..., None], 0, np.asarray(X)), y)
    rows, columns = hole.any(2).sum(1), hole.any(1).sum(1)
    np.testing.assert_array_equal(hole.sum((1, 2)), rows * columns)
    assert rows.min() == 2  # half of the hole, at the border
    assert rows.max() == 4
    assert columns.max() == 6


def test_diff_augment_is_differentiable():
    """The slope of a sum of squares against a difference quotient; what is moved out of the image has none."""
    x, direction = X[:6], jax.random.normal(jax.random.key(3), (6, 8, 12, 3))
    loss = jax.jit(lambda x: jnp.sum(jnp.square(diff_augment(KEYS[:6], x))))
    slope = jnp.vdot(jax.grad(loss)(x), direction)
    np.testing.assert_allclose((loss(x + 0.01 * direction) - loss(x - 0.01 * direction)) / 0.02, slope, rtol=2e-3)


def test_an_example_depends_on_its_own_key():
    np.testing.assert_allclose(diff_augment(KEYS[3:5], X[3:5]), diff_augment(KEYS[:6], X[:6])[3:5], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: diff_augment(KEYS[:2], X[:2, :, 0]), "diff_augment takes images"),
        (lambda: diff_augment(KEYS[:2], X[:2], policy=("colour",)), "did you mean 'color'"),
        (lambda: AdaptiveProbability(target=2.0), "target=2.0"),
        (lambda: ScheduledProbability(end=1.5, images=10), "end=1.5"),
        (lambda: ScheduledProbability(end=0.5, images=0), "images=0"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()


@given(interval=st.integers(1, 5), batch=st.integers(1, 64))
def test_p_rises_from_0_to_1_within_the_images_it_says_and_falls_again(interval, batch):
    adaptive = AdaptiveProbability(interval=interval, images=100 * batch * interval)
    state = adaptive.init()

    def run(state, r_t, steps):
        return jax.lax.fori_loop(0, steps, lambda _, s: adaptive.update(s, jnp.float32(r_t), batch), state)

    state = run(state, 0.9, 50 * interval)
    np.testing.assert_allclose(state["p"], 0.5, atol=1e-4)
    state = run(state, 0.9, 80 * interval)
    np.testing.assert_allclose(state["p"], 1.0, atol=1e-6)
    state = run(state, 0.2, 30 * interval)
    np.testing.assert_allclose(state["p"], 0.7, atol=1e-4)
    np.testing.assert_array_equal(run(state, 0.2, 200 * interval)["p"], 0.0)


def test_p_follows_the_mean_of_the_interval():
    adaptive = AdaptiveProbability(interval=2, images=100)
    state = adaptive.update(adaptive.init(), jnp.float32(1.0), 10)
    assert state["p"] == 0
    state = adaptive.update(state, jnp.float32(0.3), 10)  # mean 0.65 > 0.6
    np.testing.assert_allclose(state["p"], 0.2)


def test_scheduled_p_is_half_a_cosine():
    scheduled = ScheduledProbability(end=0.4, images=1000)
    state, found = scheduled.init(), []
    for _ in range(15):
        found.append(float(state["p"]))
        state = scheduled.update(state, jnp.float32(0), 100)
    np.testing.assert_allclose(found[0], 0)
    np.testing.assert_allclose(found[5], 0.2, rtol=1e-5)
    np.testing.assert_allclose(found[10:], 0.4, rtol=1e-5)


@given(p=st.sampled_from([0.0, 0.2, 1.0]), seed=st.integers(0, 5))
def test_pseudo_augment_calls_generated_examples_real_with_probability_p(p, seed):
    real, fake = jnp.ones((2000, 3)), -jnp.ones((2000, 3))
    shown = pseudo_augment(jax.random.split(jax.random.key(seed), 2000), real, fake, jnp.float32(p))
    assert bool((shown.min(1) == shown.max(1)).all())
    np.testing.assert_allclose((shown[:, 0] < 0).mean(), p, atol=5 * np.sqrt(p * (1 - p) / 2000))


def test_no_gradient_reaches_the_generator_through_an_example_called_real():
    keys = jax.random.split(jax.random.key(0), 8)
    slope = jax.grad(lambda fake: pseudo_augment(keys, jnp.ones((8, 2)), fake, 1.0).sum())(jnp.zeros((8, 2)))
    np.testing.assert_array_equal(slope, 0)
