"""Variational diffusion models, Kingma et al. 2021 (arXiv:2107.00630): two players, model and schedule.

alpha^2 = sigmoid(-g(t)), sigma^2 = sigmoid(g(t))      g = -log_snr, learned: g0 + (g1 - g0) u(t), u rising from 0 to 1
-log p(x) <= KL(q(z_1|x) || N(0, 1)) - E log p(x|z_0) + 1/2 E_t g'(t) |eps - eps_net|^2      eq. 11 and 17

The bound does not depend on the shape u of the schedule, only on its ends: these and the network are the model, trained
to minimize the bound; u is the schedule, trained to minimize the variance of the bound's estimate (app. H).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.diffusion.grids import uniform_grid
from gen_jax.diffusion.guidance import Denoise
from gen_jax.diffusion.likelihood import log_levels_given, prior_divergence
from gen_jax.diffusion.parameterization import eps as eps_parameterization
from gen_jax.diffusion.parameterization import invert
from gen_jax.diffusion.samplers import Sampler, integrate
from gen_jax.diffusion.schedule import Schedule, expand
from gen_jax.diffusion.time import stratified
from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.random import example_index, example_keys, fold, normal
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class VDM:
    """A network (z_t [b, ...], context of noise=g) -> eps [b, ...], and the shape of the schedule, t -> u (nn module).

    low, high: where g0 and g1 start, the paper's -13.3 and 5; they are learned. steps: of sampling.

    Raises:
      UserError: steps < 1, or low not below high.
    """

    network: nn.Module
    conditioning: Conditioning
    shape: tuple[int, ...]
    sampler: Sampler
    noise: nn.Module
    time: Callable[[jax.Array, jax.Array], jax.Array] = stratified
    low: float = -13.3
    high: float = 5.0
    steps: int = 250

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f"family.steps={self.steps}: a sampler takes at least 1 step")
        if not self.low < self.high:
            raise UserError(f"family.low={self.low}, family.high={self.high}: low has to be below high")

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"model": self._bound_loss, "schedule": self._variance_loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        times = jnp.zeros(batch["x"].shape[0])
        cond, shape = {k: batch[k] for k in self.cond_keys} | {"noise": times}, batch["x"].shape[1:]
        model_key, schedule_key = jax.random.split(key)
        model = self._model.create(model_key, batch["x"], cond, shape, f"it predicts noise of {shape}")
        model |= {"low": jnp.float32(self.low), "high": jnp.float32(self.high)}
        return {"model": model, "schedule": self.noise.init(schedule_key, times)["params"]}, ()

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        denoise, schedule = self.denoiser(params), self.schedule(params)
        x, times = normal(fold(keys, 0), self.shape), uniform_grid(schedule, 1.0, 0.0, self.steps)
        z = integrate(self.sampler, fold(keys, 1), x, lambda x, t: denoise(x, t, cond), schedule, times)
        return z / schedule(jnp.float32(0.0))[0]  # the likeliest x of p(x | z_0)

    def schedule(self, params: Params) -> Schedule:
        """The learned t -> (alpha, sigma)."""

        def alpha_sigma(t):
            g = self._g(params, t)
            return jnp.sqrt(jax.nn.sigmoid(-g)), jnp.sqrt(jax.nn.sigmoid(g))

        return alpha_sigma

    def denoiser(self, params: Params) -> Denoise:
        """(z_t [b, ...], t [b], cond) -> Prediction."""
        schedule = self.schedule(params)

        def denoise(x, t, cond):
            alpha, sigma = (expand(a, x) for a in schedule(t))
            return invert(eps_parameterization, alpha, sigma, x, self._eps(params, x, t, cond))

        return denoise

    def _g(self, params: Params, t: jax.Array) -> jax.Array:
        model = params["model"]
        return model["low"] + (model["high"] - model["low"]) * self.noise.apply({"params": params["schedule"]}, t)

    def _eps(self, params: Params, x, t, cond: Cond, train: bool = False, dropout=None) -> jax.Array:
        # Shown in [0, 1] for the paper's range, as its network is.
        noise = (self._g(params, t) - self.low) / (self.high - self.low)
        return self._model.evaluate(params["model"], x, {**cond, "noise": noise}, train=train, dropout=dropout)

    def _terms(self, params: Params, batch: Batch, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The bound's three terms, in bits per value [b]: prior, reconstruction, diffusion."""
        time_key, noise_key, start_key, dropout_key = jax.random.split(key, 4)
        x, cond = batch["x"], {k: batch[k] for k in self.cond_keys}
        eps, eps_0 = (normal(example_keys(k, batch), x.shape[1:]) for k in (noise_key, start_key))
        schedule, unit = self.schedule(params), math.log(2) * math.prod(x.shape[1:])
        alpha, sigma = schedule(jnp.float32(0.0))
        reconstruction = -log_levels_given(alpha * x + sigma * eps_0, x, alpha, sigma)
        t = self.time(time_key, example_index(batch))
        alpha, sigma = (expand(a, x) for a in schedule(t))
        out = self._eps(params, alpha * x + sigma * eps, t, cond, train=True, dropout=dropout_key)
        square = jnp.square(eps - out).reshape(len(x), -1).sum(1)
        rate = jax.jvp(lambda t: self._g(params, t), (t,), (jnp.ones_like(t),))[1]
        return prior_divergence(schedule, x) / unit, reconstruction / unit, 0.5 * rate * square / unit

    def _bound_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        prior, reconstruction, diffusion = (term.mean() for term in self._terms(params, batch, key))
        bound = prior + reconstruction + diffusion
        metrics = {"bits_per_dim": bound, "prior": prior, "reconstruction": reconstruction, "diffusion": diffusion}
        return bound, (metrics | {"low": params["model"]["low"], "high": params["model"]["high"]}, state.extra)

    def _variance_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        # The mean does not depend on the schedule's shape, so the second moment has the variance's gradient.
        diffusion = self._terms(params, batch, key)[2]
        return jnp.square(diffusion).mean(), ({"deviation": diffusion.std()}, state.extra)

    @property
    def _model(self) -> Conditioned:
        return Conditioned(self.network, self.conditioning)
