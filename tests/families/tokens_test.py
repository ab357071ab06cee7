"""Models of tokens, over a codec whose tokens are known: each 4x4 quarter of an 8x8 image is dark or bright, or not."""

import dataclasses
import functools
import itertools
from collections import Counter
from typing import Any, ClassVar

import constriction
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.errors import UserError
from gen_jax.families.tokens import Autoregressive, MaskGIT
from gen_jax.nn.conditioning import Conditioning
from gen_jax.nn.token_transformer import TokenTransformer
from gen_jax.types import TrainState


@dataclasses.dataclass(frozen=True)
class Quarters:
    """The codec: four tokens, the mean brightness of each quarter, in num_codes equal steps."""

    num_codes: int = 3
    cond_keys: ClassVar[tuple[str, ...]] = ()
    token_shape: ClassVar[tuple[int, ...]] = (2, 2)

    def init(self, key, batch):
        return {}, ()

    def tokens(self, params, extra, x, cond):
        mean = x.reshape(-1, 2, 4, 2, 4, 1).mean((2, 4, 5))
        return jnp.clip(jnp.floor((mean + 1) / 2 * self.num_codes), 0, self.num_codes - 1).astype(jnp.int32)

    def from_tokens(self, params, extra, tokens, cond):
        return (2 * tokens + 1) / self.num_codes - 1

    def decode(self, params, extra, z, cond, keys=None):
        return jnp.repeat(jnp.repeat(z, 4, 1), 4, 2)[..., None]


def make(kind, codec=None, classes=0, **fields):
    codec = codec or Quarters()
    network = TokenTransformer(
        codec.num_codes, codec.token_shape, width=16, depth=2, heads=2, causal=kind is Autoregressive, dropout=0.0
    )
    return kind(codec, network, Conditioning(width=16, num_classes=classes), **fields)


def made(family, n=5):
    x = jax.random.uniform(jax.random.key(0), (n, 8, 8, 1), minval=-1, maxval=1)
    batch = {"x": x, "label": jnp.arange(n) % 2}
    params, extra = family.init(jax.random.key(1), batch)
    # Far from the start, at which all logits are small.
    return jax.tree.map(lambda p: 8 * p, params), extra, batch


def state_of(params, extra):
    return TrainState(jnp.int32(0), params, {}, {}, extra)


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


@pytest.fixture(scope="module")
def written():
    family = make(Autoregressive, classes=2)
    return family, *made(family)


def test_a_place_depends_on_those_before_it_alone(written):
    family, params, _, _ = written
    tokens = jnp.array([[0, 1, 2, 1]])
    cond = {"label": jnp.array([1])}
    logits = family._model.evaluate(params["model"], tokens, cond)
    for i in range(4):
        other = tokens.at[:, i:].set((tokens[:, i:] + 1) % 3)
        changed = family._model.evaluate(params["model"], other, cond)
        np.testing.assert_allclose(changed[:, : i + 1], logits[:, : i + 1], atol=1e-5)
        assert i == 3 or np.abs(changed[:, i + 1] - logits[:, i + 1]).max() > 1e-3
    assert np.abs(family._model.evaluate(params["model"], tokens, {"label": jnp.array([0])}) - logits).max() > 1e-3


def test_the_masked_network_sees_every_place():
    family = make(MaskGIT)
    params, _, _ = made(family)
    tokens = jnp.array([[0, 1, 2, 1]])
    logits = family._model.evaluate(params["model"], tokens, {})
    for i in range(4):
        changed = family._model.evaluate(params["model"], tokens.at[:, i].set(3), {})
        assert (np.abs(changed - logits).max((0, 2)) > 1e-4).all()


def test_logits_with_a_cache_are_those_without(written):
    family, params, _, _ = written
    tokens = jax.random.randint(jax.random.key(3), (5, 4), 0, 3)
    cond = {"label": jnp.arange(5) % 2}
    run = functools.partial(family._model.apply, {"params": params["model"]})
    first, cache = run(tokens, cond, part="start")
    found = [first]
    for i in range(3):
        logits, cache = run((tokens[:, i], jnp.int32(i), cache), cond, part="step")
        found.append(logits)
    np.testing.assert_allclose(jnp.stack(found, 1), run(tokens, cond), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("fields", [{}, {"top_k": 2}, {"guidance": 2.0, "cond_drop": 0.1}, {"temperature": 0.5}])
def test_samples_with_a_cache_are_those_without(written, fields):
    family, params, _, _ = written
    family, cond = dataclasses.replace(family, **fields), {"label": jnp.arange(64) % 2}
    cached = family.draw(params, keys(64), cond)
    plain = dataclasses.replace(family, cache=False).draw(params, keys(64), cond)
    np.testing.assert_array_equal(cached, plain)


def test_the_probabilities_of_all_sequences_sum_to_one(written):
    family, params, _, _ = written
    every = jnp.array(list(itertools.product(range(3), repeat=4)))
    for label in (0, 1):
        log_p = family.log_prob(params, every, {"label": jnp.full(len(every), label)})
        np.testing.assert_allclose(jnp.exp(log_p).sum(), 1, rtol=1e-5)


def test_sequences_are_drawn_as_often_as_their_probability_says(written):
    family, params, _, _ = written
    n = 4000
    cond = {"label": jnp.zeros(n, jnp.int32)}
    drawn = Counter(map(tuple, np.asarray(jax.jit(family.draw)(params, keys(n), cond)).tolist()))
    every = list(itertools.product(range(3), repeat=4))
    p = np.exp(np.float64(family.log_prob(params, jnp.array(every), {"label": jnp.zeros(len(every), jnp.int32)})))
    common = p * n > 5
    seen = np.array([drawn[s] for s in every])
    seen, expected = np.append(seen[common], seen[~common].sum()), np.append(p[common], p[~common].sum()) * n
    assert stats.chisquare(seen, expected * seen.sum() / expected.sum()).pvalue > 1e-3


def test_the_rate_is_what_an_entropy_coder_spends(written):
    """-log2 p of the tokens, within 1% of the bits that a range coder writes with the model's own probabilities."""
    family, params, _, _ = written
    n = 2000
    tokens = jax.random.randint(jax.random.key(7), (n, 4), 0, 3)
    cond = {"label": jnp.arange(n) % 2}
    p = np.asarray(jax.nn.softmax(family._model.evaluate(params["model"], tokens, cond)), np.float32).reshape(-1, 3)
    symbols, law = np.asarray(tokens, np.int32).ravel(), constriction.stream.model.Categorical(perfect=False)
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(symbols, law, p)
    written_bits = 32 * len(encoder.get_compressed())
    rate = -float(family.log_prob(params, tokens, cond).sum()) / np.log(2)
    assert written_bits == pytest.approx(rate, rel=0.01)
    decoder = constriction.stream.queue.RangeDecoder(encoder.get_compressed())
    np.testing.assert_array_equal(decoder.decode(law, p), symbols)


def test_of_one_likeliest_code_nothing_is_random(written):
    family, params, _, _ = written
    greedy, cond = dataclasses.replace(family, top_k=1), {"label": jnp.zeros(4, jnp.int32)}
    drawn = greedy.draw(params, keys(4), cond)
    assert (drawn == drawn[0]).all()
    logits = family._model.evaluate(params["model"], drawn, cond)
    np.testing.assert_array_equal(logits.argmax(-1), drawn)


def test_the_autoregressive_loss_is_the_mean_of_minus_log_p(written):
    family, params, extra, batch = written
    loss, (metrics, _) = family.losses["model"](params, state_of(params, extra), batch, jax.random.key(0))
    tokens = family.latents(extra, batch)
    log_p = family.log_prob(params, tokens, {"label": batch["label"]})
    np.testing.assert_allclose(loss, -log_p.mean() / 4, rtol=1e-5)
    np.testing.assert_allclose(metrics["bits_per_token"], loss / np.log(2), rtol=1e-5)
    smooth = dataclasses.replace(family, smoothing=0.3).losses["model"]
    logits = family._model.evaluate(params["model"], tokens, {"label": batch["label"]})
    goal = 0.7 * jax.nn.one_hot(tokens, 3) + 0.3 / 3
    cross_entropy = -(goal * jax.nn.log_softmax(logits)).sum(-1).mean()
    smoothed = smooth(params, state_of(params, extra), batch, jax.random.key(0))[0]
    np.testing.assert_allclose(smoothed, cross_entropy, rtol=1e-5)


def test_as_many_tokens_are_masked_as_the_cosine_says():
    family = make(MaskGIT)
    n = 20_000
    counts = np.asarray(jax.jit(family.mask)(keys(n))).sum(1)
    # P(ceil(4 cos(pi u / 2)) <= m) = P(u >= 2 arccos(m / 4) / pi)
    below = 1 - 2 / np.pi * np.arccos(np.arange(5) / 4)
    observed = np.bincount(counts, minlength=5)[1:]
    assert stats.chisquare(observed, np.diff(below) * n).pvalue > 1e-3
    share = np.asarray(jax.jit(family.mask)(keys(n, 1))).mean(0)
    np.testing.assert_allclose(share, share.mean(), atol=0.02)  # no place is preferred


@pytest.mark.parametrize("steps", [1, 3, 4, 9])
def test_sampling_unmasks_by_the_same_cosine_and_keeps_what_it_has(steps):
    family = make(MaskGIT, steps=steps)
    params, _, _ = made(family)
    tokens = jnp.full((6, 4), 3)
    for k in range(1, steps + 1):
        before, logits = tokens, family._logits(params, tokens, {})
        tokens = jax.vmap(family._fill, (0, 0, 0, None))(keys(6, k), logits, tokens, jnp.int32(k))
        known = before != 3
        np.testing.assert_array_equal(tokens[known], before[known])
        left = (tokens == 3).sum(1)
        assert (left <= max(np.floor(4 * np.cos(np.pi / 2 * k / steps) + 1e-4), 0)).all()
        assert (left < np.maximum((before == 3).sum(1), 1)).all()
    assert (tokens < 3).all()


def test_masked_places_alone_are_learned():
    family = make(MaskGIT)
    params, extra, batch = made(family)
    loss = family.losses["model"]

    def of_logits(bias):
        moved = jax.tree.map(lambda p: p, params)
        moved["model"]["network"]["out"]["bias"] = params["model"]["network"]["out"]["bias"] + bias
        return loss(moved, state_of(params, extra), batch, jax.random.key(0))[0]

    tokens, _, own = family._prepared(state_of(params, extra), batch, jax.random.key(0))
    masked = family.mask(own)
    shown = jnp.where(masked, 3, tokens)
    logits = family._model.evaluate(params["model"], shown, {})
    error = (jax.nn.softmax(logits) - jax.nn.one_hot(tokens, 3)) * masked[..., None]
    np.testing.assert_allclose(jax.grad(of_logits)(jnp.zeros(3)), error.sum((0, 1)) / masked.sum(), atol=1e-5)


def test_guidance_goes_beyond_the_condition():
    family = make(MaskGIT, classes=2, cond_drop=0.2, guidance=3.0, temperature=2.0)
    params, _, _ = made(family)
    tokens = jnp.full((2, 4), 3)
    ask = functools.partial(family._model.evaluate, params["model"], tokens)
    own, none = ask({"label": jnp.array([0, 1])}), ask({"label": jnp.array([-1, -1])})
    found = family._logits(params, tokens, {"label": jnp.array([0, 1])})
    np.testing.assert_allclose(found, (none + 3 * (own - none)) / 2, rtol=1e-5, atol=1e-5)


def test_samples_are_what_the_codec_makes_of_tokens():
    family = make(MaskGIT)
    params, extra, _ = made(family)
    x = family.sample(params, extra, keys(3), {})
    assert x.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(family.latents(extra, {"x": x}), family.draw(params, keys(3), {}))


def test_a_batch_may_hold_the_tokens_themselves(written):
    family, params, extra, batch = written
    cached = dataclasses.replace(family, cached=True)
    held = {**batch, "x": family.latents(extra, batch)}
    ours, theirs = (
        f.losses["model"](params, state_of(params, extra), b, jax.random.key(0))[0]
        for f, b in ((family, batch), (cached, held))
    )
    assert ours == theirs


@dataclasses.dataclass(frozen=True)
class NoTokens:
    cond_keys: ClassVar[tuple[str, ...]] = ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps=0: sampling takes at least 1"),
        ({"choice_temperature": -1.0}, "choice_temperature=-1.0: it cannot be below 0"),
        ({"temperature": 0.0}, "temperature=0.0: it must be above 0"),
        ({"cond_drop": 2.0}, "cond_drop=2.0: a probability"),
        ({"smoothing": 1.0}, "smoothing=1.0: it lies in"),
        ({"guidance": 2.0}, "guidance=2.0: guidance needs a conditional model"),
        ({"codec": NoTokens()}, "family.codec is a NoTokens, which has no tokens"),
    ],
)
def test_bad_numbers(change: dict[str, Any], message):
    family = make(MaskGIT)
    with pytest.raises(UserError, match=message):
        dataclasses.replace(family, **change)


def test_bad_pairs():
    with pytest.raises(UserError, match="trained without its condition"):
        make(MaskGIT, classes=2, guidance=2.0)
    with pytest.raises(UserError, match="top_k=4: it is 1 to 3"):
        make(Autoregressive, top_k=4)
    with pytest.raises(UserError, match=r"causal=True: a MaskGIT needs False"):
        MaskGIT(Quarters(), make(Autoregressive).network, Conditioning(width=16))
    uneven = MaskGIT(Quarters(), make(MaskGIT).network.clone(heads=3), Conditioning(width=16))
    with pytest.raises(UserError, match="heads=3 must divide the width 16"):
        made(uneven)
