"""EDM2's magnitude-preserving U-Net, its embedding of the noise, and the head that learns a loss's weight.

Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models" (arXiv:2312.02696), config G.
Every layer keeps the expected magnitude E[x^2] of its inputs, so there are no norms of groups and no biases.

    w^ = w / rms(w)                                     over all axes of a weight but its output axis, eq. 47
    mp_sum(a, b, t) = ((1 - t) a + t b) / sqrt((1 - t)^2 + t^2)                                    eq. 88

The layers' gains follow w^ alone, so a weight's own length does nothing but set its effective learning rate. The paper
therefore rescales the stored weights to w^ after every update (eq. 66), which is an optimizer's affair. All of these
parameters, and no others, are leaves named "weight" whose last axis is the output.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from gen_jax.errors import UserError
from gen_jax.nn.attention import attend, heads_of
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import Dropout, check_levels, image_size
from gen_jax.nn.resample import resampled
from gen_jax.types import Cond


class EDM2UNet(nn.Module):
    """A U-Net on images: [b, h, w, c] -> [b, h, w, c * channels_per_value], float32; its output starts at zero.

    context.vector should have elements of magnitude one, as EDM2Conditioning's do; any vector is taken as it is.
    context.spatial [b, h, w, k] is concatenated on the channels. Input and target should have magnitude one as well,
    as EDM's preconditioning gives them. For ImageNet-512, on latents 64x64x4, with nn.EDM2Conditioning(width=4 * width,
    noise_features=width, num_classes=1000):

        XS: width 128 (124.7M parameters)   S: 192 (280.2M)   M: 256   L: 320   XL: 384   XXL: 448

    width, multipliers: channels of level i are width * multipliers[i], and each level halves the last one's size.
    blocks: residual blocks per level, one more on the way up. attention: heights of the levels with attention.
    head_width: channels of each head. dropout: 0 for XS and S, 0.1 for the larger. residual_balance,
    attention_balance, concat_balance: t of mp_sum, and of mp_cat for the skips. clip: of every block's output, against
    overflow in float16.
    attention_impl: nn/attention.py. remat: recompute the blocks' activations in the backward pass, to save memory.

    Raises UserError when x is not images, and for sizes that cannot be halved so often or a head_width that does not
    divide.
    """

    width: int = 192
    multipliers: tuple[int, ...] = (1, 2, 3, 4)
    blocks: int = 3
    attention: tuple[int, ...] = (16, 8)
    head_width: int = 64
    dropout: float = 0.0
    residual_balance: float = 0.3
    attention_balance: float = 0.3
    concat_balance: float = 0.5
    clip: float = 256.0
    channels_per_value: int = 1
    attention_impl: str = "auto"
    remat: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        _, h, w, c = image_size(x, "EDM2UNet")
        context.only("vector", "spatial", network="EDM2UNet")
        check_levels(h, w, len(self.multipliers), "EDM2UNet")
        block_class = nn.remat(EDM2Block, static_argnums=(3,)) if self.remat else EDM2Block
        widths, last = [self.width * m for m in self.multipliers], len(self.multipliers) - 1
        vector = None if context.vector is None else mp_silu(context.vector.astype(self.dtype))

        def block(x: jax.Array, features: int, name: str, attention: bool = False, how: str = "keep") -> jax.Array:
            head_width = self.head_width if attention else None
            decoder = name.startswith(("up", "middle"))
            options = (features, decoder, how, head_width, self.dropout, self.residual_balance, self.attention_balance)
            return block_class(*options, self.clip, self.attention_impl, name=name)(x, vector, train)

        if context.spatial is not None:
            x = jnp.concatenate([x, context.spatial], axis=-1)
        x = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)  # in place of a bias
        x = MPConv(widths[0], name="in")(x.astype(self.dtype))
        skips = [x]
        for i in range(last + 1):
            if i > 0:
                x = block(x, x.shape[-1], f"downsample_{i}", how="down")
                skips.append(x)
            for j in range(self.blocks):
                x = block(x, widths[i], f"down_{i}_{j}", attention=x.shape[1] in self.attention)
                skips.append(x)

        x = block(x, x.shape[-1], "middle_0", attention=True)
        x = block(x, x.shape[-1], "middle_1")

        for i in reversed(range(last + 1)):
            if i < last:
                x = block(x, x.shape[-1], f"upsample_{i}", how="up")
            for j in range(self.blocks + 1):
                x = mp_cat(x, skips.pop(), self.concat_balance)
                x = block(x, widths[i], f"up_{i}_{j}", attention=x.shape[1] in self.attention)

        gain = self.param("gain", nn.initializers.zeros, ())
        return MPConv(c * self.channels_per_value, name="out")(x.astype(jnp.float32), gain)


class EDM2Block(nn.Module):
    """A block of the encoder or decoder (figure 21): x [b, h, w, c] -> [b, h, w, features], in x's dtype.

    vector: [b, d] after mp_silu, or None; its gain starts at zero. head_width: of attention, None without.
    """

    features: int
    decoder: bool = False
    resample: str = "keep"
    head_width: int | None = None
    dropout: float = 0.0
    residual_balance: float = 0.3
    attention_balance: float = 0.3
    clip: float = 256.0
    attention_impl: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None, train: bool = False) -> jax.Array:
        x = resampled(x, self.resample)
        skip = MPConv(self.features, (1, 1), name="skip") if x.shape[-1] != self.features else lambda x: x
        if not self.decoder:
            x = pixel_norm(skip(x))

        y = MPConv(self.features, name="conv_0")(mp_silu(x))
        if vector is not None:
            gain = self.param("gain", nn.initializers.zeros, ())
            y = y * (1 + MPConv(self.features, (), name="vector")(vector, gain)[:, None, None, :])
        y = Dropout(self.dropout)(mp_silu(y), train)
        y = MPConv(self.features, name="conv_1")(y)
        x = mp_sum(skip(x) if self.decoder else x, y, self.residual_balance)

        if self.head_width is not None:
            x = mp_sum(x, self._attend(x, self.head_width), self.attention_balance)
        return jnp.clip(x, -self.clip, self.clip)

    def _attend(self, x: jax.Array, width: int) -> jax.Array:
        """Cosine attention: queries, keys and values are pixel-normalised in every head."""
        b, h, w, c = x.shape
        qkv = MPConv(3 * c, (1, 1), name="qkv")(x).reshape(b, h * w, 3, heads_of(c, width), width)
        qkv = pixel_norm(qkv)
        y = attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], impl=self.attention_impl)
        return MPConv(c, (1, 1), name="attention_out")(y.reshape(b, h, w, c))


class EDM2Conditioning(nn.Module):
    """cond -> Context, in place of nn.Conditioning: a vector [b, width] of magnitude one (figure 21).

    noise: float32 [b], log(sigma) / 4 in the paper, through Fourier features and one layer. label: int32 [b], read when
    num_classes > 0; -1 is the null label and adds nothing. Both are joined by mp_sum with t = label_balance.
    image, mask, estimate: [b, h, w, c] each, concatenated in this order to context.spatial.

    noise_features: None for `width`. Raises UserError when a label is to be read, or the noise, and cond has none.
    """

    width: int
    num_classes: int = 0
    noise_features: int | None = None
    label_balance: float = 0.5

    @property
    def keys(self) -> tuple[str, ...]:
        """The conditions that are read from the data."""
        return ("label",) if self.num_classes else ()

    @nn.compact
    def __call__(self, cond: Cond) -> Context:
        for name in ("noise", *self.keys):
            if name not in cond:
                raise UserError(f"EDM2Conditioning reads a {name} and was given: {', '.join(cond) or 'nothing'}")
        features = mp_fourier(cond["noise"], self.noise_features or self.width)
        vector = MPConv(self.width, (), name="noise")(features)
        if self.num_classes:
            weight = self.param("weight", _unit_normal, (self.num_classes, self.width))
            # A one-hot of length sqrt(num_classes) picks a row; beyond the table jnp.take gives NaN.
            rows = jnp.take(normalized(weight), jnp.maximum(cond["label"], 0), axis=0)
            rows = jnp.where(cond["label"][:, None] < 0, 0.0, rows)
            vector = mp_sum(vector, rows, self.label_balance)
        spatial = [cond[name] for name in ("image", "mask", "estimate") if name in cond]
        return Context(vector=vector, spatial=jnp.concatenate(spatial, axis=-1) if spatial else None)


class Uncertainty(nn.Module):
    """u(noise), [b] -> [b] float32: the learned logarithm of the loss at a noise level, for the loss L / exp(u) + u.

    Equations 14 and 21: at its optimum u is the log of the expected L, so all noise levels count alike. Fourier
    features, then one layer without bias. It starts at zero, which weighs nothing, where EDM2 starts at random.
    features: of the noise; bandwidth: of their frequencies, for a noise number of about unit range.
    """

    features: int = 128
    bandwidth: float = 1.0

    @nn.compact
    def __call__(self, noise: jax.Array) -> jax.Array:
        x = mp_fourier(noise, self.features, self.bandwidth) / math.sqrt(self.features)
        return nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros, name="out")(x)[:, 0]


class MPConv(nn.Module):
    """x [b, ..., c] -> [b, ..., features] in x's dtype, a convolution, or a matrix for kernel=(): equation 47.

    The weight, drawn from a standard normal, is normalised and divided by sqrt(fan in), and multiplied by `gain`.
    """

    features: int
    kernel: tuple[int, ...] = (3, 3)

    @nn.compact
    def __call__(self, x: jax.Array, gain: jax.Array | float = 1.0) -> jax.Array:
        weight = self.param("weight", _unit_normal, (*self.kernel, x.shape[-1], self.features))
        weight = normalized(weight) * (gain / math.sqrt(math.prod(weight.shape[:-1])))
        weight = weight.astype(x.dtype)
        if math.prod(self.kernel) == 1:
            return x @ weight.reshape(x.shape[-1], self.features)
        return jax.lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def normalized(weight: jax.Array) -> jax.Array:
    """A weight [..., outputs] divided by its root mean square over all axes but the last."""
    return weight / _rms(weight, tuple(range(weight.ndim - 1)))


def pixel_norm(x: jax.Array) -> jax.Array:
    """x [..., d] divided by its root mean square over d (equation 30)."""
    return x / _rms(x, (-1,)).astype(x.dtype)


def mp_silu(x: jax.Array) -> jax.Array:
    """silu divided by the magnitude that it gives to standard normal inputs (equation 81)."""
    return nn.silu(x) / 0.596


def mp_sum(a: jax.Array, b: jax.Array, t: float) -> jax.Array:
    """From a (t = 0) to b (t = 1), with the magnitude of both when they are independent (equation 88)."""
    return ((1 - t) * a + t * b) / math.hypot(1 - t, t)


def mp_cat(a: jax.Array, b: jax.Array, t: float) -> jax.Array:
    """[..., d_a] and [..., d_b] -> [..., d_a + d_b], of magnitude one, b with the weight t (equation 103)."""
    d_a, d_b = a.shape[-1], b.shape[-1]
    c = math.sqrt(d_a + d_b) / math.hypot(1 - t, t)
    return jnp.concatenate([(1 - t) * c / math.sqrt(d_a) * a, t * c / math.sqrt(d_b) * b], axis=-1)


def mp_fourier(x: jax.Array, features: int, bandwidth: float = 1.0) -> jax.Array:
    """sqrt(2) cos(2 pi (f x + p)) of x [b], for normal f and uniform p: [b, features] float32 (equation 75).

    f are the normal law's quantiles at equal steps, and p the multiples of the golden ratio, in place of a draw: they
    are the same on every machine and need not be saved.
    """
    i = np.arange(features)
    frequencies, phases = bandwidth * ndtri((i + 0.5) / features), i * (math.sqrt(5) - 1) / 2 % 1
    angles = x.astype(jnp.float32)[:, None] * frequencies.astype(np.float32) + phases.astype(np.float32)
    return math.sqrt(2) * jnp.cos(2 * math.pi * angles)


def _rms(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """Root mean square over `axes`, which are kept, float32, plus 1e-4. Its derivative is finite where x is zero."""
    return jnp.sqrt(jnp.mean(jnp.square(x.astype(jnp.float32)), axis=axes, keepdims=True) + 1e-20) + 1e-4


def _unit_normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    # Drawn flat, as in `xavier_uniform`.
    return jax.random.normal(key, (math.prod(shape),)).reshape(shape)
