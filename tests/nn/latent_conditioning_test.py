"""The latent beside a network's other conditions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioning
from gen_jax.nn.latent import LatentConditioning
from gen_jax.nn.mapping import MappingNetwork

BOTH = LatentConditioning(Conditioning(8, num_classes=3), MappingNetwork(4, layers=2, lr_multiplier=1.0))


def test_the_latent_stands_behind_the_vector_of_the_others():
    cond = {"label": jnp.array([0, 2]), "image": jnp.ones((2, 4, 4, 1))}
    z = jax.random.normal(jax.random.key(0), (2, 5))
    context, variables = BOTH.init_with_output(jax.random.key(1), {**cond, "latent": z})
    alone = Conditioning(8, num_classes=3).apply({"params": variables["params"]["conditioning"]}, cond)
    w = MappingNetwork(4, layers=2, lr_multiplier=1.0).apply({"params": variables["params"]["mapping"]}, z, None)
    np.testing.assert_allclose(context.vector, jnp.concatenate([alone.vector, w], axis=-1), rtol=1e-6)
    np.testing.assert_array_equal(context.spatial, cond["image"])


def test_a_latent_that_is_missing_is_told():
    with pytest.raises(UserError, match="reads a latent and was given: label"):
        jax.eval_shape(BOTH.init, jax.random.key(0), {"label": jnp.zeros(1, jnp.int32)})
