"""Where in time: the distribution of training times, and the grid of sampling times.

A distribution is a function (key, index [b]) -> t [b] in [0, 1], where `index` is each example's place in the global
batch, so that every device layout draws the same times. A grid is a function (start, end, steps) -> t [steps + 1].
"""

import jax
import jax.numpy as jnp


def uniform(key, index):
    """Independent uniform times."""
    return jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i)))(index)


def stratified(key, index):
    """Low-discrepancy uniform times: t_i = frac(u + i / golden ratio), with one u for the batch.

    Each t_i is uniform, and any batch is spread evenly, which lowers the variance of the loss as the 1/b grid of
    Kingma et al. 2021 (arXiv:2107.00630, app. I.1) does; but t_i does not depend on the batch size."""
    u = jax.random.uniform(key)
    return jnp.mod(u + index * 0.6180339887498949, 1.0)


def logit_normal(key, index, mean: float = 0.0, std: float = 1.0):
    """sigmoid(mean + std normal), Esser et al. 2024 (arXiv:2403.03206, eq. 19): more of the middle times."""
    normal = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i)))(index)
    return jax.nn.sigmoid(mean + std * normal)


def uniform_grid(start: float, end: float, steps: int):
    """steps + 1 times from start to end at equal distances."""
    return jnp.linspace(start, end, steps + 1)
