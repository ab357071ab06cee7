"""Generative adversarial networks, Goodfellow et al. 2014 (arXiv:1406.2661): two players, disc and gen."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax

from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.random import example_keys, normal
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class GAN:
    """A generator z [b, latent] -> x [b, ...] against a discriminator x -> logit [b, 1].

    Both are conditional where `conditioning` reads a label; each player has its own copy of it. `loss` is one of
    losses/adversarial.py."""

    generator: nn.Module
    discriminator: nn.Module
    conditioning: Conditioning
    loss: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    latent: int = 64

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"disc": self._disc_loss, "gen": self._gen_loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        disc_key, gen_key, z_key = jax.random.split(key, 3)
        z, cond = self._latents(z_key, batch), self._cond(batch)
        shape = batch["x"].shape[1:]
        disc = self._critic.create(disc_key, batch["x"], cond, (1,), "the discriminator needs outputs=1")
        gen = self._generator.create(gen_key, z, cond, shape, f"the generator needs shape={shape}, the data's")
        return {"disc": disc, "gen": gen}, ()

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        return self._generator.evaluate(params["gen"], normal(keys, (self.latent,)), cond)

    def _disc_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        real, fake = self._logits(params, batch, key)
        loss = self.loss(real, fake)[0].mean()
        return loss, ({"real_logit": real.mean(), "fake_logit": fake.mean()}, state.extra)

    def _gen_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        return self.loss(*self._logits(params, batch, key))[1].mean(), ({}, state.extra)

    def _logits(self, params: Params, batch: Batch, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The critic's logits [b] of real and of generated x. What a loss does not use of it, XLA does not compute."""
        cond = self._cond(batch)
        fake = self._generator.evaluate(params["gen"], self._latents(key, batch), cond, train=True)
        real, fake = (self._critic.evaluate(params["disc"], x, cond, train=True) for x in (batch["x"], fake))
        return real[:, 0], fake[:, 0]

    def _latents(self, key: jax.Array, batch: Batch) -> jax.Array:
        return normal(example_keys(key, batch), (self.latent,))

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    @property
    def _generator(self) -> Conditioned:
        return Conditioned(self.generator, self.conditioning)

    @property
    def _critic(self) -> Conditioned:
        return Conditioned(self.discriminator, self.conditioning)
