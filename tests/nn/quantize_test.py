"""Bottlenecks: gradients, losses by hand, codebooks against k-means, tokens and latents."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from gen_jax.errors import UserError
from gen_jax.nn.codebook import nearest, usage
from gen_jax.nn.quantize import FSQ, KL, LFQ, ResidualQuantizer, VectorQuantizer
from gen_jax.nn.vq_vae import TwoLevelQuantizer

VQ = VectorQuantizer(num_codes=8, width=4)
BY_GRADIENT = VectorQuantizer(num_codes=8, width=4, decay=None)
# name: (quantizer, shape of one encoder output)
QUANTIZERS = {
    "vq": (VQ, (2, 3, 4)),
    "vq by gradient": (BY_GRADIENT, (5, 4)),
    "vq cosine": (VectorQuantizer(num_codes=8, width=4, cosine=True), (2, 2, 4)),
    "residual": (ResidualQuantizer(VQ, levels=3), (2, 2, 4)),
    "residual by gradient": (ResidualQuantizer(BY_GRADIENT, levels=2), (2, 2, 4)),
    "residual, not shared": (ResidualQuantizer(VQ, levels=2, shared=False), (2, 2, 4)),
    "fsq": (FSQ((3, 4, 5)), (2, 2, 3)),
    "lfq": (LFQ(bits=5, joint=2), (2, 2, 5)),
    "two levels": (TwoLevelQuantizer(VQ, (8, 4, 1), downs=1), (10, 4)),
}
table = pytest.mark.parametrize("name", QUANTIZERS)


def normal(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@functools.cache
def made(name):
    quantizer, shape = QUANTIZERS[name]
    params, state = quantizer.init(jax.random.key(0), shape)
    return jax.jit(quantizer, static_argnames="train"), params, state


def keys(b):
    return jax.random.split(jax.random.key(7), b)


@table
@given(seed=st.integers(0, 2**31))
def test_tokens_and_latents_are_one_code(name, seed):
    quantizer, shape = QUANTIZERS[name]
    apply, params, state = made(name)
    coded = apply(params, state, normal((3, *shape), seed))
    assert coded.tokens.shape == (3, *quantizer.token_shape(shape))
    assert coded.tokens.dtype == jnp.int32
    assert 0 <= int(coded.tokens.min()) <= int(coded.tokens.max()) < quantizer.num_codes
    assert coded.z.shape == (3, *shape[:-1], quantizer.width)
    np.testing.assert_allclose(quantizer.lookup(params, state, coded.tokens), coded.z, atol=1e-6)


@pytest.mark.parametrize("quantizer", [FSQ((3, 4, 5)), FSQ((2, 2)), LFQ(bits=6)], ids=lambda q: type(q).__name__)
def test_every_token_is_another_code_and_is_found_again(quantizer):
    codes = np.asarray(quantizer.lookup({}, {}, jnp.arange(quantizer.num_codes)))
    assert len(np.unique(codes, axis=0)) == quantizer.num_codes
    assert np.abs(codes).max() <= 1
    apply = jax.jit(functools.partial(quantizer, {}, {}))
    # What each channel makes of a line of inputs, in the middle of those that it takes to the code's value.
    line = np.linspace(-4, 4, 512, dtype=np.float32)
    z = np.asarray(apply(jnp.asarray(line)[:, None].repeat(quantizer.width, 1)).z)
    inputs = [[np.median(line[np.abs(z[:, i] - value) < 1e-5]) for i, value in enumerate(code)] for code in codes]
    np.testing.assert_array_equal(apply(jnp.asarray(inputs)).tokens, np.arange(quantizer.num_codes))


@pytest.mark.parametrize("name", [n for n in QUANTIZERS if n not in ("fsq", "vq cosine", "two levels")])
def test_the_gradient_goes_straight_through(name):
    quantizer, shape = QUANTIZERS[name]
    _, params, state = made(name)
    h, weight = normal((2, *shape)), normal((2, *shape), 1)
    gradient = jax.jit(jax.grad(lambda h: (weight * quantizer(params, state, h).z).sum()))(h)
    np.testing.assert_allclose(gradient, weight, rtol=1e-6)


def test_fsq_has_the_gradient_of_its_bound_and_rounds_by_half_a_level_at_most():
    h = normal((50, 1))
    quantizer = FSQ((5,))

    def bounded(h):
        return jnp.tanh(h) * 2 * 1.001 / 2

    gradient = jax.grad(lambda h: quantizer({}, {}, h).z.sum())(h)
    np.testing.assert_allclose(gradient, jax.grad(lambda h: bounded(h).sum())(h), rtol=1e-5)
    assert float(jnp.abs(quantizer({}, {}, h).z - bounded(h)).max()) <= 0.25 + 1e-3


@pytest.mark.parametrize("decay", [0.9, None])
def test_losses_by_hand(decay):
    """Rows (0.2, 0) and (0.9, 1.2) are 0.04 and 0.05 from the codes (0, 0) and (1, 1), 0.0225 a value."""
    quantizer = VectorQuantizer(num_codes=3, width=2, beta=0.5, decay=decay)
    codes = jnp.array([[0.0, 0], [1, 1], [9, 9]])
    params, state = ({}, {"codes": codes}) if decay else ({"codes": codes}, {})
    h = jnp.array([[[0.2, 0], [0.9, 1.2]]])
    coded = quantizer(params, state, h)
    np.testing.assert_array_equal(coded.tokens, [[0, 1]])
    np.testing.assert_allclose(coded.loss, (0.5 if decay else 1.5) * 0.0225, rtol=1e-5)
    by_h = jax.grad(lambda h: quantizer(params, state, h).loss)(h)
    np.testing.assert_allclose(by_h, 0.5 * 2 / 4 * (h - codes[:2]), rtol=1e-5)  # the commitment's alone
    if decay is None:
        by_codes = jax.grad(lambda p: quantizer(p, state, h).loss)(params)["codes"]
        np.testing.assert_allclose(by_codes, [[-0.1, 0], [0.05, -0.1], [0, 0]], rtol=1e-5)


def test_without_memory_the_codebook_moves_as_k_means_does():
    centres = np.array([[0, 0], [3, 1], [-2, 2]], np.float32)
    rows = np.concatenate([np.asarray(normal((60, 2), i)) * 0.3 + centre for i, centre in enumerate(centres)])
    start = np.array([[0.5, 0.5], [1, 1], [-1, 1]], np.float32)
    quantizer = VectorQuantizer(num_codes=3, width=2, decay=0.0)
    state = {"codes": jnp.asarray(start), "number": jnp.ones(3), "sum": jnp.asarray(start)}
    step = jax.jit(lambda state: quantizer({}, state, jnp.asarray(rows)[None], keys(1), train=True).state)
    for iterations in (1, 2, 3):
        state = step(state)
        expected = KMeans(3, init=start, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd").fit(rows)
        np.testing.assert_allclose(state["codes"], expected.cluster_centers_, rtol=1e-4, atol=1e-5)


def test_a_code_nobody_is_near_keeps_its_place_or_is_revived():
    h = normal((6, 10, 2))
    for revive in (0.0, 0.1):
        quantizer = VectorQuantizer(num_codes=4, width=2, decay=0.0, revive=revive)
        codes = jnp.concatenate([jnp.zeros((1, 2)), jnp.full((3, 2), 100.0)])
        state = {"codes": codes, "number": jnp.ones(4), "sum": codes}
        moved = jax.jit(lambda h, keys, q=quantizer, s=state: q({}, s, h, keys, train=True).state["codes"])
        new = moved(h, keys(6))
        np.testing.assert_allclose(new[0], h.reshape(-1, 2).mean(0), atol=1e-6)
        if not revive:
            np.testing.assert_array_equal(new[1:], codes[1:])
            continue
        rows = {tuple(row) for row in np.asarray(h.reshape(-1, 2)).tolist()}
        assert {tuple(code) for code in np.asarray(new[1:]).tolist()} <= rows
        assert len(np.unique(new, axis=0)) == 4
        order = jnp.array([3, 1, 5, 0, 2, 4])  # of examples, which keep their keys
        np.testing.assert_allclose(moved(h[order], keys(6)[order]), new, atol=1e-6)


def test_before_the_first_batch_all_codes_are_taken_from_it():
    quantizer = VectorQuantizer(num_codes=4, width=2, revive=0.1)
    _, state = quantizer.init(jax.random.key(0), (3, 2))
    h = 50 + normal((5, 3, 2))
    assert float(quantizer({}, state, h, keys(5), train=True).state["codes"].min()) > 40


def test_cosine_codes_see_directions_alone():
    apply, params, state = made("vq cosine")
    h = normal((2, 2, 2, 4))
    coded, longer = apply(params, state, h), apply(params, state, 3 * h)
    np.testing.assert_array_equal(coded.tokens, longer.tokens)
    np.testing.assert_allclose(jnp.linalg.norm(coded.z, axis=-1), 1, rtol=1e-5)
    best = jnp.einsum("bhwd,kd->bhwk", h, state["codes"]).argmax(-1)
    np.testing.assert_array_equal(coded.tokens, best)


def test_each_level_of_residuals_leaves_less():
    h = normal((4, 32, 4))
    errors = []
    for levels in (1, 2, 3):
        of = VectorQuantizer(num_codes=8, width=4, decay=0.0, revive=0.01)
        quantizer = ResidualQuantizer(of, levels, shared=False)
        params, state = quantizer.init(jax.random.key(0), h.shape[1:])
        step = jax.jit(functools.partial(quantizer, train=True))
        for _ in range(4):
            coded = step(params, state, h, keys(4))
            state = coded.state
        errors.append(float(jnp.square(step(params, state, h, keys(4)).z - h).mean()))
    assert errors[0] > 1.3 * errors[1] > 1.3**2 * errors[2] > 0


def test_residual_loss_is_that_of_the_partial_sums():
    quantizer = ResidualQuantizer(VectorQuantizer(num_codes=2, width=1, beta=1.0), levels=2)
    state = {"codes": jnp.array([[1.0], [0.25]])}
    coded = quantizer({}, state, jnp.array([[[1.3]]]))  # 1.3 -> 1, and 0.3 -> 0.25
    np.testing.assert_array_equal(coded.tokens, [[[0, 1]]])
    np.testing.assert_allclose(coded.z, [[[1.25]]])
    np.testing.assert_allclose(coded.loss, 0.3**2 + 0.05**2, rtol=1e-5)


@pytest.mark.parametrize("joint", [1, 3])
def test_lfq_entropies_at_points_by_hand(joint):
    """Without a sign every bit is even; far from zero none is in doubt. Opposite rows agree on all bits or on none:
    two codes if bits are taken jointly, all of them if each is taken by itself."""
    quantizer = LFQ(bits=3, joint=joint)
    even, far = jnp.zeros((2, 3)), jnp.full((2, 3), 50.0)
    opposite = far.at[1].multiply(-1)
    for rows, certain, diverse in (
        (even, 3 * math.log(2), 3 * math.log(2)),
        (far, 0.0, 0.0),
        (opposite, 0.0, math.log(2) if joint == 3 else 3 * math.log(2)),
    ):
        np.testing.assert_allclose(quantizer.entropies(rows), (certain, diverse), atol=1e-5)
    loss = quantizer({}, {}, even[None]).loss  # the signs of 0 are -1
    np.testing.assert_allclose(loss, quantizer.beta, rtol=1e-5)


def test_lfq_entropy_is_that_of_the_softmax_over_all_codes():
    quantizer = LFQ(bits=3, temperature=0.7, joint=3)
    rows, codes = normal((6, 3)), quantizer.lookup({}, {}, jnp.arange(8))
    q = jax.nn.softmax(-jnp.square(rows[:, None] - codes).sum(-1) / 0.7)
    mean = q.mean(0)
    expected = -(q * jnp.log(q)).sum(1).mean(), -(mean * jnp.log(mean)).sum()
    np.testing.assert_allclose(quantizer.entropies(rows), expected, rtol=1e-4)


def test_perplexity_counts_codes():
    for tokens, perplexity, used in (([0, 0, 1, 1], 2, 0.5), ([0, 1, 2, 3], 4, 1), ([2, 2, 2, 2], 1, 0.25)):
        found = usage(jnp.array(tokens), 4)
        np.testing.assert_allclose((found["perplexity"], found["used"]), (perplexity, used), rtol=1e-5)


def test_nearest_takes_the_smallest_distance():
    rows, codes = normal((30, 3)), normal((7, 3), 1)
    expected = np.linalg.norm(np.asarray(rows)[:, None] - np.asarray(codes), axis=-1).argmin(1)
    np.testing.assert_array_equal(nearest(rows, codes), expected)


def test_kl_draws_in_training_and_weighs_nats_per_value():
    bottleneck = KL(width=2, weight=3.0, shape=(2, 2, 1))
    mean, log_var = jnp.full((1, 1, 1, 2), 2.0), jnp.zeros((1, 1, 1, 2))
    coded = bottleneck({}, {}, jnp.concatenate([mean, log_var], -1), keys(1), train=True)
    np.testing.assert_allclose(coded.metrics["kl"], 4.0)  # mean^2 / 2 for each of two values
    np.testing.assert_allclose(coded.loss, 3 * 4 / 4)
    many = jnp.broadcast_to(jnp.concatenate([mean, log_var - 2], -1), (4000, 1, 1, 4))
    z = bottleneck({}, {}, many, keys(4000), train=True).z
    np.testing.assert_allclose((z.mean(), z.std()), (2, math.exp(-1)), atol=0.03)
    np.testing.assert_array_equal(bottleneck.deterministic({}, {}, many), many[..., :2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorQuantizer(num_codes=1), "num_codes=1: a codebook needs at least 2 codes"),
        (lambda: VectorQuantizer(width=0), "width=0: at least 1"),
        (lambda: VectorQuantizer(decay=1.0), r"decay=1\.0: it must be 0 or more and below 1, or None"),
        (lambda: VectorQuantizer(revive=1.0), r"revive=1\.0: a share of the even number"),
        (lambda: VectorQuantizer(decay=None, revive=0.1), r"revive=0\.1: only codes of moving averages"),
        (lambda: ResidualQuantizer(VQ, levels=0), "levels=0: at least 1"),
        (lambda: ResidualQuantizer(VectorQuantizer(cosine=True)), "of.cosine=True leaves no lengths"),
        (lambda: FSQ((8, 1)), r"FSQ levels=\(8, 1\): each channel needs at least 2"),
        (lambda: FSQ(()), "each channel needs at least 2"),
        (lambda: FSQ((2,) * 31), "2,147,483,648 codes"),
        (lambda: LFQ(bits=0), "bits=0: it must be 1 to 30"),
        (lambda: LFQ(joint=17), "joint=17: it must be 1 to 16"),
        (lambda: LFQ(temperature=0), "temperature=0: it must be above 0"),
        (lambda: KL(width=0), "KL width=0: at least 1"),
        (lambda: KL(weight=-1.0), r"KL weight=-1\.0: it cannot be below 0"),
        (lambda: TwoLevelQuantizer(VQ, (6, 8, 1), 1).init(jax.random.key(0), (15, 4)), "multiples of 4, .* 6x8"),
    ],
)
def test_errors(make, message):
    with pytest.raises(UserError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
