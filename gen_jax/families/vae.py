"""Variational autoencoders, Kingma & Welling 2013 (arXiv:1312.6114): one player, model = {encoder, decoder}."""

import dataclasses
import math
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.losses.reconstruction import Likelihood
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.random import example_keys, normal
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class VAE:
    """q(z|x) diagonal normal, p(z) standard normal, p(x|z) one of losses/reconstruction.py.

    encoder: x [b, ...] -> [b, 2 latent], mean and log variance. decoder: z [b, latent] -> [b, ..., c * channels].
    beta weighs the KL term (Higgins et al. 2017); at 1 the loss is the negative ELBO in nats per example."""

    encoder: nn.Module
    decoder: nn.Module
    conditioning: Conditioning
    likelihood: Likelihood
    latent: int = 16
    beta: float = 1.0

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"model": self._loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        encoder_key, decoder_key = jax.random.split(key)
        cond, z = self._cond(batch), jnp.zeros((batch["x"].shape[0], self.latent))
        *axes, c = batch["x"].shape[1:]
        channels, outputs = self.likelihood.channels, 2 * self.latent
        hint = f"with latent={self.latent} the encoder needs outputs={outputs}, mean and log variance"
        encoder = self._encoder.create(encoder_key, batch["x"], cond, (outputs,), hint)
        hint = (
            f"{type(self.likelihood).__name__} needs a decoder of the data's shape with channels_per_value={channels}"
        )
        decoder = self._decoder.create(decoder_key, z, cond, (*axes, c * channels), hint)
        return {"model": {"encoder": encoder, "decoder": decoder}}, ()

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        """The mean of p(x|z) for z from the prior, as the papers show it: no noise of the likelihood is added."""
        return self.decode(params, extra, normal(keys, (self.latent,)), cond)

    def encode(self, params: Params, x: jax.Array, cond: Cond, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Mean and log variance of q(z|x), each [b, latent]."""
        out = self._encoder.evaluate(params["model"]["encoder"], x, cond, train)
        mean, log_var = jnp.split(out, 2, axis=-1)
        return mean, log_var

    def decode(
        self, params: Params, extra: PyTree, z: jax.Array, cond: Cond, keys: jax.Array | None = None
    ) -> jax.Array:
        """The mean of p(x|z): x in [-1, 1]. Nothing of it is drawn, so keys are not read."""
        return self.likelihood.mean(self._decode(params, z, cond))

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        cond = self._cond(batch)
        mean, log_var = self.encode(params, batch["x"], cond, train=True)
        noise = normal(example_keys(key, batch), (self.latent,))
        out = self._decode(params, mean + jnp.exp(log_var / 2) * noise, cond, train=True)
        log_p = self.likelihood.log_prob(batch["x"], out)
        kl = kl_to_standard_normal(mean, log_var)
        elbo = (log_p - kl).mean()
        metrics = {"elbo": elbo, "log_likelihood": log_p.mean(), "kl": kl.mean()}
        if self.likelihood.discrete:
            metrics["bits_per_dim"] = -elbo / (math.log(2) * math.prod(batch["x"].shape[1:]))
        return (self.beta * kl - log_p).mean(), (metrics, state.extra)

    def _decode(self, params: Params, z: jax.Array, cond: Cond, train: bool = False) -> jax.Array:
        return self._decoder.evaluate(params["model"]["decoder"], z, cond, train)

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    @property
    def _encoder(self) -> Conditioned:
        return Conditioned(self.encoder, self.conditioning)

    @property
    def _decoder(self) -> Conditioned:
        return Conditioned(self.decoder, self.conditioning)


def kl_to_standard_normal(mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """KL(N(mean, exp(log_var)) || N(0, 1)) [b] in nats, Kingma & Welling 2013 (arXiv:1312.6114, app. B)."""
    return 0.5 * jnp.sum(jnp.exp(log_var) + jnp.square(mean) - 1 - log_var, axis=-1)
