"""The probability flow ODE by a solver that chooses its own steps, from the package diffrax."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.diffusion.samplers import Denoiser, follow
from gen_jax.diffusion.schedule import Schedule, expand, time_of
from gen_jax.errors import UserError, unknown

_METHODS = {"Tsit5": 6, "Dopri5": 6, "Dopri8": 13}
"""The evaluations that each step of a method takes; a step's last one is the next step's first."""


@dataclasses.dataclass(frozen=True)
class AdaptiveODE:
    """A Runge-Kutta method with a step size controlled by its own error, as Song et al. 2021 (arXiv:2011.13456, app.
    D.4) use one; the grid's first and last time are all that it takes of it.

    The ODE is solved in the angle of the noise, sin(angle) : cos(angle) = sigma : alpha, for y = x / sqrt(alpha^2 +
    sigma^2), where it is d y / d angle = cos(angle) eps - sin(angle) x0: smooth from data to noise whatever the
    schedule, and y is of one scale, so that rtol and atol mean the same everywhere. Each example has steps of its own,
    from the root mean square of its own error over its values; all of a batch run until the last one is done.

    method: "Tsit5", "Dopri5" or "Dopri8". last: at sigma = 0 eps cannot be asked for, so that the solver stops where
    sigma / alpha = last, and DDIM's step goes on to the end. An example that needs more than max_steps ends as NaN.

    Raises:
      UserError: an unknown method, or a tolerance that is not positive.
    """

    rtol: float = 1e-4
    atol: float = 1e-4
    method: str = "Tsit5"
    last: float = 1e-3
    max_steps: int = 1000

    def __post_init__(self):
        if self.method not in _METHODS:
            raise unknown("method", self.method, _METHODS)
        for name in ("rtol", "atol", "last"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name}={getattr(self, name)}: it must be more than 0, say 1e-4")

    def run(self, keys, x, denoise, schedule, times):
        """x at times[-1]; the protocol of samplers.Solver."""
        return self.solve(x, denoise, schedule, times[0], times[-1])[0]

    def solve(
        self, x: jax.Array, denoise: Denoiser, schedule: Schedule, start: jax.Array, end: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """x [b, ...] at `end` from x at `start`, and how many evaluations each example took, int32 [b]."""
        import diffrax  # not above: importing it takes a second
        import equinox

        (alpha_start, sigma_start), (alpha_end, sigma_end) = schedule(start), schedule(end)
        clean = sigma_end <= self.last * alpha_end
        stop = jnp.where(clean, jnp.arctan(jnp.asarray(self.last, x.dtype)), jnp.arctan2(sigma_end, alpha_end))

        def velocity(angle, y):
            """d y / d angle for the whole batch: angle [b], y [b, ...]."""
            t, scale = _time(schedule, angle)
            p = denoise(y * expand(scale, y), t)
            return expand(jnp.cos(angle), y) * p.eps - expand(jnp.sin(angle), y) * p.x0

        # What denoise closes over (parameters, conditions) may belong to the whole batch, so that it cannot be asked
        # of one example: diffrax is given a function of one, which vmap turns back into the function of all.
        angles = jnp.full(x.shape[0], stop)
        closed, static = equinox.partition(equinox.filter_closure_convert(velocity, angles, x), equinox.is_array)

        @jax.custom_batching.custom_vmap
        def of_one(closed, angle, y):
            everyone = jnp.broadcast_to(y, x.shape)
            return equinox.combine(closed, static)(jnp.broadcast_to(angle, angles.shape), everyone)[0]

        @of_one.def_vmap
        def _(size, batched, closed, angle, y):
            angle, y = (
                a if is_batched else jnp.broadcast_to(a, (size, *a.shape))
                for a, is_batched in zip((angle, y), batched[1:], strict=True)
            )
            return equinox.combine(closed, static)(angle, y), True

        def solve_one(y):
            return diffrax.diffeqsolve(
                diffrax.ODETerm(lambda angle, y, closed: of_one(closed, angle, y)),
                getattr(diffrax, self.method)(),
                jnp.arctan2(sigma_start, alpha_start),
                stop,
                None,
                y,
                args=closed,
                stepsize_controller=diffrax.PIDController(self.rtol, self.atol),
                adjoint=diffrax.ForwardMode(),
                max_steps=self.max_steps,
                throw=False,
            )

        found = jax.vmap(solve_one)(x / jnp.hypot(alpha_start, sigma_start))
        t, scale = _time(schedule, angles)
        y = found.ys[:, 0]
        x_end = y * expand(scale, y)
        ends = jnp.broadcast_to(end, t.shape)
        finished = follow(schedule, x_end, denoise(x_end, t).x0, t, ends)
        x_end = jnp.where(clean, finished, x_end)
        done = found.result == diffrax.RESULTS.successful
        evaluations = found.stats["num_steps"] * _METHODS[self.method] + 2  # the very first one, and x0 at the end
        return jnp.where(expand(done, x), x_end, jnp.nan), evaluations


def _time(schedule: Schedule, angle: jax.Array) -> tuple[jax.Array, Any]:
    """The times [b] at which sigma / alpha is tan(angle [b]), and sqrt(alpha^2 + sigma^2) there."""
    tiny = jnp.finfo(angle.dtype).tiny
    signal, noise = (jnp.log(jnp.maximum(a, tiny)) for a in (jnp.cos(angle), jnp.sin(angle)))
    t = time_of(schedule, 2 * (signal - noise))
    return t, jnp.hypot(*schedule(t))
