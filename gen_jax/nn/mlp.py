"""The multilayer perceptron."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import FiLM, activation


class MLP(nn.Module):
    """Fully connected layers from x [b, ...], flattened, to [b, outputs], or to [b, *shape] when outputs is None.

    One class for every use: a GAN's generator (z -> image) and discriminator (outputs=1), a VAE's encoder
    (outputs=2 * latent) and decoder (channels_per_value=k gives [b, h, w, c * k]), a denoiser of small data.

    features: width of each hidden layer: Dense, norm, FiLM on context.vector, activation.
    shape: one example's; filled from the data. channels_per_value: multiplies its last axis.
    norm: "none" or "layer". activation, final: names in layers.ACTIVATIONS; `final` follows the last layer.
    bits: x of [-1, 1] is read as [0, 1], as programs for binary images feed it; then most inputs are 0 there.

    context.vector enters every hidden layer by a FiLM that starts as the identity. So the label is invisible at the
    start, and the first step already makes it visible: the gradient of FiLM's kernel is not zero, for the label's
    embedding is not. In exchange the scale of the embedding does not disturb the start, and a conditional network
    begins as the unconditional one. context.spatial is flattened and concatenated to x.

    Output float32. Raises UserError for unknown names, and when neither outputs nor shape is given.
    """

    features: tuple[int, ...] = (256, 256)
    shape: tuple[int, ...] = ()
    outputs: int | None = None
    channels_per_value: int = 1
    activation: str = "silu"
    norm: str = "none"
    final: str = "none"
    bits: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        if self.outputs is None and not self.shape:
            raise UserError("MLP needs either outputs or shape")
        if self.norm not in ("none", "layer"):
            raise unknown("norm", self.norm, ("none", "layer"))
        act, final = activation(self.activation), activation(self.final)
        context.only("vector", "spatial", network="MLP")
        b = x.shape[0]
        x = x.reshape(b, -1)
        if self.bits:
            x = (x + 1) / 2
        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial.reshape(b, -1)], axis=-1)
        for i, width in enumerate(self.features):
            x = nn.Dense(width, dtype=self.dtype, name=f"dense_{i}")(x)
            if self.norm == "layer":
                x = nn.LayerNorm(dtype=self.dtype, name=f"norm_{i}")(x)
            x = act(FiLM(self.dtype, name=f"film_{i}")(x, context.vector))
        if self.outputs is not None:
            return final(nn.Dense(self.outputs, dtype="float32", name="out")(x))
        shape = (*self.shape[:-1], self.shape[-1] * self.channels_per_value)
        return final(nn.Dense(math.prod(shape), dtype="float32", name="out")(x)).reshape(b, *shape)
