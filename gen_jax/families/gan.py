"""Generative adversarial networks, Goodfellow et al. 2014 (arXiv:1406.2661): two players, disc and gen."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.losses.augment import AdaptiveProbability, ScheduledProbability, pseudo_augment
from gen_jax.losses.penalties import Game, Penalty
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.nn.growth import Growth
from gen_jax.nn.spectral import spectral_normalize, spectral_vectors
from gen_jax.random import example_keys, fold, normal
from gen_jax.types import Alarm, Batch, Cond, LossFn, Params, PyTree, TrainState

PLAYERS = ("disc", "gen")
STANDING_BATCH = 64
"""Of each batch whose statistics standing statistics are an average of."""


@dataclasses.dataclass(frozen=True)
class GAN:
    """A generator z [b, latent] -> x [b, ...] against a discriminator x -> logit [b, 1].

    Both are conditional where `conditioning` reads a label; each player has its own copy of it. `loss` is one of
    losses/adversarial.py. disc_penalties, gen_penalties: by name, each a losses.Penalty. spectral: the players whose
    kernels are divided by their spectral norm (nn/spectral.py).

    auxiliary: the weight of an auxiliary classifier, Odena et al. 2017 (arXiv:1610.09585): the discriminator does not
    see the label but gives 1 + num_classes outputs, and both players want the label to be read off x.
    augment: (keys, x, p) -> x, one of losses/augment.py, shown to the discriminator in place of real and generated x;
    one with a method `tell`, such as losses.Diffuse, also tells the discriminator conditions, the same of an example
    and of what is generated beside it.
    adaptive: how its probability p follows the overtraining of the discriminator; None: p = 1. pseudo: with
    probability p a generated example is called real (APA, Jiang et al. 2021, arXiv:2111.06849); it needs `adaptive`.
    growth: how networks that grow do, nn.Growth; real examples are shown with the details of the stage.

    truncation: samples closer to the mode, of less variety. For a generator with a mapping (StyleGAN) the share psi of
    w's distance from its mean, 0 for the mean image; for others z is drawn from a normal cut off at +-truncation (Brock
    et al. 2019, arXiv:1809.11096, section 3.1). None: as trained. standing: batch statistics for sampling are averages
    over so many batches of generated ones (same, appendix D), None: those kept in training.

    A generator may have two parts, mapping (z -> w) and synthesis (w -> x), and keep the mean of w as its variable
    "w_mean"; it then also mixes styles itself.

    Raises:
      UserError: what cannot go together, or a number out of range.
    """

    generator: nn.Module
    discriminator: nn.Module
    conditioning: Conditioning
    loss: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    latent: int = 64
    disc_penalties: Mapping[str, Penalty] = dataclasses.field(default_factory=dict)
    gen_penalties: Mapping[str, Penalty] = dataclasses.field(default_factory=dict)
    spectral: tuple[str, ...] = ()
    auxiliary: float = 0.0
    augment: Callable[..., jax.Array] | None = None
    adaptive: AdaptiveProbability | ScheduledProbability | None = None
    pseudo: bool = False
    growth: Growth | None = None
    truncation: float | None = None
    standing: int | None = None

    alarms: ClassVar[Mapping[str, Alarm]] = {
        "disc/spread": Alarm(
            low=0.1,
            says="generated examples differ from each other less than a tenth as much as real ones: mode collapse",
            fix="a penalty on the discriminator (r1, gradient_penalty), a smaller learning rate, a larger batch",
        ),
        "disc/max_logit": Alarm(
            high=1e4,
            says="the discriminator's logits grow without bound: divergence",
            fix="a penalty on the discriminator (r1, gradient_penalty), spectral=('disc',), a smaller learning rate",
        ),
    }

    def __post_init__(self):
        for player in self.spectral:
            if player not in PLAYERS:
                raise UserError(f"family.spectral={self.spectral}: the players are disc and gen")
        if self.auxiliary and not self.conditioning.num_classes:
            raise UserError(f"family.auxiliary={self.auxiliary}: an auxiliary classifier needs labels to tell")
        if self.pseudo and self.adaptive is None:
            raise UserError("family.pseudo=True needs family.adaptive, which says how often")
        if self.adaptive is not None and self.augment is None and not self.pseudo:
            raise UserError("family.adaptive adapts the probability of family.augment (or pseudo), and there is none")
        if self._tells and not isinstance(self.conditioning, Conditioning):
            raise UserError(
                f"family.augment={type(self.augment).__name__} tells the discriminator the level of the noise, which "
                f"{type(self.conditioning).__name__} does not read: family.conditioning has to be nn.Conditioning"
            )
        if self.truncation is not None and self.truncation <= 0 and not hasattr(self.generator, "mapping"):
            raise UserError(f"family.truncation={self.truncation}: it must be above 0, or None")
        if self.standing is not None and self.standing < 1:
            raise UserError(f"family.standing={self.standing}: it must be at least 1 batch, or None")

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"disc": self._disc_loss, "gen": self._gen_loss}

    def check_batch(self, batch_size: int) -> None:
        """Raises UserError for a batch size that a network cannot use."""
        for network in (self.generator, self.discriminator):
            if hasattr(network, "check_batch"):
                network.check_batch(batch_size)

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        disc_key, gen_key, z_key = jax.random.split(key, 3)
        z, cond = normal(example_keys(z_key, batch), (self.latent,)), self._cond(batch)
        shape = batch["x"].shape[1:]
        if self.growth is not None:
            self.growth.check(shape)
        outputs = 1 + (self.conditioning.num_classes if self.auxiliary else 0)
        hint = f"the discriminator needs outputs={outputs}"
        told = self.augment.tell(example_keys(key, batch), jnp.float32(0)) if self._tells else {}  # type: ignore
        disc, disc_kept = self._critic.create_whole(disc_key, batch["x"], {**cond, **told}, (outputs,), hint)
        hint = f"the generator needs shape={shape}, the data's"
        gen, gen_kept = self._generator.create_whole(gen_key, z, cond, shape, hint)
        params = {"disc": disc, "gen": gen}
        extra: dict[str, Any] = {"disc": disc_kept, "gen": gen_kept}
        vector_key = jax.random.fold_in(key, 1)
        extra["spectral"] = {player: spectral_vectors(params[player], vector_key) for player in self.spectral}
        extra["memory"] = {
            player: {name: penalty.init() for name, penalty in self._penalties(player).items()} for player in PLAYERS
        }
        if self.adaptive is not None:
            extra["adaptive"] = self.adaptive.init()
        if self.growth is not None:
            extra["progress"] = self.growth(jnp.int32(0))
        return params, extra

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        z = normal(keys, (self.latent,))
        if self.truncation is not None and not self.styled:
            z = truncated_normal(keys, self.latent, self.truncation)
        return self.decode(params, extra, z, cond, fold(keys, 1))

    def decode(
        self, params: Params, extra: PyTree, z: jax.Array, cond: Cond, keys: jax.Array | None = None
    ) -> jax.Array:
        """z [b, latent] -> x [b, ...]. keys: [b], of what the generator draws itself; None: without it."""
        if self.styled:
            return self.synthesize(params, extra, self.map(params, extra, z, cond), cond, keys)
        return self._networks(params, extra)["gen"](z, cond, keys=keys)[0]

    def map(self, params: Params, extra: PyTree, z: jax.Array, cond: Cond) -> jax.Array:
        """z [b, latent] -> w [b, layers, d] of a generator with a mapping, truncated towards the mean of w."""
        w = self._networks(params, extra)["gen"](z, cond, part="mapping")[0]
        if self.truncation is None:
            return w
        mean = extra["gen"]["w_mean"]["network"]["mean"]
        return mean + self.truncation * (w - mean)

    def synthesize(
        self, params: Params, extra: PyTree, w: jax.Array, cond: Cond, keys: jax.Array | None = None
    ) -> jax.Array:
        """w [b, layers, d] -> x [b, ...] of a generator with a mapping."""
        return self._networks(params, extra)["gen"](w, cond, keys=keys, part="synthesis")[0]

    def settle(self, params: Params, extra: PyTree, key: jax.Array) -> PyTree:
        """`extra` as it is sampled with: with standing statistics, where the family has them.

        A kept statistic is m old + (1 - m) new, with a momentum m that is the network's own affair: both follow from
        what becomes of 0 and of 1."""
        if self.standing is None or "batch_stats" not in extra["gen"]:
            return extra
        kept = extra["gen"]["batch_stats"]

        def after(value: float, keys: jax.Array) -> PyTree:
            start = {**extra["gen"], "batch_stats": jax.tree.map(lambda a: jnp.full_like(a, value), kept)}
            generate = self._networks(params, {**extra, "gen": start}, train=True)["gen"]
            label = jax.vmap(lambda key: jax.random.randint(key, (), 0, self.conditioning.num_classes))
            cond = {name: label(fold(keys, 2)) for name in self.cond_keys}
            return generate(normal(keys, (self.latent,)), cond, keys=fold(keys, 1))[1]["batch_stats"]

        def fresh(key: jax.Array) -> PyTree:
            keys = jax.random.split(key, STANDING_BATCH)
            return jax.tree.map(lambda low, high: low / (1 - (high - low)), after(0.0, keys), after(1.0, keys))

        found = jax.lax.map(fresh, jax.random.split(key, self.standing))
        return {**extra, "gen": {**extra["gen"], "batch_stats": jax.tree.map(lambda a: a.mean(0), found)}}

    def _disc_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        game, classes, extra = self._play("disc", params, state, batch, key)
        loss = self.loss(game.real_logit, game.fake_logit)[0].mean()
        metrics = {
            "real_logit": game.real_logit.mean(),
            "fake_logit": game.fake_logit.mean(),
            "r_t": jnp.sign(game.real_logit).mean(),  # overtraining, Karras et al. 2020 (arXiv:2006.06676, eq. 1)
            "max_logit": jnp.abs(jnp.concatenate([game.real_logit, game.fake_logit])).max(),
            "spread": spread(game.fake) / spread(game.real),
        }
        if self.auxiliary:
            wrong = [cross_entropy(logits, batch["label"]).mean() for logits in classes]
            loss, metrics["class_loss"] = loss + self.auxiliary * sum(wrong), wrong[0]
        if self.adaptive is not None:
            extra["adaptive"] = self.adaptive.update(extra["adaptive"], metrics["r_t"], batch["x"].shape[0])
            metrics["augment_p"] = extra["adaptive"]["p"]
        if self.growth is not None:
            extra["progress"] = metrics["progress"] = self.growth(state.step + 1)
        return self._pay("disc", loss, metrics, game, extra, state.step)

    def _gen_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        game, (_, classes), extra = self._play("gen", params, state, batch, key)
        loss, metrics = self.loss(game.real_logit, game.fake_logit)[1].mean(), {}
        if self.auxiliary:
            metrics["class_loss"] = cross_entropy(classes, batch["label"]).mean()
            loss += self.auxiliary * metrics["class_loss"]
        return self._pay("gen", loss, metrics, game, extra, state.step)

    def _pay(self, player: str, loss, metrics, game: Game, extra: dict[str, Any], step: jax.Array):
        """The loss with the player's penalties, what is reported, and extra with what the penalties carry."""
        memory = {}
        for i, (name, penalty) in enumerate(self._penalties(player).items()):
            drawn = dataclasses.replace(game, keys=fold(game.keys, i))
            added, metrics[name], memory[name] = penalty(drawn, extra["memory"][player][name], step)
            loss += added
        return loss, (metrics, {**extra, "memory": {**extra["memory"], player: memory}})

    def _play(self, player: str, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        """One round, in which examples are generated and judged: the game, the class logits of real and of generated
        examples, and extra as the player leaves it. What a loss does not use of it, XLA does not compute.

        What a network keeps (batch statistics, spectral vectors) follows the updates of its own player."""
        cond, keys, extra = self._cond(batch), example_keys(key, batch), state.extra
        networks = self._networks(params, extra, train=True)
        generate = functools.partial(networks["gen"], cond=cond, keys=fold(keys, 1))
        kept = {}
        latent = normal(keys, (self.latent,))
        if self.styled:
            latent, kept["gen"] = generate(latent, part="mapping")
            generate = functools.partial(generate, part="synthesis")
            fake, _ = generate(latent)
        else:
            fake, kept["gen"] = generate(latent)
        real = batch["x"] if self.growth is None else self.growth.show(batch["x"], extra["progress"])
        real, fake, told = self._show(real, fake, fold(keys, 3), extra)
        judge = functools.partial(networks["disc"], cond={**cond, **told}, keys=fold(keys, 2))
        real_out, kept["disc"] = judge(real)
        fake_out, kept["disc"] = judge(fake, kept=kept["disc"])

        extra = {**extra, player: kept[player]}
        if player in self.spectral:
            _, vectors = spectral_normalize(params[player], extra["spectral"][player])
            extra["spectral"] = {**extra["spectral"], player: vectors}
        game = Game(
            critic=lambda x: judge(x)[0][:, 0],
            real=real,
            fake=fake,
            real_logit=real_out[:, 0],
            fake_logit=fake_out[:, 0],
            decode=lambda latent: generate(latent)[0],
            latent=latent,
            params=params[player],
            keys=fold(keys, 4),
        )
        return game, (real_out[:, 1:], fake_out[:, 1:]), extra

    def _show(
        self, real: jax.Array, fake: jax.Array, keys: jax.Array, extra: PyTree
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """What the discriminator is shown: augmented, and some generated examples as real ones; and what it is told."""
        p = jnp.float32(1) if self.adaptive is None else extra["adaptive"]["p"]
        if self.pseudo:
            real = pseudo_augment(fold(keys, 0), real, fake, p)
        if self.augment is None:
            return real, fake, {}
        told = self.augment.tell(fold(keys, 3), p) if self._tells else {}  # type: ignore[attr-defined]
        real, fake = (self.augment(fold(keys, i), x, p, **told) for i, x in ((1, real), (2, fake)))
        return real, fake, told

    def _networks(self, params: Params, extra: PyTree, train: bool = False) -> dict[str, Callable[..., Any]]:
        """By player, its network: (x, cond, keys, part, kept) -> (output, what it keeps)."""

        def network(player: str, conditioned: Conditioned) -> Callable[..., Any]:
            own = params[player]
            if player in self.spectral:
                own, _ = spectral_normalize(own, extra["spectral"][player])

            def run(x, cond, kept=None, **others):
                kept = extra[player] if kept is None else kept
                return conditioned.run(own, kept, x, cond, train, progress=extra.get("progress"), **others)

            return run

        return {"disc": network("disc", self._critic), "gen": network("gen", self._generator)}

    def _penalties(self, player: str) -> Mapping[str, Penalty]:
        return self.disc_penalties if player == "disc" else self.gen_penalties

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    @property
    def _tells(self) -> bool:
        """Whether the augmentation tells the discriminator something."""
        return hasattr(self.augment, "tell")

    @property
    def styled(self) -> bool:
        """Whether the generator has a mapping, and so a space of w."""
        return hasattr(self.generator, "mapping")

    @property
    def _generator(self) -> Conditioned:
        return Conditioned(self.generator, self.conditioning)

    @property
    def _critic(self) -> Conditioned:
        conditioning = self.conditioning.clone(num_classes=0) if self.auxiliary else self.conditioning
        return Conditioned(self.discriminator, conditioning)


def truncated_normal(keys: jax.Array, width: int, limit: float) -> jax.Array:
    """Normal numbers [b, width] of which those beyond +-limit are drawn again, those of example i from keys[i]."""
    return jax.vmap(lambda key: jax.random.truncated_normal(key, -limit, limit, (width,)))(keys)


def cross_entropy(logits: jax.Array, label: jax.Array) -> jax.Array:
    """-log softmax(logits [b, classes])[label [b]]: nats, [b]."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1)[:, 0]


def spread(x: jax.Array) -> jax.Array:
    """The standard deviation over a batch [b, ...], on the mean over an example's values: []."""
    return x.std(0).mean()
