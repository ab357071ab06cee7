import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from gen_jax.errors import UserError
from gen_jax.nn.equalized import (
    EqualizedConv,
    EqualizedDense,
    check_group,
    check_power_of_two,
    minibatch_stddev,
    resampled_conv,
    unit_mean_square,
)


def normal(shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_a_dense_layer_starts_with_unit_variance_and_keeps_that_of_its_input(lr_multiplier, gain):
    layer, x = EqualizedDense(200, gain, lr_multiplier), normal((300, 100))
    variables = layer.init(jax.random.key(0), x)
    weight = variables["params"]["weight"]
    np.testing.assert_allclose(weight.std() * lr_multiplier, 1, rtol=0.02)
    np.testing.assert_allclose(layer.apply(variables, x).std(), gain, rtol=0.02)


@pytest.mark.parametrize("how", ["keep", "up", "down"])
def test_a_convolution_starts_with_unit_variance_and_keeps_the_size_of_a_constant(how):
    layer, x = EqualizedConv(400, how=how), jnp.broadcast_to(normal((1, 1, 1, 40)), (1, 16, 16, 40))
    variables = layer.init(jax.random.key(0), x)
    np.testing.assert_allclose(variables["params"]["weight"].std(), 1, rtol=0.02)
    inside = layer.apply(variables, x)[:, 3:-3, 3:-3]
    # of a constant image the nine taps add up: 9 numbers' sum over 3, which has the variance of one; up to what the
    # phases of an upsampled kernel share, which the filter puts together again
    expected = float(jnp.sqrt(jnp.square(x[0, 0, 0]).mean()))
    np.testing.assert_allclose(jnp.sqrt(jnp.square(inside).mean()), expected, rtol=0.1)


def test_the_learning_rate_multiplier_scales_what_a_step_changes():
    """The same step of an optimizer that looks at signs moves the output by lr_multiplier as much."""
    x = normal((5, 10))
    moved = []
    for multiplier in (1.0, 0.01):
        layer = EqualizedDense(3, lr_multiplier=multiplier)
        variables = layer.init(jax.random.key(0), x)
        step = jax.tree.map(lambda p: p + 0.1 * jnp.sign(jnp.cos(jnp.arange(p.size))).reshape(p.shape), variables)
        moved.append(layer.apply(step, x) - layer.apply(variables, x))
    np.testing.assert_allclose(moved[1], 0.01 * moved[0], atol=1e-5)


@pytest.mark.parametrize("taps", [(1, 1), (1, 3, 3, 1), (1, 2, 5, 3, 2, 1)], ids=len)
def test_resampling_convolutions_are_scipy_s(taps):
    """Zeros around, one operation after the other on the whole plane, and what lies under the image is kept."""
    x, weight, half = normal((6, 8)), normal((3, 3), 2), len(taps) // 2
    fir = np.outer(taps, taps) / np.sum(taps) ** 2
    arguments = (x[None, :, :, None], weight[:, :, None, None])

    kept = resampled_conv(*arguments, "keep", taps)[0, :, :, 0]
    np.testing.assert_allclose(kept, scipy.signal.correlate2d(x, weight, mode="same"), atol=1e-5)

    stuffed = np.zeros((12, 16))
    stuffed[::2, ::2] = x
    whole = scipy.signal.convolve2d(scipy.signal.convolve2d(stuffed, weight), 4 * fir)
    up = resampled_conv(*arguments, "up", taps)[0, :, :, 0]
    np.testing.assert_allclose(up, whole[half : half + 12, half : half + 16], atol=1e-5)

    whole = scipy.signal.correlate2d(scipy.signal.correlate2d(np.pad(x, half), fir, mode="valid"), weight, mode="valid")
    down = resampled_conv(*arguments, "down", taps)[0, :, :, 0]
    np.testing.assert_allclose(down, whole[::2, ::2], atol=1e-5)


def test_unit_mean_square():
    np.testing.assert_allclose(unit_mean_square(jnp.array([[3.0, -4.0]])), [[0.6 * 2**0.5, -0.8 * 2**0.5]], rtol=1e-6)
    np.testing.assert_allclose(unit_mean_square(jnp.zeros((1, 3))), np.zeros((1, 3)))


def test_minibatch_stddev_by_hand():
    """Example i is in one group with i + 2: 0 and 2 differ by 1 from their mean, 10 and 20 by 5."""
    x = jnp.array([0.0, 10.0, 2.0, 20.0]).reshape(4, 1, 1, 1)
    np.testing.assert_allclose(minibatch_stddev(x, group=2)[:, 0, 0], [[0, 1], [10, 5], [2, 1], [20, 5]], rtol=1e-6)
    # two features: of the first and of the second half of the channels
    x = jnp.stack([x, 3 * x], axis=-1)[..., 0, :]
    np.testing.assert_allclose(minibatch_stddev(x, 2, 2)[:, 0, 0, 2:], [[1, 3], [5, 15], [1, 3], [5, 15]], rtol=1e-6)
    np.testing.assert_allclose(minibatch_stddev(x, 2, 1)[:, 0, 0, 2], [2, 10, 2, 10], rtol=1e-6)


def test_one_group_does_not_know_the_order():
    x = normal((6, 2, 2, 4))
    order = np.random.default_rng(0).permutation(6)
    for group in (None, 6, 100):
        np.testing.assert_allclose(minibatch_stddev(x, group)[order], minibatch_stddev(x[order], group), rtol=1e-5)


def test_errors():
    with pytest.raises(UserError, match=r"batch of 10 does not divide into groups of 4 .* train.batch_size=8"):
        check_group(10, 4)
    for size, group in ((8, 4), (3, 4), (10, None)):
        check_group(size, group)
    with pytest.raises(UserError, match="a batch of 10"):
        minibatch_stddev(jnp.zeros((10, 1, 1, 4)), 4)
    with pytest.raises(UserError, match="4 channels do not divide into 3 features"):
        minibatch_stddev(jnp.zeros((4, 1, 1, 4)), 4, 3)
    with pytest.raises(UserError, match=r"a side of 8, 16, 32, \.\.\., and these are 28x28; resize them to 32x32"):
        check_power_of_two(28, 28, 8, "Net")
    with pytest.raises(UserError, match="these are 4x4; resize them to 8x8"):
        check_power_of_two(4, 4, 8, "Net")
    with pytest.raises(UserError, match="these are 16x8"):
        check_power_of_two(16, 8, 4, "Net")
    assert check_power_of_two(32, 32, 4, "Net") == 3
    with pytest.raises(UserError, match="unknown resampling 'upp': did you mean 'up'"):
        resampled_conv(jnp.zeros((1, 4, 4, 1)), jnp.zeros((3, 3, 1, 1)), "upp")
    with pytest.raises(UserError, match="size 2: kernels here have an odd size"):
        resampled_conv(jnp.zeros((1, 4, 4, 1)), jnp.zeros((2, 2, 1, 1)))
