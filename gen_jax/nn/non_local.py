"""Self-attention between the places of an image, as GANs have it."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.layers import image_size, initializer


class NonLocal(nn.Module):
    """x [b, h, w, c] + gamma * attention(x), with gamma = 0 at the start: one head, without normalization.

    Zhang et al. 2019, SAGAN (arXiv:1805.08318, section 3), as its authors' program has it and BigGAN took it over:
    queries and keys of c / 8 channels, values of c / 2, keys and values max-pooled to half the size, no biases, and
    scores that are not divided by the root of their width. kernel_init: of the four 1x1 convolutions.

    Raises UserError when x is not images, or has fewer than 8 channels or 2 pixels a side.
    """

    kernel_init: str = "xavier_uniform"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, c = image_size(x, "NonLocal")
        if c < 8 or min(h, w) < 2:
            raise UserError(f"NonLocal needs at least 8 channels and 2x2 pixels, and has {c} and {h}x{w}")

        def conv(x: jax.Array, width: int, name: str) -> jax.Array:
            init = initializer(self.kernel_init)
            return nn.Conv(width, (1, 1), use_bias=False, dtype=self.dtype, kernel_init=init, name=name)(x)

        def pooled(x: jax.Array) -> jax.Array:
            return nn.max_pool(x, (2, 2), (2, 2)).reshape(b, -1, x.shape[-1])  # [b, hw/4, width]

        query = conv(x, c // 8, "query").reshape(b, h * w, c // 8)
        key, value = pooled(conv(x, c // 8, "key")), pooled(conv(x, c // 2, "value"))
        scores = jnp.einsum("bnd,bmd->bnm", query, key, preferred_element_type=jnp.float32)
        out = jnp.einsum("bnm,bmd->bnd", jax.nn.softmax(scores).astype(value.dtype), value)
        out = conv(out.reshape(b, h, w, c // 2), c, "out")
        return x + self.param("gamma", nn.initializers.zeros, ()).astype(x.dtype) * out
