"""A convolution whose gradients are fast wherever they stand."""

import functools
import math
from typing import NamedTuple

import jax


class Window(NamedTuple):
    """Along one axis: stride, zeros before and after, and how far apart the pixels and the weights stand."""

    stride: int = 1
    before: int = 0
    after: int = 0
    pixels: int = 1
    weights: int = 1


Windows = tuple[Window, Window]


def convolve(x: jax.Array, weight: jax.Array, padding: int = 0, stride: int = 1, dilation: int = 1) -> jax.Array:
    """x [b, h, w, c] and weight [k, k, c, d], not turned around -> [b, h', w', d]. dilation: zeros between the pixels.

    The gradients, of any order, are convolutions in the one layout that XLA's CPU compiler makes fast everywhere; those
    that JAX derives it makes so only outside of loops and branches, and there they take 40 times longer: in a penalty
    that is paid every few steps, in a network that grows, and where a player is not updated in every step. Elsewhere it
    is JAX's own convolution.
    """
    window = Window(stride, padding, padding, dilation)
    if jax.default_backend() == "cpu":
        return _convolve(x, weight, (window, window))
    return _plain(x, weight, (window, window))


def _plain(x: jax.Array, weight: jax.Array, windows: Windows) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        weight,
        window_strides=[w.stride for w in windows],
        padding=[(w.before, w.after) for w in windows],
        lhs_dilation=[w.pixels for w in windows],
        rhs_dilation=[w.weights for w in windows],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x: jax.Array, weight: jax.Array, windows: Windows) -> jax.Array:
    if math.prod(x.shape[1:3]) >= math.prod(weight.shape[:2]):
        return _plain(x, weight, windows)
    # Weights larger than the image, as gradients of gradients have them: XLA would let them change places, in a layout
    # that is slow. Here they do it in the one that is fast, both turned around.
    swapped = []
    for axis, (stride, before, after, pixels, weights) in enumerate(windows):
        more = (x.shape[1 + axis] - 1) * pixels - (weight.shape[axis] - 1) * weights
        swapped.append(Window(stride, before + more, after + more, weights, pixels))
    image, kernel = weight[::-1, ::-1].transpose(3, 0, 1, 2), x[:, ::-1, ::-1].transpose(1, 2, 3, 0)
    return _plain(image, kernel, (swapped[0], swapped[1])).transpose(3, 1, 2, 0)


def _forward(x: jax.Array, weight: jax.Array, windows: Windows):
    return _convolve(x, weight, windows), (x, weight)


def _backward(windows: Windows, kept: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """With respect to x a convolution of g with the weights turned around, and to the weights one of x with g."""
    x, weight = kept
    for_x, for_weight = [], []
    for axis, (stride, before, _, pixels, weights) in enumerate(windows):
        size = (x.shape[1 + axis] - 1) * pixels + 1
        reach = (weight.shape[axis] - 1) * weights + 1
        out = (g.shape[1 + axis] - 1) * stride + 1
        first = reach - 1 - before
        for_x.append(Window(pixels, first, size + reach - 1 - out - first, stride, weights))
        for_weight.append(Window(weights, before, out + reach - 1 - size - before, pixels, stride))
    turned = weight[::-1, ::-1].transpose(0, 1, 3, 2)  # [k, k, d, c]
    by_weight = _convolve(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3), (for_weight[0], for_weight[1]))
    return _convolve(g, turned, (for_x[0], for_x[1])), by_weight.transpose(1, 2, 0, 3)


_convolve.defvjp(_forward, _backward)
