"""VAEs with many layers of latents, such as the very deep VAE, Child 2020 (arXiv:2011.10650): one player, model.

-log p(x) <= -E log p(x|z) + sum_l E KL(q(z_l|z_<l, x) || p(z_l|z_<l))
"""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.losses.annealing import Schedule, value_at
from gen_jax.losses.bounds import evidence
from gen_jax.losses.divergence import free_bits
from gen_jax.losses.reconstruction import Likelihood
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.nn.vdvae import VDVAE, Inferred
from gen_jax.random import example_keys
from gen_jax.types import Alarm, Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class HierarchicalVAE:
    """A network of latent layers (nn/vdvae.py), and p(x|z) one of losses/reconstruction.py; a codec.

    The loss is the bound in nats per value, as the authors' is, so that gradients may be clipped and skipped at their
    norms. beta weighs the divergence, a number or a schedule of losses/annealing.py. free_bits: of the mean divergence
    of each layer so many nats cost nothing more (Kingma et al. 2016, arXiv:1606.04934, app. C.8); 0: all cost.
    temperature: what the standard deviations of the priors are multiplied by in sampling.

    Raises:
      UserError: beta, free_bits or temperature below 0.
    """

    network: VDVAE
    conditioning: Conditioning
    likelihood: Likelihood
    beta: float | Schedule = 1.0
    free_bits: float = 0.0
    temperature: float = 1.0

    def __post_init__(self):
        if callable(self.beta):
            jax.eval_shape(self.beta, jnp.int32(0))  # a schedule may refuse its own numbers
        for name in ("beta", "free_bits", "temperature"):
            if not callable(value := getattr(self, name)) and value < 0:
                raise UserError(f"family.{name}={value}: it cannot be below 0")

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"model": self._loss}

    @property
    def alarms(self) -> Mapping[str, Alarm]:
        return {
            "large_gradients": Alarm(
                says="most updates are left out, since their gradients are larger than optim.model.skip_above",
                fix="a higher optim.model.skip_above, or a smaller learning rate",
                high=0.5,
            )
        }

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Of one example's latents: those of all layers, one after the other."""
        return (sum(self.network.sizes),)

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        keys, x, cond = example_keys(key, batch), batch["x"], self._cond(batch)
        found, variables = self._model.init_with_output(key, x, cond, keys=keys)
        *axes, c = x.shape[1:]
        channels = self.likelihood.channels
        if found.out.shape[1:] != (*axes, c * channels):
            raise UserError(
                f"the network gives {found.out.shape[1:]} for an example where {(*axes, c * channels)} is needed: "
                f"{type(self.likelihood).__name__} needs channels_per_value={channels}"
            )
        return {"model": variables["params"]}, ()

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        """The mean of p(x|z) for latents from the priors, at `temperature`."""
        return self.likelihood.mean(self._apply(params, jnp.float32(self.temperature), cond, part="draw", keys=keys))

    def encode(self, params: Params, extra: PyTree, x: jax.Array, cond: Cond) -> jax.Array:
        """The means of the layers' posteriors [b, *latent_shape], each given the means above it."""
        return self._apply(params, x, cond, part="encode")

    def decode(
        self, params: Params, extra: PyTree, z: jax.Array, cond: Cond, keys: jax.Array | None = None
    ) -> jax.Array:
        """The mean of p(x|z): x in [-1, 1]. Nothing of it is drawn, so keys are not read."""
        return self.likelihood.mean(self._apply(params, z, cond, part="decode"))

    def log_likelihood(
        self, params: Params, extra: PyTree, batch: Batch, keys: jax.Array, samples: int = 5000, chunk: int = 1
    ) -> tuple[jax.Array, jax.Array]:
        """(ELBO, importance-weighted estimate of log p(x)) [b] in nats, as that of families.VAE."""

        def log_weight(keys: jax.Array) -> jax.Array:
            found = self._apply(params, batch["x"], self._cond(batch), keys=keys)
            return self.likelihood.log_prob(batch["x"], found.out) - found.log_ratio.sum(1)

        return evidence(log_weight, keys, samples, chunk)

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        x, keys, sides = batch["x"], example_keys(key, batch), self.network.sides
        found: Inferred = self._apply(params, x, self._cond(batch), train=True, keys=keys)
        log_p, kl, values = self.likelihood.log_prob(x, found.out), found.kl.sum(1), math.prod(x.shape[1:])
        paid = free_bits(found.kl, self.free_bits) if self.free_bits else kl
        beta, elbo = value_at(self.beta, state.step), (log_p - kl).mean()
        metrics = {"elbo": elbo, "log_likelihood": log_p.mean(), "kl": kl.mean()}
        for side in dict.fromkeys(sides):
            layers = jnp.array([i for i, own in enumerate(sides) if own == side])
            metrics[f"kl_{side}x{side}"] = found.kl[:, layers].sum(1).mean()
        metrics |= {"beta": beta} if callable(self.beta) else {}
        if self.likelihood.discrete:
            metrics["bits_per_dim"] = -elbo / (math.log(2) * values)
        return (beta * paid - log_p).mean() / values, (metrics, state.extra)

    def _apply(self, params: Params, x: jax.Array, cond: Cond, **how):
        return self._model.apply({"params": params["model"]}, x, cond, **how)

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    @property
    def _model(self) -> Conditioned:
        return Conditioned(self.network, self.conditioning)
