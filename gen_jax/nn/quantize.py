"""Bottlenecks of autoencoders: what stands between an encoder and a decoder, and makes a code of what it is given.

A bottleneck is a frozen dataclass with

channels: how many numbers it takes of the encoder for each place. width: how many it gives the decoder
init(key, shape) -> (params, state), for encoder outputs [b, *shape]: params are trained, state is kept in
    TrainState.extra
__call__(params, state, h [b, *shape], keys [b], train) -> Coded. keys: of what is random, one per example
deterministic(params, state, h) -> z: the code without anything random

and where its codes are discrete, a *quantizer*,

num_codes: size of the vocabulary. token_shape(shape): of one example's tokens
lookup(params, state, tokens) -> z, the inverse of tokens of z

z has the gradient of h, as if nothing were rounded (straight-through, Bengio et al. 2013, arXiv:1308.3432). Losses are
means over all values, in the units of z.
"""

import dataclasses
import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError
from gen_jax.nn.codebook import Codebook, flat, nearest, scores, usage
from gen_jax.nn.priors import kl_to_standard_normal
from gen_jax.random import fold, normal
from gen_jax.types import PyTree


class Coded(NamedTuple):
    """z [b, ..., width]: for the decoder. tokens int32 [b, *token_shape], None where codes are continuous. loss []: the
    bottleneck's own. metrics: by name. state: as it is after the batch."""

    z: jax.Array
    tokens: Any
    loss: jax.Array
    metrics: dict[str, jax.Array]
    state: PyTree


class Bottleneck(Protocol):
    """See the module's docstring."""

    @property
    def channels(self) -> int: ...

    @property
    def width(self) -> int: ...

    def init(self, key: jax.Array, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]: ...

    def __call__(
        self, params: PyTree, state: PyTree, h: jax.Array, keys: jax.Array | None = None, train: bool = False
    ) -> Coded: ...

    def deterministic(self, params: PyTree, state: PyTree, h: jax.Array) -> jax.Array: ...


@dataclasses.dataclass(frozen=True)
class KL:
    """A diagonal normal q(z|x) of the encoder's mean and log variance, kept near the standard normal by a small weight,
    Rombach et al. 2022 (arXiv:2112.10752, app. G): with its 1e-6 the latents are barely noisy and far from normal.

    weight: of KL(q || N(0, 1)) in nats, summed over an example and divided by `per`, the number of values of x, so that
    it stands beside a mean over pixels as the paper's beside a sum. The loss is not divided where per is 1."""

    width: int = 4
    weight: float = 1e-6
    shape: tuple[int, ...] = ()

    def __post_init__(self):
        _at_least("KL", width=(self.width, 1))
        if self.weight < 0:
            raise UserError(f"KL weight={self.weight}: it cannot be below 0")

    @property
    def channels(self) -> int:
        return 2 * self.width

    def init(self, key: jax.Array, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]:
        """Nothing is trained and nothing kept."""
        return {}, {}

    def __call__(self, params, state, h, keys=None, train=False) -> Coded:
        """z drawn from q in training, else its mean."""
        mean, log_var = jnp.split(h.astype(jnp.float32), 2, axis=-1)
        log_var = jnp.clip(log_var, -30.0, 20.0)  # as published: exp stays finite
        kl = kl_to_standard_normal(mean, log_var).reshape(h.shape[0], -1).sum(1)
        z = mean + jnp.exp(log_var / 2) * normal(keys, mean.shape[1:]) if train else mean
        metrics = {"kl": kl.mean(), "latent_std": mean.std()}
        return Coded(z, None, self.weight * kl.mean() / math.prod(self.shape), metrics, state)

    def deterministic(self, params, state, h) -> jax.Array:
        """The mean of q."""
        return self(params, state, h).z


@dataclasses.dataclass(frozen=True)
class VectorQuantizer(Codebook):
    """The nearest code of a codebook, van den Oord et al. 2017 (arXiv:1711.00937, eq. 1 to 3), as nn/codebook.py keeps
    it; loss = |sg(h) - z|^2 + beta |h - sg(z)|^2, of which the first term stands only where the codebook learns by
    gradient (decay=None)."""

    @property
    def channels(self) -> int:
        return self.width

    def token_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One token a place."""
        return shape[:-1]

    def __call__(self, params, state, h, keys=None, train=False) -> Coded:
        """The nearest codes and, in training, the codebook as the batch moves it."""
        rows = self.rows(h)  # [n, width]
        codes = self.codes(params, state)
        tokens = nearest(rows, codes)
        found = codes[tokens]
        loss = self.beta * _squared(rows, jax.lax.stop_gradient(found))
        if self.decay is None:
            loss += _squared(jax.lax.stop_gradient(rows), found)
        if train and self.decay is not None:
            state = self.moved(state, rows, tokens, scores(keys, h))
        z = straight_through(rows, found).reshape(h.shape)
        return Coded(z, tokens.reshape(h.shape[:-1]), loss, usage(tokens, self.num_codes), state)

    def deterministic(self, params, state, h) -> jax.Array:
        """The nearest codes."""
        return self(params, state, h).z

    def lookup(self, params, state, tokens: jax.Array) -> jax.Array:
        """tokens [b, ...] -> codes [b, ..., width]."""
        return self.codes(params, state)[tokens]


@dataclasses.dataclass(frozen=True)
class ResidualQuantizer:
    """The nearest code, then the nearest code of what it leaves over, `levels` times, z the sum of all: Lee et al. 2022
    (arXiv:2203.01941, eq. 4 to 6). tokens [b, ..., levels].

    of: the quantizer of a level. shared: one codebook for all levels, as in the paper. loss: that of every partial sum
    (eq. 8), added up.

    Raises:
      UserError: fewer than 1 level, or a cosine codebook, which has no lengths to leave a rest of.
    """

    of: VectorQuantizer
    levels: int = 4
    shared: bool = True

    def __post_init__(self):
        _at_least("ResidualQuantizer", levels=(self.levels, 1))
        if self.of.cosine:
            raise UserError("ResidualQuantizer: of.cosine=True leaves no lengths to quantize a rest of; take False")

    @property
    def channels(self) -> int:
        return self.of.channels

    @property
    def width(self) -> int:
        return self.of.width

    @property
    def num_codes(self) -> int:
        return self.of.num_codes

    def token_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`levels` tokens a place."""
        return (*shape[:-1], self.levels)

    def init(self, key: jax.Array, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]:
        """One codebook, or one a level by its number."""
        if self.shared:
            return self.of.init(key, shape)
        made = {str(i): self.of.init(jax.random.fold_in(key, i), shape) for i in range(self.levels)}
        return {i: params for i, (params, _) in made.items()}, {i: state for i, (_, state) in made.items()}

    def __call__(self, params, state, h, keys=None, train=False) -> Coded:
        """Codes of all levels and, in training, the codebooks as the batch moves them."""
        rows = flat(h)
        total, rest, loss = jnp.zeros_like(rows), jax.lax.stop_gradient(rows), jnp.float32(0)
        rests: list[jax.Array] = []
        tokens: list[jax.Array] = []
        for i in range(self.levels):
            codes = self.of.codes(*self._level(params, state, i))
            token = nearest(rest, codes)
            rests, tokens = [*rests, rest], [*tokens, token]
            total = total + codes[token]
            rest = rest - jax.lax.stop_gradient(codes[token])
            loss += self.of.beta * _squared(rows, jax.lax.stop_gradient(total))
            if self.of.decay is None:
                loss += _squared(jax.lax.stop_gradient(rows), total)
        if train and self.of.decay is not None:
            score = [scores(None if keys is None else fold(keys, i), h) for i in range(self.levels)]
            if self.shared:
                drawn = None if keys is None else jnp.concatenate(score)  # type: ignore[arg-type]
                state = self.of.moved(state, jnp.concatenate(rests), jnp.concatenate(tokens), drawn)
            else:
                levels = enumerate(zip(rests, tokens, score, strict=True))
                state = {str(i): self.of.moved(state[str(i)], *given) for i, given in levels}
        stacked = jnp.stack(tokens, axis=-1)
        z = straight_through(rows, total).reshape(h.shape)
        return Coded(
            z, stacked.reshape(*h.shape[:-1], self.levels), loss, usage(stacked.reshape(-1), self.num_codes), state
        )

    def deterministic(self, params, state, h) -> jax.Array:
        """The sums of the codes of all levels."""
        return self(params, state, h).z

    def lookup(self, params, state, tokens: jax.Array) -> jax.Array:
        """tokens [b, ..., levels] -> the sums of their codes [b, ..., width]."""
        parts = [self.of.codes(*self._level(params, state, i))[tokens[..., i]] for i in range(self.levels)]
        return sum(parts[1:], parts[0])

    def _level(self, params, state, i: int) -> tuple[PyTree, PyTree]:
        return (params, state) if self.shared else (params[str(i)], state[str(i)])


@dataclasses.dataclass(frozen=True)
class FSQ:
    """Finite scalar quantization, Mentzer et al. 2023 (arXiv:2309.15505, sec. 3 and app. A.1): each channel is bounded
    by a tanh and rounded to one of its `levels`. No codebook to learn, no loss; z lies in [-1, 1].

    Raises:
      UserError: no channel, or fewer than 2 levels in one.
    """

    levels: tuple[int, ...] = (8, 5, 5, 5)

    def __post_init__(self):
        if not self.levels or min(self.levels) < 2:
            raise UserError(f"FSQ levels={tuple(self.levels)}: each channel needs at least 2, such as (8, 5, 5, 5)")
        if self.num_codes >= 2**31:
            raise UserError(f"FSQ levels={tuple(self.levels)} are {self.num_codes:,} codes; tokens count to 2^31")

    @property
    def width(self) -> int:
        return len(self.levels)

    channels = width

    @property
    def num_codes(self) -> int:
        return math.prod(self.levels)

    def token_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One token a place."""
        return shape[:-1]

    def init(self, key: jax.Array, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]:
        """Nothing is trained and nothing kept."""
        return {}, {}

    def __call__(self, params, state, h, keys=None, train=False) -> Coded:
        """The rounded values; nothing of it is random."""
        levels = np.asarray(self.levels, np.float32)
        half = (levels - 1) * (1 + 1e-3) / 2
        offset = np.where(levels % 2 == 0, 0.5, 0.0)  # an even number of levels lies at ..., -1, 0, 1 less a half
        bounded = jnp.tanh(h.astype(jnp.float32) + np.arctanh(offset / half)) * half - offset
        rounded = straight_through(bounded, jnp.round(bounded))  # from -(L // 2) on
        z = rounded / (levels // 2)
        digits = jax.lax.stop_gradient(rounded) + levels // 2
        tokens = jnp.sum(jnp.round(digits).astype(jnp.int32) * self._bases, axis=-1)
        return Coded(z, tokens, jnp.float32(0), usage(tokens.reshape(-1), self.num_codes), state)

    def deterministic(self, params, state, h) -> jax.Array:
        """The rounded values."""
        return self(params, state, h).z

    def lookup(self, params, state, tokens: jax.Array) -> jax.Array:
        """tokens [b, ...] -> values [b, ..., width] in [-1, 1]."""
        levels = np.asarray(self.levels, np.int32)
        digits = tokens[..., None] // self._bases % levels
        return (digits - levels // 2) / (levels // 2).astype(np.float32)

    @property
    def _bases(self) -> np.ndarray:
        return np.cumprod([1, *self.levels[:-1]]).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class LFQ:
    """Lookup-free quantization, Yu et al. 2023 (arXiv:2310.05737, sec. 3.1): a code is the signs of its `bits` values.

    loss: entropy_weight (mean over places of H(q(c|h)) - diversity H(mean of q(c|h))) in nats, eq. 5, + beta |h -
    sg(z)|^2, with q(c|h) = softmax of -|h - c|^2 / temperature over all codes c. The bits are then independent given h:
    bit i is 1 with probability sigmoid(4 h_i / temperature), so that the first entropy is a sum over bits. The
    second is taken for `joint` bits at a time, a bound from above that is exact where joint >= bits.

    Raises:
      UserError: bits beyond 1 to 30, a temperature of 0, or joint beyond 1 to 16.
    """

    bits: int = 10
    beta: float = 0.25
    entropy_weight: float = 0.1
    diversity: float = 1.0
    temperature: float = 1.0
    joint: int = 8

    def __post_init__(self):
        for name, most in (("bits", 30), ("joint", 16)):
            if not 1 <= getattr(self, name) <= most:
                raise UserError(f"LFQ {name}={getattr(self, name)}: it must be 1 to {most}")
        if self.temperature <= 0:
            raise UserError(f"LFQ temperature={self.temperature}: it must be above 0")

    @property
    def width(self) -> int:
        return self.bits

    channels = width

    @property
    def num_codes(self) -> int:
        return 2**self.bits

    def token_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One token a place."""
        return shape[:-1]

    def init(self, key: jax.Array, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]:
        """Nothing is trained and nothing kept."""
        return {}, {}

    def __call__(self, params, state, h, keys=None, train=False) -> Coded:
        """The signs; nothing of it is random."""
        rows = flat(h)
        found = jnp.where(rows > 0, 1.0, -1.0)
        tokens = jnp.sum((rows > 0) << np.arange(self.bits), axis=-1).astype(jnp.int32)
        certain, diverse = self.entropies(rows)
        loss = self.entropy_weight * (certain - self.diversity * diverse)
        loss += self.beta * _squared(rows, found)
        metrics = {"entropy": certain, "mean_entropy": diverse} | usage(tokens, self.num_codes)
        return Coded(straight_through(rows, found).reshape(h.shape), tokens.reshape(h.shape[:-1]), loss, metrics, state)

    def entropies(self, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        """For rows [n, bits]: the mean entropy of q(c|h) and the entropy of the mean of q(c|h), [] nats each."""
        log_p = jax.nn.log_sigmoid(4 * rows / self.temperature)
        log_not = jax.nn.log_sigmoid(-4 * rows / self.temperature)
        certain = -(jnp.exp(log_p) * log_p + jnp.exp(log_not) * log_not).sum(1).mean()
        diverse = jnp.float32(0)
        for start in range(0, self.bits, self.joint):
            joint = jnp.zeros((rows.shape[0], 1))
            for i in range(start, min(start + self.joint, self.bits)):  # log q of all codes of the bits so far
                joint = jnp.concatenate([joint + log_not[:, i : i + 1], joint + log_p[:, i : i + 1]], axis=1)
            mean = jnp.exp(joint).mean(0)
            diverse -= jax.scipy.special.xlogy(mean, mean).sum()
        return certain, diverse

    def deterministic(self, params, state, h) -> jax.Array:
        """The signs."""
        return self(params, state, h).z

    def lookup(self, params, state, tokens: jax.Array) -> jax.Array:
        """tokens [b, ...] -> signs [b, ..., bits]."""
        return ((tokens[..., None] >> np.arange(self.bits)) & 1) * 2.0 - 1.0


def straight_through(h: jax.Array, z: jax.Array) -> jax.Array:
    """z with the gradient of h."""
    return h + jax.lax.stop_gradient(z - h)


def _squared(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.square(a - b).mean()


def _at_least(name: str, **bounds: tuple[int, int]) -> None:
    for field, (value, least) in bounds.items():
        if value < least:
            raise UserError(f"{name} {field}={value}: at least {least}")
