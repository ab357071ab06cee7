import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nn.strided import StridedConv, double, halve


def normal(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("size", [(4, 8), (7, 5), (2, 1), (20, 18)])
@pytest.mark.parametrize("conv", [halve, double])
def test_blocks_give_what_the_strided_convolution_gives(conv, size, kernel):
    x, weights = normal(2, *size, 3), normal(kernel, kernel, 3, 2)
    plain, blocks = (conv(x, weights, blocks) for blocks in (False, True))
    sizes = [-(-s // 2) if conv is halve else 2 * s for s in size]
    assert plain.shape == blocks.shape == (2, *sizes, 2)
    np.testing.assert_allclose(blocks, plain, atol=1e-4)


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_up_is_the_transpose_of_down(kernel):
    """<down(x), y> = <x, up(y)>, the kernel of one turned and its channels swapped for the other."""
    x, y, weights = normal(1, 8, 6, 3), normal(1, 4, 3, 2), normal(kernel, kernel, 3, 2)
    turned = weights[::-1, ::-1].swapaxes(2, 3)
    np.testing.assert_allclose(jnp.sum(halve(x, weights) * y), jnp.sum(x * double(y, turned)), rtol=1e-4)


def test_the_layer_adds_a_bias():
    x, layer = normal(2, 4, 4, 3), StridedConv(5, 4, up=True)
    variables = layer.init(jax.random.key(0), x)
    variables["params"]["bias"] = jnp.arange(5.0)
    np.testing.assert_allclose(
        layer.apply(variables, x), double(x, variables["params"]["kernel"]) + jnp.arange(5.0), atol=1e-5
    )
