import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.token_transformer import TokenTransformer

TOKENS = jax.random.randint(jax.random.key(0), (2, 6), 0, 5)


def network(**fields):
    return TokenTransformer(**{"num_codes": 5, "token_shape": (2, 3), "width": 16, "depth": 2, "heads": 4, **fields})


@pytest.mark.parametrize("causal", [False, True])
def test_recomputed_blocks_are_the_same_function(causal):
    plain, remat = network(causal=causal, dropout=0.5), network(causal=causal, dropout=0.5, remat=True)
    variables, rngs = plain.init(jax.random.key(1), TOKENS, Context()), {"dropout": jax.random.key(2)}

    def loss(variables, module):
        return jnp.square(module.apply(variables, TOKENS, Context(), True, rngs=rngs)).sum()

    ours, theirs = (jax.grad(loss)(variables, module) for module in (plain, remat))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, theirs)


def test_bfloat16_computes_in_it_and_keeps_float32():
    module = network(dtype="bfloat16")
    variables = module.init(jax.random.key(1), TOKENS, Context())
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    out = module.apply(variables, TOKENS, Context())
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, network().apply(variables, TOKENS, Context()), atol=0.05)
    _, cache = module.apply(variables, TOKENS, Context(), method="start")
    assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jnp.dtype("bfloat16")}


def test_the_vector_is_seen_at_every_place_and_tokens_of_a_context_are_refused():
    module = network()
    variables = module.init(jax.random.key(1), TOKENS, Context(vector=jnp.zeros((2, 3))))
    variables = jax.tree.map(lambda p: 10 * p, variables)
    one, other = (module.apply(variables, TOKENS, Context(vector=v * jnp.ones((2, 3)))) for v in (0.0, 1.0))
    assert (np.abs(one - other).max((0, 2)) > 1e-3).all()
    with pytest.raises(UserError, match="cannot use: tokens"):
        module.apply(variables, TOKENS, Context(tokens=jnp.zeros((2, 3, 4))))


def test_taming_transformers_size():
    """The released model of ImageNet's 16x16 codes has 1.4 billion parameters (arXiv:2012.09841, table 4)."""
    module = TokenTransformer(1024, (16, 16), width=1536, depth=48, heads=24, causal=True)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 256), jnp.int32), Context())
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == pytest.approx(1.4e9, rel=0.05)
