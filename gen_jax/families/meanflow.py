"""MeanFlow: a flow model of the average velocity over a span of time, which one evaluation integrates exactly.

z_t = (1 - t) x0 + t eps,  v = eps - x0        the straight path and its velocity
(t - r) u(z_t, r, t) = integral of v from r to t           hence the identity  u = v - (t - r) du/dt,
du/dt = v du/dz + du/dt        along the path, by one forward-mode product (jax.jvp)
z_r = z_t - (t - r) u(z_t, r, t)               sampling

Geng et al. 2025, Mean Flows for One-step Generative Modeling (arXiv:2505.13447).
"""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.diffusion.checks import check_drawn_times
from gen_jax.diffusion.schedule import expand
from gen_jax.diffusion.time import logit_normal
from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, Conditioning, drop, null
from gen_jax.random import example_index, example_keys, fold, normal
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class MeanFlow:
    """A network (z_t [b, ...], context of noise=t and span=t - r) -> u [b, ...].

    time: the distribution that both ends are drawn from. instant: how many of the examples have r = t, which is flow
    matching. power: of the adaptive weight 1 / (|error|^2 + 1e-3)^power, |.|^2 summed over values (eq. 22).
    omega, kappa: classifier-free guidance as part of what is learned, with the effective scale omega / (1 - kappa)
    (eq. 19 to 21): sampling pays nothing for it; 1 and 0: none. interval: of the times t where it acts.
    cond_drop: how often the condition is dropped.
    steps: evaluations to draw a sample.

    Raises:
      UserError: numbers out of range, and guidance on an unconditional model or without cond_drop.
    """

    network: nn.Module
    conditioning: Conditioning
    shape: tuple[int, ...]
    time: Callable[[jax.Array, jax.Array], jax.Array] = logit_normal
    instant: float = 0.75
    power: float = 1.0
    omega: float = 1.0
    kappa: float = 0.0
    interval: tuple[float, float] = (0.0, 1.0)
    cond_drop: float = 0.0
    steps: int = 1

    def __post_init__(self):
        if getattr(self.network, "attention_impl", None) == "auto":
            # cuDNN's attention has no forward-mode derivative, which the identity takes.
            object.__setattr__(self, "network", self.network.clone(attention_impl="xla"))
        if self.steps < 1:
            raise UserError(f"family.steps={self.steps}: a sampler takes at least 1 step")
        for name in ("instant", "cond_drop"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"family.{name}={getattr(self, name)}: a probability lies in [0, 1]")
        if not 0 <= self.kappa < 1:
            raise UserError(f"family.kappa={self.kappa}: it lies in [0, 1)")
        low, high = self.interval
        if not 0 <= low < high <= 1:
            raise UserError(f"family.interval={tuple(self.interval)}: times (low, high) need 0 <= low < high <= 1")
        check_drawn_times(self.time, 1.0, "MeanFlow")
        if self._guided and not self.cond_keys:
            raise UserError(f"family.omega={self.omega}: guidance needs a conditional model")
        if self._guided and self.cond_drop == 0:
            raise UserError("family.cond_drop=0: guidance needs a model trained without its condition too, say 0.1")

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"model": self._loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        times = jnp.zeros(batch["x"].shape[0])
        cond = {k: batch[k] for k in self.cond_keys} | {"noise": times, "span": times}
        shape = batch["x"].shape[1:]
        return {"model": self._model.create(key, batch["x"], cond, shape, f"it predicts a velocity of {shape}")}, ()

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        z, times = normal(fold(keys, 0), self.shape), jnp.linspace(1.0, 0.0, self.steps + 1)

        def body(z, ends):
            t, r = (jnp.full(len(z), u) for u in ends)
            return z - expand(t - r, z) * self.velocity(params, z, r, t, cond), None

        return jax.lax.scan(body, z, (times[:-1], times[1:]))[0]

    def velocity(self, params: Params, z, r, t, cond: Cond, train: bool = False, dropout=None) -> jax.Array:
        """u(z, r, t) [b, ...], the average velocity from r to t [b]."""
        cond = {**cond, "noise": t, "span": t - r}
        return self._model.evaluate(params["model"], z, cond, train=train, dropout=dropout)

    def identity(self, params: Params, z, v, r, t, cond: Cond, train: bool = False, dropout=None):
        """Both sides of the identity, u and v - (t - r) du/dt [b, ...], for velocities v [b, ...] at z; no gradient
        goes through the second (eq. 11)."""

        def u_of(z, r, t):
            return self.velocity(params, z, r, t, cond, train, dropout)

        u, du_dt = jax.jvp(u_of, (z, r, t), (v, jnp.zeros_like(r), jnp.ones_like(t)))
        return u, jax.lax.stop_gradient(v - expand(t - r, z) * du_dt)

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        t_key, r_key, instant_key, noise_key, drop_key, dropout_key = jax.random.split(key, 6)
        x0, cond, index = batch["x"], {k: batch[k] for k in self.cond_keys}, example_index(batch)
        eps = normal(example_keys(noise_key, batch), x0.shape[1:])
        one, other = self.time(t_key, index), self.time(r_key, index)
        keys = example_keys(instant_key, batch)
        equal = jax.vmap(lambda k: jax.random.bernoulli(k, self.instant))(keys)
        t = jnp.maximum(one, other)
        r = jnp.where(equal, t, jnp.minimum(one, other))
        z, v = (1 - expand(t, x0)) * x0 + expand(t, x0) * eps, eps - x0
        dropped = drop(cond, example_keys(drop_key, batch), self.cond_drop)
        if self._guided:
            v = self._guide(params, v, z, t, cond, dropped)

        u, goal = self.identity(params, z, v, r, t, dropped, train=True, dropout=dropout_key)
        square = jnp.square(u - goal).reshape(len(z), -1)
        total = square.sum(1)
        loss = (total / jax.lax.stop_gradient((total + 1e-3) ** self.power)).mean()
        return loss, ({"mse": square.mean()}, state.extra)

    def _guide(self, params: Params, v, z, t, cond: Cond, dropped: Cond) -> jax.Array:
        """The velocity of the guided field; v itself where the condition is dropped (eq. 21)."""
        given = self.velocity(params, z, t, t, cond)
        nothing = self.velocity(params, z, t, t, null(cond))
        guided = self.omega * v + self.kappa * given + (1 - self.omega - self.kappa) * nothing
        kept = jnp.stack([(dropped[k] == cond[k]) for k in cond]).all(0)
        on = kept & (self.interval[0] <= t) & (t <= self.interval[1])
        return jax.lax.stop_gradient(jnp.where(expand(on, v), guided, v))

    @property
    def _guided(self) -> bool:
        return self.omega != 1 or self.kappa != 0

    @property
    def _model(self) -> Conditioned:
        return Conditioned(self.network, self.conditioning)
