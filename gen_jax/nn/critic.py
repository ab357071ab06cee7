"""How a discriminator, or a generator, sees the label when its network does not read context.vector itself."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import initializer


class Concatenate(nn.Module):
    """network([x, vector]): the vector is concatenated on the last axis, at every place of an image, and is not passed
    on otherwise. Without a vector, network(x).

    For both players of Mirza & Osindero 2014 (arXiv:1411.1784, section 3.2), whose vector is one-hot
    (conditioning.OneHot).
    """

    network: nn.Module

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        if context.vector is not None:
            b, d = context.vector.shape
            vector = context.vector.reshape(b, *(1,) * (x.ndim - 2), d)  # [b, d] -> [b, 1, ..., d]
            x = jnp.concatenate([x, jnp.broadcast_to(vector, (*x.shape[:-1], d)).astype(x.dtype)], axis=-1)
        return self.network(x, context.replace(vector=None), train)


class Projection(nn.Module):
    """x -> logit [b, 1] = <w, f> + <V vector, f>, with f [b, d] the features that network(x) gives.

    Miyato & Koyama 2018 (arXiv:1802.05637, eq. 3 and figure 1d), where the vector is one-hot (conditioning.OneHot), so
    that V has a row per class. The network does not see the vector. bias: of the first term. kernel_init: of w and V.

    Raises UserError without a vector, and for a network that gives something other than features.
    """

    network: nn.Module
    bias: bool = True
    kernel_init: str = "xavier_uniform"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        if context.vector is None:
            raise UserError(
                "Projection compares features with the label, and there is none: set conditioning.num_classes, "
                "or take its network alone with outputs=1"
            )
        features = self.network(x, context.replace(vector=None), train).astype(jnp.float32)
        if features.ndim != 2:
            network = type(self.network).__name__
            raise UserError(
                f"Projection needs features [b, d], and {network} gives {list(features.shape)}; try outputs=None"
            )
        init = initializer(self.kernel_init)
        logit = nn.Dense(1, use_bias=self.bias, kernel_init=init, name="out")(features)
        label = nn.Dense(features.shape[-1], use_bias=False, kernel_init=init, name="label")(context.vector)
        return logit + jnp.sum(label * features, axis=-1, keepdims=True)
