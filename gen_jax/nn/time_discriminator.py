"""The discriminator of denoising diffusion GANs: Xiao et al. 2021, "Tackling the Generative Learning Trilemma with
Denoising Diffusion GANs" (arXiv:2112.07804), appendix C, table 7.

Published sizes, in the notation of `TimeDiscriminator`, with nn.Conditioning(width=128):

    CIFAR-10    start 128, widths (128, 256, 512, 512), whole 1
    256x256     start 128, widths (256, 512, 512, 512, 512, 512), whole 0
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.nn.conditioning import Context
from gen_jax.nn.equalized import check_group, minibatch_stddev
from gen_jax.nn.layers import Dense, activation, check_levels, image_size, xavier_uniform
from gen_jax.nn.resample import resampled


class TimeDiscriminator(nn.Module):
    """Images [b, h, w, c], less noisy, and context.spatial [b, h, w, k], more noisy -> logits [b, outputs], float32.

    Residual blocks of leaky ReLU and convolution; context.vector, of the time and the label, is added inside each.
    start: channels of the 1x1 convolution at the input. widths: of the blocks, of which the first `whole` keep the size
    and each other halves it, by the filter `taps`. group: of minibatch_stddev; None for one group, 0 for none.
    project: the logit also has the inner product of the last features with a linear layer of the vector (Miyato &
    Koyama 2018, arXiv:1802.05637), which the paper, being unconditional, does not need.

    Raises UserError when x is not images that can be halved so often, and for a batch that does not divide into groups.
    """

    outputs: int = 1
    start: int = 128
    widths: tuple[int, ...] = (128, 256, 512, 512)
    whole: int = 1
    taps: tuple[int, ...] = (1, 3, 3, 1)
    group: int | None = 4
    project: bool = False
    dtype: str = "float32"

    @nn.nowrap
    def check_batch(self, batch_size: int) -> None:
        """Raises UserError for a batch size that does not divide into groups."""
        if self.group:
            check_group(batch_size, self.group)

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, _ = image_size(x, "TimeDiscriminator")
        context.only("vector", "spatial", network="TimeDiscriminator")
        check_levels(h, w, len(self.widths) - self.whole + 1, "TimeDiscriminator")
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        act = activation("leaky_relu")
        vector = None if context.vector is None else act(context.vector)
        x = Dense(self.start, dtype=self.dtype, kernel_init=xavier_uniform, name="in")(x)
        for i, width in enumerate(self.widths):
            down = i >= self.whole
            x = TimeBlock(width, "down" if down else "keep", self.taps, self.dtype, name=f"block_{i}")(x, vector)
        x = x.astype(jnp.float32)
        if self.group != 0:
            x = minibatch_stddev(x, self.group)
        x = act(_conv(self.widths[-1], "float32", 1e-5, "out_conv")(x)).sum((1, 2))  # [b, h, w, d] -> [b, d]
        logit = nn.Dense(self.outputs, kernel_init=xavier_uniform, name="out")(x)
        if not self.project or vector is None:
            return logit
        label = nn.Dense(x.shape[-1], use_bias=False, kernel_init=xavier_uniform, name="project")(vector)
        return logit + (label * x).sum(-1, keepdims=True)


class TimeBlock(nn.Module):
    """x [b, h, w, c] and vector [b, d] or None -> [b, h, w, features], of half the size with resample="down": leaky
    ReLU, convolution, the vector, leaky ReLU, resampling, convolution; beside them a 1x1 convolution, over sqrt(2)."""

    features: int
    resample: str = "keep"
    taps: Sequence[float] = (1, 3, 3, 1)
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None) -> jax.Array:
        act = activation("leaky_relu")
        y = _conv(self.features, self.dtype, 1.0, "conv_0")(act(x))
        if vector is not None:
            dense = nn.Dense(self.features, dtype=self.dtype, kernel_init=xavier_uniform, name="vector")
            y = y + dense(vector)[:, None, None, :]
        y = resampled(act(y), self.resample, self.taps)
        y = _conv(self.features, self.dtype, 1e-5, "conv_1")(y)
        x = resampled(x, self.resample, self.taps)
        skip = Dense(self.features, use_bias=False, dtype=self.dtype, kernel_init=xavier_uniform, name="skip")(x)
        return (y + skip) / math.sqrt(2)


def _conv(features: int, dtype: str, gain: float, name: str) -> nn.Conv:
    def init(key, shape, dtype=jnp.float32):
        return gain * xavier_uniform(key, shape, dtype)

    return nn.Conv(features, (3, 3), dtype=dtype, kernel_init=init, name=name)
