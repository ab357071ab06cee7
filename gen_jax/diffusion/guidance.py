"""Guidance: functions denoise -> denoise, so that any of them works with any sampler and they can be composed.

denoise(x [b, ...], t [b], cond) -> (x0, eps), both [b, ...].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gen_jax.diffusion.schedule import Schedule, expand
from gen_jax.nn.conditioning import null
from gen_jax.types import Cond

Denoise = Callable[[jax.Array, jax.Array, Cond], tuple[jax.Array, jax.Array]]


def classifier_free(denoise: Denoise, scale: float = 1.0) -> Denoise:
    """uncond + scale (cond - uncond), Ho & Salimans 2022 (arXiv:2207.12598, eq. 6 with scale = 1 + w).

    scale 1 is the conditional model itself, 0 the unconditional one. Both are evaluated in one batch of 2 b."""

    def guided(x, t, cond):
        both = jax.tree.map(lambda c, n: jnp.concatenate([c, n]), dict(cond), dict(null(cond)))
        x0, eps = denoise(jnp.concatenate([x, x]), jnp.concatenate([t, t]), both)

        def mix(y):
            y_cond, y_null = jnp.split(y, 2)
            return y_null + scale * (y_cond - y_null)

        return mix(x0), mix(eps)

    return guided


def clip_x0(denoise: Denoise, schedule: Schedule, limit: float) -> Denoise:
    """x0 clipped to [-limit, limit], and eps such that x = alpha x0 + sigma eps still holds."""

    def clipped(x, t, cond):
        x0 = jnp.clip(denoise(x, t, cond)[0], -limit, limit)
        alpha, sigma = (expand(a, x) for a in schedule(t))
        return x0, (x - alpha * x0) / sigma

    return clipped
