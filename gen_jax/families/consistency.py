"""Consistency models: networks that map any point of a noising path to its beginning, in one evaluation.

f(x, s) = c_skip(s) x + c_out(s) F(c_in x, c_noise)     with f(x, sigma_min) = x, Song et al. 2023 (arXiv:2303.01469)
loss = d(f(x0 + s' eps, s'), f(x0 + s eps, s)) / (s' - s)    for neighbours s < s' of a grid of noise levels that gets
                                                             finer during training, Song & Dhariwal 2023
                                                             (arXiv:2310.14189), no gradient through the second f
"""

import dataclasses
import math
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.diffusion.grids import karras_grid
from gen_jax.diffusion.guidance import Denoise, clip_x0
from gen_jax.diffusion.parameterization import Prediction, edm_inputs
from gen_jax.diffusion.samplers import Heun, Sampler, State, integrate
from gen_jax.diffusion.schedule import EDM, expand
from gen_jax.diffusion.stochastic import ConsistencyMultistep
from gen_jax.errors import UserError
from gen_jax.families.diffusion import Diffusion
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.random import example_index, example_keys, fold, normal
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class Consistency:
    """A network (c_in x [b, ...], context) -> F [b, ...], trained to be consistent and sampled in a step or a few.

    Training is from data alone; with a `teacher` (a diffusion model of the EDM schedule, whose parameters stand in
    extra) it is distillation: the less noisy neighbour is one of the teacher's Heun steps away (arXiv:2303.01469,
    alg. 2) instead of the same noise at another level.

    first, last: the grid has `first` intervals at the start of training and twice as many after each of
    equal parts of `total_steps`, up to `last` (arXiv:2310.14189, eq. 11). rho: its spacing. mean, std: of the log of
    the noise levels that are trained. huber: c of the pseudo-Huber distance sqrt(|d|^2 + c^2) - c; None:
    0.00054 sqrt(number of values). clip: samples' x0 are clipped to [-clip, clip] at every evaluation.
    steps: evaluations to draw a sample; times: the noise levels after the first, falling, `steps - 1` of them; None,
    and where another number of steps is asked for: the grid's.

    Raises:
      UserError: a sampler that integrates an ODE, which this model's predictions already are the end of; and numbers
        out of range.
    """

    network: nn.Module
    conditioning: Conditioning
    shape: tuple[int, ...]
    total_steps: int
    sampler: Sampler = dataclasses.field(default_factory=ConsistencyMultistep)
    teacher: Diffusion | None = None
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    rho: float = 7.0
    first: int = 10
    last: int = 1280
    mean: float = -1.1
    std: float = 2.0
    huber: float | None = None
    clip: float | None = None
    steps: int = 1
    times: tuple[float, ...] | None = None

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f"family.steps={self.steps}: a sampler takes at least 1 step")
        if not isinstance(self.sampler, ConsistencyMultistep):
            raise UserError(
                f"family.sampler={type(self.sampler).__name__}: a consistency model predicts the end of the path, so "
                "only diffusion.ConsistencyMultistep, which noises it again, draws from it"
            )
        if not 0 < self.sigma_min < self.sigma_max:
            raise UserError(
                f"family.sigma_min={self.sigma_min}, family.sigma_max={self.sigma_max}: they need 0 < min < max"
            )
        if not 1 <= self.first <= self.last or self.total_steps < 1:
            raise UserError(
                f"family.first={self.first}, family.last={self.last}, family.total_steps={self.total_steps}: they "
                "need 1 <= first <= last and at least 1 step"
            )
        if self.times is not None and not all(self.sigma_min <= s <= self.sigma_max for s in self.times):
            raise UserError(f"family.times={self.times}: noise levels lie in [{self.sigma_min}, {self.sigma_max}]")
        if self.times is not None and list(self.times) != sorted(set(self.times), reverse=True):
            raise UserError(f"family.times={self.times}: noise levels fall from one evaluation to the next")
        if self.clip is not None and self.clip <= 0:
            raise UserError(f"family.clip={self.clip}: x0 is clipped to [-clip, clip], say 1.0; None: not at all")
        if self.teacher is not None and not isinstance(self.teacher, Diffusion):
            raise UserError(f"family.teacher is a {type(self.teacher).__name__}; it has to be a Diffusion model")
        if self.teacher is not None and not isinstance(self.teacher.schedule, EDM):
            raise UserError(f"family.teacher: its schedule is {type(self.teacher.schedule).__name__}; it has to be EDM")

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"model": self._loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        cond = {k: batch[k] for k in self.cond_keys} | {"noise": jnp.zeros(batch["x"].shape[0])}
        shape = batch["x"].shape[1:]
        hint = f"the network has to give the data's own shape {shape}"
        params = {"model": self._model.create(key, batch["x"], cond, shape, hint)}
        if self.teacher is None:
            return params, ()
        teacher, extra = self.teacher.init(key, batch)
        return params, {"teacher": {"params": teacher, "extra": extra}}

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        denoise = self.denoiser(params)
        if self.times is not None and len(self.times) == self.steps - 1:
            times = jnp.array([self.sigma_max, *self.times, 0.0])
        else:
            inner = karras_grid(EDM(), self.sigma_max, self.sigma_min, self.steps, rho=self.rho)[:-1]
            times = jnp.append(inner, 0.0)
        x = self.sigma_max * normal(fold(keys, 0), self.shape)
        return integrate(self.sampler, fold(keys, 1), x, lambda x, t: denoise(x, t, cond), EDM(), times)

    def denoiser(self, params: Params) -> Denoise:
        """(x [b, ...], sigma [b], cond) -> Prediction, whose x0 is f."""

        def denoise(x, t, cond):
            x0 = self._f(params, x, t, cond)
            return Prediction(x0, (x - x0) / expand(t, x))

        return clip_x0(denoise, EDM(), self.clip) if self.clip is not None else denoise

    def _f(self, params: Params, x, t, cond: Cond, train: bool = False, dropout=None) -> jax.Array:
        """The model f(x, t) [b, ...]; f(x, sigma_min) = x exactly, whatever the network is."""
        sd, s = self.sigma_data, expand(t, x)
        skip = sd**2 / (jnp.square(s - self.sigma_min) + sd**2)
        out_scale = sd * (s - self.sigma_min) / jnp.sqrt(sd**2 + jnp.square(s))
        scale, noise = edm_inputs(t, jnp.ones_like(t), t, sd)
        cond = {**cond, "noise": noise}
        out = self._model.evaluate(params["model"], expand(scale, x) * x, cond, train=train, dropout=dropout)
        return skip * x + out_scale * out

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        time_key, noise_key, dropout_key = jax.random.split(key, 3)
        x0, cond = batch["x"], {k: batch[k] for k in self.cond_keys}
        eps = normal(example_keys(noise_key, batch), x0.shape[1:])
        intervals = self.intervals(state.step)
        low, high = self.neighbours(time_key, example_index(batch), intervals)
        noisy = x0 + expand(high, x0) * eps
        less = self._less_noisy(state, noisy, x0, eps, low, high, cond)
        # The same dropout in both, so that they differ by the noise level alone.
        student = self._f(params, noisy, high, cond, train=True, dropout=dropout_key)
        goal = jax.lax.stop_gradient(self._f(params, less, low, cond, train=True, dropout=dropout_key))
        square = jnp.square(student - goal).reshape(x0.shape[0], -1).sum(1)
        c = 0.00054 * math.sqrt(math.prod(x0.shape[1:])) if self.huber is None else self.huber
        distance = jnp.sqrt(square + c**2) - c
        loss = (distance / (high - low)).mean()
        return loss, ({"distance": distance.mean(), "intervals": intervals}, state.extra)

    def _less_noisy(self, state: TrainState, noisy, x0, eps, low, high, cond: Cond) -> jax.Array:
        """What the noisy x at `high` is at `low`: of the same data and noise, or by the teacher's ODE."""
        if self.teacher is None:
            return x0 + expand(low, x0) * eps
        teacher = state.extra["teacher"]
        denoise = self.teacher.denoiser(teacher["params"], teacher["extra"])
        at, keys = State(noisy), jax.random.split(jax.random.key(0), len(noisy))  # Heun draws nothing
        step = Heun().step(keys, at, lambda x, t: denoise(x, t, cond), EDM(), high, low)
        return jax.lax.stop_gradient(step.x)

    def intervals(self, step: jax.Array) -> jax.Array:
        """How many intervals the grid of noise levels has at this step, float32 []."""
        stages = math.floor(math.log2(self.last // self.first)) + 1
        stage = jnp.floor(step / max(self.total_steps // stages, 1))
        return jnp.minimum(self.first * 2.0**stage, self.last)

    def neighbours(self, key: jax.Array, index: jax.Array, intervals: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Noise levels (s, s') [b], the ends of one of the grid's intervals: interval i as often as a log-normal noise
        level falls into it (arXiv:2310.14189, eq. 10)."""
        a, b = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        ends = (jnp.log(jnp.array([self.sigma_min, self.sigma_max])) - self.mean) / self.std
        low, high = jax.scipy.stats.norm.cdf(ends)
        u = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), minval=low, maxval=high))(index)
        sigma = jnp.exp(self.mean + self.std * jax.scipy.stats.norm.ppf(u))
        place = jnp.floor((sigma ** (1 / self.rho) - a) / (b - a) * intervals)
        place = jnp.clip(place, 0, intervals - 1)
        first, second = ((a + (place + i) / intervals * (b - a)) ** self.rho for i in (0, 1))
        return first, second

    @property
    def _model(self) -> Conditioned:
        return Conditioned(self.network, self.conditioning)
