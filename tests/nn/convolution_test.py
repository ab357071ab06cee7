"""Against JAX's own convolution and its derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nn.convolution import convolve


def normal(shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("size", "kernel", "options"),
    [
        ((6, 8), 3, {"padding": 1}),
        ((6, 8), 1, {}),
        ((9, 8), 3, {"stride": 2}),  # 8: the last column is under no window
        ((9, 9), 3, {"padding": 1, "stride": 2}),
        ((4, 5), 3, {"padding": 2, "dilation": 2}),
        ((5, 4), 5, {"padding": 4, "dilation": 2}),
        ((2, 2), 3, {"padding": 1}),  # weights larger than the image
        ((2, 3), 3, {"padding": 2, "dilation": 2, "stride": 2}),
    ],
)
def test_values_gradients_and_gradients_of_gradients(size, kernel, options):
    x, weight = normal((2, *size, 3)), normal((kernel, kernel, 3, 4), 2)
    padding, stride, dilation = (options.get(k, d) for k, d in (("padding", 0), ("stride", 1), ("dilation", 1)))

    def reference(x, weight):
        return jax.lax.conv_general_dilated(
            x, weight, (stride, stride), [(padding, padding)] * 2, (dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    def derivatives(convolution):
        def value(x, weight):
            return jnp.sin(convolution(x, weight)).sum()

        def slope(x, weight):
            return sum(jnp.sin(g).sum() for g in jax.grad(value, (0, 1))(x, weight))

        return (
            convolution(x, weight),
            jax.grad(value, (0, 1))(x, weight),
            jax.grad(slope, (0, 1))(x, weight),
            jax.grad(lambda x, w: sum(jnp.sin(g).sum() for g in jax.grad(slope, (0, 1))(x, w)), (0, 1))(x, weight),
        )

    got = jax.jit(lambda: derivatives(lambda x, w: convolve(x, w, **options)))()
    expected = jax.jit(lambda: derivatives(reference))()
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4 * float(jnp.abs(theirs).max()))


def test_less_precision_is_kept():
    x, weight = normal((1, 4, 4, 2)).astype(jnp.bfloat16), normal((3, 3, 2, 2)).astype(jnp.bfloat16)
    assert convolve(x, weight, 1).dtype == jnp.bfloat16
    grads = jax.grad(lambda x, w: convolve(x, w, 1).astype(jnp.float32).sum(), (0, 1))(x, weight)
    assert {g.dtype for g in grads} == {jnp.dtype(jnp.bfloat16)}
