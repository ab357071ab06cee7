import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals import ppl as module
from gen_jax.evals.ppl import ppl
from gen_jax.random import slerp


@dataclasses.dataclass(frozen=True)
class Linear:
    """x = scale z, as images [b, 4, 2, 1]; of class 1, three times as much."""

    latent: int = 8
    cond_keys: tuple[str, ...] = ()

    def decode(self, params, extra, z, cond):
        factor = 1 + 2 * cond["label"][:, None] if cond else 1
        return (factor * params["gen"] * z + extra).reshape(-1, 4, 2, 1)


def opened(family, scale=0.1):
    state = SimpleNamespace(averaged={"gen": jnp.float32(scale)}, extra=jnp.float32(0.5))
    return SimpleNamespace(setup=SimpleNamespace(family=family), state=state, info=SimpleNamespace(num_classes=2))


def speed(num, scale):
    """The mean squared derivative of scale * slerp along t, by its derivative in place of differences."""
    keys = jax.random.split(jax.random.key(9), 3)
    a, b = (jax.random.normal(key, (num, 8)) for key in keys[:2])
    t = jax.random.uniform(keys[2], (num,))
    _, dz = jax.jvp(lambda t: slerp(a, b, t), (t,), (jnp.ones(num),))
    return np.square(scale * np.asarray(dz)).mean(axis=1)


def trimmed_mean(values):
    low, high = np.percentile(values, [1, 99])
    return values[(values >= low) & (values <= high)].mean()


def test_of_a_linear_generator():
    figures = ppl(opened(Linear()), num=2000, distance="pixels")
    expected = trimmed_mean(speed(20_000, 0.1))
    assert figures["ppl_pixels"] == pytest.approx(expected, abs=4 * figures["ppl_pixels/error"])


def test_it_depends_neither_on_batches_nor_much_on_epsilon():
    run = opened(Linear())
    whole = ppl(run, num=300, distance="pixels")["ppl_pixels"]
    assert ppl(run, num=300, distance="pixels", batch_size=37)["ppl_pixels"] == pytest.approx(whole, rel=1e-3)
    assert ppl(run, num=300, distance="pixels", epsilon=1e-3)["ppl_pixels"] == pytest.approx(whole, rel=1e-2)


def test_classes_come_in_turn():
    plain = ppl(opened(Linear()), num=500, distance="pixels")["ppl_pixels"]
    both = ppl(opened(Linear(cond_keys=("label",))), num=500, distance="pixels")["ppl_pixels"]
    assert both == pytest.approx((1 + 9) / 2 * plain, rel=0.15)


def test_by_a_network(monkeypatch):
    halves = SimpleNamespace(variables=0.5, forward=lambda v, a, b: v * jnp.square(a - b).mean(axis=(1, 2, 3)))
    monkeypatch.setattr(module, "lpips", {"vgg": halves}.__getitem__)
    run = opened(Linear())
    pixels = ppl(run, num=100, distance="pixels")
    halved = {"ppl": pixels["ppl_pixels"] / 2, "ppl/error": pixels["ppl_pixels/error"] / 2}
    assert ppl(run, num=100) == pytest.approx(halved, rel=1e-5)


def test_slerp_goes_along_the_arc():
    a, b = jnp.array([[1.0, 0], [2, 0]]), jnp.array([[0, 1.0], [0, 2]])
    half = np.asarray(slerp(a, b, jnp.array([0.5, 1 / 3])))
    np.testing.assert_allclose(half, [[0.5**0.5, 0.5**0.5], [3**0.5, 1]], rtol=1e-6)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="a SimpleNamespace has no latent and decode"):
        ppl(opened(SimpleNamespace()))
    with pytest.raises(UserError, match="conditional on text"):
        ppl(opened(Linear(cond_keys=("text",))))
    with pytest.raises(UserError, match="num=1"):
        ppl(opened(Linear()), num=1)
    with pytest.raises(UserError, match="unknown distance of ppl 'pixel': did you mean 'pixels'"):
        ppl(opened(Linear()), distance="pixel")
