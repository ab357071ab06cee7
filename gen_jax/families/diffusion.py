"""Denoising diffusion, score and flow models: a player, model, and independent choices.

x_t = alpha x0 + sigma eps        schedule: t -> (alpha, sigma)
F   = a x0 + b eps                parameterization: what the network predicts, from the inputs that it is shown
loss = E_t w |F_net(x_t, t) - F|^2        weighting w, and the distribution of t
x_1 -> x_0                        sampler, a grid of times, and guidance
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.diffusion.checks import check_drawn_times, check_times
from gen_jax.diffusion.coupling import independent
from gen_jax.diffusion.grids import uniform_grid
from gen_jax.diffusion.guidance import Denoise, Guidance, adaptive_projected, classifier_free, clip_x0
from gen_jax.diffusion.parameterization import Inputs, Parameterization, Prediction, determinant, invert, plain, target
from gen_jax.diffusion.samplers import Sampler, Solver, integrate
from gen_jax.diffusion.schedule import Schedule, expand, horizon, log_snr_rate
from gen_jax.diffusion.time import uniform
from gen_jax.diffusion.variational import bound_term
from gen_jax.diffusion.weighting import constant
from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, drop
from gen_jax.random import example_index, example_keys, fold, normal
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """A network (scale x_t [b, ...], context) -> F [b, ...], trained to denoise and sampled by a solver.

    shape: one example's shape. inputs: the scale, and the number that tells the network the noise. coupling: pairs
    noise with data (diffusion/coupling.py). augment: keys, x -> x, labels [b, k] (diffusion/augment.py).

    start, end: the first and the last time of sampling; start=None: the schedule's largest. denoise_last: at the last
    time take x0 as predicted there, one evaluation more. clip: x0 is clipped to [-clip, clip] at every evaluation;
    None: never. guidance: by name, applied in order, each one of diffusion/guidance.py; cond_drop: how often the
    condition is dropped in training, for guidance.

    self_condition: how often in training the network is shown its own first estimate of x0 (Chen et al. 2022,
    arXiv:2208.04202); in sampling it always is that of the evaluation before. 0: never.
    uncertainty: a network noise [b] -> u [b], the learned log of the loss: w error / exp(u) + u, Karras et al. 2023
    (arXiv:2312.02696, eq. 14).
    classifier: a network (scale x_t, context) -> logits [b, classes], a second player, trained to tell the labels of
    noisy data, for diffusion.classifier_guidance (Dhariwal & Nichol 2021, arXiv:2105.05233); it has a conditioning of
    its own. weak: a worse model of the same data, for diffusion.autoguidance; its parameters stand in extra.
    chain: the number of steps of a Markov chain whose reverse variances are learned too; the network then gives two
    values for each (channels_per_value=2), and the loss has vlb_weight times the chain's bound in bits per value added
    (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 16); its gradient reaches the variances only.

    Raises:
      UserError: steps < 1, times out of order or beyond the schedule's, in sampling or in training, a start where the
        prediction cannot be inverted, other numbers out of range, a sampler of its own steps with self-conditioning,
        guidance on an unconditional model or on one that was never trained without its condition.
    """

    network: nn.Module
    conditioning: nn.Module
    schedule: Schedule
    parameterization: Parameterization
    sampler: Sampler
    shape: tuple[int, ...]
    inputs: Inputs = plain
    weighting: Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array] = constant
    time: Callable[[jax.Array, jax.Array], jax.Array] = uniform
    grid: Callable[[Schedule, float, float, int], jax.Array] = uniform_grid
    coupling: Callable[[jax.Array, jax.Array], jax.Array] = independent
    augment: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]] | None = None
    guidance: Mapping[str, Guidance] = dataclasses.field(default_factory=dict)
    uncertainty: nn.Module | None = None
    classifier: nn.Module | None = None
    weak: "Diffusion | None" = None
    steps: int = 50
    start: float | None = None
    end: float = 0.0
    denoise_last: bool = False
    clip: float | None = None
    cond_drop: float = 0.0
    self_condition: float = 0.0
    chain: int | None = None
    vlb_weight: float = 0.001

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f"family.steps={self.steps}: a sampler takes at least 1 step")
        check_times(self.schedule, self.start, self.end)
        first = self._start
        alpha, sigma = self.schedule(jnp.float32(first))
        if abs(float(determinant(self.parameterization, alpha, sigma))) < 1e-6:
            raise UserError(
                f"family.start={first}: the network's prediction does not give x0 there (alpha = "
                f"{float(alpha):.2g}, sigma = {float(sigma):.2g}); start at 0.98, or predict v"
            )
        jax.eval_shape(self._times)  # a grid may refuse the times that it is given
        check_drawn_times(self.time, horizon(self.schedule), type(self.schedule).__name__)
        if self.clip is not None and self.clip <= 0:
            raise UserError(f"family.clip={self.clip}: x0 is clipped to [-clip, clip], say 1.0; None: not at all")
        if self.chain is not None and self.chain < 1:
            raise UserError(f"family.chain={self.chain}: a chain has at least 1 step; None: no variances are learned")
        if self.self_condition and isinstance(self.sampler, Solver):
            raise UserError(
                f"family.sampler={type(self.sampler).__name__}: it knows no evaluation before, which "
                f"family.self_condition={self.self_condition} needs; take one of fixed steps, such as diffusion.Heun"
            )
        guides = [name for name, guide in self.guidance.items() if _function(guide) in _READ_NULL]
        if self.classifier is None and any(_takes(guide, "classifier") for guide in self.guidance.values()):
            raise UserError("family.classifier: classifier guidance needs a network that tells the labels")
        if self.weak is None and any(_takes(guide, "weak") for guide in self.guidance.values()):
            raise UserError("family.weak: autoguidance needs a worse model, such as family.weak={'workdir': DIR}")
        if self.weak is not None and getattr(self.weak, "schedule", None) != self.schedule:
            raise UserError(
                f"family.weak is a {type(self.weak).__name__} of schedule {getattr(self.weak, 'schedule', None)}: what "
                f"it says of x_t can be compared where its schedule is this model's, {self.schedule}"
            )
        if self.weak is not None and not isinstance(self.weak, Diffusion):
            raise UserError(f"family.weak is a {type(self.weak).__name__}: autoguidance takes a Diffusion model")
        for guide in self.guidance.values():
            needs = {name: _nothing for name in ("weak", "classifier") if _takes(guide, name)}
            functools.partial(guide, **needs)(_nothing, self.schedule)  # guidance may refuse its own numbers
        for name in ("cond_drop", "self_condition"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"family.{name}={getattr(self, name)}: a probability lies in [0, 1]")
        if guides and not self.conditioning.keys:
            raise UserError(f"family.guidance={', '.join(guides)}: guidance needs a conditional model")
        if guides and self.cond_drop == 0:
            raise UserError("family.cond_drop=0: guidance needs a model trained without its condition too, say 0.1")

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys if self.classifier is None else ("label",)

    @property
    def num_classes(self) -> int:
        """How many classes the model can be asked for."""
        return self.conditioning.num_classes if self.classifier is None else self.classifier.outputs

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"model": self._loss} | ({} if self.classifier is None else {"classifier": self._classifier_loss})

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        x, noise = batch["x"], jnp.zeros(batch["x"].shape[0])
        cond = {k: batch[k] for k in self.conditioning.keys} | {"noise": noise}
        if self.augment is not None:
            cond["augment"] = self.augment(example_keys(key, batch), x)[1]
        if self.self_condition:
            cond["estimate"] = jnp.zeros_like(x)
        *axes, c = x.shape[1:]
        hint = f"the network has to give the data's own shape {(*axes, c)}, which it predicts for every value"
        if self.chain:
            hint = f"to learn variances (chain={self.chain}) the network needs channels_per_value=2"
        model = self._model.create(key, x, cond, (*axes, c * (2 if self.chain else 1)), hint)
        if self.uncertainty is not None:
            model |= {"uncertainty": self.uncertainty.init(key, noise)["params"]}
        params = {"model": model}
        if self.classifier is not None:
            out, variables = self._classifier.init_with_output(jax.random.fold_in(key, 1), x, {"noise": noise})
            if out.ndim != 2:
                raise UserError(
                    f"family.classifier gives {out.shape[1:]} for an example, and a logit a class is needed"
                )
            params["classifier"] = variables["params"]
        if self.weak is None:
            return params, ()
        weak, extra = self.weak.init(key, batch)
        return params, {"weak": {"params": weak, "extra": extra}}

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        denoise, times = self.denoiser(params, extra), self._times()
        _, sigma = self.schedule(times[0])
        x = sigma * normal(fold(keys, 0), self.shape)  # alpha x0 is unknown; alpha is (nearly) 0 at the start

        def conditioned(x, t, estimate=None):
            return denoise(x, t, cond if estimate is None else {**cond, "estimate": estimate})

        keys, estimate = fold(keys, 1), self.self_condition > 0
        return integrate(self.sampler, keys, x, conditioned, self.schedule, times, estimate, self.denoise_last)

    def denoiser(self, params: Params, extra: PyTree = ()) -> Denoise:
        """(x_t [b, ...], t [b], cond) -> Prediction, with this model's guidance and clipping."""

        denoise = self._unguided(params)
        for guide in self.guidance.values():
            if _takes(guide, "weak"):
                guide = functools.partial(guide, weak=self.weak._unguided(extra["weak"]["params"]))  # type: ignore
            if _takes(guide, "classifier"):
                classify = functools.partial(self._classify, params)
                guide = functools.partial(guide, classifier=classify)  # type: ignore[call-arg]
            denoise = guide(denoise, self.schedule)
        return clip_x0(denoise, self.schedule, self.clip) if self.clip is not None else denoise

    def _unguided(self, params: Params) -> Denoise:
        return lambda x, t, cond: self._predict(params, x, t, cond)[0]

    def _predict(self, params: Params, x, t, cond, train: bool = False, dropout=None) -> tuple[Prediction, jax.Array]:
        """What the network says of x at t, and its own output F."""
        alpha, sigma = self.schedule(t)
        scale, noise = self.inputs(t, alpha, sigma)
        out = self._model.evaluate(
            params["model"], expand(scale, x) * x, {**cond, "noise": noise}, train=train, dropout=dropout
        )
        variance = None
        if self.chain:
            out, variance = jnp.split(out, 2, axis=-1)
            variance = (variance + 1) / 2
        prediction = invert(self.parameterization, expand(alpha, x), expand(sigma, x), x, out)
        return prediction._replace(variance=variance), out

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        time_key, noise_key, drop_key, dropout_key = jax.random.split(key, 4)
        x0, cond = batch["x"], {k: batch[k] for k in self.conditioning.keys}
        if self.augment is not None:
            x0, cond["augment"] = self.augment(example_keys(jax.random.fold_in(key, 0), batch), x0)
        eps = self.coupling(x0, normal(example_keys(noise_key, batch), x0.shape[1:]))
        t = self.time(time_key, example_index(batch))
        alpha, sigma = self.schedule(t)
        det = determinant(self.parameterization, alpha, sigma)
        x = expand(alpha, x0) * x0 + expand(sigma, x0) * eps
        cond = drop(cond, example_keys(drop_key, batch), self.cond_drop)
        if self.self_condition:
            cond["estimate"] = self._estimate(params, x, t, cond, example_keys(jax.random.fold_in(key, 1), batch))

        prediction, out = self._predict(params, x, t, cond, train=True, dropout=dropout_key)
        error = jnp.square(out - target(self.parameterization, expand(alpha, x), expand(sigma, x), x0, eps))
        error = error.reshape(x0.shape[0], -1).mean(1)
        loss = self.weighting(alpha, sigma, det, log_snr_rate(self.schedule, t)) * error
        metrics = {"mse": error.mean()}
        if self.uncertainty is not None:
            noise = self.inputs(t, alpha, sigma)[1]
            u = self.uncertainty.apply({"params": params["model"]["uncertainty"]}, noise)
            loss = loss * jnp.exp(-u) + u  # type: ignore[operator]
        if self.chain:
            fixed = prediction._replace(x0=jax.lax.stop_gradient(prediction.x0))
            before = (jnp.round(t * self.chain) - 1) / self.chain
            bits = self.chain * bound_term(self.schedule, t, before, x0, x, fixed)
            loss, metrics["vlb"] = loss + self.vlb_weight * bits, bits.mean()
        return loss.mean(), (metrics, state.extra)

    def _classify(self, params: Params, x: jax.Array, t: jax.Array, train: bool = False, dropout=None) -> jax.Array:
        """The classifier's logits [b, classes] for x at t."""
        scale, noise = self.inputs(t, *self.schedule(t))
        own = params["classifier"]
        return self._classifier.evaluate(own, expand(scale, x) * x, {"noise": noise}, train, dropout)

    def _classifier_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        """The cross entropy of the labels, from data as noisy as the model's."""
        time_key, noise_key, dropout_key = jax.random.split(key, 3)
        x0, t = batch["x"], self.time(time_key, example_index(batch))
        alpha, sigma = (expand(a, x0) for a in self.schedule(t))
        x = alpha * x0 + sigma * normal(example_keys(noise_key, batch), x0.shape[1:])
        logits = self._classify(params, x, t, train=True, dropout=dropout_key)
        log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), batch["label"][:, None], axis=1)
        accuracy = (logits.argmax(1) == batch["label"]).mean()
        return -log_p.mean(), ({"accuracy": accuracy}, state.extra)

    def _estimate(self, params: Params, x, t, cond, keys: jax.Array) -> jax.Array:
        """The network's own x0 [b, ...] without an estimate, for some of the examples, and zeros for the others."""
        prediction, _ = self._predict(params, x, t, {**cond, "estimate": jnp.zeros_like(x)})
        shown = jax.vmap(lambda key: jax.random.bernoulli(key, self.self_condition))(keys)
        return jnp.where(expand(shown, x), jax.lax.stop_gradient(prediction.x0), 0.0)

    def _times(self) -> jax.Array:
        """The times of sampling; with denoise_last, x0 as predicted at the last is one of the steps."""
        steps = max(self.steps - 1, 1) if self.denoise_last else self.steps
        return self.grid(self.schedule, self._start, self.end, steps)

    @property
    def _start(self) -> float:
        return horizon(self.schedule) if self.start is None else self.start

    @property
    def _model(self) -> Conditioned:
        return Conditioned(self.network, self.conditioning)

    @property
    def _classifier(self) -> Conditioned:
        return Conditioned(self.classifier, self.conditioning.clone(num_classes=0))  # type: ignore[arg-type]


_READ_NULL = (classifier_free, adaptive_projected)
"""The guidances that ask the model without its condition."""


def _nothing(*args):
    """Stands for models that are not asked yet."""
    raise NotImplementedError


def _function(guide: Guidance) -> Callable[..., Denoise]:
    return guide.func if isinstance(guide, functools.partial) else guide


def _takes(guide: Guidance, argument: str) -> bool:
    return argument in inspect.signature(guide).parameters
