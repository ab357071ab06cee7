"""Convolutions of stride 2, down and up, that are fast on a CPU too.

XLA's CPU compiler has no fast program for a convolution with gaps in its input, which a transposed convolution is, and
so is every gradient of a strided one: it was seen to be 50 times slower than one without. So there both are computed as
convolutions of stride 1 between images of 2x2 blocks, which is the same sum.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

_AXES = ("NHWC", "HWIO", "NHWC")


class StridedConv(nn.Module):
    """[b, h, w, c] -> [b, ceil(h/2), ceil(w/2), width]; or, with up=True, [b, 2h, 2w, width], the transpose of that.

    Windows of kernel x kernel begin (kernel - 1) // 2 before the border. The parameters are those of nn.Conv and
    nn.ConvTranspose."""

    width: int
    kernel: int
    up: bool = False
    use_bias: bool = True
    dtype: str = "float32"
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (self.kernel, self.kernel, x.shape[-1], self.width))
        x = (double if self.up else halve)(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.use_bias:
            x += self.param("bias", nn.initializers.zeros, (self.width,)).astype(self.dtype)
        return x


def halve(x: jax.Array, kernel: jax.Array, blocks: bool | None = None) -> jax.Array:
    """The convolution of stride 2 of x [b, h, w, c] with kernel [k, k, c, d]. blocks: how; None: as the device asks."""
    k = kernel.shape[0]
    before = (k - 1) // 2
    if not _in_blocks(blocks):
        padding = ((before, k - 1 - before),) * 2
        return jax.lax.conv_general_dilated(x, kernel, (2, 2), padding, dimension_numbers=_AXES)
    b, h, w, c = x.shape
    front = before % 2  # windows begin at a block's first pixel
    n = -(-(k + front) // 2)  # how many blocks a window sees
    kernel = jnp.pad(kernel, ((front, 2 * n - k - front),) * 2 + ((0, 0),) * 2)
    kernel = kernel.reshape(n, 2, n, 2, c, -1).transpose(0, 2, 1, 3, 4, 5).reshape(n, n, 4 * c, -1)
    sizes = [-(-size // 2) for size in (h, w)]
    pads = [
        (before + front, 2 * (out + n - 1) - size - before - front) for out, size in zip(sizes, (h, w), strict=True)
    ]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((*p, 0) for p in pads), (0, 0, 0)))
    rows, columns = (out + n - 1 for out in sizes)
    x = x.reshape(b, rows, 2, columns, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, rows, columns, 4 * c)
    return _valid(x, kernel)


def double(x: jax.Array, kernel: jax.Array, blocks: bool | None = None) -> jax.Array:
    """The transposed convolution of stride 2 of x [b, h, w, c] with kernel [k, k, c, d], which is not turned."""
    k = kernel.shape[0]
    before = k - 1 - (k - 1) // 2  # of the input with gaps
    if not _in_blocks(blocks):
        padding = ((before, k - before),) * 2
        return jax.lax.conv_transpose(x, kernel, (2, 2), padding, dimension_numbers=_AXES)
    b, h, w, c = x.shape
    # Pixel 2m + r of the output is the sum over i of x[m + i] kernel[2i - r + before].
    front, first = 1 - before % 2, -(before // 2)  # the first i
    n = -(-(k + front) // 2)
    kernel = jnp.pad(kernel, ((front, 2 * n - k - front),) * 2 + ((0, 0),) * 2)
    kernel = kernel.reshape(n, 2, n, 2, c, -1)[:, ::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5)  # [i, j, c, r, s, d]
    around = (-first, n - 1 + first)
    x = _valid(jnp.pad(x, ((0, 0), around, around, (0, 0))), kernel.reshape(n, n, c, -1))
    return x.reshape(b, h, w, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, -1)


def _valid(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution of stride 1 without padding; of images so small that its gradients are slow, by a product."""
    n, _, c, d = kernel.shape
    rows, columns = (size - n + 1 for size in x.shape[1:3])
    if rows * columns > 64:
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=_AXES)
    patches = [x[:, i : i + rows, j : j + columns] for i in range(n) for j in range(n)]
    return jnp.matmul(jnp.concatenate(patches, axis=-1), kernel.reshape(n * n * c, d))


def _in_blocks(blocks: bool | None) -> bool:
    return jax.default_backend() == "cpu" if blocks is None else blocks
