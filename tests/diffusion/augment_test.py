"""The warp against numpy and scipy, and what the labels say against what was done."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from gen_jax.diffusion.augment import GeometricAugment, affine_warp, rotation
from gen_jax.errors import UserError

X = jax.random.uniform(jax.random.key(0), (6, 9, 11, 3))
NOTHING = GeometricAugment(p=1.0, xflip=False, yflip=False, scale=None, rotate=False, aniso=None, translate=None)
warp = jax.jit(affine_warp)


def run(augment, x=X, seed=0):
    keys = jax.random.split(jax.random.key(seed), len(x))
    return tuple(np.asarray(a) for a in jax.jit(augment.__call__)(keys, x))


def scipys(x, matrix, shift):
    """What is at p goes to matrix p + shift, in (right, down) from the centre; by scipy, which counts (down, right)."""
    inverse = np.linalg.inv(matrix)[::-1, ::-1]
    centre = (np.array(x.shape[:2]) - 1) / 2
    offset = centre - inverse @ (centre + shift[::-1])
    sample = lambda c: ndimage.affine_transform(c, inverse, offset, order=1, mode="mirror")  # noqa: E731
    return np.stack([sample(np.asarray(x[..., i], np.float64)) for i in range(x.shape[-1])], axis=-1)


def turned(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_p_0_does_nothing():
    x, labels = run(GeometricAugment(p=0.0))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(labels, np.zeros((6, 9)))


def test_quarter_turns():
    square = X[0, :, :9]
    for quarters in range(4):
        got = warp(square, rotation(jnp.float32(quarters * np.pi / 2)), jnp.zeros(2))
        np.testing.assert_allclose(got, np.rot90(square, -quarters), atol=1e-5)


@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -2), (-10, 8)])
def test_integer_shifts_mirror_the_border(right, down):
    """numpy's `reflect`, which does not repeat the outermost pixels."""
    padded = np.pad(X[0], ((8, 8), (10, 10), (0, 0)), mode="reflect")
    expected = padded[8 - down : 17 - down, 10 - right : 21 - right]
    got = warp(X[0], jnp.eye(2), jnp.array([right, down], jnp.float32))
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(("name", "label", "axis"), [("xflip", 0, 2), ("yflip", 1, 1)])
def test_flips(name, label, axis):
    x, labels = run(dataclasses.replace(NOTHING, **{name: True}))
    flipped = labels[:, label] == 1
    assert 0 < flipped.sum() < 6
    np.testing.assert_array_equal(x, np.where(flipped[:, None, None, None], np.flip(X, axis), X))
    np.testing.assert_array_equal(np.delete(labels, label, axis=1), 0)


def test_scale():
    x, labels = run(dataclasses.replace(NOTHING, scale=0.5))
    for i in range(6):
        np.testing.assert_allclose(x[i], scipys(X[i], 2 ** (0.5 * labels[i, 2]) * np.eye(2), np.zeros(2)), atol=1e-4)
    np.testing.assert_array_equal(np.delete(labels, 2, axis=1), 0)


def test_rotation():
    """By minus the angle of the labels, as in the paper's table."""
    x, labels = run(dataclasses.replace(NOTHING, rotate=True))
    for i in range(6):
        np.testing.assert_allclose(np.hypot(labels[i, 3] + 1, labels[i, 4]), 1, rtol=1e-5)
        angle = np.arctan2(labels[i, 4], labels[i, 3] + 1)
        np.testing.assert_allclose(x[i], scipys(X[i], turned(-angle), np.zeros(2)), atol=1e-4)
    np.testing.assert_array_equal(np.delete(labels, [3, 4], axis=1), 0)


def test_stretch():
    """The labels leave open which of the stretch and its inverse it is."""
    x, labels = run(dataclasses.replace(NOTHING, aniso=0.5))
    for i in range(6):
        direction, size = np.arctan2(labels[i, 6], labels[i, 5]), np.hypot(labels[i, 5], labels[i, 6])
        errors = []
        for sign in (1, -1):
            factors = np.diag([2 ** (sign * 0.5 * size), 2 ** (-sign * 0.5 * size)])
            matrix = turned(direction) @ factors @ turned(-direction)
            errors.append(np.abs(x[i] - scipys(X[i], matrix, np.zeros(2))).max())
        assert min(errors) < 1e-4 < max(errors)
    np.testing.assert_array_equal(np.delete(labels, [5, 6], axis=1), 0)


def test_translation():
    x, labels = run(dataclasses.replace(NOTHING, translate=0.125))
    for i in range(6):
        np.testing.assert_allclose(x[i], scipys(X[i], np.eye(2), 0.125 * labels[i, 7:] * [11, 9]), atol=1e-4)
    np.testing.assert_array_equal(labels[:, :7], 0)


def test_all_at_once_in_the_papers_order():
    """Flips, scale, rotation, then translation."""
    x, labels = run(GeometricAugment(p=1.0, aniso=None))
    for i in range(6):
        xflip, yflip, size, cos, sin, _, _, right, down = labels[i]
        matrix = turned(-np.arctan2(sin, cos + 1)) * 2 ** (0.2 * size) @ np.diag([1 - 2 * xflip, 1 - 2 * yflip])
        expected = scipys(X[i], matrix, 0.125 * np.array([right * 11, down * 9]))
        np.testing.assert_allclose(x[i], expected, atol=1e-4)


def test_how_often_and_how_much():
    augment = GeometricAugment(p=0.3)
    _, labels = run(augment, jnp.zeros((4000, 2, 2, 1)))
    shares = (labels != 0).mean(0)
    expected = np.array([0.5, 0.15, *[0.3] * 7])
    np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(0.25 / 4000))
    for i in (2, 7, 8):
        assert stats.kstest(labels[labels[:, i] != 0, i], "norm").pvalue > 1e-3
    turns = labels[labels[:, 4] != 0]
    assert stats.kstest(np.arctan2(turns[:, 4], turns[:, 3] + 1), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3


def test_an_example_depends_on_its_own_key():
    keys = jax.random.split(jax.random.key(5), 6)
    augment = GeometricAugment(p=0.8)
    for whole, part in zip(augment(keys, X), augment(keys[4:], X[4:]), strict=True):
        np.testing.assert_allclose(part, whole[4:], atol=1e-6)


def test_what_is_no_image_or_no_probability_is_refused():
    with pytest.raises(UserError, match=r"\[6, 9\]"):
        GeometricAugment()(jax.random.split(jax.random.key(0), 6), X[:, :, 0, 0])
    with pytest.raises(UserError, match="p=12"):
        GeometricAugment(p=12)
