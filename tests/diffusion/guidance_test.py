"""Guidance against closed forms: the classes of a Gaussian mixture have exact denoisers and an exact classifier."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.diffusion.guidance import (
    adaptive_projected,
    autoguidance,
    classifier_free,
    classifier_guidance,
    clip_x0,
    dynamic_threshold,
)
from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.schedule import EDM, Cosine, LinearBeta, RectifiedFlow, expand
from gen_jax.errors import UserError

STD = 0.5
MEANS = jnp.array([[0.0, 0.0, 0.0], [2.0, -1.0, 0.5], [-1.0, 1.0, 1.0]])  # of the null label, and of labels 0 and 1
SCHEDULE = Cosine()
X = jax.random.normal(jax.random.key(0), (4, 3))
T = jnp.array([0.2, 0.4, 0.6, 0.8])
COND = {"label": jnp.array([0, 1, 1, 0])}


def gaussian(mean, std=STD, schedule=SCHEDULE):
    """The exact denoiser of N(mean [3] or [b, 3], std^2), with a variance for what passes it on."""

    def denoise(x, t, cond):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        gap, var = x - alpha * mean, (alpha * std) ** 2 + sigma**2
        return Prediction(mean + alpha * std**2 / var * gap, sigma / var * gap, variance=x**2)

    return denoise


def conditional(x, t, cond):
    """The exact denoiser of each class, and of N(0, STD^2) for the null label; its variance tells the label."""
    out = gaussian(MEANS[cond["label"] + 1])(x, t, cond)
    return out._replace(variance=jnp.broadcast_to(expand(cond["label"].astype(jnp.float32), x), x.shape))


def classifier(x, t):
    """The logits of the two classes, equally frequent, at time t."""
    alpha, sigma = (expand(a, x) for a in SCHEDULE(t))
    gaps = [jnp.square(x - alpha * mean) / ((alpha * STD) ** 2 + sigma**2) for mean in MEANS[1:]]
    return jnp.stack([-0.5 * gap.sum(1) for gap in gaps], axis=1)


def mixture(x, t, cond):
    """The exact denoiser of both classes together: each one's, by its probability."""
    p = jax.nn.softmax(classifier(x, t))
    outs = [gaussian(mean)(x, t, cond) for mean in MEANS[1:]]
    return jax.tree.map(lambda a, b: p[:, :1] * a + p[:, 1:] * b, *outs)


WEAK = gaussian(jnp.zeros(3), std=1.0)
TABLE = {
    "classifier_free": functools.partial(classifier_free, scale=3.0),
    "rescaled": functools.partial(classifier_free, scale=3.0, rescale=0.7),
    "adaptive_projected": functools.partial(adaptive_projected, scale=3.0, norm=1.5, parallel=0.2),
    "autoguidance": functools.partial(autoguidance, weak=WEAK, scale=3.0),
    "classifier_guidance": functools.partial(classifier_guidance, classifier=classifier, scale=3.0),
    "clip_x0": functools.partial(clip_x0, limit=0.6),
    "dynamic_threshold": functools.partial(dynamic_threshold, percentile=50, limit=0.6),
}
WITH_INTERVAL = [name for name in TABLE if name not in ("clip_x0", "dynamic_threshold")]
IDENTITIES = {
    "classifier_free": functools.partial(classifier_free, scale=1.0),
    "rescaled": functools.partial(classifier_free, scale=1.0, rescale=0.7),
    "adaptive_projected": functools.partial(adaptive_projected, scale=1.0, norm=1.5),
    "autoguidance": functools.partial(autoguidance, weak=WEAK, scale=1.0),
    "classifier_guidance": functools.partial(classifier_guidance, classifier=classifier, scale=0.0),
    "clip_x0": functools.partial(clip_x0, limit=100.0),
    "dynamic_threshold": functools.partial(dynamic_threshold, limit=100.0),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_is_guided_stays_a_prediction_of_x(name):
    """x = alpha x0 + sigma eps, the variance is the condition's, and examples do not mix."""
    plain, guided = conditional(X, T, COND), TABLE[name](conditional, SCHEDULE)
    out = guided(X, T, COND)
    alpha, sigma = (expand(a, X) for a in SCHEDULE(T))
    np.testing.assert_allclose(alpha * out.x0 + sigma * out.eps, X, atol=2e-5)
    np.testing.assert_array_equal(out.variance, plain.variance)
    assert float(jnp.abs(out.x0 - plain.x0).max()) > 0.1  # it does something
    alone = guided(X[2:3], T[2:3], {"label": COND["label"][2:3]})
    chex.assert_trees_all_close(alone, jax.tree.map(lambda y: y[2:3], out), atol=1e-5)


@pytest.mark.parametrize("name", IDENTITIES)
def test_scale_one_is_the_identity_bit_for_bit(name):
    chex.assert_trees_all_equal(IDENTITIES[name](conditional, SCHEDULE)(X, T, COND), conditional(X, T, COND))


@pytest.mark.parametrize("name", WITH_INTERVAL)
def test_an_interval_chooses_by_the_noise_level_of_each_example(name):
    """sigma / alpha = tan(pi t / 2) is 0.32, 0.73, 1.38 and 3.08 at the four times."""
    always, plain = (jax.jit(f) for f in (TABLE[name](conditional, SCHEDULE), conditional))
    limited = jax.jit(TABLE[name](conditional, SCHEDULE, interval=(0.5, 2.0)))
    out, guided, unguided = (f(X, T, COND) for f in (limited, always, plain))
    inside = np.array([False, True, True, False])[:, None]
    expected = jax.tree.map(lambda a, b: jnp.where(inside, a, b), guided, unguided)
    chex.assert_trees_all_close(out, expected, atol=1e-5)
    late = jnp.full(4, 0.9)
    chex.assert_trees_all_close(limited(X, late, COND), plain(X, late, COND), atol=1e-6)


def test_a_step_outside_of_the_interval_does_not_pay_for_guidance():
    sizes = []

    def counted(x, t, cond):
        jax.debug.callback(lambda: sizes.append(len(x)))
        return conditional(x, t, cond)

    limited = jax.jit(classifier_free(counted, SCHEDULE, scale=3.0, interval=(0.5, 2.0)))
    for t in (0.2, 0.5, 0.9):
        jax.block_until_ready(limited(X, jnp.full(4, t), COND))
    jax.effects_barrier()
    assert sizes == [4, 8, 4]


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()], ids=lambda s: type(s).__name__)
def test_the_interval_where_no_data_is_left(schedule):
    """At alpha = 0 (or -4e-8, as float32 has it) the noise level is above every finite bound."""
    denoise = lambda x, t, cond: Prediction(expand(cond["label"] * 1.0, x) + 0 * x, x)  # noqa: E731
    t, flat = jnp.ones(4), expand(COND["label"] * 1.0, X) + 0 * X
    guided, plain = (
        classifier_free(denoise, schedule, scale=3.0, interval=(0.5, high))(X, t, COND).x0 for high in (jnp.inf, 1e6)
    )
    np.testing.assert_allclose(guided, flat + 2 * (flat + 1))
    np.testing.assert_array_equal(plain, flat)


def test_classifier_free_guidance_of_gaussians_moves_their_mean():
    """(1 - w) score(N(0, .)) + w score(N(alpha m, .)) is the score of N(w alpha m, .), a Gaussian with mean w m."""
    out = classifier_free(conditional, SCHEDULE, scale=2.5)(X, T, COND)
    expected = gaussian(2.5 * MEANS[COND["label"] + 1])(X, T, COND)
    chex.assert_trees_all_close(out[:2], expected[:2], atol=1e-5)


def test_scale_zero_is_the_unconditional_model():
    out = classifier_free(conditional, SCHEDULE, scale=0.0)(X, T, COND)
    chex.assert_trees_all_close(out[:2], conditional(X, T, {"label": jnp.full(4, -1)})[:2], atol=1e-6)


def test_guidance_by_the_exact_classifier_is_bayes_rule():
    """score(x) + grad log p(y | x) = score(x | y), so that the mixture's denoiser becomes the class's."""
    out = classifier_guidance(mixture, SCHEDULE, classifier)(X, T, COND)
    chex.assert_trees_all_close(out[:2], conditional(X, T, COND)[:2], atol=1e-5)


def test_no_label_is_no_guidance():
    guided = classifier_guidance(mixture, SCHEDULE, classifier, scale=3.0)
    chex.assert_trees_all_equal(guided(X, T, {"label": jnp.full(4, -1)}), mixture(X, T, {}))
    with pytest.raises(UserError, match="text"):
        guided(X, T, {"text": X})


def test_autoguidance_extrapolates_from_the_weaker_model():
    strong, weak = conditional(X, T, COND), WEAK(X, T, COND)
    out = autoguidance(conditional, SCHEDULE, WEAK, scale=2.0)(X, T, COND)
    chex.assert_trees_all_close(out.x0, 2 * strong.x0 - weak.x0, atol=1e-6)


def test_rescale_brings_back_the_standard_deviation():
    std = lambda rescale: classifier_free(conditional, SCHEDULE, 4.0, rescale=rescale)(X, T, COND).x0.std(1)  # noqa: E731
    wanted = conditional(X, T, COND).x0.std(1)
    np.testing.assert_allclose(std(1.0), wanted, rtol=1e-5)
    np.testing.assert_allclose(std(0.7), 0.7 * wanted + 0.3 * std(0.0), rtol=1e-5)


@pytest.mark.parametrize("guide", [functools.partial(classifier_free, rescale=0.7), TABLE["adaptive_projected"]])
def test_nothing_to_change_has_a_gradient(guide):
    """A flat x0, the same with and without the condition, has no deviation, no length and no direction of change."""
    flat = lambda x, t, cond: Prediction(0 * x, x)  # noqa: E731
    total = lambda x: guide(flat, SCHEDULE, scale=4.0)(x, T, COND).x0.sum()  # noqa: E731
    np.testing.assert_array_equal(jax.grad(total)(X), 0)


def test_projected_guidance():
    """With everything kept it is classifier-free guidance; without the parallel part what changes is orthogonal."""
    cfg = classifier_free(conditional, SCHEDULE, scale=4.0)(X, T, COND)
    chex.assert_trees_all_close(
        adaptive_projected(conditional, SCHEDULE, 4.0, parallel=1.0)(X, T, COND), cfg, atol=1e-4
    )
    x0 = conditional(X, T, COND).x0
    change = adaptive_projected(conditional, SCHEDULE, 4.0)(X, T, COND).x0 - x0
    np.testing.assert_allclose((change * x0).sum(1), 0, atol=1e-5)
    np.testing.assert_allclose(((cfg.x0 - x0 - change) * change).sum(1), 0, atol=1e-4)
    short = adaptive_projected(conditional, SCHEDULE, 4.0, norm=0.1, parallel=1.0)(X, T, COND).x0 - x0
    np.testing.assert_allclose(jnp.linalg.norm(short, axis=1), 3 * 0.1, rtol=1e-4)
    cosine = (short * (cfg.x0 - x0)).sum(1) / jnp.linalg.norm(short, axis=1) / jnp.linalg.norm(cfg.x0 - x0, axis=1)
    np.testing.assert_allclose(cosine, 1, rtol=1e-5)


def fixed(x0, schedule=SCHEDULE):
    """A denoiser that always predicts x0 [b or 1, d]."""

    def denoise(x, t, cond):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        return Prediction(x0 + 0 * x, (x - alpha * x0) / jnp.where(sigma > 0, sigma, 1.0))

    return denoise


def test_thresholds_by_hand():
    """|x0| = 0 1 2 3 4: the 75th percentile is 3. Where it is below the limit, the limit clips."""
    x0, x, t = jnp.array([[0.0, -1.0, 2.0, 3.0, -4.0], [0.0, 0.1, 0.2, 0.3, 4.0]]), jnp.ones((2, 5)), jnp.full(2, 0.5)
    out = dynamic_threshold(fixed(x0), SCHEDULE, percentile=75)(x, t, {})
    np.testing.assert_allclose(out.x0, [[0, -1 / 3, 2 / 3, 1, -1], [0, 0.1, 0.2, 0.3, 1]], rtol=1e-6)
    clipped = clip_x0(fixed(x0), SCHEDULE)(x, t, {})
    np.testing.assert_array_equal(clipped.x0, jnp.clip(x0, -1, 1))
    chex.assert_trees_all_equal(dynamic_threshold(fixed(x0), SCHEDULE, percentile=0)(x, t, {}), clipped)


@pytest.mark.parametrize("schedule", [LinearBeta(), EDM()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("name", TABLE)
def test_no_noise_at_the_end_does_no_harm(name, schedule):
    """At sigma = 0 eps cannot be had from x and x0; everything stays finite, and so does its gradient."""

    def total(x):
        out = TABLE[name](fixed(jnp.array([[3.0, -2.0, 0.5]]), schedule), schedule)(x, jnp.zeros(4), COND)
        return out.x0.sum() + out.eps.sum()

    assert jnp.isfinite(total(X))
    assert jnp.isfinite(jax.grad(total)(X)).all()


def test_guidance_composes_in_any_order():
    chosen = [TABLE[name] for name in ("rescaled", "clip_x0", "autoguidance", "classifier_guidance")]
    alpha, sigma = (expand(a, X) for a in SCHEDULE(T))
    for order in itertools.permutations(chosen, 2):
        denoise = conditional
        for guide in order:
            denoise = guide(denoise, SCHEDULE)
        out = denoise(X, T, COND)
        np.testing.assert_allclose(alpha * out.x0 + sigma * out.eps, X, atol=1e-4)
    denoise = conditional
    for guide in IDENTITIES.values():
        denoise = guide(denoise, SCHEDULE)
    chex.assert_trees_all_equal(denoise(X, T, COND), conditional(X, T, COND))
