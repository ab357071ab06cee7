"""VAE-GAN, Larsen et al. 2015, "Autoencoding beyond pixels using a learned similarity metric" (arXiv:1512.09300): a VAE
whose likelihood is that of a layer of a discriminator, which judges reconstructions and draws from the prior alike."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.families.autoencoder import DRAWS
from gen_jax.families.gan import GAN
from gen_jax.families.pix2pix import create_critic, critic, disc_loss
from gen_jax.losses.penalties import Penalty
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.nn.features import layer_outputs
from gen_jax.nn.priors import kl_to_standard_normal
from gen_jax.random import example_keys, fold, normal
from gen_jax.types import Alarm, Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class VAEGAN:
    """Three players, after the paper's algorithm 1. With x' = dec(enc(x)), x_p = dec(z_p) for z_p from the prior, and
    D_l a layer of the discriminator:

        disc: tells x from x' and from x_p
        enc:  KL(q(z|x) || N(0, 1)) + |D_l(x) - D_l(x')|^2 / 2
        dec:  gamma |D_l(x) - D_l(x')|^2 / 2 + (what a generator pays for x' and for x_p) / 2

    encoder: x [b, ...] -> [b, 2 latent], mean and log variance. decoder: z [b, latent] -> x [b, ...] in [-1, 1].
    discriminator: x -> logits [b, 1], or of patches. loss: one of losses/adversarial.py. layer: the name of D_l, as
    the discriminator's parameters have it. beta weighs the KL term. draws: samples are draws from the "prior", or
    "reconstructions".

    Raises:
      UserError: a layer that the discriminator does not have, or networks that do not fit.
    """

    encoder: nn.Module
    decoder: nn.Module
    discriminator: nn.Module
    conditioning: Conditioning
    loss: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    layer: str
    latent: int = 16
    beta: float = 1.0
    gamma: float = 1e-2
    disc_penalties: Mapping[str, Penalty] = dataclasses.field(default_factory=dict)
    draws: str = "prior"

    alarms: ClassVar[Mapping[str, Alarm]] = GAN.alarms

    def __post_init__(self):
        if self.draws not in DRAWS:
            raise UserError(f"family.draws={self.draws}: it is one of {', '.join(DRAWS)}")

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def sample_keys(self) -> tuple[str, ...]:
        """The conditions that `sample` reads."""
        return ("image", *self.cond_keys) if self.draws == "reconstructions" else self.cond_keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"disc": self._disc_loss, "enc": self._enc_loss, "dec": self._dec_loss}

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Of one example's latents."""
        return (self.latent,)

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        enc_key, dec_key, disc_key = jax.random.split(key, 3)
        cond, x = self._cond(batch), batch["x"]
        outputs = 2 * self.latent
        hint = f"with latent={self.latent} the encoder needs outputs={outputs}, mean and log variance"
        params = {
            "disc": create_critic(self._critic, disc_key, x, cond),
            "enc": self._encoder.create(enc_key, x, cond, (outputs,), hint),
            "dec": self._decoder.create(
                dec_key,
                jnp.zeros((x.shape[0], self.latent)),
                cond,
                x.shape[1:],
                f"the decoder needs shape={x.shape[1:]}, the data's",
            ),
        }
        layer_outputs(self._critic, {"params": params["disc"]}, x, cond, (self.layer,))  # raises for an unknown one
        return params, {"memory": {name: penalty.init() for name, penalty in self.disc_penalties.items()}}

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        labels = {name: cond[name] for name in self.cond_keys}
        known = self.draws == "reconstructions"
        z = self.encode(params, extra, cond["image"], labels) if known else normal(keys, (self.latent,))
        return self.decode(params, extra, z, labels)

    def encode(self, params: Params, extra: PyTree, x: jax.Array, cond: Cond) -> jax.Array:
        """x [b, ...] -> the posterior's mean [b, latent]."""
        return self._posterior(params, x, cond, train=False)[0]

    def decode(
        self, params: Params, extra: PyTree, z: jax.Array, cond: Cond, keys: jax.Array | None = None
    ) -> jax.Array:
        """z [b, latent] -> x [b, ...]. Nothing of it is drawn, so keys are not read."""
        return self._decode(params, z, cond)

    def _disc_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        x, cond, keys = batch["x"], self._cond(batch), example_keys(key, batch)
        z, _ = self._draw(params, x, cond, keys)
        fake = jax.lax.stop_gradient(self._both(params, z, cond, keys))
        keys = jnp.concatenate([fold(keys, 3), fold(keys, 4)])
        twice = _twice(cond)
        judge = critic(self._critic, params["disc"], twice, fold(keys, 1))
        loss, metrics, memory = disc_loss(
            *(self.loss, judge, jnp.concatenate([x, x]), fake, self.disc_penalties, state.extra["memory"]),
            *(params["disc"], keys, state.step),
        )
        return loss, (metrics, {**state.extra, "memory": memory})

    def _enc_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        x, cond, keys = batch["x"], self._cond(batch), example_keys(key, batch)
        z, kl = self._draw(params, x, cond, keys)
        apart = self._apart(params, x, self._decode(params, z, cond, train=True), cond)
        return (self.beta * kl + apart).mean(), ({"kl": kl.mean(), "apart": apart.mean()}, state.extra)

    def _dec_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        x, cond, keys = batch["x"], self._cond(batch), example_keys(key, batch)
        z, _ = self._draw(params, x, cond, keys)
        fake = self._both(params, z, cond, keys)
        keys = jnp.concatenate([fold(keys, 3), fold(keys, 4)])
        judge = critic(self._critic, params["disc"], _twice(cond), fold(keys, 1))
        adversarial = self.loss(judge(jnp.concatenate([x, x])), judge(fake))[1].mean()
        shown = fake[: x.shape[0]]
        apart = self._apart(params, x, shown, cond).mean()
        psnr = 10 * jnp.log10(4 / jnp.square(shown - x).mean())
        metrics = {"adversarial": adversarial, "apart": apart, "psnr": psnr}
        return self.gamma * apart + adversarial, (metrics, state.extra)

    def _both(self, params: Params, z: jax.Array, cond: Cond, keys: jax.Array) -> jax.Array:
        """What the decoder makes of z, then of draws from the prior, [2 b, ...]."""
        z = jnp.concatenate([z, normal(fold(keys, 2), (self.latent,))])
        return self._decode(params, z, _twice(cond), train=True)

    def _apart(self, params: Params, x: jax.Array, shown: jax.Array, cond: Cond) -> jax.Array:
        """-log N(D_l(x); D_l(shown), 1) without its constant, [b]."""
        variables = {"params": jax.lax.stop_gradient(params["disc"])}
        (a,), (b,) = (layer_outputs(self._critic, variables, y, cond, (self.layer,)) for y in (x, shown))
        return jnp.square(a - b).reshape(x.shape[0], -1).sum(1) / 2

    def _draw(self, params: Params, x: jax.Array, cond: Cond, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        """z from q(z|x) [b, latent], and KL(q || N(0, 1)) [b]."""
        mean, log_var = self._posterior(params, x, cond, train=True)
        z = mean + jnp.exp(log_var / 2) * normal(fold(keys, 1), (self.latent,))
        return z, kl_to_standard_normal(mean, log_var).sum(-1)

    def _posterior(self, params: Params, x: jax.Array, cond: Cond, train: bool) -> tuple[jax.Array, jax.Array]:
        mean, log_var = jnp.split(self._encoder.evaluate(params["enc"], x, cond, train), 2, axis=-1)
        return mean, log_var

    def _decode(self, params: Params, z: jax.Array, cond: Cond, train: bool = False) -> jax.Array:
        return self._decoder.evaluate(params["dec"], z, cond, train)

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    @property
    def _encoder(self) -> Conditioned:
        return Conditioned(self.encoder, self.conditioning)

    @property
    def _decoder(self) -> Conditioned:
        return Conditioned(self.decoder, self.conditioning)

    @property
    def _critic(self) -> Conditioned:
        return Conditioned(self.discriminator, self.conditioning)


def _twice(cond: Cond) -> dict[str, jax.Array]:
    """The batch's conditions, then once more."""
    return {name: jnp.concatenate([value, value]) for name, value in cond.items()}
