"""Small convolutional encoders and decoders, for images of any size."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import FiLM, activation, image_size, upsample, xavier_uniform


class ConvEncoder(nn.Module):
    """Images [b, h, w, c] -> [b, outputs]: one convolution of stride 2 for each width, then a dense layer.

    A size that is odd is rounded up (28 -> 14 -> 7 -> 4). outputs is 2 * latent for a Gaussian VAE, 1 for a
    discriminator. context.vector enters after every convolution by a FiLM that starts as the identity;
    context.spatial [b, h, w, k] is concatenated on the channels. Output float32.

    Raises UserError when x is not images, or for an unknown activation.
    """

    outputs: int
    widths: tuple[int, ...] = (32, 64)
    activation: str = "silu"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        b, *_ = image_size(x, "ConvEncoder")
        act = activation(self.activation)
        context.only("vector", "spatial", network="ConvEncoder")
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        for i, width in enumerate(self.widths):
            # 4x4 and not 3x3: at stride 2 every pixel is then seen by the same number of windows.
            x = nn.Conv(width, (4, 4), strides=2, dtype=self.dtype, kernel_init=xavier_uniform, name=f"conv_{i}")(x)
            x = act(FiLM(self.dtype, name=f"film_{i}")(x, context.vector))
        return nn.Dense(self.outputs, dtype="float32", name="out")(x.reshape(b, -1))


class ConvDecoder(nn.Module):
    """z [b, ...], flattened, -> images [b, h, w, c * channels_per_value]: the mirror of ConvEncoder.

    widths are given from the finest level to the coarsest, as for the encoder. Every level doubles the size by
    repeating pixels, then convolves: transposed convolutions leave checkerboards (Odena et al. 2016,
    doi:10.23915/distill.00003). Where the encoder rounded an odd size up, the surplus row or column is cut off.
    context.vector enters by a FiLM that starts as the identity. Output float32.

    shape: one example's, (h, w, c); filled from the data. final: name of the activation of the output.
    Raises UserError when shape is not that of an image, or for an unknown activation.
    """

    shape: tuple[int, ...]
    widths: tuple[int, ...] = (32, 64)
    channels_per_value: int = 1
    activation: str = "silu"
    final: str = "none"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, z: jax.Array, context: Context, train: bool = False) -> jax.Array:
        if len(self.shape) != 3:
            raise UserError(f"ConvDecoder draws images of shape (h, w, c), got shape={self.shape}")
        act, final = activation(self.activation), activation(self.final)
        context.only("vector", network="ConvDecoder")
        h, w, c = self.shape
        sizes = [(-(-h // 2**i), -(-w // 2**i)) for i in range(len(self.widths) + 1)]  # as the encoder rounds
        b, (h0, w0), channels = z.shape[0], sizes[-1], self.widths[-1]
        x = nn.Dense(h0 * w0 * channels, dtype=self.dtype, name="in")(z.reshape(b, -1))
        x = act(x.reshape(b, h0, w0, channels))
        for i in reversed(range(len(self.widths))):
            h, w = sizes[i]
            x = upsample(x)[:, :h, :w]
            x = nn.Conv(self.widths[i], (3, 3), dtype=self.dtype, kernel_init=xavier_uniform, name=f"conv_{i}")(x)
            x = act(FiLM(self.dtype, name=f"film_{i}")(x, context.vector))
        return final(
            nn.Conv(c * self.channels_per_value, (3, 3), dtype="float32", kernel_init=xavier_uniform, name="out")(x)
        )
