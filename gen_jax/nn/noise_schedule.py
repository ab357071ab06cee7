"""The learned noise schedule of variational diffusion models: Kingma et al. 2021 (arXiv:2107.00630), appendix H."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class MonotoneNoise(nn.Module):
    """t [...] in [0, 1] -> u [...], rising from exactly 0 at t = 0 to exactly 1 at t = 1.

    l1(t) + l3(sigmoid(l2(l1(t)))) with layers of positive weights, normalized by its values at 0 and 1. It starts close
    to a line. hidden: the width of l2, 1024 in the paper.
    """

    hidden: int = 1024

    @nn.compact
    def __call__(self, t: jax.Array) -> jax.Array:
        one = self.param("one", nn.initializers.constant(1.0), ())
        two = self.param("two", nn.initializers.normal(1.0), (self.hidden,))
        bias = self.param("bias", nn.initializers.normal(1.0), (self.hidden,))
        three = self.param("three", nn.initializers.constant(-4.0), (self.hidden,))

        def rising(t):
            line = nn.softplus(one) * t
            inner = nn.sigmoid(nn.softplus(two) * (line - 0.5)[..., None] * 4 + bias)  # [..., hidden]
            return line + (nn.softplus(three) * inner).mean(-1)

        low, high = rising(jnp.zeros(())), rising(jnp.ones(()))
        return (rising(t) - low) / (high - low)


class FourierInputs(nn.Module):
    """A network that is shown sin and cos of 2^n pi x too, for each n of `exponents`: fine detail of x, which a
    likelihood depends on. Kingma et al. 2021, appendix C; 7 and 8 suit 256 levels in [-1, 1], and () shows none.

    network: any of this package; the features are concatenated to context.spatial. x [b, h, w, c].
    """

    network: nn.Module
    exponents: tuple[int, ...] = (7, 8)

    @nn.compact
    def __call__(self, x: jax.Array, context, train: bool = False) -> jax.Array:
        angles = [jnp.pi * 2.0**n * x for n in self.exponents]
        parts = [f(angle) for angle in angles for f in (jnp.sin, jnp.cos)]
        parts += [] if context.spatial is None else [context.spatial]
        context = context.replace(spatial=jnp.concatenate(parts, axis=-1) if parts else None)
        return self.network(x, context, train)  # type: ignore[operator]
