"""PatchGAN, the discriminator that judges an image patch by patch, and what the translators share with it.

Isola et al. 2016, "Image-to-Image Translation with Conditional Adversarial Networks" (arXiv:1611.07004), section 3.2.2
and appendix 6.1.2; Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"
(arXiv:1703.10593), appendix 7.2. Kernels start normal with standard deviation 0.02, biases at zero.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import FiLM, activation, image_size

NORMS = ("instance", "instance_affine", "none")


def normal_002(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Normal with standard deviation 0.02, drawn flat (see layers.xavier_uniform)."""
    return 0.02 * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


class InstanceNorm(nn.Module):
    """x [b, h, w, c] with mean 0 and variance 1 over the pixels of each example and channel, Ulyanov et al. 2016
    (arXiv:1607.08022, eq. 4).

    affine: with a learned scale (from a normal of mean 1 and standard deviation 0.02) and bias, which is what batch
    normalization does to a batch of one example, as pix2pix is trained and tested.
    """

    affine: bool = False
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        mean = wide.mean((1, 2), keepdims=True)
        centred = wide - mean
        wide = centred * jax.lax.rsqrt(jnp.square(centred).mean((1, 2), keepdims=True) + self.epsilon)
        if self.affine:
            scale = self.param("scale", lambda key, shape: 1 + normal_002(key, shape), (x.shape[-1],))
            wide = wide * scale + self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return wide.astype(x.dtype)


class Normed(nn.Module):
    """What follows a convolution: norm (one of NORMS), FiLM by the vector (the identity at the start), activation."""

    norm: str
    activation: str
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None) -> jax.Array:
        if self.norm != "none":
            x = InstanceNorm(self.norm == "instance_affine", name="norm")(x)
        return activation(self.activation)(FiLM(self.dtype, name="film")(x, vector))


def check_norm(norm: str, network: str) -> None:
    """Raises UserError for a norm that is none of NORMS."""
    if norm not in NORMS:
        raise unknown(f"{network} norm", norm, NORMS)


def has_bias(norm: str) -> bool:
    """Whether a convolution before the norm has a bias, as in the authors' programs: not beside the norm's own."""
    return norm != "instance_affine"


class PatchDiscriminator(nn.Module):
    """Images [b, h, w, c] -> one logit for each patch, [b, h', w', 1], float32.

    layers: how many convolutions of 4x4 halve the image; two of stride 1 follow. The patches are of 16, 34, 70, 142 and
    286 pixels for 1, 2, 3, 4 and 5 layers; 3 is the published 70x70 PatchGAN, and 0 the PixelGAN of 1x1 convolutions.
    width: channels of the first; they double up to eight times as many. norm: "instance" (CycleGAN), "instance_affine"
    (pix2pix, see InstanceNorm) or "none"; the first and the last convolution have none.

    context.spatial [b, h, w, k], the source image of pix2pix, is concatenated on the channels; context.vector enters
    after every norm by a FiLM that starts as the identity.

    Raises UserError when x is not images, for an unknown norm, and for images that leave no patch.
    """

    layers: int = 3
    width: int = 64
    norm: str = "instance"
    activation: str = "leaky_relu"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, _ = image_size(x, "PatchDiscriminator")
        context.only("vector", "spatial", network="PatchDiscriminator")
        check_norm(self.norm, "PatchDiscriminator")
        if min(h, w) >> self.layers < (3 if self.layers else 1):  # the two of stride 1 take a pixel each
            least = 3 << self.layers
            raise UserError(
                f"PatchDiscriminator: images of {h}x{w} leave no patch after layers={self.layers}; it takes "
                f"{least}x{least} or more, or fewer layers"
            )
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial.astype(x.dtype)], axis=-1)
        size, pad = (4, 1) if self.layers else (1, 0)

        def conv(x: jax.Array, features: int, stride: int, bias: bool, name: str, dtype: str = self.dtype) -> jax.Array:
            padding = ((pad, pad), (pad, pad))
            return nn.Conv(
                features, (size, size), stride, padding, use_bias=bias, dtype=dtype, kernel_init=normal_002, name=name
            )(x)

        for i in range(self.layers + 1):
            norm = self.norm if i else "none"
            stride = 2 if i < self.layers else 1
            x = conv(x, self.width * min(2**i, 8), stride, has_bias(norm), f"conv_{i}")
            x = Normed(norm, self.activation, self.dtype, name=f"normed_{i}")(x, context.vector)
        if not self.layers:
            x = conv(x, 2 * self.width, 1, has_bias(self.norm), "conv_1")
            x = Normed(self.norm, self.activation, self.dtype, name="normed_1")(x, context.vector)
        return conv(x, 1, 1, True, "out", "float32").astype(jnp.float32)
