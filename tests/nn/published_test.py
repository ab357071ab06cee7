"""The published networks, counted and looked at without being run."""

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Conditioned, Conditioning, Context
from gen_jax.nn.dit import DiT, DiTBlock, patchify, unpatchify
from gen_jax.nn.edm2 import EDM2Conditioning, EDM2UNet
from gen_jax.nn.ncsnpp import NCSNpp
from gen_jax.nn.unet import UNet
from gen_jax.nn.uvit import UViT


def count(network, shape, **more):
    x, cond = jnp.zeros((1, *shape)), {"noise": jnp.zeros(1), "label": jnp.zeros(1, jnp.int32)} | more
    variables = jax.eval_shape(network.init, jax.random.key(0), x, cond)
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


# arXiv:2212.09748, table 1 (and table 4 for the exact sizes): millions of parameters on 32x32x4 latents.
@pytest.mark.parametrize(
    ("width", "depth", "heads", "millions"),
    [(384, 12, 6, 33), (768, 12, 12, 130), (1024, 24, 16, 458), (1152, 28, 16, 675)],
    ids=["S/2", "B/2", "L/2", "XL/2"],
)
def test_dit_sizes(width, depth, heads, millions):
    network = DiT(width, depth, heads, patch=2, channels_per_value=2)
    conditioned = Conditioned(network, Conditioning(width, num_classes=1000, noise_features=256))
    assert round(count(conditioned, (32, 32, 4)) / 1e6) == millions


def test_dit_xl_counted_by_hand():
    d = 1152
    blocks = 28 * (18 * d**2 + 15 * d)  # qkv 3, out 1, MLP 8 and AdaLN 6 matrices, and their biases
    ends = (16 * d + d) + (2 * d**2 + 2 * d) + (d * 32 + 32)  # patches, last AdaLN, last layer
    conditioning = (256 * d + d) + (d**2 + d) + 1001 * d
    network = Conditioned(DiT(d, 28, 16, 2, channels_per_value=2), Conditioning(d, 1000, noise_features=256))
    assert count(network, (32, 32, 4)) == blocks + ends + conditioning


def test_ddpm_unet_has_the_published_parameters():
    network = Conditioned(UNet(), Conditioning(512, noise_features=128, noise_scale=1.0))
    assert count(network, (32, 32, 3)) == 35_746_307


def conv(c_in, c_out):
    return 9 * c_in * c_out + c_out


def adm_by_hand(width, multipliers, blocks, attended):
    """ADM's U-Net for 3 channels in and 6 out, by arXiv:2105.05233, section 3; `attended` levels have attention."""

    def residual(c_in, c_out):  # norm, convolution, vector, norm, convolution, skip
        skip = c_in * c_out + c_out if c_in != c_out else 0
        return 2 * c_in + conv(c_in, c_out) + 2 * c_out * (4 * width + 1) + 2 * c_out + conv(c_out, c_out) + skip

    def attention(c):
        return 2 * c + 4 * (c * c + c)

    widths = [width * m for m in multipliers]
    total, c, skips = conv(3, widths[0]), widths[0], [widths[0]]
    for i, out in enumerate(widths):
        for _ in range(blocks):
            total, c = total + residual(c, out) + (attention(out) if i in attended else 0), out
            skips.append(c)
        if i < len(widths) - 1:
            total += residual(c, c)
            skips.append(c)
    total += 2 * residual(c, c) + attention(c)
    for i, out in reversed(list(enumerate(widths))):
        for _ in range(blocks + 1):
            total, c = total + residual(c + skips.pop(), out) + (attention(out) if i in attended else 0), out
        total += residual(c, c) if i else 0
    return total + 2 * c + conv(c, 6)


def test_adm_has_the_published_parameters():
    w = 192
    unet = UNet(w, (1, 2, 3, 4), 3, (32, 16, 8), channels_per_value=2, head_width=64, scale_shift=True)
    network = Conditioned(unet.clone(resblock_updown=True), Conditioning(4 * w, 1000, noise_features=w))
    conditioning = (w * 4 * w + 4 * w) + (16 * w * w + 4 * w) + 1000 * 4 * w
    published = adm_by_hand(w, (1, 2, 3, 4), 3, (1, 2, 3)) + conditioning
    assert round(published / 1e5) == 2959
    assert count(network, (64, 64, 3)) == published + 4 * w  # and the embedding of the null label


# arXiv:2102.09672, section 5: ImageNet-64 at four widths, in millions with two digits.
@pytest.mark.parametrize(("width", "millions"), [(64, 30), (96, 68), (128, 120), (192, 270)])
def test_improved_ddpm_sizes(width, millions):
    unet = UNet(width, (1, 2, 3, 4), 3, (16, 8), heads=4, channels_per_value=2, scale_shift=True)
    size = count(Conditioned(unet, Conditioning(4 * width, noise_features=width)), (64, 64, 3)) / 1e6
    assert millions == (round(size) if size < 100 else 10 * round(size / 10))


def test_edm_ddpmpp_and_ncsnpp():
    # EDM's count for DDPM++ includes the mapping, and the layer that reads its 9 augmentation labels.
    mapping = Conditioning(512, noise_features=128, mix="mlp")
    ddpmpp, ncsnpp = NCSNpp(), NCSNpp(encoder="residual", taps=(1, 3, 3, 1))
    assert count(Conditioned(ddpmpp, mapping), (32, 32, 3), augment=jnp.zeros((1, 9))) == 55_733_891
    context = Context(vector=jnp.zeros((1, 512)))
    sizes = [
        sum(
            p.size
            for p in jax.tree.leaves(jax.eval_shape(n.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), context))
        )
        for n in (ddpmpp, ncsnpp)
    ]
    assert sizes[1] - sizes[0] == conv(3, 256) + conv(256, 256)  # the input, entering at 16x16 and at 8x8


def test_ddpmpp_attends_at_16_once_on_the_way_up_and_in_the_middle():
    x, context = jnp.zeros((1, 32, 32, 3)), Context(vector=jnp.zeros((1, 512)))
    params = jax.eval_shape(NCSNpp().init, jax.random.key(0), x, context)["params"]
    attention = {k for k, v in params.items() if "attention" in v}
    assert attention == {*(f"down_1_{i}" for i in range(4)), "middle_0", "up_1_4"}


# arXiv:2312.02696, table 2: on 64x64x4 latents.
@pytest.mark.parametrize(("width", "millions"), [(128, 124.7), (192, 280.2)], ids=["XS", "S"])
def test_edm2_sizes(width, millions):
    conditioning = EDM2Conditioning(4 * width, num_classes=1000, noise_features=width)
    assert round(count(Conditioned(EDM2UNet(width), conditioning), (64, 64, 4)) / 1e6, 1) == millions


# arXiv:2209.12152, table 1, whose depth counts the block in the middle too; the larger ones embed 1001 labels.
@pytest.mark.parametrize(
    ("width", "depth", "heads", "labels", "millions"),
    [
        (512, 12, 8, 0, 44),
        (512, 16, 8, 0, 58),
        (768, 16, 12, 1001, 131),
        (1024, 20, 16, 1001, 287),
        (1152, 28, 16, 1001, 501),
    ],
    ids=["small", "small, deep", "mid", "large", "huge"],
)
def test_uvit_sizes(width, depth, heads, labels, millions):
    x, context = jnp.zeros((1, 32, 32, 3)), Context(vector=jnp.zeros((1, width)))
    shapes = jax.eval_shape(UViT(width, depth, heads, patch=2).init, jax.random.key(0), x, context)
    assert round((sum(p.size for p in jax.tree.leaves(shapes)) + labels * width) / 1e6) == millions


def test_uvit_counted_by_hand():
    d, n = 512, 257
    blocks = 13 * (12 * d**2 + 10 * d) + 6 * (2 * d**2 + d)  # qkv 3, out 1, MLP 8 matrices, norms; and the long skips
    ends = (12 * d + d) + n * d + 2 * d + (d * 12 + 12) + conv(3, 3)  # patches, places, norm, pixels, convolution
    x, context = jnp.zeros((1, 32, 32, 3)), Context(vector=jnp.zeros((1, d)))
    shapes = jax.eval_shape(UViT().init, jax.random.key(0), x, context)
    assert sum(p.size for p in jax.tree.leaves(shapes)) == blocks + ends


def test_ddpm_unet_attends_at_16_and_in_the_middle():
    x, context = jnp.zeros((1, 32, 32, 3)), Context(vector=jnp.zeros((1, 512)))
    params = jax.eval_shape(UNet().init, jax.random.key(0), x, context)["params"]
    attention = {k for k in params if k.endswith("_attention")}
    levels = {f"{way}_1_{i}_attention" for way, n in (("down", 2), ("up", 3)) for i in range(n)}
    assert attention == levels | {"middle_attention"}


@pytest.mark.parametrize("network", [DiT(16, 2, 2, 2), UNet(8, (1,), 1, (), groups=4)], ids=["dit", "unet"])
def test_output_is_zero_at_the_start(network):
    x, context = (
        jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 1)), jnp.float32),
        Context(vector=jnp.ones((2, 16))),
    )
    y, _ = jax.jit(network.init_with_output)(jax.random.key(1), x, context)
    np.testing.assert_array_equal(y, jnp.zeros_like(x))


def test_dit_block_is_the_identity_at_the_start():
    x, vector = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 16)), jnp.float32), jnp.ones((2, 16))
    tokens = jnp.ones((2, 3, 4))
    block = jax.jit(lambda key: DiTBlock(heads=2).init_with_output(key, x, vector=vector, tokens=tokens))
    y, _ = block(jax.random.key(1))
    np.testing.assert_array_equal(y, x)


@hypothesis.given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
@hypothesis.settings(deadline=None, max_examples=20)
def test_patchify_round_trip(b, rows, columns, patch, c):
    h, w = rows * patch, columns * patch
    x = np.arange(b * h * w * c, dtype=np.float32).reshape(b, h, w, c)
    tokens = patchify(x, patch)
    chex.assert_shape(tokens, (b, rows * columns, patch * patch * c))
    np.testing.assert_array_equal(tokens[0, columns - 1], x[0, :patch, w - patch :].reshape(-1))  # the end of row 0
    np.testing.assert_array_equal(unpatchify(tokens, h, w, patch), x)


@pytest.mark.parametrize(
    ("size", "outputs"), [((8, 8), 1), ((16, 16), 1), ((28, 28), 4), ((32, 32), 4), ((64, 32), 16), ((33, 33), 9)]
)
def test_patch_none_is_the_smallest_that_leaves_256_tokens(size, outputs):
    params = jax.eval_shape(DiT(16, 1, 2).init, jax.random.key(0), jnp.zeros((1, *size, 1)), Context())["params"]
    assert params["out"]["bias"].size == outputs  # patch * patch values per token


def test_unet_names_sizes_that_work():
    with pytest.raises(UserError, match="multiples of 8, and the images are 28x30; sizes that work: 32x32"):
        jax.eval_shape(UNet().init, jax.random.key(0), jnp.zeros((1, 28, 30, 3)), Context())
