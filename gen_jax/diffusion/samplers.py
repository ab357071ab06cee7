"""Samplers: how to go from x at time t to x at time s, given a denoiser. One lax.scan runs them all.

A sampler is a frozen dataclass with
    init(x) -> state                                          (x, and the history of a multistep method)
    step(keys, state, denoise, schedule, t, s) -> state       (t, s [b]; denoise(x, t) -> (x0, eps))
It knows neither the network, nor what it predicts, nor guidance.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from gen_jax.diffusion.schedule import Schedule, expand, velocity
from gen_jax.random import fold, normal

Denoiser = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


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


@dataclasses.dataclass(frozen=True)
class Euler:
    """First order on the probability flow ODE dx/dt = alpha' x0 + sigma' eps."""

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x = state.x
        return State(x + expand(s - t, x) * velocity(schedule, t, *denoise(x, t)))


@dataclasses.dataclass(frozen=True)
class Heun:
    """Second order on the probability flow ODE, two evaluations a step, Karras et al. 2022 (arXiv:2206.00364, alg. 1).

    Where the step ends at sigma = 0 it is Euler's, as in the paper, since eps cannot be asked for there."""

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x, h = state.x, expand(s - t, state.x)
        d = velocity(schedule, t, *denoise(x, t))
        euler = x + h * d
        d_next = velocity(schedule, s, *denoise(euler, s))
        noisy = expand(schedule(s)[1], x) > 0
        return State(jnp.where(noisy, x + h * (d + d_next) / 2, euler))


@dataclasses.dataclass(frozen=True)
class DDIM:
    """Song et al. 2021 (arXiv:2010.02502, eq. 12), in the alpha, sigma of any schedule.

    eta = 0 is deterministic; eta = 1 draws from the posterior q(x_s | x_t, x0), the ancestral sampler of DDPM."""

    eta: float = 0.0

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x = state.x
        x0, eps = denoise(x, t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        # The posterior's standard deviation: eq. 16 for a variance preserving schedule, where the root is
        # sqrt(1 - alpha_t^2 / alpha_s^2).
        forward = jnp.square(sigma_t) - jnp.square(alpha_t / alpha_s * sigma_s)
        added = self.eta * sigma_s / sigma_t * jnp.sqrt(jnp.maximum(forward, 0.0))
        kept = jnp.sqrt(jnp.maximum(jnp.square(sigma_s) - jnp.square(added), 0.0))
        x = expand(alpha_s, x) * x0 + expand(kept, x) * eps
        if self.eta:
            x += expand(added, x) * normal(keys, x.shape[1:])
        return State(x)


def integrate(
    sampler: Sampler, keys: jax.Array, x: jax.Array, denoise: Denoiser, schedule: Schedule, times: jax.Array
) -> jax.Array:
    """Runs `sampler` from x [b, ...] at times[0] to times[-1]; keys [b] are the samples' own."""

    def body(state, inputs):
        i, t, s = inputs
        t, s = (jnp.full(x.shape[0], u) for u in (t, s))
        return sampler.step(fold(keys, i), state, denoise, schedule, t, s), None

    steps = (jnp.arange(len(times) - 1), times[:-1], times[1:])
    state, _ = jax.lax.scan(body, sampler.init(x), steps)
    return state.x
