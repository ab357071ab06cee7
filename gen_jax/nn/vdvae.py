"""Very deep VAE, Child 2020 (arXiv:2011.10650): encoder upwards, then a chain of latent layers from coarse to fine.

A layer (fig. 3) reads the state x [b, h, w, width] of the way down and, to infer, the encoder's activations a at its
resolution:

p(z|..) = N(m_p, s_p), and h = block(x)        the prior, which also moves the state: x + h
q(z|..) = N(m_q, s_q)  = block([x, a])         the posterior
x <- resblock(x + h + dense(z))                with z drawn from the posterior, or from the prior to sample
"""

import itertools
import math
from collections.abc import Callable

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.nn.conditioning import Context
from gen_jax.nn.layers import FiLM, image_size, xavier_uniform
from gen_jax.random import fold, normal

Levels = tuple[tuple[int, int], ...]
"""(side, blocks) of each resolution."""


class Inferred(flax.struct.PyTreeNode):
    """What draws from the posteriors say.

    out: [b, h, w, c * channels_per_value]. kl: [b, layers], the divergence of each layer's posterior from its prior,
    given the draws above. log_ratio: [b, layers], log q(z) - log p(z) of the draws; its mean is kl. latents: [b, n],
    the draws of all layers."""

    out: jax.Array
    kl: jax.Array
    log_ratio: jax.Array
    latents: jax.Array


class Normal(flax.struct.PyTreeNode):
    """A diagonal normal law [b, h, w, latent]."""

    mean: jax.Array
    log_std: jax.Array


Choose = Callable[[int, Normal, Normal | None], jax.Array]
"""(layer, prior, posterior or None) -> z [b, h, w, latent]."""


class VDVAE(nn.Module):
    """Images [b, h, w, c] -> Inferred; `draw`, `encode` and `decode` are the other ways through the same layers.

    encoder: (side, blocks) from the finest resolution to the coarsest, means of pixels between them; decoder: (side,
    layers) from the coarsest to the finest, nearest neighbours between them. latent: channels of each layer's z.
    bottleneck: the width of the blocks' inner convolutions, as a share of `width`. context.vector enters every block by
    a FiLM that starts as the identity; context.keys are read where something is drawn.

    As in the authors' program a resolution of up to 64 starts from a learned bias, the last convolution of the prior's
    block is zero at the start, and those of the residual blocks and of z are scaled by 1 / sqrt(blocks). Its
    encoder hands on what the last but one block of a resolution gives, this one what the last gives.

    shape: one example's; filled from the data. Output float32. Raises UserError for levels that do not follow on each
    other or begin and end at the images' size.
    """

    shape: tuple[int, ...]
    encoder: Levels
    decoder: Levels
    width: int = 384
    latent: int = 16
    bottleneck: float = 0.25
    channels_per_value: int = 1
    dtype: str = "float32"

    @property
    def sides(self) -> tuple[int, ...]:
        """The resolution of each layer, in order."""
        return tuple(side for side, layers in self.decoder for _ in range(layers))

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many latents each layer has, for one example."""
        return tuple(side * side * self.latent for side in self.sides)

    def __call__(self, x: jax.Array, context: Context, train: bool = False) -> Inferred:
        """One draw of every layer's latents from its posterior, by the keys of the context."""
        image_size(x, "VDVAE")
        keys = self._keys(context)
        kl, log_ratio, latents = [], [], []

        def choose(layer: int, p: Normal, q: Normal | None) -> jax.Array:
            assert q is not None
            eps = normal(fold(keys, layer), q.mean.shape[1:])
            z = q.mean + jnp.exp(q.log_std) * eps
            of_prior = (z - p.mean) * jnp.exp(-p.log_std)
            kl.append(_sum(_divergence(q, p)))
            log_ratio.append(_sum(p.log_std - q.log_std + 0.5 * (jnp.square(of_prior) - jnp.square(eps))))
            latents.append(z.reshape(len(z), -1))
            return z

        out = self._run(x, context, choose)
        return Inferred(out, jnp.stack(kl, 1), jnp.stack(log_ratio, 1), jnp.concatenate(latents, 1))

    def encode(self, x: jax.Array, context: Context, train: bool = False) -> jax.Array:
        """The means of the layers' posteriors [b, n], each given the means above it."""
        latents = []

        def choose(layer: int, p: Normal, q: Normal | None) -> jax.Array:
            assert q is not None
            latents.append(q.mean.reshape(len(q.mean), -1))
            return q.mean

        self._run(x, context, choose)
        return jnp.concatenate(latents, 1)

    def decode(self, latents: jax.Array, context: Context, train: bool = False) -> jax.Array:
        """The output [b, h, w, c * channels_per_value] of the latents of all layers [b, n]."""
        ends = [sum(self.sizes[: i + 1]) for i in range(len(self.sizes))]
        parts = jnp.split(latents, ends[:-1], axis=1)
        return self._run(None, context, lambda layer, p, q: parts[layer].reshape(p.mean.shape), len(latents))

    def draw(self, temperature: jax.Array, context: Context, train: bool = False) -> jax.Array:
        """The output for latents from the priors, whose standard deviations are multiplied by the temperature []."""
        keys = self._keys(context)

        def choose(layer: int, p: Normal, q: Normal | None) -> jax.Array:
            return p.mean + temperature * jnp.exp(p.log_std) * normal(fold(keys, layer), p.mean.shape[1:])

        return self._run(None, context, choose, len(keys))

    @nn.compact
    def _run(self, x: jax.Array | None, context: Context, choose: Choose, b: int = 0) -> jax.Array:
        """The way up, where there is an image, and down: the output for the latents that are chosen."""
        self._check()
        context.only("vector", network="VDVAE")
        inner, vector = max(1, round(self.width * self.bottleneck)), context.vector
        block = lambda name, side, **how: _Block(inner, 3 if side > 2 else 1, self.dtype, name=name, **how)  # noqa: E731
        conv = lambda name, n, init, dtype=self.dtype: nn.Conv(n, (1, 1), dtype=dtype, kernel_init=init, name=name)  # noqa: E731

        activations = {}
        if x is not None:
            b, scale = len(x), _share(self.encoder)
            x = nn.Conv(self.width, (3, 3), dtype=self.dtype, kernel_init=xavier_uniform, name="in")(x)
            for at, (side, blocks) in enumerate(self.encoder):
                x = x if not at else _averaged(x, self.encoder[at - 1][0] // side)
                for i in range(blocks):
                    x = x + block(f"up_{side}_{i}", side, outputs=self.width, scale=scale)(x, vector)
                activations[side] = x

        scale, state = _share(self.decoder), None
        for i, side in enumerate(self.sides):
            name = f"layer_{i}"
            if state is None or state.shape[1] != side:
                start = jnp.zeros((1, side, side, self.width))
                if side <= 64:
                    start = self.param(f"start_{side}", nn.initializers.zeros, start.shape[1:])[None]
                above = 0 if state is None else _repeated(state, side // state.shape[1])
                state = jnp.broadcast_to(start.astype(self.dtype), (b, side, side, self.width)) + above
            prior = block(f"{name}_prior", side, outputs=2 * self.latent + self.width, scale=0.0)(state, vector)
            p, moved = _normal(prior[..., : 2 * self.latent]), prior[..., 2 * self.latent :]
            q = None
            if x is not None:
                seen = jnp.concatenate([state, activations[side]], axis=-1)
                q = _normal(block(f"{name}_posterior", side, outputs=2 * self.latent)(seen, vector))
            z = choose(i, p, q).astype(self.dtype)
            state = state + moved + conv(f"{name}_z", self.width, _scaled(scale))(z)
            state = state + block(f"{name}_residual", side, outputs=self.width, scale=scale)(state, vector)
        assert state is not None
        gain = self.param("gain", nn.initializers.ones, (self.width,))
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        state = state.astype(jnp.float32) * gain + bias
        return conv("out", self.shape[-1] * self.channels_per_value, xavier_uniform, "float32")(state)

    def _keys(self, context: Context) -> jax.Array:
        if context.keys is None:
            raise UserError("VDVAE draws latents, and its context has no keys")
        return context.keys

    def _check(self) -> None:
        up, down = ([side for side, _ in levels] for levels in (self.encoder, self.decoder))
        if len(self.shape) != 3 or self.shape[0] != self.shape[1] or up[:1] != [self.shape[0]]:
            raise UserError(
                f"VDVAE encoder={self.encoder} begins at the side of square images, theirs are {self.shape}"
            )
        if down != up[::-1]:
            raise UserError(f"VDVAE decoder={self.decoder} has the encoder's sides in reverse: {up[::-1]}")
        for fine, coarse in itertools.pairwise(up):
            if fine <= coarse or fine % coarse:
                raise UserError(f"VDVAE encoder={self.encoder}: {coarse} has to divide {fine}, the side before it")
        if any(blocks < 1 for _, blocks in (*self.encoder, *self.decoder)):
            raise UserError(f"VDVAE encoder={self.encoder}, decoder={self.decoder}: a side has at least 1 block")


class _Block(nn.Module):
    """GELU and convolution four times, 1x1, kernel, kernel and 1x1, with FiLM after the first: [b, h, w, outputs]. The
    last convolution's kernel is multiplied by `scale` at the start."""

    inner: int
    kernel: int
    dtype: str
    outputs: int
    scale: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None) -> jax.Array:
        for i, (size, width) in enumerate(
            ((1, self.inner), (self.kernel, self.inner), (self.kernel, self.inner), (1, self.outputs))
        ):
            init = _scaled(self.scale) if i == 3 else xavier_uniform
            conv = nn.Conv(width, (size, size), dtype=self.dtype, kernel_init=init, name=f"conv_{i}")
            x = conv(nn.gelu(x, approximate=False))
            if i == 0:
                x = FiLM(self.dtype, name="film")(x, vector)
        return x


def _scaled(scale: float) -> nn.initializers.Initializer:
    return lambda key, shape, dtype=jnp.float32: scale * xavier_uniform(key, shape, dtype)


def _share(levels: Levels) -> float:
    return 1 / math.sqrt(sum(blocks for _, blocks in levels))


def _normal(x: jax.Array) -> Normal:
    return Normal(*jnp.split(x.astype(jnp.float32), 2, axis=-1))


def _divergence(q: Normal, p: Normal) -> jax.Array:
    """KL(q || p), value by value."""
    square = jnp.exp(2 * (q.log_std - p.log_std)) + jnp.square((q.mean - p.mean) * jnp.exp(-p.log_std))
    return 0.5 * (square - 1) + p.log_std - q.log_std


def _sum(x: jax.Array) -> jax.Array:
    return x.reshape(len(x), -1).sum(1)


def _averaged(x: jax.Array, factor: int) -> jax.Array:
    """The mean of every factor x factor pixels."""
    b, h, w, c = x.shape
    return x.reshape(b, h // factor, factor, w // factor, factor, c).mean((2, 4))


def _repeated(x: jax.Array, factor: int) -> jax.Array:
    """Every pixel factor x factor times."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (b, h, factor, w, factor, c))
    return x.reshape(b, factor * h, factor * w, c)
