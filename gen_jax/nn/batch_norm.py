"""Batch normalization whose gain and bias a condition may give.

Ioffe & Szegedy 2015 (arXiv:1502.03167). The mean and variance are those of the whole batch, wherever its examples lie:
under jax.jit a mean over a sharded axis is the mean over all devices, which makes it cross-replica (Brock et al. 2019,
arXiv:1809.11096, section 3).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import unknown
from gen_jax.nn.layers import orthogonal_init

STARTS = ("identity", "orthogonal")


class ConditionalBatchNorm(nn.Module):
    """x [b, ..., c] normalized per channel, times 1 + G vector plus B vector; without one, a learned gain and bias.

    With a one-hot vector (conditioning.OneHot) every class has a gain and bias of its own: Dumoulin et al. 2017
    (arXiv:1610.07629, eq. 5) and Miyato & Koyama 2018 (arXiv:1802.05637). start: "identity", where G = B = 0; or
    "orthogonal", BigGAN's linear maps of a shared embedding (arXiv:1809.11096, section 3 and appendix B), which
    spectral normalization then counts among the kernels.

    Keeps "batch_stats", running averages that move by 1 - momentum when train=True and serve when it is not.
    Raises UserError for an unknown start.
    """

    start: str = "identity"
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None, train: bool = False) -> jax.Array:
        if self.start not in STARTS:
            raise unknown("ConditionalBatchNorm start", self.start, STARTS)
        affine, c = vector is None, x.shape[-1]
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            use_scale=affine,
            use_bias=affine,
            dtype=self.dtype,
            name="norm",
        )(x)
        if vector is None:
            return x

        def read(name: str, width: int, init: nn.initializers.Initializer) -> jax.Array:
            out = nn.Dense(width, use_bias=False, dtype=self.dtype, kernel_init=init, name=name)(vector)
            return out.reshape(-1, *(1,) * (x.ndim - 2), width)  # [b, width] -> [b, 1, ..., width]

        if self.start == "identity":  # spectral normalization leaves a "modulation" alone: it starts at zero
            gain, bias = jnp.split(read("modulation", 2 * c, nn.initializers.zeros), 2, axis=-1)
        else:
            gain, bias = read("gain", c, orthogonal_init), read("bias", c, orthogonal_init)
        return x * (1 + gain) + bias
