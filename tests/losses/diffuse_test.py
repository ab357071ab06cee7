"""Diffusion-GAN's noise: its chain, the law of its levels, and how far it goes as the discriminator overfits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError
from gen_jax.losses.diffuse import Diffuse

GAN = {
    "name": "families.GAN",
    "generator": {"name": "nn.MLP", "features": (8,)},
    "discriminator": {"name": "nn.MLP", "features": (8,), "outputs": 1},
    "conditioning": {"name": "nn.Conditioning", "width": 8},
    "loss": {"name": "losses.non_saturating"},
    "augment": {"name": "losses.Diffuse", "t_min": 10, "t_max": 110},
    "adaptive": {"name": "losses.AdaptiveProbability", "target": 0.6, "interval": 1, "images": 80},
    "latent": 3,
}


def test_the_chain_grows_from_its_shortest_to_its_longest():
    diffuse = Diffuse(t_min=10, t_max=1000)
    assert [int(diffuse.length(jnp.float32(p))) for p in (0, 0.1, 0.5, 1)] == [10, 109, 505, 1000]


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_the_signal_is_the_product_over_the_chain_of_that_length(p):
    """beta from 1e-4 to 0.02 at equal distances in T steps, as in the paper's appendix, by numpy's product."""
    diffuse = Diffuse(t_min=10, t_max=200)
    length = int(diffuse.length(jnp.float32(p)))
    expected = np.concatenate([[1.0], np.cumprod(1 - np.linspace(1e-4, 0.02, length))])
    got = diffuse.signal(jnp.float32(p))
    np.testing.assert_allclose(got[: length + 1], expected, rtol=1e-5)
    np.testing.assert_allclose(got[length:], expected[-1], rtol=1e-5)


@pytest.mark.parametrize("levels", ["priority", "uniform"])
def test_half_of_the_examples_are_clean_and_the_others_noised_by_the_papers_law(levels):
    """Eq. 11: in 1 ... T with a chance proportional to t, or all alike; here T = 6 of at most 10."""
    diffuse, n = Diffuse(t_min=2, t_max=10, levels=levels), 20_000
    told = diffuse.tell(jax.random.split(jax.random.key(0), n), jnp.float32(0.5))["noise"]
    counts = np.bincount(np.round(np.asarray(told) * 10).astype(int), minlength=11)
    assert not counts[7:].any()
    chance = np.arange(1.0, 7) if levels == "priority" else np.ones(6)
    expected = n * np.concatenate([[0.5], 0.5 * chance / chance.sum()])
    assert stats.chisquare(counts[:7], expected).pvalue > 1e-3


def test_an_example_is_noised_as_much_as_the_discriminator_is_told():
    diffuse, keys = Diffuse(t_min=50, t_max=50, std=0.3), jax.random.split(jax.random.key(0), 4)
    x, p = jnp.full((4, 100, 100, 1), 0.8), jnp.float32(0)
    y = diffuse(keys, x, p, jnp.array([0.0, 0.2, 0.6, 1.0]))
    np.testing.assert_array_equal(y[0], x[0])
    for i, t in ((1, 10), (2, 30), (3, 50)):
        kept = float(diffuse.signal(p)[t])
        np.testing.assert_allclose(y[i].mean(), kept**0.5 * 0.8, atol=0.01)
        np.testing.assert_allclose(y[i].std(), 0.3 * (1 - kept) ** 0.5, rtol=0.05)


def test_the_longest_chain_follows_the_overtraining_of_the_discriminator():
    """A step moves p by batch * interval / images = 8 / 80 towards more noise where the mean sign of the logits of real
    examples is above the target 0.6, and T by a tenth of 100; towards less where it is below, and never below t_min."""
    family = build(gen_jax, GAN, shape=(4,), num_classes=0)
    batch = {"x": jnp.ones((8, 4))}
    params, extra = jax.jit(family.init)(jax.random.key(0), batch)
    loss, lengths = jax.jit(family.losses["disc"]), []
    for sign in (1, 1, 1, -1, -1, -1, -1):
        # No label and no noise reaches the logit but by this bias: all real examples are judged alike.
        disc = jax.tree.map(jnp.zeros_like, params["disc"])
        disc["network"]["out"]["bias"] = jnp.full(1, float(sign))
        state = gen_jax.types.TrainState(jnp.int32(0), {**params, "disc": disc}, {}, {}, extra)
        _, (metrics, extra) = loss(state.params, state, batch, jax.random.key(1))
        assert float(metrics["r_t"]) == sign
        lengths.append(int(family.augment.length(extra["adaptive"]["p"])))
    assert lengths == [20, 30, 40, 30, 20, 10, 10]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t_min": 0}, "t_min=0"),
        ({"t_min": 20, "t_max": 10}, "t_min=20, t_max=10"),
        ({"beta_start": 0.5}, "beta_start=0.5"),
        ({"std": 0.0}, "std=0.0"),
        ({"clean": 1.5}, "clean=1.5"),
        ({"levels": "prority"}, "unknown Diffuse levels 'prority': did you mean 'priority'"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        Diffuse(**changes)


def test_a_conditioning_that_does_not_read_the_level_is_refused():
    with pytest.raises(UserError, match=r"OneHot does not read: family\.conditioning has to be nn\.Conditioning"):
        build(gen_jax, GAN | {"conditioning": {"name": "nn.OneHot"}}, shape=(4,), num_classes=0)
