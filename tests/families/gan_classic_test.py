"""Of the classic adversarial networks: the auxiliary classifier, batch statistics, truncation, standing statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.types import TrainState

SHAPE, CLASSES = (8, 8, 1), 4
MLP = {"name": "nn.MLP", "features": (16,)}
AUXILIARY = {
    "name": "families.GAN",
    "generator": MLP,
    "discriminator": {**MLP, "outputs": 1 + CLASSES},
    "conditioning": {"name": "nn.Conditioning", "width": 8, "num_classes": CLASSES},
    "loss": {"name": "losses.non_saturating"},
    "latent": 4,
    "auxiliary": 2.0,
}
DCGAN = {
    **AUXILIARY,
    "generator": {"name": "nn.DCGANGenerator", "widths": (4, 6), "kernel": 3},
    "discriminator": {"name": "nn.DCGANDiscriminator", "widths": (4, 6), "kernel": 3},
    "conditioning": {"name": "nn.OneHot"},
    "auxiliary": 0.0,
}


def make(spec, **changes):
    return build(gen_jax, spec | changes, shape=SHAPE)


def a_batch(n=8):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(-1, 1, (n, *SHAPE)), jnp.float32)
    return {"x": x, "label": jnp.arange(n) % CLASSES, "index": jnp.arange(n)}


@functools.cache
def a_state(name):
    family = make({"auxiliary": AUXILIARY, "dcgan": DCGAN}[name])
    params, extra = jax.jit(family.init)(jax.random.key(0), a_batch())
    params = jax.tree.map(lambda p: p + 0.1 * jnp.sin(1 + jnp.arange(p.size)).reshape(p.shape), params)
    return family, TrainState(jnp.int32(0), params, {}, {}, extra)


def test_the_critic_of_an_auxiliary_classifier_does_not_see_the_label_but_tells_it():
    family, state = a_state("auxiliary")
    assert set(state.params["disc"]) == {"network"}
    assert set(state.params["gen"]) == {"network", "conditioning"}
    batch, loss = a_batch(), jax.jit(family.losses["disc"])
    other = batch | {"label": (batch["label"] + 1) % CLASSES}
    (total, (metrics, _)), (_, (changed, _)) = (loss(state.params, state, b, jax.random.key(1)) for b in (batch, other))
    np.testing.assert_array_equal(metrics["real_logit"], changed["real_logit"])
    assert abs(metrics["class_loss"] - changed["class_loss"]) > 1e-3

    out = family.discriminator.apply({"params": state.params["disc"]["network"]}, batch["x"], Context())
    expected = -np.mean(log_softmax(np.asarray(out[:, 1:]), axis=1)[np.arange(8), batch["label"]])
    np.testing.assert_allclose(metrics["class_loss"], expected, rtol=1e-5)
    without = make(AUXILIARY, auxiliary=1.0)
    half, _ = jax.jit(without.losses["disc"])(state.params, state, batch, jax.random.key(1))
    assert total > half > 0, "the weight scales the classes' part"


def test_the_generator_learns_the_label_from_the_classifier_alone():
    """The logit of real or not says nothing of the label beyond what the image shows; the classifier's gradient to the
    label's embedding is that of its cross-entropy."""
    _, state = a_state("auxiliary")
    batch = a_batch()

    def gradient(weight):
        loss = make(AUXILIARY, auxiliary=weight).losses["gen"]

        def own(gen):
            return loss({**state.params, "gen": gen}, state, batch, jax.random.key(1))[0]

        return jax.grad(own)(state.params["gen"])["conditioning"]["label"]["embedding"]

    one, two, three = gradient(1.0), gradient(2.0), gradient(3.0)
    assert float(jnp.abs(two - one).max()) > 1e-5
    np.testing.assert_allclose(three - two, two - one, rtol=1e-2, atol=1e-6)


def test_an_auxiliary_classifier_needs_labels_and_outputs_for_them():
    with pytest.raises(UserError, match=r"auxiliary=2.0: an auxiliary classifier needs labels"):
        make(AUXILIARY, conditioning={"name": "nn.OneHot"})
    family = make(AUXILIARY, discriminator={**MLP, "outputs": 1})
    with pytest.raises(UserError, match="needs outputs=5"):
        jax.eval_shape(family.init, jax.random.key(0), a_batch())


@pytest.mark.parametrize(("player", "other"), [("disc", "gen"), ("gen", "disc")])
def test_a_players_loss_moves_its_own_batch_statistics_only(player, other):
    family, state = a_state("dcgan")
    batch = {k: v for k, v in a_batch().items() if k != "label"}
    _, (_, extra) = jax.jit(family.losses[player])(state.params, state, batch, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, extra[other], state.extra[other])
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), extra[player], state.extra[player])
    assert set(moved) == {"batch_stats"}
    assert jax.tree.all(moved)


def test_the_discriminators_statistics_see_real_and_generated_examples():
    """Each as a batch of its own, one after the other, as its output does."""
    family, state = a_state("dcgan")
    batch = {k: v for k, v in a_batch().items() if k != "label"}
    mean = [
        jax.jit(family.losses["disc"])(state.params, state, batch | {"x": x}, jax.random.key(1))[1][1]["disc"][
            "batch_stats"
        ]["network"]["norm_1"]["mean"]
        for x in (batch["x"], -batch["x"])
    ]
    assert float(jnp.abs(mean[0] - mean[1]).max()) > 1e-5
    frozen = state.params | {"gen": jax.tree.map(lambda p: -p, state.params["gen"])}
    turned = jax.jit(family.losses["disc"])(frozen, state, batch, jax.random.key(1))[1][1]
    assert float(jnp.abs(mean[0] - turned["disc"]["batch_stats"]["network"]["norm_1"]["mean"]).max()) > 1e-5


def test_truncated_latents_stay_within_the_limit_and_follow_the_normal_inside():
    """Read back from a generator that is one matrix."""
    linear = make(DCGAN, generator={"name": "nn.MLP", "features": ()}, discriminator={**MLP, "outputs": 1})
    params, extra = jax.jit(linear.init)(jax.random.key(0), {"x": a_batch()["x"]})
    kernel = np.asarray(params["gen"]["network"]["out"]["kernel"])

    def latents(truncation):
        family = make(
            DCGAN,
            generator={"name": "nn.MLP", "features": ()},
            discriminator={**MLP, "outputs": 1},
            truncation=truncation,
        )
        x = family.sample(params, extra, jax.random.split(jax.random.key(2), 2000), {})
        return np.linalg.lstsq(kernel.T, np.asarray(x).reshape(2000, -1).T, rcond=None)[0]

    free, cut = latents(None), latents(0.5)
    assert abs(free).max() > 2.5
    assert 0.45 < abs(cut).max() <= 0.5 + 1e-4
    # The variance of a normal cut off at 1/2: 1 - 2 a phi(a) / (2 Phi(a) - 1).
    np.testing.assert_allclose(cut.var(), 0.0805, rtol=0.05)
    with pytest.raises(UserError, match=r"truncation=0: it must be above 0"):
        make(DCGAN, truncation=0)


def test_standing_statistics_are_averages_over_batches_of_the_networks_own():
    """Of the first layer they are known: the dense layer's values have mean 0 and the variance of its columns' norms.
    Of the next they are averaged here, over other latents."""
    family, state = a_state("dcgan")
    assert family.settle(state.params, state.extra, jax.random.key(0)) is state.extra
    settle = jax.jit(make(DCGAN, standing=150).settle)
    extra = settle(state.params, state.extra, jax.random.key(0))
    found = extra["gen"]["batch_stats"]["network"]
    norms = np.square(np.linalg.norm(state.params["gen"]["network"]["in"]["kernel"], axis=0))
    np.testing.assert_allclose(found["norm_in"]["var"], norms * 63 / 64, rtol=0.08)
    np.testing.assert_allclose(found["norm_in"]["mean"] / np.sqrt(norms), 0, atol=0.05)

    @jax.jit
    def statistics(z):
        variables = {"params": state.params["gen"]["network"], "batch_stats": state.extra["gen"]["batch_stats"]}
        variables["batch_stats"] = jax.tree.map(jnp.zeros_like, variables["batch_stats"]["network"])
        _, kept = family.generator.apply(variables, z, Context(), True, mutable=["batch_stats"])
        return jax.tree.map(lambda moved: moved / 0.1, kept["batch_stats"]["norm_1"])  # from 0, by a tenth

    batches = jax.random.normal(jax.random.key(5), (150, 64, 4))
    direct = jax.tree.map(lambda a: a.mean(0), jax.lax.map(statistics, batches))
    deviation = np.sqrt(direct["var"])
    np.testing.assert_allclose(found["norm_1"]["mean"] / deviation, direct["mean"] / deviation, atol=0.05)
    np.testing.assert_allclose(found["norm_1"]["var"], direct["var"], rtol=0.05)

    # What had been kept in training is forgotten, the discriminator's statistics are not touched.
    forgotten = state.extra | {"gen": jax.tree.map(lambda a: a + 7.0, state.extra["gen"])}
    again = settle(state.params, forgotten, jax.random.key(0))["gen"]["batch_stats"]["network"]
    for name in ("norm_in", "norm_1"):
        np.testing.assert_allclose(again[name]["var"], found[name]["var"], rtol=1e-3)
    jax.tree.map(np.testing.assert_array_equal, extra["disc"], state.extra["disc"])
    with pytest.raises(UserError, match=r"standing=0: it must be at least 1"):
        make(DCGAN, standing=0)
