import dataclasses
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.diffusion.guidance import classifier_free
from gen_jax.diffusion.parameterization import eps
from gen_jax.diffusion.samplers import Euler
from gen_jax.diffusion.schedule import Cosine, log_snr
from gen_jax.errors import UserError
from gen_jax.evals.bits_per_dim import bits_per_dim
from gen_jax.families.diffusion import Diffusion
from gen_jax.families.vae import VAE
from gen_jax.families.vdm import VDM
from gen_jax.losses.reconstruction import Bernoulli, DiscretizedLogistic, Gaussian
from gen_jax.nn.conditioning import Conditioning, Context
from gen_jax.nn.noise_schedule import MonotoneNoise

MEAN, STD = 0.1, 0.2  # in [-1, 1]; of grey values 140 and 25.5


class Exact(nn.Module):
    """The eps of N(MEAN, STD^2) times a parameter that is 1, from t, or -log_snr in [0, 1], which it sees as noise."""

    log_snr: bool = False

    @nn.compact
    def __call__(self, x, context, train=False):
        noise = context.vector[:, 0, None, None, None]
        if self.log_snr:
            snr = jnp.exp(13.3 - 18.3 * noise)
            alpha, sigma = jnp.sqrt(snr / (1 + snr)), jnp.sqrt(1 / (1 + snr))
        else:
            alpha, sigma = Cosine()(noise)
        factor = self.param("factor", nn.initializers.ones, ())
        return factor * sigma * (x - alpha * MEAN) / ((alpha * STD) ** 2 + sigma**2)


class Plain(nn.Module):
    """The noise itself; `keys` as the library's own."""

    num_classes: int = 0

    @property
    def keys(self):
        return ("label",) if self.num_classes else ()

    @nn.compact
    def __call__(self, cond):
        return Context(vector=cond["noise"][:, None])


SHAPE = (2, 2, 1)
FAMILY = Diffusion(Exact(), Plain(), Cosine(), eps, Euler(), SHAPE, start=0.98)


def grey(n, seed=0):
    """Images of grey values round(127.5 (1 + N(MEAN, STD^2))), far from 0 and 255."""
    x = 127.5 * (1 + MEAN + STD * np.random.default_rng(seed).standard_normal((n, *SHAPE)))
    return np.round(x).astype(np.uint8)


def entropy():
    """Of the grey values: that of the normal in units of levels, which are fine beside its width."""
    return 0.5 * np.log2(2 * np.pi * np.e * (127.5 * STD) ** 2)


def bound(low, high):
    """The variational bound of the normal model from log snr low to high, whose x_end is too sharp for its smooth
    density, by terms: the divergence from the prior, I-MMSE's integral, and what x_end leaves open of the level."""
    prior = 0.5 * np.exp(low) * (STD**2 + MEAN**2)
    diffusion = 0.5 * np.log((1 + STD**2 * np.exp(high)) / (1 + STD**2 * np.exp(low)))
    u = np.linspace(-8, 8, 4001)
    others = np.exp(-0.5 * np.square(u[:, None] + np.arange(-20, 21) / 127.5 * np.exp(high / 2))).sum(1)
    reconstruction = np.trapezoid(stats.norm.pdf(u) * (np.log(others) + 0.5 * u**2), u)
    return np.array([prior, diffusion, reconstruction]) / np.log(2)


def parameters(family):
    return family.init(jax.random.key(0), {"x": jnp.zeros((2, *SHAPE)), "label": jnp.zeros(2, int)})[0]


def opened(family, params):
    """What the metric reads of an opened run."""
    return SimpleNamespace(setup=SimpleNamespace(family=family), state=SimpleNamespace(averaged=params))


@pytest.mark.parametrize("family", [FAMILY, VDM(Exact(log_snr=True), Plain(), SHAPE, Euler(), MonotoneNoise(8))])
def test_the_exact_model_needs_the_entropy_and_its_bound_what_it_says(family):
    n = 1000
    figures = bits_per_dim(opened(family, parameters(family)), grey(n), steps=30, draws=32, batch_size=500)
    parts = [figures[f"bits_per_dim_elbo/{name}"] for name in ("prior", "diffusion", "reconstruction")]
    assert sum(parts) == pytest.approx(figures["bits_per_dim_elbo"])
    low = -5.0 if isinstance(family, VDM) else float(log_snr(Cosine(), jnp.float32(0.98)))
    for name, expected in (("ode", entropy()), ("elbo", bound(low, 13.3).sum())):
        value, error = figures[f"bits_per_dim_{name}"], figures[f"bits_per_dim_{name}/error"]
        assert error < 0.05
        assert abs(value - expected) < 4 * error + 0.01
    np.testing.assert_allclose(parts, bound(low, 13.3), atol=4 * error + 0.01)
    assert figures["bits_per_dim_ode/evaluations"] == 120
    assert figures["bits_per_dim_elbo/evaluations"] == 32


def test_figures_depend_neither_on_batches_nor_on_guidance_and_clipping():
    params, x = parameters(FAMILY), grey(7)
    run = opened(FAMILY, params)
    whole = bits_per_dim(run, x, steps=4, draws=2)
    assert bits_per_dim(run, x, steps=4, draws=2, batch_size=3) == pytest.approx(whole, rel=1e-3)
    guided = dataclasses.replace(
        FAMILY, conditioning=Plain(num_classes=2), guidance={"cfg": classifier_free}, clip=0.1, cond_drop=0.1
    )
    labelled = bits_per_dim(opened(guided, params), x, np.zeros(7, int), steps=4, draws=2)
    assert labelled == pytest.approx(whole, rel=1e-5)


def test_a_worse_model_needs_more():
    params = parameters(FAMILY)
    worse = jax.tree.map(lambda p: 0.7 * p, params)
    good, bad = (bits_per_dim(opened(FAMILY, p), grey(200), steps=20, draws=8) for p in (params, worse))
    assert bad["bits_per_dim_elbo"] > good["bits_per_dim_elbo"] + 0.1
    assert bad["bits_per_dim_ode"] > good["bits_per_dim_ode"] + 0.1


def test_what_cannot_be_measured_is_refused():
    params = parameters(FAMILY)
    run = opened(FAMILY, params)
    with pytest.raises(UserError, match="float64"):
        bits_per_dim(run, grey(3) / 255)
    with pytest.raises(UserError, match=r"\[3, 2, 1, 1\]"):
        bits_per_dim(run, grey(3)[:, :, :1])
    with pytest.raises(UserError, match="num=1"):
        bits_per_dim(run, grey(3), num=1)
    with pytest.raises(UserError, match="a SimpleNamespace is no diffusion model"):
        bits_per_dim(opened(SimpleNamespace(), params), grey(3))
    conditional = dataclasses.replace(FAMILY, conditioning=Conditioning(width=4, num_classes=2))
    with pytest.raises(UserError, match="'label'"):
        bits_per_dim(opened(conditional, params), grey(3), np.zeros(2, int))


class Linear(nn.Module):
    """x [b, ...] W, and a constant behind it for an encoder's log variance."""

    outputs: int
    log_var: float | None = None

    @nn.compact
    def __call__(self, x, context, train=False):
        y = nn.Dense(self.outputs, name="dense")(x.reshape(len(x), -1))
        if self.log_var is None:
            return y.reshape(len(x), *SHAPE[:2], -1)
        return jnp.concatenate([y, jnp.full_like(y, self.log_var)], axis=1)


def independent_pixels(likelihood, channels):
    """A VAE whose decoder reads no latents, so that every pixel has one known law: (family, params)."""
    family = VAE(Linear(2, 0.3), Linear(4 * channels), Conditioning(width=4), likelihood, latent=2)
    params = family.init(jax.random.key(0), {"x": jnp.zeros((2, *SHAPE))})[0]
    decoder = params["model"]["decoder"]["network"]["dense"]
    decoder["kernel"] = jnp.zeros_like(decoder["kernel"])
    return family, params


def test_a_vae_that_knows_the_pixels_law_has_its_bits_and_a_looser_bound():
    """Where the posterior is not the prior, the divergence is in the bound and not in the weighted estimate."""
    family, params = independent_pixels(DiscretizedLogistic(), 2)
    mean, log_scale = MEAN, np.log(STD * 3**0.5 / np.pi)  # of a logistic of standard deviation STD
    params["model"]["decoder"]["network"]["dense"]["bias"] = jnp.tile(jnp.array([mean, log_scale]), 4)
    x, run = grey(40), opened(family, params)
    run.state.extra = ()
    found = bits_per_dim(run, x, samples=2000, batch_size=16)
    law = stats.logistic(MEAN, STD * 3**0.5 / np.pi)
    values = x / 127.5 - 1
    expected = -np.log2(law.cdf(values + 1 / 255) - law.cdf(values - 1 / 255)).mean()
    np.testing.assert_allclose(found["bits_per_dim_iw"], expected, atol=0.03)
    posterior = family.posterior(params, jnp.array(values, jnp.float32), {})
    kl = 0.5 * (np.square(posterior[0]) + np.exp(posterior[1]) - 1 - posterior[1]).sum(1).mean()
    np.testing.assert_allclose(found["bits_per_dim_elbo"], expected + kl / np.log(2) / 4, atol=0.05)
    assert found["bits_per_dim_iw/evaluations"] == 2000
    assert found["bits_per_dim_iw/error"] > 0
    same = bits_per_dim(run, x, samples=2000, batch_size=7)
    assert same == pytest.approx(found, rel=1e-4)


def test_nats_of_bits_and_of_densities():
    """Of pixels that are white with probability 3/4, and the density of a normal, in nats per image."""
    family, params = independent_pixels(Bernoulli(), 1)
    params["model"]["decoder"]["network"]["dense"]["bias"] = jnp.full(4, np.log(3))
    params = jax.tree.map(lambda p: p, params)
    family = dataclasses.replace(family, encoder=Linear(2, 0.0))
    params["model"]["encoder"]["network"]["dense"]["kernel"] *= 0  # the posterior is the prior: no gap
    x = np.where(np.random.default_rng(0).random((20, *SHAPE)) < 0.75, 255, 0).astype(np.uint8)
    run = opened(family, params)
    run.state.extra = ()
    found = bits_per_dim(run, x, samples=10)
    expected = -np.where(x == 255, np.log(0.75), np.log(0.25)).reshape(20, -1).sum(1).mean()
    assert found["nats_elbo"] == pytest.approx(expected, rel=1e-4)
    assert found["nats_iw"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(UserError, match=r"config\.data\.binarize"):
        bits_per_dim(run, grey(3), samples=10)
    with pytest.raises(UserError, match="samples=0"):
        bits_per_dim(run, x, samples=0)
    run.setup.family = dataclasses.replace(family, likelihood=Gaussian(STD))
    found = bits_per_dim(run, grey(20), samples=10)
    expected = -stats.norm(np.log(3), STD).logpdf(grey(20) / 127.5 - 1).reshape(20, -1).sum(1).mean()
    assert found["nats_iw"] == pytest.approx(expected, rel=1e-4)


def test_so_many_are_drawn():
    run, x = opened(FAMILY, parameters(FAMILY)), grey(40)
    few = bits_per_dim(run, x, steps=2, draws=1, num=5)
    drawn = np.sort(np.random.default_rng(0).choice(40, 5, replace=False))
    assert few == bits_per_dim(run, x[drawn], steps=2, draws=1)
    assert bits_per_dim(run, x[:5], steps=2, draws=1, num=9) == bits_per_dim(run, x[:5], steps=2, draws=1)
