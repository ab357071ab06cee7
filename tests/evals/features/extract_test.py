import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_weights

from gen_jax.errors import UserError
from gen_jax.evals.features.extract import Network, bind, extract

IMAGES = random_weights.images("extract", (21, 3, 4, 2))


def moments(tree, x):
    """Features that tell each image: its sums under fixed random weights."""
    features = x.reshape(len(x), -1).astype(jnp.float32) @ tree
    return features, features[:, :2] * 2


def network(forward=moments):
    return Network("own", "0" * 64, "none", bind(forward, random_weights.draw("extract", (24, 5))), 5)


EXPECTED = IMAGES.reshape(21, -1).astype(np.float32) @ random_weights.draw("extract", (24, 5))


@pytest.mark.parametrize("batch_size", [1, 4, 8, 20, 21, 64])
def test_every_image_once_and_in_order_at_every_batch_size(batch_size):
    found = extract(network(), IMAGES, batch_size)
    np.testing.assert_allclose(found.features, EXPECTED, atol=1e-3)
    np.testing.assert_allclose(found.logits, EXPECTED[:, :2] * 2, atol=1e-3)
    assert found.features.dtype == np.float32


@pytest.mark.parametrize("cuts", [[], [8, 16], [1, 2, 20], [5, 5, 13], [0]])
def test_chunks_of_any_length_are_as_one_array(cuts):
    found = extract(network(), iter(np.split(IMAGES, cuts)), batch_size=8)
    np.testing.assert_array_equal(found.features, extract(network(), IMAGES, batch_size=8).features)


def test_what_fills_up_the_last_batch_changes_nothing():
    np.testing.assert_array_equal(
        extract(network(), IMAGES[:3], batch_size=8).features, extract(network(), IMAGES, batch_size=8).features[:3]
    )


def test_batches_have_one_size_and_are_split_over_the_devices():
    seen = []

    def apply(x):
        seen.append((x.shape, len(x.sharding.device_set), x.addressable_shards[0].data.shape))
        return jnp.zeros((len(x), 5)), None

    found = extract(Network("own", "", "none", apply, 5), IMAGES, batch_size=10)
    devices = len(jax.local_devices())
    size = -(-10 // devices) * devices
    assert set(seen) == {((size, 3, 4, 2), devices, (size // devices, 3, 4, 2))}
    assert len(seen) == -(-21 // size)
    assert found.logits is None
    assert found.features.shape == (21, 5)


def test_one_compilation_serves_all_batches():
    traces = []

    def forward(tree, x):
        traces.append(x.shape)
        return moments(tree, x)

    made = network(forward)
    extract(made, IMAGES, batch_size=8)
    extract(made, IMAGES[:17], batch_size=8)
    assert len(traces) == 1


def test_products_are_in_full_precision():
    def forward(tree, x):
        assert jax.config.jax_default_matmul_precision == "highest"
        return moments(tree, x)

    with jax.default_matmul_precision("bfloat16"):
        network(forward).apply(jnp.asarray(IMAGES[:1]))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:0], "there are no images"),
        ([], "there are no images"),
        (IMAGES / np.float32(255), r"must be uint8 \[n, h, w, c\] .*, these are float32 \[21, 3, 4, 2\]"),
        (IMAGES[0], r"these are uint8 \[3, 4, 2\]"),
        ([IMAGES, IMAGES[:, :2]], r"images of \[2, 4, 2\] after some of \[3, 4, 2\]"),
    ],
)
def test_bad_images_are_one_clear_line(images, message):
    with pytest.raises(UserError, match=message):
        extract(network(), images)


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(UserError, match="batch_size=0: it must be at least 1"):
        extract(network(), IMAGES, batch_size=0)
