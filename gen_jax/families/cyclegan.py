"""Unpaired image-to-image translation, Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks" (arXiv:1703.10593): CycleGAN."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.families.gan import GAN
from gen_jax.families.pix2pix import absolute, check_sizes, create_critic, critic, disc_loss
from gen_jax.losses.penalties import Penalty
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.random import example_index, example_keys, fold
from gen_jax.types import Alarm, Batch, Cond, LossFn, Params, PyTree, TrainState

DIRECTIONS = ("AB", "BA")


@dataclasses.dataclass(frozen=True)
class ImagePool:
    """Generated images of earlier steps, of which a discriminator is shown some in place of new ones: the history of
    Shrivastava et al. 2016 (arXiv:1612.07828, section 2.3) as CycleGAN has it.

    Until `size` images are in it, each new one is put in and shown. Afterwards a new one is shown and forgotten with
    probability 1/2, or else takes the place of a random one in the pool, which is shown. All of a batch meet the pool
    as it was before, each at another place; what is beyond `size` in a batch is shown and forgotten. Which place and
    which of both it is depends on an example's index in the global batch, not on the order of the arrays.

    Raises:
      UserError: size < 0 (0: no pool).
    """

    size: int = 50

    def __post_init__(self):
        if self.size < 0:
            raise UserError(f"family.pool={self.size}: so many images, or 0 for no pool")

    def init(self, shape: tuple[int, ...]) -> dict[str, jax.Array]:
        """An empty pool of images of this shape."""
        return {"images": jnp.zeros((self.size, *shape)), "count": jnp.int32(0)}

    def query(
        self, pool: Mapping[str, jax.Array], new: jax.Array, index: jax.Array, key: jax.Array, keys: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """What is shown for `new` [b, ...], and the pool afterwards. index: of the examples in the global batch [b].
        key: of the batch; keys: of the examples [b]."""
        if not self.size:
            return new, dict(pool)
        images, count = pool["images"], pool["count"]
        free = count + index  # the place that an example takes while there is room
        taken = jax.random.permutation(key, self.size)[index % self.size]
        swap = (count == self.size) & (index < self.size) & jax.vmap(jax.random.bernoulli)(keys)
        shown = jnp.where(swap.reshape((-1,) + (1,) * (new.ndim - 1)), images[taken], new)
        place = jnp.where(swap, taken, jnp.where(free < self.size, free, self.size))  # beyond the end: dropped
        images = images.at[place].set(jax.lax.stop_gradient(new), mode="drop")
        return shown, {"images": images, "count": jnp.minimum(count + new.shape[0], self.size)}


@dataclasses.dataclass(frozen=True)
class CycleGAN:
    """Two generators, A -> B and B -> A, against two discriminators, of A and of B. Player gen holds the parameters
    {"AB", "BA"}, disc {"A", "B"}.

    generator: one of the two, a translator; the other is the same but for the number of channels that it gives.
    discriminator: of either domain; its logits may be of patches [b, h', w', 1]. Both are conditional where
    `conditioning` reads a label, which is to be that of both images.

    loss: one of losses/adversarial.py, taken for every patch and averaged. adversarial, cycle, identity: the weights in
    the generators' loss of the adversarial part, of |BA(AB(a)) - a| and |AB(BA(b)) - b| (equation 2 of the paper, 10
    there), and of |AB(b) - b| and |BA(a) - a| (section 5.2; 5 there for paintings, and 0 elsewhere). pool: how many
    generated images of each domain are remembered for the discriminators; 0: none. disc_penalties: by name, each a
    losses.Penalty; a patch discriminator's logit is then its patches' mean.

    direction: "AB" where a batch's `image` is of domain A and its x of domain B, "BA" where they are the other way
    round. Samples are x of image, so that a trained model, with its data turned round, samples the other way.
    shape, image_shape: of one x and one image; filled from the data.

    Raises:
      UserError: an unknown direction, a weight or pool below 0, or domains that are of different sizes, or, with
        `identity`, of different numbers of channels.
    """

    generator: nn.Module
    discriminator: nn.Module
    conditioning: Conditioning
    loss: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    adversarial: float = 1.0
    cycle: float = 10.0
    identity: float = 0.0
    pool: int = 50
    direction: str = "AB"
    disc_penalties: Mapping[str, Penalty] = dataclasses.field(default_factory=dict)
    shape: tuple[int, ...] = ()
    image_shape: tuple[int, ...] = ()

    alarms: ClassVar[Mapping[str, Alarm]] = GAN.alarms

    def __post_init__(self):
        if self.direction not in DIRECTIONS:
            raise unknown("family.direction", self.direction, DIRECTIONS)
        for name in ("adversarial", "cycle", "identity"):
            if getattr(self, name) < 0:
                raise UserError(f"family.{name}={getattr(self, name)}: a weight cannot be below 0")
        ImagePool(self.pool)
        if self.image_shape:
            check_sizes("CycleGAN", self.image_shape, self.shape)
            if self.identity and self.image_shape != self.shape:
                raise UserError(
                    f"family.identity={self.identity}: images have {self.image_shape[-1]} channels and x "
                    f"{self.shape[-1]}, so none can stay as it is; set it to 0, or give both as many (data.channels)"
                )

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return ("image", *self.conditioning.keys)

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"disc": self._disc_loss, "gen": self._gen_loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        real, cond = self._domains(batch), self._cond(batch)
        disc, gen = {}, {}
        for i, (domain, x) in enumerate(real.items()):
            disc[domain] = create_critic(self._critic, jax.random.fold_in(key, i), x, cond)
        for i, way in enumerate(DIRECTIONS):
            source, target = (real[domain] for domain in way)
            hint = f"the generator needs shape={target.shape[1:]}, the data's"
            network, gen_key = self._generator(way), jax.random.fold_in(key, 2 + i)
            gen[way] = network.create(gen_key, source, cond, target.shape[1:], hint)
        pools = {domain: ImagePool(self.pool).init(x.shape[1:]) for domain, x in real.items()}
        memory = {domain: {name: penalty.init() for name, penalty in self.disc_penalties.items()} for domain in real}
        return {"disc": disc, "gen": gen}, {"pool": pools, "memory": memory}

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        return self.translate(params, self.direction, cond["image"], self._cond(cond), keys, train=False)

    def translate(
        self, params: Params, way: str, x: jax.Array, cond: Cond, keys: jax.Array, train: bool = False
    ) -> jax.Array:
        """x [b, ...] of one domain as images of the other. way: "AB" or "BA". cond: what else there is, the label."""
        network = self._generator(way)
        return network.apply({"params": params["gen"][way]}, x, cond, train, keys=keys)  # type: ignore[return-value]

    def _disc_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        real, fake = self._domains(batch), self._fakes(params, batch, key)
        keys, index, cond = example_keys(key, batch), example_index(batch), self._cond(batch)
        loss, metrics = jnp.float32(0), []
        extra: dict[str, dict[str, PyTree]] = {"pool": {}, "memory": {}}
        for i, (domain, x) in enumerate(real.items()):
            batch_key = jax.random.fold_in(key, 2**31 + i)  # beyond all indices, by which examples' keys are folded
            shown, extra["pool"][domain] = ImagePool(self.pool).query(
                state.extra["pool"][domain], fake[domain], index, batch_key, fold(keys, 4 + i)
            )
            own = params["disc"][domain]
            judge = critic(self._critic, own, cond, fold(keys, 6 + i))
            memory = state.extra["memory"][domain]
            added, reported, extra["memory"][domain] = disc_loss(
                self.loss, judge, x, shown, self.disc_penalties, memory, own, fold(keys, 8 + i), state.step
            )
            loss += added
            metrics.append(reported)
        worst = {"max_logit": jnp.maximum, "spread": jnp.minimum}
        a, b = metrics
        return loss, ({name: worst.get(name, _mean)(a[name], b[name]) for name in a}, extra)

    def _gen_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        real, fake = self._domains(batch), self._fakes(params, batch, key)
        keys, cond = example_keys(key, batch), self._cond(batch)
        adversarial = cycle = identity = jnp.float32(0)
        for i, way in enumerate(DIRECTIONS):
            source, target = way[0], way[1]
            judge = critic(self._critic, params["disc"][target], cond, fold(keys, 6 + i))
            adversarial += self.loss(judge(real[target]), judge(fake[target]))[1].mean()
            back = self.translate(params, way[::-1], fake[target], cond, fold(keys, 8 + i), train=True)
            cycle += absolute(back, real[source])
            if self.identity:
                same = self.translate(params, way, real[target], cond, fold(keys, 10 + i), train=True)
                identity += absolute(same, real[target])
        loss = self.adversarial * adversarial + self.cycle * cycle + self.identity * identity
        metrics = {"adversarial": adversarial, "cycle": cycle} | ({"identity": identity} if self.identity else {})
        return loss, (metrics, state.extra)

    def _fakes(self, params: Params, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        """By domain, the images that were made for it of the other one's."""
        real, cond, keys = self._domains(batch), self._cond(batch), example_keys(key, batch)
        return {
            way[1]: self.translate(params, way, real[way[0]], cond, fold(keys, 2 + i), train=True)
            for i, way in enumerate(DIRECTIONS)
        }

    def _domains(self, batch: Batch) -> dict[str, jax.Array]:
        """The batch's images by domain, A first."""
        first, second = ("image", "x") if self.direction == "AB" else ("x", "image")
        return {"A": batch[first], "B": batch[second]}

    def _cond(self, batch: Cond) -> dict[str, jax.Array]:
        return {name: batch[name] for name in self.conditioning.keys}

    def _generator(self, way: str) -> Conditioned:
        shape = self.shape if way == self.direction else self.image_shape
        return Conditioned(self.generator.clone(shape=shape), self.conditioning)

    @property
    def _critic(self) -> Conditioned:
        return Conditioned(self.discriminator, self.conditioning)


def _mean(a: jax.Array, b: jax.Array) -> jax.Array:
    return (a + b) / 2
