"""What happens to a batch on the device."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.transforms import prepare, to_uint8

KEY = jax.random.key(0)


def test_bytes_survive_the_round_trip():
    values = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    x = prepare({"x": values}, KEY)["x"]
    assert x.dtype == jnp.float32
    assert (float(x.min()), float(x.max())) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_uint8(x), values)


def test_to_uint8_rounds_and_clips():
    np.testing.assert_array_equal(to_uint8(jnp.array([-3.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 7.0])), [0, 0, 1, 255])


def test_floats_and_labels_pass_through():
    batch = {"x": jnp.linspace(-1, 1, 6).reshape(2, 3, 1), "label": jnp.array([1, 2])}
    out = prepare(batch, KEY, flip=True)  # sounds aren't mirrored
    for key, value in batch.items():
        np.testing.assert_array_equal(out[key], value)


def test_flip_mirrors_about_half_of_the_examples_each_by_its_own_key():
    x = np.random.default_rng(0).integers(0, 256, (400, 4, 6, 3), dtype=np.uint8)
    index = np.arange(400, dtype=np.int32)
    batch = {"x": x, "mask": x[..., :1], "index": index}
    out = prepare(batch, KEY, flip=True)
    back = np.asarray(to_uint8(out["x"]))
    mirrored = np.array([np.array_equal(b, a[:, ::-1]) for a, b in zip(x, back, strict=True)])
    kept = np.array([np.array_equal(b, a) for a, b in zip(x, back, strict=True)])
    assert np.all(mirrored ^ kept)
    assert 160 < mirrored.sum() < 240
    np.testing.assert_array_equal(out["mask"], back[..., :1])  # the mask stays on its picture
    half = prepare({k: v[200:] for k, v in batch.items()}, KEY, flip=True)  # another device's share
    np.testing.assert_array_equal(half["x"], out["x"][200:])


def test_bits_are_white_as_often_as_the_grey_says_and_follow_the_example():
    grey = np.full((4000, 2, 2, 1), 51, np.uint8)  # a fifth of 255
    grey[:, 0] = 255
    grey[:, 1, 1] = 0
    x = np.asarray(prepare({"x": grey}, KEY, binarize=True)["x"])
    assert set(np.unique(x)) == {-1.0, 1.0}
    assert (x[:, 0] == 1).all()
    assert (x[:, 1, 1] == -1).all()
    assert abs((x[:, 1, 0] == 1).mean() - 0.2) < 5 * (0.2 * 0.8 / 4000) ** 0.5
    order = np.random.default_rng(0).permutation(4000)
    moved = prepare({"x": grey[order], "index": jnp.array(order)}, KEY, binarize=True)["x"]
    np.testing.assert_array_equal(moved, x[order])
