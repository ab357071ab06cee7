"""Times that a schedule has no place for, found before anything is compiled."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gen_jax.diffusion.schedule import Schedule, horizon
from gen_jax.errors import UserError


def check_times(schedule: Schedule, start: float | None, end: float) -> None:
    """Raises UserError unless 0 <= end < start <= the schedule's largest time (which start=None stands for)."""
    largest, name = horizon(schedule), type(schedule).__name__
    if largest == math.inf and (start is None or start == math.inf):
        raise UserError(f"family.start={start}: {name} has no largest time; EDM's noise starts at 80")
    if not 0 <= end < (largest if start is None else start) <= largest:
        raise UserError(
            f"family.start={start}, family.end={end}: times need 0 <= end < start <= {largest:.4g}, the largest of "
            f"{name}"
        )


def check_drawn_times(time: Callable[[jax.Array, jax.Array], jax.Array], largest: float, schedule: str) -> None:
    """Raises UserError where times of training lie outside of [0, largest], as far as some draws show it."""
    t = time(jax.random.key(0), jnp.arange(256))
    low, high = float(t.min()), float(t.max())
    if not 0 <= low <= high <= largest * (1 + 1e-6):
        raise UserError(
            f"family.time: it draws times from {low:.3g} to {high:.3g}, and those of {schedule} lie in "
            f"[0, {largest:.4g}]; take diffusion.uniform or logit_normal for [0, 1], log_normal for EDM's noise levels"
        )
