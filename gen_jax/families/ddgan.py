"""Denoising diffusion GANs: a diffusion chain of a few steps, each drawn by a conditional GAN.

x_t ~ q(x_t | x_s) q(x_s | x0)                          neighbours s < t of T times, from data
x0' = G(x_t, t, z),  x_s' ~ q(x_s | x_t, x0')           what the generator makes of x_t, with a latent z
D(x_s, x_t, t) against D(x_s', x_t, t)                  is x_s what x_t comes from?

A normal distribution, as in denoising diffusion, is right for a reverse step of thousands; one of four has many modes.

Xiao et al. 2021, Tackling the Generative Learning Trilemma with Denoising Diffusion GANs (arXiv:2112.07804).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.diffusion.checks import check_times
from gen_jax.diffusion.schedule import Schedule, expand, horizon
from gen_jax.diffusion.variational import draw_forward, draw_posterior
from gen_jax.errors import UserError
from gen_jax.families.gan import GAN
from gen_jax.losses.penalties import Game, Penalty
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.nn.latent import LatentConditioning
from gen_jax.random import example_keys, fold, normal
from gen_jax.types import Alarm, Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class DDGAN:
    """A generator (x_t [b, ...], context of noise=t, label and z) -> x0 [b, ...] against a discriminator (x_s [b, ...],
    context of noise=t, label and x_t as its spatial map) -> logit [b, 1].

    steps: T, of equal distances in the schedule's time, and the network evaluations that a sample takes. mapping: the
    network of the latent, z [b, latent] -> w, which stands behind the generator's context.vector. loss: one of
    losses/adversarial.py. disc_penalties: by name, each a losses.Penalty, paid on x_s. tanh: of what the generator's
    network gives; False for data beyond [-1, 1].

    Raises:
      UserError: numbers out of range, a schedule without a largest time.
    """

    generator: nn.Module
    discriminator: nn.Module
    conditioning: Conditioning
    mapping: nn.Module
    schedule: Schedule
    loss: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    shape: tuple[int, ...]
    latent: int = 100
    steps: int = 4
    disc_penalties: Mapping[str, Penalty] = dataclasses.field(default_factory=dict)
    tanh: bool = True

    alarms: ClassVar[Mapping[str, Alarm]] = {"disc/max_logit": GAN.alarms["disc/max_logit"]}

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f"family.steps={self.steps}: the chain has at least 1 step")
        if self.latent < 1:
            raise UserError(f"family.latent={self.latent}: a latent has at least 1 number")
        check_times(self.schedule, None, 0.0)

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"disc": self._disc_loss, "gen": self._gen_loss}

    def check_batch(self, batch_size: int) -> None:
        """Raises UserError for a batch size that the discriminator cannot use."""
        if hasattr(self.discriminator, "check_batch"):
            self.discriminator.check_batch(batch_size)

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        disc_key, gen_key = jax.random.split(key)
        x, cond = batch["x"], self._cond(batch) | {"noise": jnp.zeros(batch["x"].shape[0])}
        shape, z = x.shape[1:], jnp.zeros((x.shape[0], self.latent))
        hint = "the discriminator needs outputs=1"
        disc = self._critic.create(disc_key, x, {**cond, "image": x}, (1,), hint)
        hint = f"the generator predicts x0, of the data's shape {shape}"
        gen = self._generator.create(gen_key, x, {**cond, "latent": z}, shape, hint)
        memory = {name: penalty.init() for name, penalty in self.disc_penalties.items()}
        return {"disc": disc, "gen": gen}, {"memory": memory}

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        def body(x, inputs):
            i, t, s = inputs
            t, s = (jnp.full(len(x), u) for u in (t, s))
            z = normal(fold(fold(keys, 1), i), (self.latent,))
            x0 = self.denoise(params, x, t, z, cond)
            return draw_posterior(fold(fold(keys, 2), i), self.schedule, t, s, x, x0), None

        times = horizon(self.schedule) * jnp.arange(self.steps, -1, -1) / self.steps
        _, sigma = self.schedule(times[0])
        x = sigma * normal(fold(keys, 0), self.shape)  # alpha x0 is unknown; alpha is (nearly) 0 at the start
        return jax.lax.scan(body, x, (jnp.arange(self.steps), times[:-1], times[1:]))[0]

    def denoise(self, params: Params, x: jax.Array, t: jax.Array, z: jax.Array, cond: Cond, train: bool = False):
        """x0 [b, ...] for x [b, ...] at t [b] and the latent z [b, latent]."""
        out = self._generator.evaluate(params["gen"], x, {**cond, "noise": t, "latent": z}, train)
        return jnp.tanh(out) if self.tanh else out

    def _disc_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        game = self._play("disc", params, batch, key)
        loss, memory = self.loss(game.real_logit, game.fake_logit)[0].mean(), {}
        metrics = {
            "real_logit": game.real_logit.mean(),
            "fake_logit": game.fake_logit.mean(),
            "max_logit": jnp.abs(jnp.concatenate([game.real_logit, game.fake_logit])).max(),
        }
        for i, (name, penalty) in enumerate(self.disc_penalties.items()):
            drawn = dataclasses.replace(game, keys=fold(game.keys, i))
            added, metrics[name], memory[name] = penalty(drawn, state.extra["memory"][name], state.step)
            loss += added
        return loss, (metrics, {"memory": memory})

    def _gen_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        game = self._play("gen", params, batch, key)
        return self.loss(game.real_logit, game.fake_logit)[1].mean(), ({}, state.extra)

    def _play(self, player: str, params: Params, batch: Batch, key: jax.Array) -> Game:
        """One round: a pair of neighbours from data, and another x_s for the same x_t, both judged."""
        x0, cond, keys = batch["x"], self._cond(batch), example_keys(key, batch)
        step = jax.vmap(lambda key: jax.random.randint(key, (), 1, self.steps + 1))(fold(keys, 0))
        t, s = (horizon(self.schedule) * (step - i) / self.steps for i in (0, 1))
        alpha, sigma = (expand(a, x0) for a in self.schedule(s))
        real = alpha * x0 + sigma * normal(fold(keys, 1), x0.shape[1:])
        x = draw_forward(fold(keys, 2), self.schedule, s, t, real)

        def decode(z):
            return draw_posterior(fold(keys, 4), self.schedule, t, s, x, self.denoise(params, x, t, z, cond, True))

        def judge(x_s):
            return self._critic.evaluate(params["disc"], x_s, {**cond, "noise": t, "image": x}, True)[:, 0]

        z = normal(fold(keys, 3), (self.latent,))
        fake = decode(z)
        return Game(judge, real, fake, judge(real), judge(fake), decode, z, params[player], fold(keys, 5))

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    @property
    def _generator(self) -> Conditioned:
        return Conditioned(self.generator, LatentConditioning(self.conditioning, self.mapping))

    @property
    def _critic(self) -> Conditioned:
        return Conditioned(self.discriminator, self.conditioning)
