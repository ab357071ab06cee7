"""Models of a codec's tokens: a masked one that fills in many at a time, and one that writes them in order.

MaskGIT: Chang et al. 2022 (arXiv:2202.04200). Autoregressive: Esser et al. 2021, Taming Transformers
(arXiv:2012.09841). The codec is a trained run's, and stays as it is.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, drop, null
from gen_jax.random import example_keys, fold
from gen_jax.types import Batch, Cond, LossFn, Params, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class _TokenModel:
    """What both have: a `network` tokens int32 [b, n] -> logits [b, n, num_codes] over the codec's tokens.

    codec: {"workdir": DIR}, a trained run of a family that has tokens. cond_drop: how often the condition is dropped in
    training. guidance: logits are those without the condition plus `guidance` times the difference (arXiv:2207.12598);
    1: those with it. smoothing: of the labels of the cross entropy. temperature: logits are divided by it.
    cached: batches hold the tokens in place of x (tasks/latent_cache.py).

    Raises:
      UserError: a codec without tokens; numbers out of range; guidance without a condition, or where it was never
        dropped.
    """

    codec: Any
    network: nn.Module
    conditioning: nn.Module
    cond_drop: float = 0.0
    guidance: float = 1.0
    smoothing: float = 0.0
    temperature: float = 1.0
    cached: bool = False

    def __post_init__(self):
        if not hasattr(self.codec, "tokens"):
            raise UserError(
                f"family.codec is a {type(self.codec).__name__}, which has no tokens to model; name the run of a "
                "quantizing autoencoder, such as configs/vae/vq_vae.py"
            )
        if not 0 <= self.cond_drop <= 1:
            raise UserError(f"family.cond_drop={self.cond_drop}: a probability lies in [0, 1]")
        if not 0 <= self.smoothing < 1:
            raise UserError(f"family.smoothing={self.smoothing}: it lies in [0, 1)")
        if self.temperature <= 0:
            raise UserError(f"family.temperature={self.temperature}: it must be above 0")
        if self.guidance != 1 and not self.conditioning.keys:
            raise UserError(f"family.guidance={self.guidance}: guidance needs a conditional model; 1.0: none")
        if self.guidance != 1 and self.cond_drop == 0:
            raise UserError("family.cond_drop=0: guidance needs a model trained without its condition too, say 0.1")
        if self.codec.cond_keys and not set(self.codec.cond_keys) <= set(self.conditioning.keys):
            raise UserError(
                f"family.codec reads {', '.join(self.codec.cond_keys)}, so the model has to be conditional on it too"
            )
        if self.network.causal != isinstance(self, Autoregressive):  # type: ignore[attr-defined]
            raise UserError(
                f"family.network.causal={self.network.causal}: a {type(self).__name__} needs {not self.network.causal}"  # type: ignore[attr-defined]
            )

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def length(self) -> int:
        """How many tokens an example has."""
        return math.prod(self.codec.token_shape)

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {"model": self._loss}

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        codec_key, model_key = jax.random.split(key)
        params, extra = self.codec.init(codec_key, batch)  # their shapes; the trained ones take their place
        tokens = jnp.zeros((batch["x"].shape[0], self.length), jnp.int32)
        shape = (self.length, self.codec.num_codes)
        model = self._model.create(model_key, tokens, self._cond(batch), shape, "a logit for each code at each place")
        return {"model": model}, {"codec": {"params": params, "extra": extra}}

    def latents(self, extra: PyTree, batch: Batch) -> jax.Array:
        """The codec's tokens of x [b, ...], in one row: int32 [b, n]."""
        codec, cond = extra["codec"], {k: batch[k] for k in self.codec.cond_keys}
        tokens = self.codec.tokens(codec["params"], codec["extra"], batch["x"], cond)
        return tokens.reshape(len(tokens), -1)

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        return self.decode(extra, self.draw(params, keys, cond), cond)

    def decode(self, extra: PyTree, tokens: jax.Array, cond: Cond) -> jax.Array:
        """Tokens int32 [b, n] -> x [b, ...] in [-1, 1]."""
        codec, cond = extra["codec"], {k: cond[k] for k in self.codec.cond_keys}
        tokens = tokens.reshape(-1, *self.codec.token_shape)
        z = self.codec.from_tokens(codec["params"], codec["extra"], tokens, cond)
        return self.codec.decode(codec["params"], codec["extra"], z, cond)

    def draw(self, params: Params, keys: jax.Array, cond: Cond) -> jax.Array:
        """Tokens int32 [b, n] from keys [b]."""
        raise NotImplementedError

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        raise NotImplementedError

    def _prepared(self, state: TrainState, batch: Batch, key: jax.Array):
        """The tokens of a batch, its condition with some of it dropped, and each example's key."""
        tokens = batch["x"] if self.cached else self.latents(state.extra, batch)
        keys = example_keys(key, batch)
        return tokens, drop(self._cond(batch), fold(keys, 0), self.cond_drop), fold(keys, 1)

    def _cross_entropy(self, logits: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The smoothed cross entropy [b, n] in nats, and without smoothing."""
        log_p = jax.nn.log_softmax(logits)
        plain = -jnp.take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0]
        return (1 - self.smoothing) * plain - self.smoothing * log_p.mean(-1), plain

    def _guided(self, with_cond: jax.Array, without: jax.Array) -> jax.Array:
        return (without + self.guidance * (with_cond - without)) / self.temperature

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    @property
    def _model(self) -> Conditioned:
        return Conditioned(self.network, self.conditioning)


@dataclasses.dataclass(frozen=True)
class MaskGIT(_TokenModel):
    """All tokens at once: of a random share they are masked in training, and sampling fills them in within `steps`.

    Of an example cos(pi u / 2) of the tokens are masked, u uniform, at least one (arXiv:2202.04200, section 3.1-3.3).
    In step k of T all masked tokens are drawn; those of the least confidence, log p of the drawn one plus
    choice_temperature (1 - k / T) times Gumbel noise, are masked again, floor(n cos(pi k / 2 T)) of them.

    Raises:
      UserError: also for steps < 1 and a choice_temperature below 0.
    """

    steps: int = 8
    choice_temperature: float = 4.5

    def __post_init__(self):
        super().__post_init__()
        if self.steps < 1:
            raise UserError(f"family.steps={self.steps}: sampling takes at least 1 step")
        if self.choice_temperature < 0:
            raise UserError(f"family.choice_temperature={self.choice_temperature}: it cannot be below 0")

    def mask(self, keys: jax.Array) -> jax.Array:
        """Which tokens of each example are masked in training: bool [b, n], from keys [b]."""

        def of_one(key: jax.Array) -> jax.Array:
            share_key, place_key = jax.random.split(key)
            share = jnp.cos(jnp.pi / 2 * jax.random.uniform(share_key))
            order = jnp.argsort(jnp.argsort(jax.random.uniform(place_key, (self.length,))))
            return order < jnp.maximum(jnp.ceil(share * self.length), 1)

        return jax.vmap(of_one)(keys)

    def draw(self, params: Params, keys: jax.Array, cond: Cond) -> jax.Array:
        def step(tokens: jax.Array, k: jax.Array) -> tuple[jax.Array, None]:
            drawn = jax.vmap(self._fill, (0, 0, 0, None))(fold(keys, k), self._logits(params, tokens, cond), tokens, k)
            return drawn, None

        start = jnp.full((len(keys), self.length), self.codec.num_codes, jnp.int32)
        return jax.lax.scan(step, start, jnp.arange(1, self.steps + 1))[0]

    def _fill(self, key: jax.Array, logits: jax.Array, tokens: jax.Array, k: jax.Array) -> jax.Array:
        """One example's tokens [n] after step k: all drawn, but for those of the least confidence."""
        token_key, choice_key = jax.random.split(key)
        masked = tokens == self.codec.num_codes
        drawn = jnp.where(masked, jax.random.categorical(token_key, logits), tokens)
        sure = jnp.take_along_axis(jax.nn.log_softmax(logits), drawn[:, None], axis=1)[:, 0]
        cool = self.choice_temperature * (1 - k / self.steps)
        sure = jnp.where(masked, sure + cool * jax.random.gumbel(choice_key, (self.length,)), jnp.inf)
        again = jnp.floor(self.length * jnp.cos(jnp.pi / 2 * k / self.steps) + 1e-4)  # 0 in the last step
        again = jnp.where(k == self.steps, 0, jnp.minimum(again, masked.sum() - 1))  # one at least is new
        return jnp.where(jnp.argsort(jnp.argsort(sure)) < again, self.codec.num_codes, drawn)

    def _logits(self, params: Params, tokens: jax.Array, cond: Cond) -> jax.Array:
        own = params["model"]
        logits = self._model.evaluate(own, tokens, cond)
        if self.guidance == 1:
            return logits / self.temperature
        return self._guided(logits, self._model.evaluate(own, tokens, null(cond)))

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        tokens, cond, keys = self._prepared(state, batch, key)
        masked = self.mask(keys)
        shown = jnp.where(masked, self.codec.num_codes, tokens)
        dropout = jax.random.fold_in(key, 1)
        logits = self._model.evaluate(params["model"], shown, cond, train=True, dropout=dropout)
        loss, plain = self._cross_entropy(logits, tokens)
        right = (logits.argmax(-1) == tokens) & masked
        count = masked.sum()
        metrics = {"cross_entropy": (plain * masked).sum() / count, "accuracy": right.sum() / count}
        return (loss * masked).sum() / count, (metrics, state.extra)


@dataclasses.dataclass(frozen=True)
class Autoregressive(_TokenModel):
    """Token after token, each given those before: log p(tokens) = sum_i log p(token i | tokens before i), exactly.

    top_k: only the most likely codes are drawn; None: all. cache: keys and values of the tokens so far are kept, so
    that a token costs the network at one place, not at all of them; the samples are the same.

    Raises:
      UserError: also for a top_k that there is not.
    """

    top_k: int | None = None
    cache: bool = True

    def __post_init__(self):
        super().__post_init__()
        if self.top_k is not None and not 1 <= self.top_k <= self.codec.num_codes:
            raise UserError(f"family.top_k={self.top_k}: it is 1 to {self.codec.num_codes}, the codes; None: all")

    def log_prob(self, params: Params, tokens: jax.Array, cond: Cond) -> jax.Array:
        """log p(tokens [b, n]) [b] in nats: so many are the bits of the codec's tokens, times log 2."""
        log_p = jax.nn.log_softmax(self._model.evaluate(params["model"], tokens, cond))
        return jnp.take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0].sum(-1)

    def draw(self, params: Params, keys: jax.Array, cond: Cond) -> jax.Array:
        guided = self.guidance != 1
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), dict(cond), null(cond)) if guided else cond
        count, own = len(keys) * (1 + guided), params["model"]

        def choose(logits: jax.Array, i: jax.Array) -> jax.Array:
            """Token i [b], of logits [b or 2 b, num_codes]."""
            logits = self._guided(*jnp.split(logits, 2)) if guided else logits / self.temperature
            if self.top_k is not None:
                logits = jnp.where(logits < jax.lax.top_k(logits, self.top_k)[0][:, -1:], -jnp.inf, logits)
            return jax.vmap(jax.random.categorical)(fold(keys, i), logits)

        def twice(token: jax.Array) -> jax.Array:
            return jnp.concatenate([token, token]) if guided else token

        def run(part: str, x: Any) -> Any:
            return self._model.apply({"params": own}, x, both, part=part)

        def cached(carry, i: jax.Array):
            token, cache = carry
            logits, cache = run("step", (twice(token), i - 1, cache))
            token = choose(logits, i)
            return (token, cache), token

        def plain(tokens: jax.Array, i: jax.Array):
            logits = run("__call__", twice(tokens))
            at = jax.lax.dynamic_index_in_dim(logits, i, axis=1, keepdims=False)
            return tokens.at[:, i].set(choose(at, i)), None

        nothing = jnp.zeros((count, self.length), jnp.int32)
        if not self.cache:
            return jax.lax.scan(plain, nothing[: len(keys)], jnp.arange(self.length))[0]
        logits, cache = run("start", nothing)
        first = choose(logits, jnp.int32(0))
        _, others = jax.lax.scan(cached, (first, cache), jnp.arange(1, self.length))
        return jnp.concatenate([first[:, None], others.T], axis=1)

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        tokens, cond, _ = self._prepared(state, batch, key)
        dropout = jax.random.fold_in(key, 1)
        logits = self._model.evaluate(params["model"], tokens, cond, train=True, dropout=dropout)
        loss, plain = self._cross_entropy(logits, tokens)
        metrics = {"bits_per_token": plain.mean() / math.log(2), "accuracy": (logits.argmax(-1) == tokens).mean()}
        return loss.mean(), (metrics, state.extra)
