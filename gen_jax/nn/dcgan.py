"""The deep convolutional GAN, Radford et al. 2016 (arXiv:1511.06434), section 3 and figure 1, for images of any size.

All kernels start normal with standard deviation 0.02, and the gains of batch normalization normal around 1 with the
same. Neither network reads a label: nn.Concatenate gives it to them.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import activation, image_size, small_normal
from gen_jax.nn.strided import StridedConv

NORMS = ("batch", "layer", "none")


class DCGANGenerator(nn.Module):
    """z [b, latent] -> images [b, h, w, c] in (-1, 1): a dense layer, then a transposed convolution for each doubling.

    Every layer but the last is followed by batch normalization (of the dense layer's values each by itself, as in the
    authors' program) and ReLU, the last by tanh. No biases beside the norms.

    widths: channels from the finest level to the coarsest, as of the discriminator: the dense layer gives the last,
    and len(widths) doublings lead to the image. A size that is odd on the way is cut off (28 = 4 -> 7 -> 14 -> 28).
    kernel: 5 in the paper, 4 in the Torch program. norm: "batch", or "none" with biases.
    uniform: z, drawn normal, is first mapped to uniform in (-1, 1) by the normal's distribution function, the paper's
    law. shape: one example's, filled from the data. Output float32.

    Raises UserError when shape is not that of an image, or for an unknown norm.
    """

    shape: tuple[int, ...]
    widths: tuple[int, ...] = (128, 256, 512, 1024)
    kernel: int = 5
    norm: str = "batch"
    uniform: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        if len(self.shape) != 3:
            raise UserError(f"DCGANGenerator draws images (h, w, c), and the data's shape is {tuple(self.shape)}")
        if self.norm not in ("batch", "none"):
            raise unknown("DCGANGenerator norm", self.norm, ("batch", "none"))
        context.only(network="DCGANGenerator")
        h, w, c = self.shape
        sizes = [(-(-h // 2**i), -(-w // 2**i)) for i in range(len(self.widths) + 1)]  # as the discriminator rounds
        b, (h0, w0) = x.shape[0], sizes[-1]
        if self.uniform:
            x = jax.lax.erf(x / jnp.sqrt(2.0))
        norm = partial(normalize, norm=self.norm, train=train, dtype=self.dtype)
        bias = self.norm == "none"
        width = h0 * w0 * self.widths[-1]
        x = nn.Dense(width, use_bias=bias, dtype=self.dtype, kernel_init=small_normal, name="in")(x.reshape(b, -1))
        x = nn.relu(norm(x, name="norm_in")).reshape(b, h0, w0, self.widths[-1])
        for i in reversed(range(len(self.widths))):
            x = StridedConv(
                self.widths[i - 1] if i else c,
                self.kernel,
                up=True,
                use_bias=bias,
                dtype=self.dtype if i else "float32",
                kernel_init=small_normal,
                name=f"conv_{i}",
            )(x)
            height, width = sizes[i]
            x = x[:, :height, :width]
            if i:
                x = nn.relu(norm(x, name=f"norm_{i}"))
        return jnp.tanh(x)


class DCGANDiscriminator(nn.Module):
    """Images [b, h, w, c] -> [b, outputs]: a convolution of stride 2 for each of `widths`, then a dense layer.

    Every convolution but the first is followed by batch normalization, all by LeakyReLU of slope 0.2. No biases beside
    the norms. A size that is odd is rounded up (28 -> 14 -> 7 -> 4).

    outputs: None for the flattened features [b, d], for nn.Projection. kernel: as of the generator. norm: "batch";
    "layer", which keeps examples apart, or "none", with biases, for gradient penalties (Gulrajani et al. 2017,
    arXiv:1704.00028, section 4). context.spatial [b, h, w, k] is concatenated on the channels. Output float32.

    Raises UserError when x is not images, or for an unknown norm or activation.
    """

    outputs: int | None = 1
    widths: tuple[int, ...] = (128, 256, 512, 1024)
    kernel: int = 5
    norm: str = "batch"
    activation: str = "leaky_relu"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        b, *_ = image_size(x, "DCGANDiscriminator")
        if self.norm not in NORMS:
            raise unknown("DCGANDiscriminator norm", self.norm, NORMS)
        act = activation(self.activation)
        context.only("spatial", network="DCGANDiscriminator")
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        bias = self.norm == "none"
        for i, width in enumerate(self.widths):
            conv = StridedConv(width, self.kernel, False, bias, self.dtype, small_normal, name=f"conv_{i}")
            x = conv(x)
            x = act(normalize(x, self.norm, train, self.dtype, name=f"norm_{i}") if i else x)
        x = x.reshape(b, -1)
        if self.outputs is None:
            return x.astype(jnp.float32)
        return nn.Dense(self.outputs, use_bias=bias, dtype="float32", kernel_init=small_normal, name="out")(x)


def normalize(x: jax.Array, norm: str, train: bool, dtype: str, name: str) -> jax.Array:
    """x [b, ..., c] batch-normalized per channel over the batch and all places, layer-normalized per example over all
    places and channels, or as it is."""

    def gain(key, shape, dtype=jnp.float32):
        return 1 + small_normal(key, shape, dtype)

    if norm == "batch":
        # nn.Module calls are made inside of a network's compact method, to which the norm then belongs.
        return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=dtype, scale_init=gain, name=name)(x)
    if norm == "layer":
        axes = tuple(range(1, x.ndim))
        return nn.LayerNorm(dtype=dtype, scale_init=gain, reduction_axes=axes, name=name)(x)
    return x
