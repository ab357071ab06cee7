"""Variational autoencoders, Kingma & Welling 2013 (arXiv:1312.6114): one player, model = {encoder, decoder, prior}."""

import dataclasses
import math
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.losses.annealing import Schedule, value_at
from gen_jax.losses.bounds import Bound, Elbo, evidence
from gen_jax.losses.divergence import Divergence, Latents, kl
from gen_jax.losses.reconstruction import Likelihood
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.nn.priors import Mixture, StandardNormal, normal_log_prob
from gen_jax.random import example_keys, normal
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class VAE:
    """q(z|x) diagonal normal, p(z) one of nn/priors.py, p(x|z) one of losses/reconstruction.py; a codec.

    encoder: x [b, ...] -> [b, 2 latent], mean and log variance. decoder: z [b, latent] -> [b, ..., c * channels].

    bound: of log p(x), of losses/bounds.py: the ELBO, or IWAE's. The ELBO's KL term may be replaced by another
    `divergence` of losses/divergence.py (free bits, capacity, total correlation), and is weighed by beta (Higgins et
    al. 2017), a number or a schedule of losses/annealing.py; with kl at 1 the loss is the negative ELBO in nats per
    example. Metrics are those of the ELBO, and bits_per_dim that of the bound, whatever is minimized.

    Raises:
      UserError: latent < 1, beta < 0, a bound that has no divergence of its own with beta or a divergence that weigh
        it, a divergence by dimension with a prior that has none.
    """

    encoder: nn.Module
    decoder: nn.Module
    conditioning: Conditioning
    likelihood: Likelihood
    latent: int = 16
    beta: float | Schedule = 1.0
    prior: nn.Module = dataclasses.field(default_factory=StandardNormal)
    divergence: Divergence = kl
    bound: Bound = dataclasses.field(default_factory=Elbo)

    def __post_init__(self):
        if self.latent < 1:
            raise UserError(f"family.latent={self.latent}: z has at least 1 dimension")
        if callable(self.beta):
            jax.eval_shape(self.beta, jnp.int32(0))  # a schedule may refuse its own numbers
        elif self.beta < 0:
            raise UserError(f"family.beta={self.beta}: the weight of the divergence cannot be below 0")
        if not self.bound.weighs_divergence and (self.divergence is not kl or callable(self.beta) or self.beta != 1):
            raise UserError(
                f"family.bound={type(self.bound).__name__} has no divergence of its own: leave family.beta at 1 and "
                "family.divergence out, or take bound=dict(name='losses.Elbo')"
            )
        if getattr(self.divergence, "closed", False) and not self.prior.closed:
            raise UserError(
                f"family.divergence={type(self.divergence).__name__} needs the divergence by dimension, which "
                f"family.prior={type(self.prior).__name__} does not have; take nn.StandardNormal"
            )

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"model": self._loss}

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Of one example's latents."""
        return (self.latent,)

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
        model = {"encoder": encoder, "decoder": decoder}
        encode = self._encode_unlabelled({"model": model}, cond)
        prior = self.prior.init(jax.random.fold_in(key, 2), self.latent, encode, cond)
        return {"model": model | ({"prior": prior["params"]} if "params" in prior else {})}, ()

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        """The mean of p(x|z) for z from the prior, as the papers show it: no noise of the likelihood is added."""
        return self.decode(params, extra, self.draw(params, extra, keys, cond), cond)

    def draw(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        """Latents [n, latent] from the prior, one per key."""
        return self._prior(params, cond).draw(keys)

    def posterior(self, params: Params, x: jax.Array, cond: Cond, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Mean and log variance of q(z|x), each [b, latent]."""
        out = self._encoder.evaluate(params["model"]["encoder"], x, cond, train)
        mean, log_var = jnp.split(out, 2, axis=-1)
        return mean, log_var

    def encode(self, params: Params, extra: PyTree, x: jax.Array, cond: Cond) -> jax.Array:
        """The mean of q(z|x) [b, latent]."""
        return self.posterior(params, x, cond)[0]

    def decode(
        self, params: Params, extra: PyTree, z: jax.Array, cond: Cond, keys: jax.Array | None = None
    ) -> jax.Array:
        """The mean of p(x|z): x in [-1, 1]. Nothing of it is drawn, so keys are not read."""
        return self.likelihood.mean(self._decode(params, z, cond))

    def log_likelihood(
        self, params: Params, extra: PyTree, batch: Batch, keys: jax.Array, samples: int = 5000, chunk: int = 50
    ) -> tuple[jax.Array, jax.Array]:
        """(ELBO, importance-weighted estimate of log p(x)) [b] in nats, from `samples` draws of z, `chunk` at a time:
        Burda et al. 2015 (arXiv:1509.00519, sec. 5). The second is too low in expectation, by less with more samples.

        keys: [b]; an example's draws depend on its own key alone. Raises UserError for samples or chunk < 1.
        """
        x, cond = batch["x"], self._cond(batch)
        mean, log_var = self.posterior(params, x, cond)
        prior = self._prior(params, cond)

        def log_weight(keys: jax.Array) -> jax.Array:
            z = mean + jnp.exp(log_var / 2) * normal(keys, (self.latent,))
            log_p = self.likelihood.log_prob(x, self._decode(params, z, cond))
            return log_p + prior.log_prob(z) - normal_log_prob(z, mean, log_var).sum(-1)

        return evidence(log_weight, keys, samples, chunk)

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        x, cond, s = batch["x"], self._cond(batch), self.bound.samples
        mean, log_var = self.posterior(params, x, cond, train=True)
        noise = jnp.moveaxis(normal(example_keys(key, batch), (s, self.latent)), 1, 0)  # [s, b, d]
        z = mean + jnp.exp(log_var / 2) * noise
        latents = Latents(mean, log_var, z, self._prior(params, cond, train=True), state.step)

        def log_likelihood(z: jax.Array) -> jax.Array:
            many = {name: _repeated(value, s) for name, value in cond.items()}
            out = self._decode(params, z.reshape(-1, self.latent), many, train=True)
            return self.likelihood.log_prob(_repeated(x, s), out).reshape(s, -1)

        divergence, metrics = self.divergence(latents)
        beta = value_at(self.beta, state.step)
        found = self.bound(latents, log_likelihood, beta * divergence)
        elbo = (found.log_likelihood.mean(0) - latents.kl).mean()
        metrics |= {"elbo": elbo, "log_likelihood": found.log_likelihood.mean(), "kl": latents.kl.mean()}
        metrics |= {"active_units": (mean.var(0) > ACTIVE).sum().astype(jnp.float32)} | found.metrics
        metrics |= {"beta": beta} if callable(self.beta) else {}
        if self.likelihood.discrete:
            metrics["bits_per_dim"] = -found.log_prob.mean() / (math.log(2) * math.prod(x.shape[1:]))
        return found.loss.mean(), (metrics, state.extra)

    def _decode(self, params: Params, z: jax.Array, cond: Cond, train: bool = False) -> jax.Array:
        return self._decoder.evaluate(params["model"]["decoder"], z, cond, train)

    def _prior(self, params: Params, cond: Cond, train: bool = False) -> Mixture:
        own = params["model"].get("prior", {})
        encode = self._encode_unlabelled(params, cond, train)
        return self.prior.apply({"params": own}, self.latent, encode, cond)  # type: ignore[return-value]

    def _encode_unlabelled(self, params: Params, cond: Cond, train: bool = False):
        """x [k, ...] -> (mean, log_var) [k, latent], with the null label where the encoder reads one."""

        def encode(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return self.posterior(params, x, {name: jnp.full(len(x), -1) for name in cond}, train)

        return encode

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    @property
    def _encoder(self) -> Conditioned:
        return Conditioned(self.encoder, self.conditioning)

    @property
    def _decoder(self) -> Conditioned:
        return Conditioned(self.decoder, self.conditioning)


ACTIVE = 0.01
"""A unit is active whose posterior mean varies by more over the batch, Burda et al. 2015 (arXiv:1509.00519, sec. 5)."""


def _repeated(x: jax.Array, times: int) -> jax.Array:
    """x [b, ...] `times` times, one after the other: [times * b, ...]."""
    return jnp.broadcast_to(x, (times, *x.shape)).reshape(-1, *x.shape[1:])
