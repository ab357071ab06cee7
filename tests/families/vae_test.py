"""VAEs against what probability says: closed forms, numeric integration, and a linear-Gaussian model that is exact."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError
from gen_jax.families.hierarchical_vae import HierarchicalVAE
from gen_jax.families.vae import VAE
from gen_jax.losses.annealing import cyclical, linear
from gen_jax.losses.bounds import Elbo, ImportanceWeighted, log_mean
from gen_jax.losses.divergence import Capacity, FreeBits, Latents, TotalCorrelation
from gen_jax.losses.reconstruction import DiscretizedLogisticMixture, Gaussian
from gen_jax.nn.conditioning import Conditioning
from gen_jax.nn.priors import ClassNormal, Mixture, MixtureOfNormals, StandardNormal, VampPrior
from gen_jax.nn.vdvae import VDVAE
from gen_jax.training.ema import make_tracks
from gen_jax.training.optim import make_optimizer
from gen_jax.training.state import init_state
from gen_jax.training.step import make_train_step
from gen_jax.types import TrainState

MEANS, LOG_VARS = np.array([[0.3, -1.0], [1.2, 0.4]]), np.array([[-0.5, 0.2], [0.7, -1.1]])


def encode(x):
    """A linear posterior of pseudo-inputs [k, 2, 1, 1]."""
    flat = x.reshape(len(x), -1)
    return 2 * flat, flat - 1


PRIORS = {
    "standard": StandardNormal(),
    "class": ClassNormal(num_classes=2),
    "mixture": MixtureOfNormals(components=3),
    "vamp": VampPrior(shape=(2, 1, 1), components=3, mean=0.0, std=0.5),
}


def mixture_of(name):
    """The prior's law for labels 0 and 1, with parameters away from the start."""
    prior, cond = PRIORS[name], {"label": jnp.array([0, 1])}
    variables = prior.init(jax.random.key(0), 2, encode, cond)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda p: p + 0.5 * rng.normal(size=p.shape), variables)
    return prior.apply(variables, 2, encode, cond)


def density(mixture, i, z):
    """The density at z [2] of example i's prior, by SciPy."""
    parts = [np.broadcast_to(np.asarray(a), (2, *a.shape[1:]))[i] for a in mixture]
    weights, means, stds = np.exp(parts[0]), parts[1], np.exp(parts[2] / 2)
    return sum(w * stats.norm(m, s).pdf(z).prod() for w, m, s in zip(weights, means, stds, strict=True))


@pytest.mark.parametrize("name", PRIORS)
def test_the_divergence_from_every_prior_is_the_integral(name):
    """In closed form where there is one; else the mean over many draws."""
    mixture, n = mixture_of(name), 20_000
    noise = np.random.default_rng(1).normal(size=(n, 2, 2))
    latents = Latents(jnp.array(MEANS), jnp.array(LOG_VARS), MEANS + np.exp(LOG_VARS / 2) * noise, mixture, 0)
    grid = np.linspace(-8, 8, 161)
    found = np.asarray(latents.kl)
    error = np.asarray((latents.log_posterior - latents.log_prior).std(0)) / n**0.5
    for i in range(2):
        q = [stats.norm(m, np.exp(v / 2)).pdf(grid) for m, v in zip(MEANS[i], LOG_VARS[i], strict=True)]
        places = jnp.stack(jnp.meshgrid(grid, grid, indexing="ij"), -1)[..., None, :]  # [n, n, 1, 2]
        log_p = np.asarray(mixture.log_prob(places))[..., i % len(mixture.mean)]
        joint = np.outer(*q)
        ratio = np.log(np.maximum(joint, 1e-300)) - log_p
        expected = np.trapezoid(np.trapezoid(joint * ratio, grid), grid)
        assert abs(found[i] - expected) < (1e-3 if PRIORS[name].closed else 5 * error[i])


@pytest.mark.parametrize("name", PRIORS)
def test_priors_have_the_density_of_scipy_and_draw_from_it(name):
    mixture, z = mixture_of(name), np.array([[0.3, -0.2], [1.0, 0.5]])
    for i, log_p in enumerate(np.broadcast_to(np.asarray(mixture.log_prob(jnp.array(z))), 2)):
        np.testing.assert_allclose(log_p, np.log(density(mixture, i, z[i])), rtol=1e-4)
    parts = Mixture(*(a[:1] for a in mixture))  # the law of the first label
    drawn = np.asarray(parts.draw(jax.random.split(jax.random.key(0), 4000)))
    weights, means, variances = np.exp(parts.log_weight[0]), parts.mean[0], np.exp(parts.log_var[0])
    for j in range(2):
        cdf = lambda z, j=j: sum(  # noqa: E731
            w * stats.norm(m, s).cdf(z) for w, m, s in zip(weights, means[:, j], variances[:, j] ** 0.5, strict=True)
        )
        assert stats.kstest(drawn[:, j], cdf).pvalue > 1e-3


def test_a_draw_depends_on_its_own_key():
    mixture, keys = mixture_of("mixture"), jax.random.split(jax.random.key(0), 8)
    np.testing.assert_allclose(mixture.draw(keys)[3:5], mixture.draw(keys[3:5]), rtol=1e-6)


def some_latents(b=6, d=3, s=2, step=0):
    rng = np.random.default_rng(0)
    mean, log_var, noise = rng.normal(size=(b, d)), 0.5 * rng.normal(size=(b, d)), rng.normal(size=(s, b, d))
    zeros = jnp.zeros((1, 1, d))
    z = jnp.array(mean + np.exp(log_var / 2) * noise)
    return Latents(jnp.array(mean), jnp.array(log_var), z, Mixture(jnp.zeros((1, 1)), zeros, zeros), jnp.int32(step))


def test_free_bits_by_hand():
    """KLs by dimension 1/2 mean^2 of unit variances: batch means 1 and 0.25, of which the second is below 0.5."""
    zeros = jnp.zeros((2, 2))
    latents = Latents(jnp.array([[2.0, 1.0], [0.0, 0.0]]), zeros, zeros[None], some_latents(d=2).prior, jnp.int32(0))
    for nats, expected in ((0.5, 1.5), (0.0, 1.25), (2.0, 4.0)):
        np.testing.assert_allclose(FreeBits(nats)(latents)[0], expected, rtol=1e-6)
    # What is below costs nothing more: no gradient.
    slope = jax.grad(lambda mean: FreeBits(0.5)(dataclasses.replace(latents, mean=mean))[0])(latents.mean)
    np.testing.assert_allclose(slope, [[1.0, 0.0], [0.0, 0.0]])


def test_capacity_by_hand():
    """|E KL - C|, with E KL = 1.25 above and C rising from 0 to 3 within 6 steps."""
    zeros = jnp.zeros((2, 2))
    rise = build(gen_jax, {"name": "losses.linear", "start": 0.0, "end": 3.0, "steps": 6})
    for step, expected in ((0, 1.25), (2, 0.25), (4, 0.75), (60, 1.75)):
        latents = Latents(
            jnp.array([[2.0, 1.0], [0.0, 0.0]]), zeros, zeros[None], some_latents(d=2).prior, jnp.int32(step)
        )
        np.testing.assert_allclose(Capacity(rise)(latents)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(Capacity(1.0)(latents)[0], 0.25, rtol=1e-6)


def test_schedules_by_hand():
    assert [float(linear(jnp.int32(t), 1.0, 2.0, 4)) for t in (0, 1, 4, 9)] == [1.0, 1.25, 2.0, 2.0]
    found = [float(cyclical(jnp.int32(t), end=2.0, period=4, rise=0.5)) for t in range(9)]
    assert found == [0.0, 1.0, 2.0, 2.0] * 2 + [0.0]


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
def test_the_parts_of_the_divergence_sum_to_it(sampling):
    """Whatever the estimate of q(z) is; and all weights at 1 give the KL of the draws."""
    latents = some_latents()
    tc = TotalCorrelation(examples=50, total_correlation=1.0, sampling=sampling)
    expected = (latents.log_posterior - latents.log_prior).mean(0)
    np.testing.assert_allclose(sum(tc.parts(latents)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tc(latents)[0], expected, rtol=1e-4, atol=1e-5)
    heavier = TotalCorrelation(examples=50, total_correlation=3.0, sampling=sampling)
    np.testing.assert_allclose(heavier(latents)[0] - tc(latents)[0], 2 * tc.parts(latents)[1], rtol=1e-3, atol=1e-4)


def test_the_parts_are_those_of_a_linear_gaussian_posterior():
    """x ~ N(0, 1) in two dimensions, q(z|x) = N(A x, v): q(z) is N(0, A A^T + v), and all three parts are known. The
    batch is the whole data set, of draws of x."""
    n, v = 2000, 0.3
    a = np.array([[1.0, 0.2], [0.7, 0.6]])
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(n, 2)) @ a.T
    z = mean + v**0.5 * rng.normal(size=(n, 2))
    prior = some_latents(d=2).prior
    latents = Latents(jnp.array(mean), jnp.full((n, 2), np.log(v)), jnp.array(z)[None], prior, jnp.int32(0))
    found = [float(part.mean()) for part in TotalCorrelation(examples=n).parts(latents)]
    cov = a @ a.T + v * np.eye(2)
    variances = np.diag(cov)
    information = 0.5 * (np.linalg.slogdet(cov)[1] - 2 * np.log(v))
    correlation = 0.5 * (np.log(variances).sum() - np.linalg.slogdet(cov)[1])
    by_dimension = 0.5 * (variances - 1 - np.log(variances)).sum()
    np.testing.assert_allclose(found, [information, correlation, by_dimension], atol=0.08)
    total = 0.5 * ((cov.trace()) - 2 - 2 * np.log(v))  # E KL(q(z|x) || N(0, 1))
    np.testing.assert_allclose(information + correlation + by_dimension, total, rtol=1e-6)


def test_stratified_weights_make_the_estimate_of_q_unbiased():
    """Over all batches of 3 of 5 examples that have z's own, the mean of the estimated q(z) is q(z)."""
    n, rng = 5, np.random.default_rng(0)
    mean, z = rng.normal(size=n), 0.4
    weights = np.exp(TotalCorrelation(examples=n)._log_weights(3))[0]
    q = stats.norm(mean, 1).pdf(z)
    pairs = [(j, k) for j in range(1, n) for k in range(1, n) if j != k]
    estimates = [weights @ q[[0, j, k]] for j, k in pairs]
    np.testing.assert_allclose(np.mean(estimates), q.mean(), rtol=1e-5)


class Linear(nn.Module):
    """[b, ...] -> [b, outputs] W^T x, and a constant log variance behind it where there is one."""

    outputs: int
    shape: tuple[int, ...] = ()
    log_var: bool = False

    @nn.compact
    def __call__(self, x, context, train=False):
        x = nn.Dense(self.outputs, use_bias=False, name="dense")(x.reshape(len(x), -1))
        if self.log_var:
            return jnp.concatenate(
                [x, jnp.broadcast_to(self.param("log_var", nn.initializers.zeros, (2,)), x.shape)], 1
            )
        return x.reshape(-1, *self.shape)


STD, W = 0.5, np.array([[1.0, 0.3, -0.4], [0.2, -0.8, 0.5]], np.float32)  # z [2] -> x [3]


def linear_gaussian(poor=0.0, **fields):
    """x = z W + N(0, STD^2), whose posterior is known; its encoder's mean is that, `poor` times 1 off."""
    family = VAE(
        Linear(2, log_var=True), Linear(3, (3, 1, 1)), Conditioning(4), Gaussian(STD), **{"latent": 2, **fields}
    )
    precision = np.eye(2) + W @ W.T / STD**2
    cov = np.linalg.inv(precision)
    encoder = {"dense": {"kernel": (W.T / STD**2) @ cov + poor}, "log_var": np.log(1 / np.diag(precision)) + poor}
    params = {"model": {"encoder": {"network": encoder}, "decoder": {"network": {"dense": {"kernel": W}}}}}
    return family, jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), params)


def exact(x):
    law = stats.multivariate_normal(np.zeros(3), W.T @ W + STD**2 * np.eye(3))
    return np.atleast_1d(law.logpdf(np.asarray(x).reshape(-1, 3)))


def test_the_estimate_of_the_likelihood_is_the_exact_one_and_the_bound_is_the_elbo():
    family, params = linear_gaussian(poor=0.1)
    x = jax.random.normal(jax.random.key(0), (5, 3, 1, 1))
    keys = jax.random.split(jax.random.key(1), 5)
    bound, weighted = family.log_likelihood(params, (), {"x": x}, keys, samples=20_000, chunk=500)
    np.testing.assert_allclose(weighted, exact(x), atol=0.05)
    # The ELBO is log p(x) less the divergence from the posterior, both normal.
    precision = np.eye(2) + W @ W.T / STD**2
    true_mean = np.asarray(x).reshape(5, 3) @ (W.T / STD**2) @ np.linalg.inv(precision)
    mean, log_var = (np.asarray(a, np.float64) for a in family.posterior(params, x, {}))
    gap = [
        0.5
        * (np.trace(precision @ np.diag(np.exp(v))) + d @ precision @ d - 2 - np.linalg.slogdet(precision)[1] - v.sum())
        for d, v in zip(mean - true_mean, log_var, strict=True)
    ]
    np.testing.assert_allclose(bound, exact(x) - gap, atol=0.1)
    assert (np.asarray(bound) < np.asarray(weighted)).all()


def test_the_estimate_does_not_depend_on_chunks_and_is_told_its_numbers():
    family, params = linear_gaussian(poor=0.1)
    x, keys = jnp.ones((2, 3, 1, 1)), jax.random.split(jax.random.key(1), 2)
    whole, parts = (family.log_likelihood(params, (), {"x": x}, keys, samples=7, chunk=c) for c in (7, 3))
    np.testing.assert_allclose(whole, parts, rtol=1e-5)
    with pytest.raises(UserError, match="samples=0"):
        family.log_likelihood(params, (), {"x": x}, keys, samples=0)


def loss_of(family, params, x, key):
    state = TrainState(step=jnp.int32(0), params=params, ema={}, opt={}, extra=())
    return family.losses["model"](params, state, {"x": x}, key)


def test_the_importance_weighted_bound_rises_with_its_draws_to_the_exact_likelihood():
    """On the mean over copies of one example: log p(x) >= L_50 >= L_5 >= L_1 = ELBO, and L_1 is ELBO's to the bit."""
    x = jnp.broadcast_to(jnp.array([0.5, -1.0, 0.8]).reshape(1, 3, 1, 1), (4000, 3, 1, 1))
    found = []
    for samples in (1, 5, 50):
        family, params = linear_gaussian(poor=0.6, bound=ImportanceWeighted(samples))
        found.append(-float(jax.jit(lambda p, f=family: loss_of(f, p, x, jax.random.key(0))[0])(params)))
    assert found[0] < found[1] - 0.02 < found[2] - 0.02 < exact(x[:1])[0]
    assert exact(x[:1])[0] - found[2] < 0.1
    family, params = linear_gaussian(poor=0.6)
    exactly = -float(loss_of(family, params, x, jax.random.key(0))[0])
    assert abs(exactly - found[0]) < 0.1  # the KL in closed form, and that of the draws


def test_a_perfect_posterior_makes_every_weight_the_evidence():
    """With an independent posterior (W of orthogonal rows) the bound of one draw is log p(x) already."""
    w = np.array([[1.0, 0, 0], [0, 0.5, 0]], np.float32)
    precision = 1 + np.diag(w @ w.T) / STD**2
    family, params = linear_gaussian(bound=ImportanceWeighted(2))
    encoder = {"dense": {"kernel": jnp.array(w.T / STD**2 / precision)}, "log_var": jnp.array(-np.log(precision))}
    params = {"model": {"encoder": {"network": encoder}, "decoder": {"network": {"dense": {"kernel": jnp.array(w)}}}}}
    x = jax.random.normal(jax.random.key(3), (4, 3, 1, 1))
    expected = stats.multivariate_normal(np.zeros(3), w.T @ w + STD**2 * np.eye(3)).logpdf(np.asarray(x).reshape(4, 3))
    found = jax.jit(lambda p, x: loss_of(family, p, x, jax.random.key(0))[0])(params, x)
    np.testing.assert_allclose(-found, expected.mean(), rtol=1e-4)


def test_doubly_reparameterized_gradients_agree_in_expectation_and_have_less_variance():
    """Same loss and same decoder gradients to rounding; the encoder's agree on the mean over many examples."""
    x = jnp.broadcast_to(jnp.array([0.5, -1.0, 0.8]).reshape(1, 3, 1, 1), (16, 3, 1, 1))

    def grads(doubly):
        family, params = linear_gaussian(poor=0.2, bound=ImportanceWeighted(20, doubly))
        one = jax.grad(lambda p, key: loss_of(family, p, x, key)[0])
        return jax.jit(jax.vmap(one, (None, 0)))(params, jax.random.split(jax.random.key(0), 400))

    plain, doubly = grads(False)["model"], grads(True)["model"]
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)  # noqa: E731
    jax.tree.map(same, plain["decoder"], doubly["decoder"])
    a, b = (jax.tree.leaves(g["encoder"]) for g in (plain, doubly))
    for one, other in zip(a, b, strict=True):
        error = np.sqrt((one.var(0) + other.var(0)) / 400)
        assert (np.abs(one.mean(0) - other.mean(0)) < 5 * error + 1e-4).all()
    assert sum(o.var(0).sum() for o in b) < sum(o.var(0).sum() for o in a)


def test_log_mean_by_hand():
    np.testing.assert_allclose(log_mean(jnp.log(jnp.array([[1.0], [3.0]]))), np.log([2.0]), rtol=1e-6)


@pytest.mark.parametrize("bound", [Elbo(3), ImportanceWeighted(3), ImportanceWeighted(3, doubly=True)])
def test_metrics_are_those_of_the_elbo_of_the_same_draws(bound):
    family, params = linear_gaussian(poor=0.1, bound=bound)
    x = jax.random.normal(jax.random.key(0), (6, 3, 1, 1))
    reference = linear_gaussian(poor=0.1, bound=Elbo(3))[0]
    metrics, expected = (
        jax.jit(lambda p, x, f=f: loss_of(f, p, x, jax.random.key(1))[1][0])(params, x) for f in (family, reference)
    )
    for name in ("elbo", "log_likelihood", "kl"):
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5)


def test_a_codec_gives_the_posterior_s_mean_and_decodes_it():
    family, params = linear_gaussian()
    x = jax.random.normal(jax.random.key(0), (4, 3, 1, 1))
    z = family.encode(params, (), x, {})
    assert z.shape == (4, *family.latent_shape)
    np.testing.assert_array_equal(z, family.posterior(params, x, {})[0])
    np.testing.assert_allclose(
        family.decode(params, (), z, {}), np.clip(z @ W, -1, 1).reshape(4, 3, 1, 1), rtol=1e-4, atol=1e-6
    )


SHAPE = (4, 4, 3)
NETWORK = VDVAE(SHAPE, ((4, 1), (1, 1)), ((1, 1), (4, 2)), width=8, latent=2, channels_per_value=8)
DEEP = HierarchicalVAE(NETWORK, Conditioning(8), DiscretizedLogisticMixture(2))


@pytest.fixture(scope="module")
def deep():
    batch = {"x": jax.random.uniform(jax.random.key(0), (3, *SHAPE), minval=-1, maxval=1)}
    params, _ = jax.jit(lambda: DEEP.init(jax.random.key(1), batch))()
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: p + 0.1 * rng.normal(size=p.shape).astype(np.float32), params), batch


def test_a_new_hierarchy_has_standard_normal_priors_and_as_many_layers_as_asked():
    batch = {"x": jnp.zeros((1, *SHAPE))}
    params, _ = jax.jit(DEEP.init)(jax.random.key(1), batch)
    assert NETWORK.sides == (1, 4, 4)
    assert DEEP.latent_shape == (2 * (1 + 16 + 16),)
    priors = {name: p for name, p in params["model"]["network"].items() if name.endswith("_prior")}
    assert len(priors) == 3
    assert not any(jnp.any(p["conv_3"]["kernel"]) for p in priors.values())


def test_the_layers_divergences_are_those_of_their_draws_and_sum_to_the_total(deep):
    params, batch = deep
    keys = jax.random.split(jax.random.key(2), 400)
    x = jnp.broadcast_to(batch["x"][:1], (400, *SHAPE))
    found = jax.jit(lambda p, x, keys: DEEP._apply(p, x, {}, keys=keys))(params, x, keys)
    assert found.kl.shape == (400, 3)
    assert (found.kl >= 0).all()
    # The mean of log q - log p over draws is the mean of the divergences.
    error = np.asarray((found.log_ratio - found.kl).std(0) / 20)
    assert (np.abs(np.asarray((found.log_ratio - found.kl).mean(0))) < 5 * error + 1e-4).all()
    state = TrainState(step=jnp.int32(0), params=params, ema={}, opt={}, extra=())
    loss, (metrics, _) = jax.jit(DEEP.losses["model"])(params, state, batch, jax.random.key(0))
    parts = [metrics[f"kl_{side}x{side}"] for side in (1, 4)]
    np.testing.assert_allclose(sum(parts), metrics["kl"], rtol=1e-5)
    np.testing.assert_allclose(metrics["elbo"], metrics["log_likelihood"] - metrics["kl"], rtol=1e-5)
    np.testing.assert_allclose(loss, -metrics["elbo"] / np.prod(SHAPE), rtol=1e-5)
    np.testing.assert_allclose(loss, metrics["bits_per_dim"] * np.log(2), rtol=1e-5)


def test_latents_of_a_hierarchy_decode_to_what_they_were_drawn_with(deep):
    """Given the posterior's draws the way down gives the same output without the image."""
    params, batch = deep
    keys = jax.random.split(jax.random.key(2), 3)
    found = jax.jit(lambda p, x, keys: DEEP._apply(p, x, {}, keys=keys))(params, batch["x"], keys)
    assert found.latents.shape == (3, *DEEP.latent_shape)
    picture = DEEP.likelihood.mean(found.out)
    decoded = jax.jit(lambda p, z: DEEP.decode(p, (), z, {}))(params, found.latents)
    np.testing.assert_allclose(decoded, picture, atol=1e-5)
    assert jax.eval_shape(lambda: DEEP.encode(params, (), batch["x"], {})).shape == found.latents.shape


def test_at_temperature_zero_all_samples_are_one(deep):
    params, _ = deep
    keys = jax.random.split(jax.random.key(2), 2)
    cold, warm = (jax.jit(dataclasses.replace(DEEP, temperature=t).sample)(params, (), keys, {}) for t in (0.0, 1.0))
    np.testing.assert_allclose(cold[0], cold[1], atol=1e-6)
    assert float(jnp.abs(warm[0] - warm[1]).max()) > 1e-3


def test_a_hierarchy_s_estimate_of_the_likelihood_is_above_its_bound(deep):
    params, batch = deep
    estimate = jax.jit(lambda p, keys: DEEP.log_likelihood(p, (), batch, keys, samples=20))
    bound, weighted = estimate(params, jax.random.split(jax.random.key(0), 3))
    assert (weighted > bound).all()
    of_many = jax.jit(lambda p, x: loss_of(DEEP, p, x, jax.random.key(0))[1][0])
    metrics = of_many(params, jnp.repeat(batch["x"], 30, axis=0))
    np.testing.assert_allclose(bound.mean(), metrics["elbo"], rtol=0.02)


def test_the_paper_s_network_has_its_parameters():
    """39 million for CIFAR-10 (arXiv:2011.10650)."""
    encoder, decoder = ((32, 12), (16, 7), (8, 7), (4, 4), (1, 3)), ((1, 1), (4, 3), (8, 6), (16, 11), (32, 22))
    family = HierarchicalVAE(
        VDVAE((32, 32, 3), encoder, decoder, channels_per_value=40), Conditioning(8), DiscretizedLogisticMixture(10)
    )
    params, _ = jax.eval_shape(family.init, jax.random.key(0), {"x": jnp.zeros((1, 32, 32, 3))})
    assert 38.5e6 < sum(p.size for p in jax.tree.leaves(params)) < 39.5e6


def test_large_gradients_are_left_out_and_told_but_not_counted_as_broken():
    family, params = linear_gaussian()
    x = {"x": jax.random.normal(jax.random.key(0), (4, 3, 1, 1))}
    tracks = make_tracks({"model": {"decay": 0.5}})
    adam = {"name": "adam", "learning_rate": 0.1}
    norm = None
    for threshold, moves in ((1e-3, False), (1e6, True)):
        optimizers = {"model": make_optimizer(adam | {"skip_above": threshold})}
        state = init_state(family, optimizers, tracks, jax.random.key(0), x).replace(params=params)
        new, metrics = jax.jit(make_train_step(family, optimizers, tracks))(state, x, jax.random.key(1))
        assert metrics["large_gradients"] == (not moves)
        assert int(new.opt["model"].skipped) == 0
        same = jax.tree.all(jax.tree.map(jnp.array_equal, new.params, state.params))
        assert same == (not moves)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, new.ema, state.ema)) == (not moves)
        assert norm is None or norm == metrics["grad_norm"]
        norm = metrics["grad_norm"]
    assert (
        "large_gradients"
        not in jax.eval_shape(
            make_train_step(family, {"model": make_optimizer(adam)}, tracks),
            init_state(family, {"model": make_optimizer(adam)}, tracks, jax.random.key(0), x),
            x,
            jax.random.key(0),
        )[1]
    )


def test_stairs_by_hand():
    rate = {"name": "stairs", "values": (4.0, 2.0, 1.0), "lengths": (1, 2, 3)}
    optimizer = make_optimizer({"name": "sgd", "learning_rate": rate})
    state, params, seen = optimizer.transform.init(jnp.zeros(())), jnp.zeros(()), []
    for _ in range(8):
        update, state = optimizer.transform.update(jnp.ones(()), state, params)
        seen.append(-float(update))
    assert seen == [4.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    with pytest.raises(UserError, match="stairs values"):
        make_optimizer({"name": "sgd", "learning_rate": rate | {"lengths": (1, 2)}})


def test_no_prior_integrates_to_more_than_one():
    """The mixture of normals in one dimension, by SciPy's quadrature."""
    mixture = Mixture(jnp.log(jnp.array([[0.2, 0.8]])), jnp.array([[[0.0], [2.0]]]), jnp.array([[[0.3], [-1.0]]]))
    total = integrate.quad(lambda z: float(np.exp(mixture.log_prob(jnp.array([[z]]))[0])), -10, 10)[0]
    assert abs(total - 1) < 1e-4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beta": -1.0}, ["family.beta=-1.0"]),
        ({"latent": 0}, ["family.latent=0"]),
        ({"beta": 4.0, "bound": ImportanceWeighted()}, ["family.bound=ImportanceWeighted", "family.beta", "Elbo"]),
        ({"divergence": FreeBits(0.1), "bound": ImportanceWeighted()}, ["family.bound=ImportanceWeighted"]),
        ({"divergence": FreeBits(0.1), "prior": MixtureOfNormals()}, ["FreeBits", "family.prior=MixtureOfNormals"]),
    ],
)
def test_what_does_not_go_together_is_refused(changes, words):
    with pytest.raises(UserError) as error:
        linear_gaussian(**changes)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FreeBits(-0.1), "FreeBits nats=-0.1"),
        (lambda: Capacity(-1.0), "Capacity nats=-1.0"),
        (lambda: TotalCorrelation(0), "examples=0"),
        (lambda: TotalCorrelation(9, sampling="stratifed"), "did you mean 'stratified'"),
        (lambda: TotalCorrelation(3)(some_latents()), "a batch of 6"),
        (lambda: Elbo(0), "Elbo samples=0"),
        (lambda: ImportanceWeighted(0), "ImportanceWeighted samples=0"),
        (lambda: linear(jnp.int32(0), 0.0, 1.0, 0), "linear steps=0"),
        (lambda: cyclical(jnp.int32(0), 1.0, 0), "cyclical period=0"),
        (lambda: MixtureOfNormals(0).init(jax.random.key(0), 2, encode, {}), "components=0"),
        (lambda: ClassNormal(2).init(jax.random.key(0), 2, encode, {}), "num_classes"),
        (lambda: dataclasses.replace(DEEP, temperature=-1.0), "family.temperature=-1.0"),
        (lambda: DiscretizedLogisticMixture(0), "components=0"),
        (lambda: DiscretizedLogisticMixture(2).mean(jnp.zeros((1, 2, 2, 16))), "1 or 3 channels"),
        (lambda: make_optimizer({"name": "adam", "learning_rate": 1.0, "skip_above": 0}), "skip_above=0"),
    ],
)
def test_numbers_out_of_range_are_refused(make, words):
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        make()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": ((2, 1), (1, 1))}, "begins at the side of square images"),
        ({"decoder": ((1, 1), (8, 1))}, r"reverse: \[1, 4\]"),
        ({"encoder": ((4, 1), (3, 1), (1, 1)), "decoder": ((1, 1), (3, 1), (4, 1))}, "3 has to divide 4"),
        ({"decoder": ((1, 0), (4, 1))}, "at least 1 block"),
        ({"channels_per_value": 2}, "channels_per_value=8"),
    ],
)
def test_levels_that_do_not_follow_are_refused(changes, words):
    family = dataclasses.replace(DEEP, network=NETWORK.clone(**changes))
    with pytest.raises(UserError, match=words):
        jax.eval_shape(family.init, jax.random.key(0), {"x": jnp.zeros((1, *SHAPE))})
