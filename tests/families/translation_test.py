"""Image-to-image translation: the image pool's law, the losses by hand, both directions, what cannot be."""

import dataclasses
import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError
from gen_jax.families.cyclegan import CycleGAN, ImagePool
from gen_jax.families.pix2pix import Pix2Pix
from gen_jax.losses.adversarial import least_squares
from gen_jax.nn.conditioning import Conditioning
from gen_jax.types import TrainState


def numbered(start, count):
    """Images [count, 1, 1, 1] that are their own numbers, from 1 on."""
    return jnp.arange(start, start + count, dtype=jnp.float32).reshape(-1, 1, 1, 1) + 1


@functools.partial(jax.jit, static_argnames=("size", "batch"))
def ask(pool, new, step, size, batch):
    key = jax.random.fold_in(jax.random.key(0), step)
    index = jnp.arange(batch)
    return ImagePool(size).query(pool, new, index, key, jax.vmap(jax.random.fold_in, (None, 0))(key, index))


@pytest.mark.parametrize(("size", "batch"), [(10, 1), (10, 4), (10, 10)])
def test_the_pools_law(size, batch):
    """What is shown and what stays are what was there and what came; old ones half of the time, all places alike."""
    pool, old, ages, steps = ImagePool(size).init((1, 1, 1)), 0, [], 4000 // batch
    for step in range(steps):
        new = numbered(step * batch, batch)
        before = pool["images"][: int(pool["count"])]
        full = int(pool["count"]) == size
        shown, pool = ask(pool, new, step, size, batch)
        left = pool["images"][: int(pool["count"])]
        swapped = np.asarray(shown != new).ravel()
        if full:
            old += swapped.sum()
            ages += ((step * batch + np.flatnonzero(swapped) + 1) - np.asarray(shown).ravel()[swapped]).tolist()
            # An image that was shown at once is gone, and one that took another's place is shown no sooner than next.
            gone_or_kept = np.sort(np.concatenate([np.asarray(shown).ravel(), np.asarray(left).ravel()]))
            came = np.sort(np.concatenate([np.asarray(before).ravel(), np.asarray(new).ravel()]))
            np.testing.assert_array_equal(gone_or_kept, came)
        else:
            np.testing.assert_array_equal(shown, new)
    queries = steps * batch - size
    assert abs(old / queries - 0.5) < 0.03
    # Each query finds a given place with probability 1 / (2 size), so images wait 2 size queries on the mean.
    assert abs(np.mean(ages) / (2 * size) - 1) < 0.1
    many, index = numbered(0, 2 * size), jnp.arange(2 * size)
    shown, _ = ImagePool(size).query(pool, many, index, *two_keys(2 * size))
    np.testing.assert_array_equal(shown[size:], many[size:])


def two_keys(count):
    return jax.random.key(1), jax.random.split(jax.random.key(2), count)


def test_the_pool_follows_indices_not_the_order_of_the_arrays():
    size, batch = 6, 4
    pool = {"images": numbered(100, size), "count": jnp.int32(size)}
    new, index, (key, keys) = numbered(0, batch), jnp.arange(batch), two_keys(batch)
    shown, after = ImagePool(size).query(pool, new, index, key, keys)
    order = jnp.array([2, 0, 3, 1])
    other, other_after = ImagePool(size).query(pool, new[order], index[order], key, keys[order])
    np.testing.assert_array_equal(other, shown[order])
    chex.assert_trees_all_equal(other_after, after)
    assert ImagePool(0).query(ImagePool(0).init((1, 1, 1)), new, index, key, keys)[0] is new


class Affine(nn.Module):
    """A translator x -> a x + c, of which all that CycleGAN computes can be worked out by hand."""

    shape: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x, context, train=False):
        return self.param("a", nn.initializers.ones, ()) * x + self.param("c", nn.initializers.zeros, ())


class Mean(nn.Module):
    """A critic whose one logit is s times the mean."""

    @nn.compact
    def __call__(self, x, context, train=False):
        x = x if context.spatial is None else jnp.concatenate([x, context.spatial], -1)
        return self.param("s", nn.initializers.ones, ()) * x.reshape(x.shape[0], -1).mean(1, keepdims=True)


SHAPE = (2, 2, 1)


def affine_cyclegan(**fields):
    parts = dict(conditioning=Conditioning(4), loss=least_squares, shape=SHAPE, image_shape=SHAPE)
    return CycleGAN(Affine(), Mean(), **parts, **fields)


def state_of(params, extra):
    return TrainState(jnp.int32(0), params, {}, {}, extra)


def wrapped(**values):
    return {"network": {name: jnp.float32(value) for name, value in values.items()}}


def constant(image, x):
    return {"image": jnp.full((3, *SHAPE), image), "x": jnp.full((3, *SHAPE), x)}


PARAMS = {
    "disc": {"A": wrapped(s=2.0), "B": wrapped(s=3.0)},
    "gen": {"AB": wrapped(a=2.0, c=1.0), "BA": wrapped(a=0.5, c=0.0)},
}


def test_the_losses_of_cyclegan_by_hand():
    """a = 1: AB(a) = 3, back 1.5; b = 2: BA(b) = 1, back 3; AB(b) = 5, BA(a) = 0.5."""
    family, batch = affine_cyclegan(adversarial=2.0, cycle=10.0, identity=5.0, pool=0), constant(1.0, 2.0)
    _, extra = family.init(jax.random.key(0), batch)
    state = state_of(PARAMS, extra)
    loss, (metrics, _) = family.losses["disc"](PARAMS, state, batch, jax.random.key(1))
    # of A: logits 2 * 1 of a and 2 * 1 of BA(b); of B: 3 * 2 of b and 3 * 3 of AB(a)
    np.testing.assert_allclose(loss, ((2 - 1) ** 2 + 2**2) / 2 + ((6 - 1) ** 2 + 9**2) / 2, rtol=1e-6)
    np.testing.assert_allclose(metrics["max_logit"], 9, rtol=1e-6)
    loss, (metrics, _) = family.losses["gen"](PARAMS, state, batch, jax.random.key(1))
    np.testing.assert_allclose(metrics["cycle"], 0.5 + 1.0, rtol=1e-6)
    np.testing.assert_allclose(metrics["identity"], 3.0 + 0.5, rtol=1e-6)
    np.testing.assert_allclose(metrics["adversarial"], (9 - 1) ** 2 / 2 + (2 - 1) ** 2 / 2, rtol=1e-6)
    np.testing.assert_allclose(loss, 2 * 32.5 + 10 * 1.5 + 5 * 3.5, rtol=1e-6)


def test_the_losses_of_pix2pix_by_hand():
    """x = 2 of image 1, drawn as 3: the critic sees the mean of both."""
    family = Pix2Pix(Affine(), Mean(), Conditioning(4), least_squares, l1=100.0)
    batch, params = constant(1.0, 2.0), {"disc": wrapped(s=2.0), "gen": wrapped(a=2.0, c=1.0)}
    _, extra = family.init(jax.random.key(0), batch)
    state = state_of(params, extra)
    loss, _ = family.losses["disc"](params, state, batch, jax.random.key(1))
    np.testing.assert_allclose(loss, ((3 - 1) ** 2 + 4**2) / 2, rtol=1e-6)
    loss, (metrics, _) = family.losses["gen"](params, state, batch, jax.random.key(1))
    np.testing.assert_allclose(metrics["l1"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(loss, (4 - 1) ** 2 / 2 + 100, rtol=1e-6)


def test_the_same_parameters_translate_both_ways():
    there = affine_cyclegan()
    back = dataclasses.replace(there, direction="BA")
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(jax.random.key(1), (3, *SHAPE))
    np.testing.assert_allclose(there.sample(PARAMS, {}, keys, {"image": x}), 2 * x + 1, rtol=1e-6)
    np.testing.assert_allclose(back.sample(PARAMS, {}, keys, {"image": x}), x / 2, rtol=1e-6)
    # With data turned round as well, it is the same game.
    batch, turned = constant(1.0, 2.0), constant(2.0, 1.0)
    for player in ("disc", "gen"):
        losses = [
            family.losses[player](PARAMS, state_of(PARAMS, family.init(jax.random.key(0), b)[1]), b, jax.random.key(1))
            for family, b in ((there, batch), (back, turned))
        ]
        np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-6)


def test_domains_may_have_different_channels():
    spec = {
        "name": "families.CycleGAN",
        "generator": {"name": "nn.ResNetTranslator", "width": 2, "downs": 0, "blocks": 1},
        "discriminator": {"name": "nn.PatchDiscriminator", "width": 2, "layers": 1},
        "conditioning": {"name": "nn.Conditioning", "width": 4},
        "loss": {"name": "losses.least_squares"},
    }
    batch = {"image": jnp.zeros((1, 8, 8, 3)), "x": jnp.zeros((1, 8, 8, 1))}
    family = build(gen_jax, spec, shape=(8, 8, 1), image_shape=(8, 8, 3), num_classes=0)
    params, extra = jax.eval_shape(family.init, jax.random.key(0), batch)
    keys, image = jax.random.split(jax.random.key(0), 1), jnp.zeros((1, 8, 8, 3))
    assert jax.eval_shape(family.sample, params, extra, keys, {"image": image}).shape == (1, 8, 8, 1)
    for changes, message in (
        ({"identity": 5.0}, "images have 3 channels and x 1"),
        ({"direction": "AC"}, "unknown family.direction 'AC'"),
        ({"pool": -1}, "family.pool=-1"),
        ({"cycle": -1.0}, "family.cycle=-1.0"),
        ({"image_shape": (16, 16, 3)}, "images are 16x16 and x 8x8"),
        ({"discriminator": {"name": "nn.MLP", "outputs": 2}}, "the MLP gives .2,. for an example where one logit"),
    ):
        with pytest.raises(UserError, match=message):
            jax.eval_shape(
                build(gen_jax, spec | changes, shape=(8, 8, 1), image_shape=(8, 8, 3), num_classes=0).init,
                jax.random.key(0),
                batch,
            )
