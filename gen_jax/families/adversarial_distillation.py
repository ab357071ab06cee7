"""A diffusion model distilled into a few steps by matching distributions: DMD2.

x = G(x_t, t)                                   the student, which starts as the teacher; t one of its few times
D_fake                                          a denoiser of the student's own samples, trained all along
dL/dx = (D_fake(x_u, u) - D_real(x_u, u)) / mean |x - D_real(x_u, u)|,   x_u = alpha x + sigma eps
                                                the score of what is drawn less that of data (D_real: the teacher)
and a GAN on x_u, whose discriminator is a head on the features in the middle of D_fake

Yin et al. 2024, Improved Distribution Matching Distillation for Fast Image Synthesis (arXiv:2405.14867); the direction
is that of Yin et al. 2023 (arXiv:2311.18828, eq. 7 and 8). The other way, adversarial diffusion distillation (Sauer et
al. 2023, arXiv:2311.17042), has its discriminator on features of a network that was trained on millions of images, and
its distillation loss is a squared error, which blurs; this one needs nothing but the teacher and the data.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.diffusion.checks import check_drawn_times
from gen_jax.diffusion.parameterization import determinant
from gen_jax.diffusion.schedule import expand, horizon
from gen_jax.diffusion.time import uniform
from gen_jax.errors import UserError
from gen_jax.families.diffusion import Diffusion
from gen_jax.losses.adversarial import non_saturating
from gen_jax.nn.conditioning import Conditioned
from gen_jax.random import example_index, example_keys, fold, normal
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class AdversarialDistillation:
    """A student and a fake, both networks of the teacher's kind that start as it does; the teacher's parameters stand
    in extra. The teacher's guidance is distilled with it.

    head: a network (features [b, ...], context) -> logit [b, 1], with a `conditioning` of its own, which reads no more
    than the label. features: the part of the teacher's network, by its name in the parameters ("middle_1" of a U-Net,
    "block_2" of a transformer), whose output the head reads.
    num_classes: the data's, which the teacher's have to be. time: the distribution of u. loss: one of
    losses/adversarial.py; head_weight and gen_weight: its weights beside the fake's and the student's other loss.

    steps: evaluations to draw a sample. times: those of the evaluations after the first, falling, `steps - 1` of them,
    at each of which the student is trained on what it makes itself of the ones before (backward simulation, sec. 4.4);
    None, and where another number of steps is asked for: those of the teacher's grid.

    The fake has to follow the student: optim.student.every=5 updates it five times as often (sec. 4.2).

    Raises:
      UserError: a teacher that is no Diffusion model, or of other classes, or that predicts more than x0; times that
        its schedule does not have, or at which its prediction does not give x0; numbers out of range.
    """

    teacher: Diffusion
    head: nn.Module
    conditioning: nn.Module
    features: str
    shape: tuple[int, ...]
    num_classes: int = 0
    time: Callable[[jax.Array, jax.Array], jax.Array] = uniform
    loss: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]] = non_saturating
    head_weight: float = 0.01
    gen_weight: float = 0.003
    steps: int = 1
    times: tuple[float, ...] | None = None

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f"family.steps={self.steps}: a student takes at least 1 step")
        for name in ("head_weight", "gen_weight"):
            if getattr(self, name) < 0:
                raise UserError(f"family.{name}={getattr(self, name)}: a weight cannot be below 0")
        if not isinstance(self.teacher, Diffusion):
            raise UserError(f"family.teacher is a {type(self.teacher).__name__}; it has to be a Diffusion model")
        for name in ("chain", "self_condition"):
            if getattr(self.teacher, name):
                raise UserError(
                    f"family.teacher has {name}={getattr(self.teacher, name)}: its student would need more than x_t, "
                    "or predict more than x0; take a teacher without it"
                )
        if self.teacher.cond_keys and self.teacher.num_classes != self.num_classes:
            raise UserError(
                f"family.teacher knows {self.teacher.num_classes} classes, and the data has {self.num_classes}"
            )
        _ = self._plain  # made now, since it checks its numbers, which cannot be done inside of a traced function
        schedule, parameterization = self.teacher.schedule, self.teacher.parameterization
        name, first, end = type(schedule).__name__, self._first, self.teacher.end
        check_drawn_times(self.time, horizon(schedule), name)
        for t in self.times or ():
            if not end < t < first:
                raise UserError(
                    f"family.times={self.times}: those of the teacher's {name} lie between {end} and {first}"
                )
        if list(self.times or ()) != sorted(set(self.times or ()), reverse=True):
            raise UserError(f"family.times={self.times}: they fall from one evaluation to the next")
        t = jnp.append(self._times(), self.time(jax.random.key(0), jnp.arange(256)))
        if float(jnp.abs(determinant(parameterization, *schedule(t))).min()) < 1e-6:
            raise UserError(
                f"family.time, family.times: the teacher's prediction does not give x0 at all times between "
                f"{float(t.min()):.3g} and {float(t.max()):.3g}; keep away from the ends, or take a teacher of v"
            )

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.teacher.cond_keys + self.conditioning.keys))

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"fake": self._fake_loss, "student": self._student_loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        teacher, extra = self.teacher.init(key, batch)
        score, t = teacher["model"], jnp.full(batch["x"].shape[0], self._first)
        cond = {k: batch[k] for k in self.cond_keys}
        features = self._features(score, batch["x"], t, cond)
        hint = f"the head reads features {features.shape[1:]} and needs outputs=1"
        head = self._head.create(jax.random.fold_in(key, 1), features, self._head_cond(cond), (1,), hint)
        # copies, since a state is donated
        params = {"fake": {"score": jax.tree.map(jnp.copy, score), "head": head}, "student": score}
        return params, {"teacher": {"params": jax.tree.map(jnp.copy, teacher), "extra": extra}}

    def first_params(self, params: Params, extra: PyTree) -> dict[str, PyTree]:
        """The parameters before the first step: student and fake are the teacher."""
        teacher = extra["teacher"]["params"]["model"]
        return {"fake": {**params["fake"], "score": teacher}, "student": teacher}

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        x, times = self._noise(keys), self._times()
        for i in range(self.steps - 1):
            x = self._again(self.draw(params["student"], x, times[i], cond), times[i + 1], fold(keys, 1 + i))
        return self.draw(params["student"], x, times[-1], cond)

    def draw(self, model: PyTree, x: jax.Array, t: jax.Array, cond: Cond) -> jax.Array:
        """The student's x0 [b, ...] for x [b, ...] at t, [] or [b], by its parameters."""
        denoise = self._plain.denoiser({"model": model})
        return denoise(x, jnp.broadcast_to(t, x.shape[:1]), cond).x0

    def match(self, params: Params, extra: PyTree, x: jax.Array, u: jax.Array, eps: jax.Array, cond: Cond) -> jax.Array:
        """dL/dx [b, ...], the direction in which x [b, ...] is less likely under data than it is drawn, as it is seen
        at u [b] with noise eps [b, ...]."""
        noisy = self._noisy(x, u, eps)
        real = self.teacher.denoiser(extra["teacher"]["params"], extra["teacher"]["extra"])(noisy, u, cond).x0
        fake = self._plain.denoiser({"model": params["fake"]["score"]})(noisy, u, cond).x0
        return normalized_difference(x, real, fake)

    def _fake_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        generate_key, time_key, noise_key, score_key = jax.random.split(key, 4)
        cond, keys, index = self._cond(batch), example_keys(noise_key, batch), example_index(batch)
        drawn = self._generate(params["student"], example_keys(generate_key, batch), cond)
        drawn = jax.lax.stop_gradient(drawn)
        own, metrics = params["fake"], {}
        loss, _ = self._plain.losses["model"]({"model": own["score"]}, state, {**batch, "x": drawn}, score_key)
        metrics["denoising"] = loss

        def judge(i: int, x: jax.Array) -> jax.Array:
            u = self.time(jax.random.fold_in(time_key, i), index)
            return self._judge(own, self._noisy(x, u, normal(fold(keys, i), x.shape[1:])), u, cond)

        real, fake = judge(0, batch["x"]), judge(1, drawn)
        loss += self.head_weight * self.loss(real, fake)[0].mean()
        metrics |= {"real_logit": real.mean(), "fake_logit": fake.mean()}
        return loss, (metrics, state.extra)

    def _student_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        generate_key, time_key, noise_key = jax.random.split(key, 3)
        cond, keys, index = self._cond(batch), example_keys(noise_key, batch), example_index(batch)
        x = self._generate(params["student"], example_keys(generate_key, batch), cond)
        u, eps = self.time(time_key, index), normal(fold(keys, 0), x.shape[1:])
        direction = jax.lax.stop_gradient(self.match(params, state.extra, x, u, eps, cond))
        # Its gradient with respect to x is the direction, over the number of values.
        matching = 0.5 * jnp.square(x - jax.lax.stop_gradient(x - direction)).mean()

        def judge(i: int, x: jax.Array) -> jax.Array:
            u = self.time(jax.random.fold_in(time_key, i), index)
            return self._judge(params["fake"], self._noisy(x, u, normal(fold(keys, i), x.shape[1:])), u, cond)

        adversarial = self.loss(judge(1, batch["x"]), judge(2, x))[1].mean()
        metrics = {"matching": matching, "adversarial": adversarial}
        return matching + self.gen_weight * adversarial, (metrics, state.extra)

    def _generate(self, student: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        """What the student draws [b, ...] at one of its times, each example at a random one; no gradient goes through
        the evaluations before."""
        times, x = self._times(), self._noise(keys)
        chosen = jax.vmap(lambda key: jax.random.randint(key, (), 0, self.steps))(fold(keys, self.steps))
        at = x
        for i in range(self.steps - 1):
            x0 = jax.lax.stop_gradient(self.draw(student, x, times[i], cond))
            x = self._again(x0, times[i + 1], fold(keys, 1 + i))
            at = jnp.where(expand(chosen > i, x), x, at)
        return self.draw(student, at, times[chosen], cond)

    def _judge(self, fake: PyTree, x: jax.Array, u: jax.Array, cond: Cond) -> jax.Array:
        """The head's logits [b] of x [b, ...] at u [b]."""
        features = self._features(fake["score"], x, u, cond)
        return self._head.evaluate(fake["head"], features, self._head_cond(cond), train=True)[:, 0]

    def _features(self, model: PyTree, x: jax.Array, t: jax.Array, cond: Cond) -> jax.Array:
        """What the part `features` of the network gives [b, ...]."""
        scale, noise = self.teacher.inputs(t, *self.teacher.schedule(t))
        conditioned = Conditioned(self.teacher.network, self.teacher.conditioning)
        _, kept = conditioned.apply(
            {"params": model},
            expand(scale, x) * x,
            {**cond, "noise": noise},
            capture_intermediates=lambda module, method: module.name == self.features and method == "__call__",
            mutable=["intermediates"],
        )
        found = jax.tree.leaves(kept)
        if not found:
            raise UserError(
                f"family.features='{self.features}' is no part of the teacher's {type(self.teacher.network).__name__}, "
                f"which has: {', '.join(model['network'])}"
            )
        return found[-1]

    def _noisy(self, x: jax.Array, u: jax.Array, eps: jax.Array) -> jax.Array:
        alpha, sigma = (expand(a, x) for a in self.teacher.schedule(u))
        return alpha * x + sigma * eps

    def _again(self, x0: jax.Array, t: jax.Array, keys: jax.Array) -> jax.Array:
        """x0 [b, ...] with new noise, as it is at t []."""
        alpha, sigma = self.teacher.schedule(t)
        return alpha * x0 + sigma * normal(keys, x0.shape[1:])

    def _noise(self, keys: jax.Array) -> jax.Array:
        return self.teacher.schedule(jnp.float32(self._first))[1] * normal(fold(keys, 0), self.shape)

    def _times(self) -> jax.Array:
        """The times of the evaluations [steps]."""
        if self.times is not None and len(self.times) == self.steps - 1:
            return jnp.array([self._first, *self.times], jnp.float32)
        return self.teacher.grid(self.teacher.schedule, self._first, self.teacher.end, self.steps)[:-1]

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    def _head_cond(self, cond: Cond) -> dict[str, jax.Array]:
        return {k: cond[k] for k in self.conditioning.keys}

    @property
    def _first(self) -> float:
        return horizon(self.teacher.schedule) if self.teacher.start is None else self.teacher.start

    @property
    def _head(self) -> Conditioned:
        return Conditioned(self.head, self.conditioning)

    @functools.cached_property
    def _plain(self) -> Diffusion:
        """The teacher's kind of model without what is added around it, as student and fake are."""
        changes: dict[str, Any] = dict(
            guidance={}, weak=None, classifier=None, uncertainty=None, augment=None, clip=None
        )
        return dataclasses.replace(self.teacher, **changes, cond_drop=0.0, time=self.time)


def normalized_difference(x: jax.Array, real: jax.Array, fake: jax.Array) -> jax.Array:
    """(fake - real) / mean |x - real| [b, ...], for two denoisers' x0: Yin et al. 2023 (arXiv:2311.18828, eq. 8).

    As x0 = (x_u + sigma^2 score) / alpha, it is the difference of the scores but for a factor of the noise level; the
    mean is taken over an example's values."""
    scale = jnp.abs(x - real).reshape(x.shape[0], -1).mean(1)
    return (fake - real) / expand(jnp.maximum(scale, 1e-8), x)
