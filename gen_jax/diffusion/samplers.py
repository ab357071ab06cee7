"""Samplers: how to go from x at time t to x at time s, given a denoiser. One lax.scan runs them all.

A sampler is a frozen dataclass with
    init(x) -> state                                          (x, and the history of a multistep method)
    step(keys, state, denoise, schedule, t, s) -> state       (t, s [b]; denoise(x, t) -> Prediction)
It knows neither the network, nor what it predicts, nor guidance. Here are those that need no history; multistep.py has
those that do, stochastic.py those that draw noise, adaptive.py one that chooses its own times.

Where a step ends at sigma = 0, x is the x0 of the last evaluation, as far as the method allows: eps cannot be asked
for there. Where it starts at alpha = 0, x is pure noise and the step is of first order.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.schedule import Schedule, expand, time_of, velocity
from gen_jax.errors import UserError
from gen_jax.random import fold, normal

Denoiser = Callable[[jax.Array, jax.Array], Prediction]


class State(NamedTuple):
    """x [b, ...], and what the method remembers of earlier steps."""

    x: jax.Array
    memory: Any = ()


class Sampler(Protocol):
    """One way to step through time."""

    def init(self, x: jax.Array) -> State: ...

    def step(
        self, keys: jax.Array, state: State, denoise: Denoiser, schedule: Schedule, t: jax.Array, s: jax.Array
    ) -> State: ...


@runtime_checkable
class Solver(Protocol):
    """A sampler that goes from times[0] to times[-1] by steps of its own choice."""

    def run(
        self, keys: jax.Array, x: jax.Array, denoise: Denoiser, schedule: Schedule, times: jax.Array
    ) -> jax.Array: ...


@dataclasses.dataclass(frozen=True)
class Euler:
    """First order on the probability flow ODE dx/dt = alpha' x0 + sigma' eps."""

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x, p = state.x, denoise(state.x, t)
        return State(x + expand(s - t, x) * velocity(schedule, t, p.x0, p.eps))


@dataclasses.dataclass(frozen=True)
class Heun:
    """Second order on the probability flow ODE, two evaluations a step, Karras et al. 2022 (arXiv:2206.00364, alg. 1).

    Where the step ends at sigma = 0 it is Euler's, as in the paper, since eps cannot be asked for there."""

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x, h, p = state.x, expand(s - t, state.x), denoise(state.x, t)
        d = velocity(schedule, t, p.x0, p.eps)
        euler = x + h * d
        noisy = schedule(s)[1] > 0
        asked = jnp.where(noisy, s, t)  # at sigma = 0 the answer is not used, and might not be finite
        p = denoise(euler, asked)
        d_next = velocity(schedule, asked, p.x0, p.eps)
        return State(jnp.where(expand(noisy, x), x + h * (d + d_next) / 2, euler))


@dataclasses.dataclass(frozen=True)
class DDIM:
    """Song et al. 2021 (arXiv:2010.02502, eq. 12), in the alpha, sigma of any schedule.

    eta = 0 is deterministic, and the exact solution of the probability flow ODE if x0 did not change in the step;
    eta = 1 draws from the posterior q(x_s | x_t, x0), the ancestral sampler of DDPM.

    Raises:
      UserError: eta < 0.
    """

    eta: float = 0.0

    def __post_init__(self):
        if not self.eta >= 0:
            raise UserError(f"DDIM: eta={self.eta}; it is 0 for no noise, and 1 for that of the ancestral sampler")

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x, p = state.x, denoise(state.x, t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        # The posterior's standard deviation (eq. 16), with q < 1 the factor by which sigma / alpha falls in the step.
        q = alpha_t * sigma_s / (alpha_s * sigma_t)
        added = self.eta * sigma_s * jnp.sqrt(jnp.maximum(1 - jnp.square(q), 0.0))
        kept = jnp.sqrt(jnp.maximum(jnp.square(sigma_s) - jnp.square(added), 0.0))
        x = expand(alpha_s, x) * p.x0 + expand(kept, x) * p.eps
        if self.eta:
            x += expand(added, x) * normal(keys, x.shape[1:])
        return State(x)


@dataclasses.dataclass(frozen=True)
class DPMSolverPP2S:
    """DPM-Solver++(2S), Lu et al. 2022 (arXiv:2211.01095, alg. 1 with r = 1/2): second order, two evaluations a step.

    The second evaluation is in the middle of the step's log snr. A step to sigma = 0 has no middle, and is DDIM's."""

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x, x0 = state.x, denoise(state.x, t).x0
        noisy = schedule(s)[1] > 0
        middle = time_of(schedule, half_log_snr(schedule, t) + half_log_snr(schedule, s))
        middle = jnp.where(noisy, middle, t)
        x0_middle = denoise(follow(schedule, x, x0, t, middle), middle).x0
        return State(follow(schedule, x, jnp.where(expand(noisy, x), x0_middle, x0), t, s))


def integrate(
    sampler: Sampler | Solver,
    keys: jax.Array,
    x: jax.Array,
    denoise: Callable[..., Prediction],
    schedule: Schedule,
    times: jax.Array,
    estimate: bool = False,
    denoise_last: bool = False,
) -> jax.Array:
    """Runs `sampler` from x [b, ...] at times[0] to times[-1]; keys [b] are the samples' own.

    estimate: self-conditioning, Chen et al. 2022 (arXiv:2208.04202). denoise(x, t, estimate) is given the x0 [b, ...]
    of the evaluation before, and zeros at first. denoise_last: one more evaluation, at times[-1], whose x0 is
    returned, as in the score SDEs (Song et al. 2021, arXiv:2011.13456, app. G).

    Raises:
      UserError: an estimate is asked of a sampler that chooses its own times.
    """
    times = jnp.asarray(times, x.dtype)
    last = jnp.zeros_like(x)

    def body(carry, inputs):
        state, last = carry
        i, t, s = inputs
        t, s = (jnp.full(x.shape[0], u) for u in (t, s))
        remembered = _Remembering(denoise, last)
        state = sampler.step(fold(keys, i), state, remembered if estimate else denoise, schedule, t, s)
        return (state, remembered.last), None

    if isinstance(sampler, Solver):
        if estimate:
            raise UserError(
                f"{type(sampler).__name__} does not know an evaluation before: no self-conditioning with it"
            )
        x = sampler.run(keys, x, denoise, schedule, times)
    else:
        steps = (jnp.arange(len(times) - 1), times[:-1], times[1:])
        (state, last), _ = jax.lax.scan(body, (sampler.init(x), last), steps)
        x = state.x
    if denoise_last:
        x = denoise(x, jnp.full(x.shape[0], times[-1]), *([last] if estimate else [])).x0
    return x


def follow(schedule: Schedule, x: jax.Array, x0: jax.Array, t: jax.Array, s: jax.Array) -> jax.Array:
    """x at s [b] from x [b, ...] at t [b], by the probability flow ODE for an x0 that does not change."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    kept = sigma_s / sigma_t
    return expand(kept, x) * x + expand(alpha_s - alpha_t * kept, x) * x0


def half_log_snr(schedule: Schedule, t: jax.Array) -> jax.Array:
    """lambda = log(alpha / sigma) at t [...]; where that is infinite a finite number, about 87 in float32."""
    alpha, sigma = schedule(t)
    tiny = jnp.finfo(alpha.dtype).tiny
    return jnp.log(jnp.maximum(alpha, tiny)) - jnp.log(jnp.maximum(sigma, tiny))


class _Remembering:
    """denoise(x, t, estimate) as a denoiser (x, t), which gives itself the x0 that it found `last`.

    It lives for the tracing of one step, in which a sampler has to call it from Python and not from a loop of JAX."""

    def __init__(self, denoise: Callable[..., Prediction], last: jax.Array):
        self._denoise = denoise
        self.last = last

    def __call__(self, x, t):
        prediction = self._denoise(x, t, self.last)
        self.last = prediction.x0
        return prediction
