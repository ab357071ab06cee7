"""Paired image-to-image translation, Isola et al. 2016, "Image-to-Image Translation with Conditional Adversarial
Networks" (arXiv:1611.07004): pix2pix."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.families.gan import GAN, spread
from gen_jax.losses.penalties import Game, Penalty
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.random import example_keys, fold
from gen_jax.types import Alarm, Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class Pix2Pix:
    """A generator image [b, h, w, c] -> x [b, h, w, c'] against a discriminator that sees x and image together and
    gives logits for patches [b, h', w', 1], or one [b, 1].

    Both are conditional on a label too, where `conditioning` reads one. loss: one of losses/adversarial.py, taken for
    every patch and averaged. l1: weight of the mean absolute difference to the true x (equation 4 of the paper, 100
    there). disc_penalties: by name, each a losses.Penalty; a patch discriminator's logit is then its patches' mean.

    What is random in a sample is the generator's dropout, in training as in sampling, from the sample's own key.

    Raises:
      UserError: image and x of different sizes, or a network that does not fit.
    """

    generator: nn.Module
    discriminator: nn.Module
    conditioning: Conditioning
    loss: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    l1: float = 100.0
    disc_penalties: Mapping[str, Penalty] = dataclasses.field(default_factory=dict)

    alarms: ClassVar[Mapping[str, Alarm]] = GAN.alarms

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return ("image", *self.conditioning.keys)

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"disc": self._disc_loss, "gen": self._gen_loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        disc_key, gen_key = jax.random.split(key)
        cond, shape = self._cond(batch), batch["x"].shape[1:]
        check_sizes("Pix2Pix", batch["image"].shape[1:], shape)
        hint = f"the generator needs shape={shape}, the data's"
        params = {
            "disc": create_critic(Conditioned(self.discriminator, self.conditioning), disc_key, batch["x"], cond),
            "gen": self._generator.create(gen_key, batch["image"], _without_image(cond), shape, hint),
        }
        memory = {name: penalty.init() for name, penalty in self.disc_penalties.items()}
        return params, {"memory": memory}

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        return self._generate(params, keys, cond, train=False)

    def _generate(self, params: Params, keys: jax.Array, cond: Cond, train: bool) -> jax.Array:
        variables = {"params": params["gen"]}
        return self._generator.apply(variables, cond["image"], _without_image(cond), train, keys=keys)  # type: ignore[return-value]

    def _disc_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        real, cond, keys = batch["x"], self._cond(batch), example_keys(key, batch)
        fake = jax.lax.stop_gradient(self._generate(params, fold(keys, 1), cond, train=True))
        judge = critic(Conditioned(self.discriminator, self.conditioning), params["disc"], cond, fold(keys, 2))
        loss, metrics, memory = disc_loss(
            self.loss, judge, real, fake, self.disc_penalties, state.extra["memory"], params["disc"], keys, state.step
        )
        return loss, (metrics, {**state.extra, "memory": memory})

    def _gen_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        cond, keys = self._cond(batch), example_keys(key, batch)
        fake = self._generate(params, fold(keys, 1), cond, train=True)
        judge = critic(Conditioned(self.discriminator, self.conditioning), params["disc"], cond, fold(keys, 2))
        adversarial = self.loss(judge(batch["x"]), judge(fake))[1].mean()
        l1 = absolute(fake, batch["x"])
        return adversarial + self.l1 * l1, ({"adversarial": adversarial, "l1": l1}, state.extra)

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {name: batch[name] for name in self.cond_keys}

    @property
    def _generator(self) -> Conditioned:
        return Conditioned(self.generator, self.conditioning)


Judge = Callable[[jax.Array], jax.Array]
"""x [b, ...] -> logits [b, patches]."""


def critic(network: Conditioned, params: PyTree, cond: Cond, keys: jax.Array) -> Judge:
    """The discriminator under `params` and the batch's conditions."""

    def judge(x: jax.Array) -> jax.Array:
        logits: Any = network.apply({"params": params}, x, cond, True, keys=keys)
        return logits.reshape(x.shape[0], -1)

    return judge


def create_critic(network: Conditioned, key: jax.Array, x: jax.Array, cond: Cond) -> PyTree:
    """New parameters of a discriminator. Raises UserError for one that does not give one logit for each patch, or that
    keeps more than parameters."""
    logits: Any
    logits, variables = network.init_with_output(key, x, cond)
    name = type(network.network).__name__
    if logits.shape[-1] != 1:
        raise UserError(f"the {name} gives {logits.shape[1:]} for an example where one logit a patch is needed")
    if others := sorted(set(variables) - {"params"}):
        raise UserError(f"the {name} keeps {', '.join(others)} beside its parameters, which only GANs carry")
    return variables["params"]


def disc_loss(
    loss: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]],
    judge: Judge,
    real: jax.Array,
    fake: jax.Array,
    penalties: Mapping[str, Penalty],
    memory: Mapping[str, PyTree],
    params: PyTree,
    keys: jax.Array,
    step: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array], dict[str, PyTree]]:
    """One discriminator's loss [] with its penalties, what is reported of it, and what the penalties carry on."""
    real_logits, fake_logits = judge(real), judge(fake)  # [b, patches]
    total = loss(real_logits, fake_logits)[0].mean()
    metrics = {
        "real_logit": real_logits.mean(),
        "fake_logit": fake_logits.mean(),
        "max_logit": jnp.abs(jnp.concatenate([real_logits, fake_logits])).max(),
        "spread": spread(fake) / spread(real),
    }
    game = Game(
        critic=lambda x: judge(x).mean(1),
        real=real,
        fake=fake,
        real_logit=real_logits.mean(1),
        fake_logit=fake_logits.mean(1),
        decode=lambda latent: latent,
        latent=fake,
        params=params,
        keys=keys,
    )
    kept = {}
    for i, (name, penalty) in enumerate(penalties.items()):
        drawn = dataclasses.replace(game, keys=fold(keys, 10 + i))
        added, metrics[name], kept[name] = penalty(drawn, memory[name], step)
        total += added
    return total, metrics, kept


def check_sizes(family: str, image: tuple[int, ...], x: tuple[int, ...]) -> None:
    """Raises UserError unless images [h, w, c] and their translations x are of one height and width."""
    if image[:2] != x[:2]:
        raise UserError(f"{family}: images are {image[1]}x{image[0]} and x {x[1]}x{x[0]}; translation keeps the size")


def absolute(a: jax.Array, b: jax.Array) -> jax.Array:
    """The mean absolute difference []."""
    return jnp.abs(a - b).mean()


def _without_image(cond: Cond) -> dict[str, jax.Array]:
    """The generator's conditions: the image is its input."""
    return {name: value for name, value in cond.items() if name != "image"}
