"""The published first stages: parameter counts and shapes, traced and not run."""

import jax
import jax.numpy as jnp
import pytest

from gen_jax.nn.conditioning import Context
from gen_jax.nn.latent_autoencoder import LatentDecoder, LatentEncoder
from gen_jax.training.state import count_params

IMAGE = (256, 256, 3)


def traced(network, shape):
    out, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), jnp.zeros((1, *shape)), Context())
    return out.shape[1:], variables["params"]


def test_stable_diffusions_first_stage_has_its_parameters():
    """83,653,863 in AutoencoderKL of diffusers with block_out_channels (128, 256, 512, 512), as published."""
    shape, encoder = traced(LatentEncoder(8), IMAGE)
    assert shape == (32, 32, 8)
    shape, decoder = traced(LatentDecoder(IMAGE), (32, 32, 4))
    assert shape == IMAGE
    assert count_params(encoder) + count_params(decoder) == 83_653_863
    # quant_conv and post_quant_conv, of 8 and 4 channels
    assert count_params(encoder["quant_conv"]) == 8 * 8 + 8
    assert count_params(decoder["post_quant_conv"]) == 4 * 4 + 4


@pytest.mark.parametrize(("multipliers", "factor"), [((1, 2, 4), 4), ((1, 1, 2, 2, 4), 16)])
def test_every_level_but_the_last_halves_the_image(multipliers, factor):
    settings = dict(width=32, multipliers=multipliers, attention=(16,))
    shape, encoder = traced(LatentEncoder(6, **settings), (64, 32, 3))
    assert shape == (64 // factor, 32 // factor, 6)
    shape, _ = traced(LatentDecoder((64, 32, 3), **settings), (64 // factor, 32 // factor, 5))
    assert shape == (64, 32, 3)
    # attention after the blocks of the one level that is 16 high, and in the middle
    attended = sorted(name for name, tree in encoder.items() if "attentions_0" in tree)
    assert attended == [f"down_blocks_{[64 >> i for i in range(5)].index(16)}", "mid_block_0"]
