"""What the style-based generators share: from z to w, the mixing of styles, and the noise.

A style-based generator has two parts: `mapping` z [b, latent] -> w [b, layers, d], one vector repeated for each layer
that reads a style, and `synthesis` w -> x. Karras et al. 2019 (arXiv:1812.04948) and 2020 (arXiv:1912.04958).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.nn.conditioning import Context
from gen_jax.nn.equalized import EqualizedDense, unit_mean_square, unit_normal
from gen_jax.random import fold, normal


class MappingNetwork(nn.Module):
    """z [b, latent] and the context's vector [b, k], each optional -> w [b, features], float32.

    layers: how many dense layers, each followed by a leaky ReLU. width: of those in between, None for `features`.
    embed: of the vector's embedding, None for `features`. lr_multiplier: of the dense layers (appendix C of
    arXiv:1812.04948).

    first: as the first StyleGAN: z and an embedding without bias are normalized together, and the activation's gain
    sqrt(2) stands in the weights. Else as StyleGAN2: each is normalized by itself, and the gain follows the activation.
    """

    features: int = 512
    layers: int = 8
    width: int | None = None
    embed: int | None = None
    lr_multiplier: float = 0.01
    first: bool = False

    @nn.compact
    def __call__(self, z: jax.Array | None, vector: jax.Array | None) -> jax.Array:
        parts = [] if z is None else [z.astype(jnp.float32)]
        if vector is not None and self.first:
            shape = (vector.shape[-1], self.embed or self.features)
            parts.append(vector @ self.param("embed", unit_normal(), shape))
        elif vector is not None:
            parts.append(EqualizedDense(self.embed or self.features, name="embed")(vector))
        if not self.first:
            parts = [unit_mean_square(part) for part in parts]
        x = jnp.concatenate(parts, axis=-1)
        x = unit_mean_square(x) if self.first else x
        for i in range(self.layers):
            width = self.features if i == self.layers - 1 else self.width or self.features
            gain = math.sqrt(2) if self.first else 1.0
            x = nn.leaky_relu(EqualizedDense(width, gain, self.lr_multiplier, name=f"fc{i}")(x), 0.2)
            x = x if self.first else x * math.sqrt(2)
        return x


def styles(
    network: MappingNetwork, z: jax.Array, context: Context, layers: int, mixing: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """z [b, latent] -> w for each of `layers` [b, layers, d], and w before that [b, d].

    mixing: with this probability an example takes the styles from a random layer on from another z (style mixing,
    arXiv:1812.04948 section 3.1). Both are drawn from the example's own key in the context; the authors' programs draw
    one layer for the whole batch.
    """
    w = network(z, context.vector)
    ws = jnp.broadcast_to(w[:, None], (w.shape[0], layers, w.shape[1]))
    if not mixing or layers == 1 or context.keys is None:
        return ws, w
    keys = fold(context.keys, 0)
    other = network(normal(fold(keys, 0), z.shape[1:]), context.vector)
    start = jax.vmap(lambda key: jax.random.randint(key, (), 1, layers))(fold(keys, 1))
    mixed = jax.vmap(lambda key: jax.random.bernoulli(key, mixing))(fold(keys, 2))
    taken = mixed[:, None] & (jnp.arange(layers) >= start[:, None])  # [b, layers]
    return jnp.where(taken[:, :, None], other[:, None], ws), w


def layer_noise(context: Context, layer: int, h: int, w: int) -> jax.Array | None:
    """The noise of a synthesis layer, [b, h, w, 1], each example's from its own key; None where nothing is drawn."""
    if context.keys is None:
        return None
    return normal(fold(context.keys, 1 + layer), (h, w, 1))
