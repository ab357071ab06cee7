"""When in time to sample: functions (schedule, start, end, steps) -> t [steps + 1], falling from start to end.

Those that space the noise level sigma / alpha need a start with alpha > 0. Where sigma(end) = 0, which is log snr =
infinity, they space one step less, down to the level `last`, and the last step goes from there to the end.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.diffusion.schedule import Schedule, horizon, time_of
from gen_jax.errors import UserError, unknown


def uniform_grid(schedule, start: float, end: float, steps: int):
    """Times at equal distances."""
    return jnp.linspace(start, end, steps + 1)


def quadratic_grid(schedule, start: float, end: float, steps: int):
    """Squares of numbers at equal distances, more steps near the data: Song et al. 2021 (arXiv:2010.02502, app. D)."""
    return _between(start, end, np.linspace(math.sqrt(start), math.sqrt(end), steps + 1) ** 2)


def karras_grid(schedule, start: float, end: float, steps: int, rho: float = 7.0, last: float = 0.002):
    """sigma / alpha = (numbers at equal distances)^rho, Karras et al. 2022 (arXiv:2206.00364, eq. 5 with last =
    sigma_min). rho = 1: levels at equal distances; a large rho: more steps near the data.

    Raises:
      UserError: alpha = 0 at the start, or `last` not below the level there.
    """
    return _by_level(
        schedule,
        start,
        end,
        steps,
        last,
        lambda high, low, u: (high ** (1 / rho) * (1 - u) + low ** (1 / rho) * u) ** rho,
    )


def log_snr_grid(schedule, start: float, end: float, steps: int, last: float = 0.002):
    """log snr at equal distances, Lu et al. 2022 (arXiv:2206.00927, sec. 3.3); it is the exponential grid of other
    libraries, as the logarithm of sigma / alpha is -1/2 log snr.

    Raises:
      UserError: alpha = 0 at the start, or `last` not below the level there.
    """
    return _by_level(schedule, start, end, steps, last, lambda high, low, u: high ** (1 - u) * low**u)


def beta_grid(schedule, start: float, end: float, steps: int, alpha: float = 0.6, beta: float = 0.6):
    """Quantiles of a beta distribution between end and start, more steps at both: Lee et al. 2024 (arXiv:2407.12173).

    alpha = beta = 1 is uniform_grid. alpha is about the data's end, beta about the noise's.

    Raises:
      UserError: alpha or beta is not positive.
    """
    from scipy.special import betaincinv

    for name, value in (("alpha", alpha), ("beta", beta)):
        if value <= 0:
            raise UserError(f"beta_grid: {name}={value}; it must be more than 0, say 0.6")
    return _between(start, end, end + (start - end) * betaincinv(alpha, beta, np.linspace(1, 0, steps + 1)))


def shifted_grid(schedule, start: float, end: float, steps: int, shift: float = 3.0):
    """shift u / (1 + (shift - 1) u) for u at equal distances: more steps at high noise, for images of more pixels,
    Esser et al. 2024 (arXiv:2403.03206, eq. 23). For a horizon other than 1, of t / horizon.

    Raises:
      UserError: shift is not positive, or the schedule has no largest time.
    """
    whole = horizon(schedule)
    if shift <= 0:
        raise UserError(f"shifted_grid: shift={shift}; it must be more than 0: above 1 for more steps at high noise")
    if not math.isfinite(whole):
        raise UserError(f"shifted_grid: {type(schedule).__name__} has no largest time to scale by; take karras_grid")
    high, low = (t / whole / (shift - (shift - 1) * t / whole) for t in (start, end))
    u = np.linspace(high, low, steps + 1)
    return _between(start, end, whole * shift * u / (1 + (shift - 1) * u))


def discrete_grid(schedule, start: float, end: float, steps: int, train_steps: int = 1000, spacing: str = "leading"):
    """`steps` of the steps of a Markov chain, t = i / train_steps, and then the end, for networks of discrete time.

    spacing, in the terms of Lin et al. 2023 (arXiv:2305.08891, tab. 2) and of diffusers: "leading" (Song et al. 2021,
    arXiv:2010.02502) has the chain's first step and does not begin at `start` but a stride of steps below; "trailing"
    begins at the start; "linspace" has both.

    Raises:
      UserError: an unknown spacing, or more steps than the chain has between end and start.
    """
    if spacing not in ("leading", "trailing", "linspace"):
        raise unknown("spacing", spacing, ("leading", "trailing", "linspace"))
    first, last = round(end * train_steps) + 1, round(start * train_steps)
    length = last - first + 1
    if steps > length:
        raise UserError(f"steps={steps}: from {start} to {end} a chain of train_steps={train_steps} has {length} steps")
    if spacing == "leading":
        chosen = first + np.arange(steps)[::-1] * (length // steps)
    elif spacing == "trailing":
        chosen = np.round(last - np.arange(steps) * (length / steps))
    else:
        chosen = np.round(np.linspace(last, first, steps))
    return jnp.asarray(np.append(chosen / train_steps, end))


def _between(start: float, end: float, t: np.ndarray) -> jax.Array:
    """t, with what rounding did to its ends undone."""
    t[0], t[-1] = start, end
    return jnp.asarray(t)


def _by_level(
    schedule: Schedule,
    start: float,
    end: float,
    steps: int,
    last: float,
    spaced: Callable[[float, float, np.ndarray], np.ndarray],
) -> jax.Array:
    """The times of the noise levels spaced(level at start, level at end, numbers from 0 to 1)."""
    with jax.ensure_compile_time_eval():  # numbers, also where the caller is being traced
        (alpha, sigma), (alpha_end, sigma_end) = (map(float, schedule(jnp.float32(t))) for t in (start, end))
    if alpha <= 1e-6 * sigma:
        raise UserError(
            f"start={start}: sigma / alpha is infinite there; start a little earlier, say at {0.99 * start:.4g}"
        )
    high, low = sigma / alpha, sigma_end / alpha_end
    clean = low == 0
    if clean and not 0 < last < high:
        raise UserError(f"last={last}: it lies between 0 and sigma / alpha at the start, which is {high:.4g}")
    levels = spaced(high, last if clean else low, np.linspace(0, 1, max(steps + 1 - clean, 2)))
    t = time_of(schedule, jnp.asarray(-2 * np.log(levels[: steps + 1 - clean])))
    t = jnp.append(t, end) if clean else t.at[-1].set(end)
    return t.at[0].set(start)
