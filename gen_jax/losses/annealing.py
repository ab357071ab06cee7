"""Numbers that follow the step: weights and capacities of VAEs, each a function step [] -> value [].

In a config: beta=dict(name="losses.linear", start=0.0, end=1.0, steps=10_000). `cosine` of penalties.py is one too.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError

Schedule = Callable[[jax.Array], jax.Array]
"""step [] -> value []."""


def linear(step: jax.Array, start: float, end: float, steps: int) -> jax.Array:
    """From `start` to `end` along a line within `steps` steps, then `end` []: the warm-up of the KL term, Bowman et al.
    2016 (arXiv:1511.06349, sec. 3.1), Sønderby et al. 2016 (arXiv:1602.02282). Raises UserError for steps < 1."""
    if steps < 1:
        raise UserError(f"linear steps={steps}: at least 1")
    return start + (end - start) * jnp.minimum(step / steps, 1.0)


def cyclical(step: jax.Array, end: float, period: int, rise: float = 0.5, start: float = 0.0) -> jax.Array:
    """From `start` to `end` along a line in the first `rise` of every `period` steps, and at `end` in the rest of them
    []: Fu et al. 2019 (arXiv:1903.10145, eq. 6), with rise=0.5 and 4 periods in a training.

    Raises:
      UserError: period < 1, or rise not in (0, 1].
    """
    if period < 1 or not 0 < rise <= 1:
        raise UserError(f"cyclical period={period}, rise={rise}: a period has 1 step or more, and rise is in (0, 1]")
    return start + (end - start) * jnp.minimum(step % period / (rise * period), 1.0)


def value_at(number: float | Schedule, step: jax.Array) -> jax.Array:
    """The number itself, or what the schedule gives at the step []."""
    return number(step) if callable(number) else jnp.float32(number)
