"""Denoising diffusion, score and flow models: one player, model, and five independent choices.

x_t = alpha x0 + sigma eps        schedule: t -> (alpha, sigma)
F   = a x0 + b eps                parameterization: what the network predicts
loss = E_t w |F_net(x_t, t) - F|^2        weighting w, and the distribution of t
x_1 -> x_0                        sampler, a grid of times, and guidance
"""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.diffusion.guidance import Denoise, clip_x0
from gen_jax.diffusion.parameterization import Parameterization, determinant, invert, target
from gen_jax.diffusion.samplers import Sampler, integrate
from gen_jax.diffusion.schedule import Schedule, expand
from gen_jax.diffusion.time import uniform, uniform_grid
from gen_jax.diffusion.weighting import constant
from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, Conditioning, drop
from gen_jax.random import example_index, example_keys, fold, normal
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """A network (x_t [b, ...], context) -> F [b, ...], trained to denoise and sampled by a solver.

    shape: one example's shape. start, end: the first and the last time of sampling. clip: x0 is clipped to
    [-clip, clip] at every evaluation; None: never. cond_drop: how often the condition is dropped in training, for
    classifier-free guidance. guidance: by name, applied in order, each one of diffusion/guidance.py.

    Raises:
      UserError: steps < 1, times out of order or out of [0, 1], a start where the prediction cannot be inverted,
        guidance on an unconditional model or on one that was never trained without its condition.
    """

    network: nn.Module
    conditioning: Conditioning
    schedule: Schedule
    parameterization: Parameterization
    sampler: Sampler
    shape: tuple[int, ...]
    weighting: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] = constant
    time: Callable[[jax.Array, jax.Array], jax.Array] = uniform
    guidance: Mapping[str, Callable[[Denoise], Denoise]] = dataclasses.field(default_factory=dict)
    steps: int = 50
    start: float = 1.0
    end: float = 0.0
    clip: float | None = None
    cond_drop: float = 0.0

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f"family.steps={self.steps}: a sampler takes at least 1 step")
        if not 0 <= self.end < self.start <= 1:
            raise UserError(f"family.start={self.start}, family.end={self.end}: times need 0 <= end < start <= 1")
        alpha, sigma = self.schedule(jnp.float32(self.start))
        if abs(float(determinant(self.parameterization, alpha, sigma))) < 1e-6:
            raise UserError(
                f"family.start={self.start}: the network's prediction does not give x0 there (alpha = "
                f"{float(alpha):.2g}, sigma = {float(sigma):.2g}); start at 0.98, or predict v"
            )
        if self.guidance and not self.cond_keys:
            raise UserError(f"family.guidance={', '.join(self.guidance)}: guidance needs a conditional model")
        if not 0 <= self.cond_drop <= 1:
            raise UserError(f"family.cond_drop={self.cond_drop}: a probability lies in [0, 1]")
        if self.guidance and self.cond_drop == 0:
            raise UserError("family.cond_drop=0: guidance needs a model trained without its condition too, say 0.1")

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"model": self._loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        noise = jnp.zeros(batch["x"].shape[0])
        cond = {k: batch[k] for k in self.cond_keys} | {"noise": noise}
        shape = batch["x"].shape[1:]
        hint = f"the network has to give the data's own shape {shape}, which it predicts for every value"
        return {"model": self._model.create(key, batch["x"], cond, shape, hint)}, ()

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        _, sigma = self.schedule(jnp.float32(self.start))
        denoise = self.denoiser(params)
        times = uniform_grid(self.start, self.end, self.steps)
        x = sigma * normal(fold(keys, 0), self.shape)  # alpha x0 is unknown; alpha is (nearly) 0 at the start
        return integrate(self.sampler, fold(keys, 1), x, lambda x, t: denoise(x, t, cond), self.schedule, times)

    def denoiser(self, params: Params) -> Denoise:
        """(x_t [b, ...], t [b], cond) -> (x0, eps), with this model's guidance and clipping."""

        def denoise(x, t, cond):
            alpha, sigma = (expand(a, x) for a in self.schedule(t))
            out = self._model.evaluate(params["model"], x, {**cond, "noise": t})
            return invert(self.parameterization, alpha, sigma, x, out)

        for guide in self.guidance.values():
            denoise = guide(denoise)
        return clip_x0(denoise, self.schedule, self.clip) if self.clip is not None else denoise

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        time_key, noise_key, drop_key, dropout_key = jax.random.split(key, 4)
        x0 = batch["x"]
        eps = normal(example_keys(noise_key, batch), x0.shape[1:])
        t = self.time(time_key, example_index(batch))
        alpha, sigma = self.schedule(t)
        det = determinant(self.parameterization, alpha, sigma)
        alpha, sigma = expand(alpha, x0), expand(sigma, x0)
        cond = drop({k: batch[k] for k in self.cond_keys}, example_keys(drop_key, batch), self.cond_drop)
        x, cond = alpha * x0 + sigma * eps, {**cond, "noise": t}
        out = self._model.evaluate(params["model"], x, cond, train=True, dropout=dropout_key)
        error = jnp.square(out - target(self.parameterization, alpha, sigma, x0, eps))
        error = error.reshape(x0.shape[0], -1).mean(1)
        loss = (self.weighting(*self.schedule(t), det) * error).mean()
        return loss, ({"mse": error.mean()}, state.extra)

    @property
    def _model(self) -> Conditioned:
        return Conditioned(self.network, self.conditioning)
