"""ADA's transformations against numpy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.losses.ada import (
    SYM2,
    SYM6,
    ada,
    amplify,
    band_gains,
    colour_matrix,
    filter_bank,
    geometric_matrix,
    recolour,
    warp,
)

X = jax.random.uniform(jax.random.key(0), (4, 8, 8, 3), minval=-1)
KEYS = jax.random.split(jax.random.key(1), 4000)
GEOMETRY = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
COLOURS = ("brightness", "contrast", "lumaflip", "hue", "saturation")
NOTHING = dict.fromkeys((*GEOMETRY, *COLOURS), 0.0)
jit_warp = jax.jit(warp)


def geometry(*names, p=1.0, h=8, w=8, n=1000):
    chances = {name: float(name in names) for name in GEOMETRY}
    return np.asarray(jax.jit(jax.vmap(lambda k: geometric_matrix(k, p, chances, h, w)))(KEYS[:n]))


def colours(*names, p=1.0, n=1000):
    chances = {name: float(name in names) for name in COLOURS}
    return np.asarray(jax.jit(jax.vmap(lambda k: colour_matrix(k, p, chances)))(KEYS[:n]))


@pytest.mark.parametrize("taps", [SYM2, SYM6], ids=["sym2", "sym6"])
def test_the_wavelets_are_orthogonal_with_as_many_vanishing_moments_as_their_name_says(taps):
    h, n = np.array(taps), len(taps)
    np.testing.assert_allclose(h.sum(), np.sqrt(2), rtol=1e-9)
    for shift in range(0, n, 2):
        np.testing.assert_allclose(h[: n - shift] @ h[shift:], float(shift == 0), atol=1e-9)
    high = h * (-1.0) ** np.arange(n)
    for power in range(n // 2):
        np.testing.assert_allclose(high @ np.arange(n) ** power, 0, atol=1e-5 * n**power)


def test_p_0_is_the_identity_of_everything():
    out = jax.jit(lambda x: ada(KEYS[:4], x, 0.0, imgfilter=1, noise=1, cutout=1))(X)
    np.testing.assert_array_equal(out, X)


def test_enlarging_and_bringing_back_is_the_identity():
    """Up to the border; the move is too small to be seen and too large for the pixels to be copied."""
    matrix = jnp.tile(jnp.eye(3).at[0, 2].set(2e-5), (4, 1, 1))
    np.testing.assert_allclose(jit_warp(X, matrix), X, atol=2e-4)


BLITS = [
    ("moved", np.eye(2), (3, 0), lambda x: np.roll(x, (0, 3), (1, 2))),
    ("moved far", np.eye(2), (-4, 9), lambda x: np.roll(x, (9, -4), (1, 2))),
    ("flipped", np.diag([-1, 1]), (0, 0), lambda x: np.flip(x, 2)),
    ("turned", np.array([[0, 1], [-1, 0]]), (0, 0), lambda x: np.rot90(x, -1, (1, 2))),
]


@pytest.mark.parametrize(("matrix", "move", "expected"), [b[1:] for b in BLITS], ids=[b[0] for b in BLITS])
def test_whole_pixels_are_copied_and_the_border_is_mirrored(matrix, move, expected):
    x = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)
    inverse = np.eye(3)
    inverse[:2, :2] = matrix
    inverse[:2, 2] = -np.array(move)
    padded = np.pad(x, ((0, 0), (9, 9), (9, 9), (0, 0)), mode="reflect")
    got = jit_warp(x, jnp.tile(jnp.asarray(inverse, jnp.float32), (4, 1, 1)))
    np.testing.assert_array_equal(got, expected(padded)[:, 9:-9, 9:-9])


@pytest.mark.parametrize(("matrix", "move", "expected"), [b[1:] for b in BLITS], ids=[b[0] for b in BLITS])
def test_the_filtered_path_agrees_with_copying_where_the_image_is_smooth(matrix, move, expected):
    """It is taken by a move of 1e-4 pixels."""
    rows, columns = np.meshgrid(np.linspace(-3, 5, 34), np.linspace(-4, 3, 34), indexing="ij")
    padded = (np.sin(rows) * np.cos(columns))[None, :, :, None].astype(np.float32)
    x = padded[:, 9:-9, 9:-9]
    padded = np.pad(x, ((0, 0), (9, 9), (9, 9), (0, 0)), mode="reflect")
    inverse = np.eye(3)
    inverse[:2, :2] = matrix
    inverse[:2, 2] = -np.array(move) + 1e-4
    got = jit_warp(x, jnp.asarray(inverse, jnp.float32)[None])
    np.testing.assert_allclose(got, expected(padded)[:, 9:-9, 9:-9], atol=0.05)


def test_flips_and_quarter_turns_are_those_of_numpy():
    for name, outcomes in (
        ("xflip", [np.eye(2), np.diag([-1, 1])]),
        ("rotate90", [np.eye(2), [[0, -1], [1, 0]], -np.eye(2), [[0, 1], [-1, 0]]]),
    ):
        found = geometry(name)
        np.testing.assert_allclose(found[:, :, 2], np.tile([0, 0, 1], (1000, 1)), atol=1e-6)
        which = np.array([[np.allclose(m[:2, :2], o, atol=1e-6) for o in outcomes] for m in found])
        assert (which.sum(1) == 1).all()
        np.testing.assert_allclose(which.mean(0), 1 / len(outcomes), atol=0.06)


def test_moves_scales_and_turns_follow_their_laws():
    moved = geometry("xint", h=16, w=24)
    assert set(np.unique(moved[:, 0, 2])) == set(range(-3, 4))
    assert set(np.unique(moved[:, 1, 2])) == set(range(-2, 3))
    scaled = geometry("scale")
    np.testing.assert_allclose(scaled[:, 0, 0], scaled[:, 1, 1])
    np.testing.assert_allclose(np.log2(scaled[:, 0, 0]).std(), 0.2, rtol=0.1)
    stretched = geometry("aniso")
    np.testing.assert_allclose(stretched[:, 0, 0] * stretched[:, 1, 1], 1, rtol=1e-5)
    np.testing.assert_allclose(np.log2(stretched[:, 0, 0]).std(), 0.2, rtol=0.1)
    np.testing.assert_allclose(geometry("xfrac", w=16)[:, :2, 2].std(0), [2, 1], rtol=0.1)
    turned = geometry("rotate")[:, :2, :2]
    np.testing.assert_allclose(turned @ turned.transpose(0, 2, 1), np.tile(np.eye(2), (1000, 1, 1)), atol=1e-5)


@pytest.mark.parametrize("name", GEOMETRY)
def test_each_is_made_as_often_as_p_says(name):
    made = (np.abs(geometry(name, p=0.3, n=4000) - np.eye(3)) > 1e-7).any((1, 2))
    neutral = {"xflip": 1 / 2, "rotate90": 1 / 4, "xint": 1 / 8}.get(name, 0)  # made, and nothing to be seen
    # Of 8 pixels, a move by a uniform share of +-1 rounds to 0 half of the time on each axis.
    neutral = 1 / 4 if name == "xint" else neutral
    np.testing.assert_allclose(made.mean(), 0.3 * (1 - neutral), atol=0.03)


@pytest.mark.parametrize("name", COLOURS)
def test_each_colour_is_changed_as_often_as_p_says(name):
    made = (np.abs(colours(name, p=0.3, n=4000) - np.eye(3, 4)) > 1e-7).any((1, 2))
    np.testing.assert_allclose(made.mean(), 0.15 if name == "lumaflip" else 0.3, atol=0.03)


def test_colour_matrices_have_their_closed_forms():
    grey = np.ones(3) / np.sqrt(3)
    bright = colours("brightness")
    np.testing.assert_allclose(bright[:, :, :3], np.tile(np.eye(3), (1000, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(bright[:, 0, 3], bright[:, 2, 3])
    np.testing.assert_allclose(bright[:, 0, 3].std(), 0.2, rtol=0.1)
    contrast = colours("contrast")
    np.testing.assert_allclose(contrast[:, :, :3], contrast[:, :1, :1] * np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.log2(contrast[:, 0, 0]).std(), 0.5, rtol=0.1)
    reflect = np.eye(3) - 2 * np.outer(grey, grey)
    flips = colours("lumaflip")[:, :, :3]
    assert {np.allclose(m, reflect, atol=1e-6) for m in flips} == {True, False}
    assert all(np.allclose(m, reflect, atol=1e-6) or np.allclose(m, np.eye(3), atol=1e-6) for m in flips)
    hue = colours("hue")[:, :, :3]  # turns around the grey axis
    np.testing.assert_allclose(hue @ grey, np.tile(grey, (1000, 1)), atol=1e-6)
    np.testing.assert_allclose(hue @ hue.transpose(0, 2, 1), np.tile(np.eye(3), (1000, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(hue), 1, atol=1e-5)
    assert np.abs(np.trace(hue, axis1=1, axis2=2).mean() - 1) < 0.1  # 1 + 2 cos of any angle
    across = colours("saturation")[:, :, :3]
    np.testing.assert_allclose(across @ grey, np.tile(grey, (1000, 1)), atol=1e-6)
    axis = np.array([1, -1, 0]) / np.sqrt(2)
    factors = across @ axis @ axis
    np.testing.assert_allclose(across @ axis, factors[:, None] * axis, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.log2(factors).std(), 1, rtol=0.1)


def test_brightness_comes_before_contrast():
    both = colours("brightness", "contrast")
    contrast, offset = both[:, 0, 0], both[:, 0, 3]
    np.testing.assert_allclose((offset / contrast).std(), 0.2, rtol=0.1)


def test_grey_images_change_as_grey_colours_do():
    matrices = jnp.asarray(colours(*COLOURS, n=4))
    rgb = recolour(jnp.repeat(X[..., :1], 3, axis=-1), matrices)
    np.testing.assert_allclose(recolour(X[..., :1], matrices)[..., 0], rgb.mean(-1), atol=1e-5)


def test_the_four_bands_add_up_to_the_image():
    bank = filter_bank()
    impulse = np.zeros(bank.shape[1])
    impulse[bank.shape[1] // 2] = 1
    np.testing.assert_allclose(bank.sum(0), impulse, atol=1e-9)
    np.testing.assert_allclose(bank, bank[:, ::-1], atol=1e-12)
    gain = np.abs(np.fft.rfft(bank, 512, axis=1))
    centres = (gain**2 @ np.arange(257)) / (gain**2).sum(1)
    assert (np.diff(centres) > 0).all(), "the bands are not ordered by frequency"
    np.testing.assert_allclose(gain[:, 0], [1, 0, 0, 0], atol=1e-9)  # the mean is in the lowest
    np.testing.assert_allclose(amplify(X, jnp.ones((4, 4))), X, atol=1e-5)
    constant = jnp.ones((4, 8, 8, 3))
    np.testing.assert_allclose(amplify(constant, jnp.tile(jnp.arange(1.0, 5), (4, 1))), constant, atol=1e-5)


def test_gains_keep_the_expected_power_of_one_band():
    """With one band amplified, sum of power * gain^2 is 1; with none all gains are 1."""
    np.testing.assert_allclose(jax.vmap(lambda k: band_gains(k, 0.0))(KEYS[:5]), 1, rtol=1e-6)
    gains = np.asarray(jax.vmap(lambda k: band_gains(k, 0.05))(KEYS))
    once = gains[(np.abs(gains - 1) > 1e-6).any(1)]
    power = (once**2 * np.array([10, 1, 1, 1]) / 13).sum(1)
    assert np.mean(np.abs(power - 1) < 1e-5) > 0.85  # seldom two at once


def test_noise_and_cutout():
    only = {**NOTHING, "p": 0.5}
    noisy = np.asarray(jax.jit(lambda x: ada(KEYS[:400], x, **only, noise=1))(jnp.zeros((400, 8, 8, 3))))
    spread = noisy.std((1, 2, 3))
    np.testing.assert_allclose((spread > 0).mean(), 0.5, atol=0.1)
    np.testing.assert_allclose(np.sqrt(np.square(spread[spread > 0]).mean()), 0.1, rtol=0.2)
    holes = np.asarray(jax.jit(lambda x: ada(KEYS[:400], x, **only, cutout=1))(jnp.ones((400, 8, 8, 1))))[..., 0] == 0
    np.testing.assert_allclose(holes.any((1, 2)).mean(), 0.5, atol=0.1)
    assert holes.sum((1, 2)).max() == 16
    np.testing.assert_array_equal(holes.sum((1, 2)), holes.any(1).sum(1) * holes.any(2).sum(1))


def test_ada_is_differentiable_twice_and_an_example_depends_on_its_own_key():
    direction = jax.random.normal(jax.random.key(3), X.shape)
    everything = jax.jit(lambda keys, x: ada(keys, x, 0.9, imgfilter=1, noise=1, cutout=1))
    loss = lambda x: jnp.sum(jnp.square(everything(KEYS[:4], x)))  # noqa: E731
    gradient = jax.grad(loss)(X)
    slope = jnp.vdot(gradient, direction)
    np.testing.assert_allclose((loss(X + 0.01 * direction) - loss(X - 0.01 * direction)) / 0.02, slope, rtol=5e-3)
    curved = jax.grad(lambda x: jnp.vdot(jax.grad(loss)(x), direction))(X)
    expected = (jax.grad(loss)(X + 0.01 * direction) - jax.grad(loss)(X - 0.01 * direction)) / 0.02
    np.testing.assert_allclose(curved, expected, atol=1e-2 * float(jnp.abs(curved).max()))
    np.testing.assert_allclose(everything(KEYS[1:3], X[1:3]), everything(KEYS[:4], X)[1:3], atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((2, 8, 8), {}, "ada takes images"),
        ((2, 8, 8, 4), {}, "1 or 3 channels, and x has 4"),
        ((2, 8, 6, 3), {}, "x is 8x6; set rotate90=0"),
        ((2, 8, 8, 3), {"hue": 2.0}, "hue=2.0"),
    ],
)
def test_what_cannot_be_is_refused(shape, options, words):
    with pytest.raises(UserError, match=words):
        ada(KEYS[:2], jnp.zeros(shape), **options)
