"""Networks that read a latent z beside their other conditions."""

import flax.linen as nn
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.types import Cond


class LatentConditioning(nn.Module):
    """cond -> Context of `conditioning`, with cond["latent"] [b, k] mapped to w and put behind the context's vector.

    A network whose norms are scaled and shifted by the vector (NCSNpp and UNet with scale_shift=True, DiT, MLP) so
    reads z by adaptive normalization, as a style-based generator does. mapping: (z, None) -> w [b, d], such as
    nn.MappingNetwork. Raises UserError when cond has no latent.
    """

    conditioning: nn.Module
    mapping: nn.Module

    def __call__(self, cond: Cond) -> Context:
        if "latent" not in cond:
            raise UserError(f"the network reads a latent and was given: {', '.join(cond) or 'nothing'}")
        others = {name: value for name, value in cond.items() if name != "latent"}
        context = self.conditioning(others)  # type: ignore[operator]
        w = self.mapping(cond["latent"], None)  # type: ignore[operator]
        vector = w if context.vector is None else jnp.concatenate([context.vector, w.astype(context.vector.dtype)], -1)
        return context.replace(vector=vector)
