import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn import attention
from gen_jax.nn.attention import CrossAttention, SelfAttention, attend, attention_implementation, rotary_2d, rotate


def normal(shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def some_variables(module, *args):
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *args)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(0, 0.5, p.shape), p.dtype), shapes)


def test_attend_is_the_equation():
    q, k, v = normal((2, 3, 2, 4)), normal((2, 5, 2, 4), 2), normal((2, 5, 2, 4), 3)
    mask = np.array([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1]])
    for b, head in np.ndindex(2, 2):
        read = mask[b] == 1
        scores = np.asarray(q[b, :, head] @ k[b, read, head].T) / 2  # sqrt(4)
        weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        expected = weights @ v[b, read, head]
        np.testing.assert_allclose(attend(q, k, v, jnp.asarray(mask))[b, :, head], expected, atol=1e-5)


def test_attention_is_blind_to_the_order_of_tokens():
    x, module = normal((2, 6, 8)), SelfAttention(heads=2)
    variables = some_variables(module, x)
    order = jnp.array([3, 1, 0, 5, 4, 2])
    out = module.apply(variables, x)
    chex.assert_trees_all_close(module.apply(variables, x[:, order]), out[:, order], atol=1e-5)


def test_attention_to_equal_tokens_is_the_projection_of_one():
    # With equal keys the weights are uniform, so the output is out(v) for every token, whatever the heads.
    x = jnp.broadcast_to(normal((8,)), (1, 5, 8))
    module = SelfAttention(heads=4)
    variables = jax.jit(module.init)(jax.random.key(1), x)
    p = variables["params"]
    value = x @ p["qkv"]["kernel"][:, 16:]
    chex.assert_trees_all_close(module.apply(variables, x), value @ p["out"]["kernel"], atol=1e-5)


def test_normalised_queries_and_keys_have_no_length():
    x, module = normal((2, 5, 8)), SelfAttention(heads=2, qk_norm=True, qkv_bias=False)
    variables = some_variables(module, x)
    factor = jnp.repeat(jnp.array([7.0, 0.3, 1.0]), 8)  # of queries, keys and values
    longer = jax.tree.map(lambda p: p * factor if p.shape == (8, 24) else p, variables)
    chex.assert_trees_all_close(module.apply(variables, x), module.apply(longer, x), atol=1e-4)


def test_masked_tokens_have_no_influence_at_all():
    x, tokens, mask = normal((2, 4, 8)), normal((2, 5, 6), 2), jnp.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    module = CrossAttention(heads=2)
    variables = some_variables(module, x, tokens, mask)
    apply = jax.jit(module.apply)
    out = apply(variables, x, tokens, mask)
    for other in (-3.0, jnp.inf, jnp.nan):
        changed = jnp.where(mask[:, :, None] == 1, tokens, other)
        np.testing.assert_array_equal(apply(variables, x, changed, mask), out)
    assert not np.allclose(out[0], apply(variables, x, tokens + 1, mask)[0], atol=1e-3)
    # Without the masked ones, it is the same: two tokens are read in the first example, none in the second.
    np.testing.assert_allclose(apply(variables, x, tokens[:, 0:3:2], mask[:, 0:3:2]), out, atol=1e-6)
    assert (out[1] == out[1, 0]).all()
    gradient = jax.grad(lambda tokens: jnp.sum(apply(variables, x, tokens, mask) ** 2))(tokens)
    assert ((jnp.abs(gradient).max(-1) > 0) == (mask == 1)).all()


def test_masked_tokens_of_self_attention():
    x, mask = normal((1, 4, 8)), jnp.array([[1, 1, 0, 1]])
    module = SelfAttention(heads=2)
    variables = some_variables(module, x)
    out = module.apply(variables, x, mask)
    changed = module.apply(variables, x.at[0, 2].set(5.0), mask)
    read = np.array([0, 1, 3])
    np.testing.assert_array_equal(changed[0, read], out[0, read])
    np.testing.assert_allclose(out[:, read], module.apply(variables, x[:, read]), atol=1e-6)


def test_rotated_scores_depend_on_the_displacement_alone():
    h, w = 4, 5
    angles = rotary_2d(h, w, 8)
    chex.assert_shape(angles, (h * w, 4))
    q, k = (jnp.broadcast_to(normal((8,), seed), (1, h * w, 1, 8)) for seed in (1, 2))
    scores = jnp.einsum("bnhd,bmhd->nm", rotate(q, angles), rotate(k, angles)).reshape(h, w, h, w)
    shift_down, shift_right = scores[1:, :, 1:, :], scores[:, 1:, :, 1:]
    np.testing.assert_allclose(shift_down, scores[:-1, :, :-1, :], atol=1e-4)
    np.testing.assert_allclose(shift_right, scores[:, :-1, :, :-1], atol=1e-4)
    # and on all of it: no two displacements from one place to places to its right and below look alike
    assert len(np.unique(np.asarray(scores[0, 0]).round(4))) == h * w
    np.testing.assert_allclose(jnp.linalg.norm(rotate(q, angles), axis=-1), jnp.linalg.norm(q, axis=-1), rtol=1e-5)
    with pytest.raises(UserError, match="multiple of 4, got 6"):
        rotary_2d(2, 2, 6)


@pytest.mark.parametrize(
    ("capability", "impl", "arguments", "expected"),
    [
        (0.0, "auto", {}, "xla"),
        (9.0, "auto", {}, "cudnn"),
        (9.0, "xla", {}, "xla"),
        (8.0, "cudnn", {"dtype": "float16"}, "cudnn"),
        (7.5, "auto", {}, "xla"),
        (9.0, "auto", {"dtype": "float32"}, "xla"),
        (9.0, "auto", {"head_width": 20}, "xla"),
        (9.0, "auto", {"head_width": 256}, "cudnn"),
        (8.0, "auto", {"head_width": 256}, "xla"),
        (9.0, "auto", {"queries": 65, "keys": 65}, "cudnn"),
        (9.0, "auto", {"queries": 65, "keys": 64, "masked": True}, "xla"),
        (9.0, "auto", {"queries": 64, "keys": 64, "masked": True}, "cudnn"),
    ],
)
def test_cudnn_is_taken_where_it_runs(monkeypatch, capability, impl, arguments, expected):
    monkeypatch.setattr(attention, "_compute_capability", lambda: capability)
    assert attention_implementation(impl, **arguments) == expected


def test_cudnn_that_cannot_run_is_refused_with_what_is_missing(monkeypatch):
    assert attention._compute_capability() == 0  # the tests run on a CPU
    with pytest.raises(UserError, match="attention_impl='cudnn' needs an NVIDIA GPU"):
        attention_implementation("cudnn")
    monkeypatch.setattr(attention, "_compute_capability", lambda: 9.0)
    with pytest.raises(UserError, match="needs heads whose width is a multiple of 8 up to 256, not 4"):
        attention_implementation("cudnn", head_width=4)
    with pytest.raises(UserError, match="unknown attention_impl 'flash'"):
        attention_implementation("flash")


def test_attention_in_forward_mode():
    x, module = normal((1, 4, 8)), SelfAttention(heads=2, attention_impl="xla")
    variables = some_variables(module, x)
    _, tangent = jax.jvp(lambda x: module.apply(variables, x), (x,), (jnp.ones_like(x),))
    step = 1e-3
    slope = (module.apply(variables, x + step) - module.apply(variables, x - step)) / (2 * step)
    np.testing.assert_allclose(tangent, slope, atol=5e-3)
