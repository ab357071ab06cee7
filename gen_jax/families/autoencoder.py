"""Autoencoders that are the first stage of other models: VQ-VAE, FSQ, KL autoencoders, and VQGAN with a discriminator.

With D the decoder, E the encoder and Q the bottleneck (nn/quantize.py), x' = D(Q(E(x))) and

    loss = -log p(x | x') / n + perceptual_weight LPIPS(x, x') + Q's own loss + lambda disc_weight G(x')

n: values of an example; G: what the generator of a GAN pays (losses/adversarial.py). lambda, Esser et al. 2021
(arXiv:2012.09841, eq. 7): the ratio of the norms of the gradients of the first two terms and of G, both with respect to
the kernel of the decoder's last layer.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.families.gan import GAN
from gen_jax.families.pix2pix import create_critic, critic, disc_loss
from gen_jax.losses.penalties import Penalty
from gen_jax.losses.perceptual import Perceptual
from gen_jax.losses.reconstruction import Likelihood
from gen_jax.nn.conditioning import Conditioned, Conditioning
from gen_jax.nn.features import layer_outputs
from gen_jax.nn.quantize import Bottleneck
from gen_jax.random import example_keys, fold, normal
from gen_jax.types import Alarm, Batch, Cond, LossFn, Params, PyTree, TrainState

DRAWS = ("reconstructions", "prior")
MOST = 1e4
"""Of the adaptive weight, as published."""


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """encoder: x [b, ...] -> [b, ..., bottleneck.channels]; decoder: [b, ..., bottleneck.width] -> [b, ..., c *
    channels] of the reconstruction, one of losses/reconstruction.py. One player, `model`; with a discriminator x ->
    logits of patches two, `disc` and `autoencoder`.

    perceptual: one of losses/perceptual.py. loss, disc_penalties: of the discriminator. disc_start: the step from which
    on it is trained and heard. adaptive: whether lambda is as above, or 1. matching: of the discriminator's layers by
    name, the weight of the mean absolute difference between what they say of x and of x' (feature matching, Wang et al.
    2018, arXiv:1711.11585, eq. 3): a perceptual loss that needs nobody's weights; from disc_start on, too.

    draws: what samples are, "reconstructions" of the test split's images (or of gen_jax.sample --source), or draws from
    the "prior": uniform codes, or standard normal latents, which no such model was trained to have. A second stage
    learns what they are.

    A codec, which second stages are trained on: latent_shape, encode, decode and, of discrete codes, num_codes,
    token_shape, tokens, from_tokens. They take the whole params and extra of a TrainState.

    Raises:
      UserError: what cannot go together, or a number out of range; networks that do not fit.
    """

    encoder: nn.Module
    decoder: nn.Module
    bottleneck: Bottleneck
    conditioning: Conditioning
    reconstruction: Likelihood
    shape: tuple[int, ...]
    perceptual: Perceptual | None = None
    perceptual_weight: float = 1.0
    discriminator: nn.Module | None = None
    loss: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]] | None = None
    disc_weight: float = 1.0
    disc_start: int = 0
    adaptive: bool = True
    disc_penalties: Mapping[str, Penalty] = dataclasses.field(default_factory=dict)
    matching: Mapping[str, float] = dataclasses.field(default_factory=dict)
    draws: str = "reconstructions"

    def __post_init__(self):
        if self.draws not in DRAWS:
            raise UserError(f"family.draws={self.draws}: it is one of {', '.join(DRAWS)}")
        if (self.discriminator is None) != (self.loss is None):
            raise UserError("family.discriminator and family.loss go together: give both, or neither")
        for name in ("disc_penalties", "matching"):
            if getattr(self, name) and self.discriminator is None:
                raise UserError(f"family.{name} is of a discriminator, and there is none")
        for name in ("perceptual_weight", "disc_weight", "disc_start"):
            if getattr(self, name) < 0:
                raise UserError(f"family.{name}={getattr(self, name)}: it cannot be below 0")

    @property
    def alarms(self) -> Mapping[str, Alarm]:
        """Those of a discriminator, and one for codes that nobody uses."""
        says = "hardly any code of the codebook is used: codebook collapse"
        fix = "revive=0.03 of the codebook, cosine=True, fewer codes, or FSQ, which has no codebook to collapse"
        prefix = "" if self.discriminator is None else "autoencoder/"
        return {**GAN.alarms, f"{prefix}used": Alarm(says, fix, low=0.02, patience=10)}

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return self.conditioning.keys

    @property
    def sample_keys(self) -> tuple[str, ...]:
        """The conditions that `sample` reads: the image that is to be reconstructed too."""
        return ("image", *self.cond_keys) if self.draws == "reconstructions" else self.cond_keys

    @property
    def player(self) -> str:
        """The one that holds the encoder and the decoder."""
        return "model" if self.discriminator is None else "autoencoder"

    @property
    def losses(self) -> Mapping[str, LossFn]:
        if self.discriminator is None:
            return {"model": self._loss}
        return {"disc": self._disc_loss, "autoencoder": self._loss}

    @functools.cached_property
    def latent_shape(self) -> tuple[int, ...]:
        """Of one example's latents."""
        return (*self._encoded_shape[:-1], self.bottleneck.width)

    @property
    def num_codes(self) -> int:
        """Size of the vocabulary; quantizers only, as the next three."""
        return self.bottleneck.num_codes  # type: ignore[attr-defined]

    @property
    def token_shape(self) -> tuple[int, ...]:
        """Of one example's tokens."""
        return self.bottleneck.token_shape(self._encoded_shape)  # type: ignore[attr-defined]

    def tokens(self, params: Params, extra: PyTree, x: jax.Array, cond: Cond) -> jax.Array:
        """x [b, ...] -> int32 [b, *token_shape] in [0, num_codes)."""
        own = params[self.player]
        return self.bottleneck(own["bottleneck"], extra["bottleneck"], self._encode(own, x, cond)).tokens

    def from_tokens(self, params: Params, extra: PyTree, tokens: jax.Array, cond: Cond) -> jax.Array:
        """Tokens [b, *token_shape] -> latents [b, *latent_shape], for `decode`."""
        return self.bottleneck.lookup(params[self.player]["bottleneck"], extra["bottleneck"], tokens)  # type: ignore[attr-defined]

    def encode(self, params: Params, extra: PyTree, x: jax.Array, cond: Cond) -> jax.Array:
        """x [b, ...] -> latents [b, *latent_shape]: quantized, or the posterior's mean."""
        own = params[self.player]
        return self.bottleneck.deterministic(own["bottleneck"], extra["bottleneck"], self._encode(own, x, cond))

    def decode(
        self, params: Params, extra: PyTree, z: jax.Array, cond: Cond, keys: jax.Array | None = None
    ) -> jax.Array:
        """Latents [b, *latent_shape] -> x [b, ...] in [-1, 1]. Nothing of it is drawn, so keys are not read."""
        return self.reconstruction.mean(self._decode(params[self.player], z, cond))

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        encoder_key, middle_key, decoder_key, disc_key, other_key = jax.random.split(key, 5)
        cond, x = self._cond(batch), batch["x"]
        name, channels = type(self.bottleneck).__name__, self.bottleneck.channels
        given = self._encoded_shape
        if given[-1] != channels:
            raise UserError(
                f"the {name} takes {channels} channels, and the encoder gives {given[-1]}: set its channels"
            )
        encoder = self._encoder.init(encoder_key, x, cond)
        decoder_hint = f"{type(self.reconstruction).__name__} needs a decoder of the data's shape with "
        decoder_hint += f"channels_per_value={self.reconstruction.channels}"
        z = jnp.zeros((x.shape[0], *self.latent_shape))
        shape = (*x.shape[1:-1], x.shape[-1] * self.reconstruction.channels)
        decoder = self._decoder.create(decoder_key, z, cond, shape, decoder_hint)
        middle, state = self.bottleneck.init(middle_key, given)
        own = {"encoder": encoder["params"], "bottleneck": middle, "decoder": decoder}
        extra = {"bottleneck": state}
        if self.perceptual is not None:
            extra["perceptual"] = self.perceptual.init(other_key, x)
        if self.discriminator is None:
            return {"model": own}, extra
        extra["memory"] = {name: penalty.init() for name, penalty in self.disc_penalties.items()}
        if self.adaptive:
            last_kernel(self.decoder, decoder)
        return {"disc": create_critic(self._critic, disc_key, x, cond), "autoencoder": own}, extra

    def load(self) -> dict[str, PyTree]:
        """The perceptual loss's weights, where they are read from files."""
        load = getattr(self.perceptual, "load", None)
        return {} if load is None else {"perceptual": load()}

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        """Reconstructions of cond's image, or draws from the prior, as `draws` says."""
        labels = {name: cond[name] for name in self.cond_keys}
        if self.draws == "reconstructions":
            z = self.encode(params, extra, cond["image"], labels)
        elif hasattr(self, "num_codes"):
            draw = functools.partial(jax.random.randint, shape=self.token_shape, minval=0, maxval=self.num_codes)
            z = self.from_tokens(params, extra, jax.vmap(draw)(keys), labels)
        else:
            z = normal(keys, self.latent_shape)
        return self.decode(params, extra, z, labels)

    def _loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        x, cond, keys = batch["x"], self._cond(batch), example_keys(key, batch)
        own, extra = params[self.player], state.extra
        h = self._encode(own, x, cond, train=True)
        coded = self.bottleneck(own["bottleneck"], extra["bottleneck"], h, fold(keys, 1), train=True)
        out = self._decode(own, coded.z, cond, train=True)
        near, metrics = self._nearness(out, x, extra)
        total = near + coded.loss
        metrics |= {"bottleneck": coded.loss, **coded.metrics}
        if self.discriminator is not None:
            judged = functools.partial(self._judged, params, x, cond, fold(keys, 2))
            adversarial, weight = judged(out), self.disc_weight * self._started(state.step)
            if self.adaptive:
                near_of, gan_of = (lambda out: self._nearness(out, x, extra)[0]), judged
                metrics["adaptive"] = self._adaptive(own, coded.z, cond, near_of, gan_of)
                weight *= metrics["adaptive"]
            total += weight * adversarial
            metrics["adversarial"] = adversarial
        if self.matching:
            metrics["matching"] = self._matched(params, x, self.reconstruction.mean(out), cond)
            total += self._started(state.step) * metrics["matching"]
        return total, (metrics, {**extra, "bottleneck": coded.state})

    def _disc_loss(self, params: Params, state: TrainState, batch: Batch, key: jax.Array):
        x, cond, keys = batch["x"], self._cond(batch), example_keys(key, batch)
        own, extra = params[self.player], state.extra
        h = self._encode(own, x, cond, train=True)
        z = self.bottleneck(own["bottleneck"], extra["bottleneck"], h, fold(keys, 1), train=True).z
        fake = jax.lax.stop_gradient(self.reconstruction.mean(self._decode(own, z, cond, train=True)))
        judge = critic(self._critic, params["disc"], cond, fold(keys, 2))
        assert self.loss is not None
        loss, metrics, memory = disc_loss(
            self.loss, judge, x, fake, self.disc_penalties, extra["memory"], params["disc"], keys, state.step
        )
        return self._started(state.step) * loss, (metrics, {**extra, "memory": memory})

    def _nearness(self, out: jax.Array, x: jax.Array, extra: PyTree) -> tuple[jax.Array, dict[str, jax.Array]]:
        """How far the decoder's output is from x, the first two terms of the loss, and what is reported of it."""
        shown = self.reconstruction.mean(out)
        total = -self.reconstruction.log_prob(x, out).mean() / x[0].size
        metrics = {"reconstruction": total, "psnr": 10 * jnp.log10(4 / jnp.square(shown - x).mean())}
        if self.perceptual is not None:
            metrics["perceptual"] = self.perceptual(extra["perceptual"], shown, x).mean()
            total += self.perceptual_weight * metrics["perceptual"]
        return total, metrics

    def _matched(self, params: Params, x: jax.Array, shown: jax.Array, cond: Cond) -> jax.Array:
        """The weighted mean absolute differences in the discriminator's layers []."""
        variables = {"params": jax.lax.stop_gradient(params["disc"])}
        maps = (layer_outputs(self._critic, variables, y, cond, tuple(self.matching)) for y in (x, shown))
        apart = [jnp.abs(a - b).mean() for a, b in zip(*maps, strict=True)]
        return sum((w * d for w, d in zip(self.matching.values(), apart, strict=True)), jnp.float32(0))

    def _judged(self, params: Params, x: jax.Array, cond: Cond, keys: jax.Array, out: jax.Array) -> jax.Array:
        """G of the decoder's output []."""
        judge = critic(self._critic, params["disc"], cond, keys)
        return self.loss(judge(x), judge(self.reconstruction.mean(out)))[1].mean()  # type: ignore[misc]

    def _adaptive(self, own: PyTree, z: jax.Array, cond: Cond, near: Callable, adversarial: Callable) -> jax.Array:
        """lambda [], a constant of the loss."""
        own, z = jax.lax.stop_gradient((own, z))
        kernel, put = last_kernel(self.decoder, own["decoder"])

        def decode(kernel: jax.Array) -> jax.Array:
            return self._decode({**own, "decoder": put(kernel)}, z, cond, train=True)

        return adaptive_weight(decode, kernel, near, adversarial)

    def _started(self, step: jax.Array) -> jax.Array:
        return (step >= self.disc_start).astype(jnp.float32)

    def _encode(self, own: PyTree, x: jax.Array, cond: Cond, train: bool = False) -> jax.Array:
        return self._encoder.evaluate(own["encoder"], x, cond, train)

    def _decode(self, own: PyTree, z: jax.Array, cond: Cond, train: bool = False) -> jax.Array:
        return self._decoder.evaluate(own["decoder"], z, cond, train)

    def _cond(self, batch: Batch) -> dict[str, jax.Array]:
        return {k: batch[k] for k in self.cond_keys}

    @functools.cached_property
    def _encoded_shape(self) -> tuple[int, ...]:
        """What the encoder makes of one example."""
        cond = {name: jnp.zeros(1, jnp.int32) for name in self.cond_keys}
        out, variables = jax.eval_shape(
            self._encoder.init_with_output, jax.random.key(0), jnp.zeros((1, *self.shape)), cond
        )
        if others := sorted(set(variables) - {"params"}):
            raise UserError(f"the encoder keeps {', '.join(others)} beside its parameters, which only GANs carry")
        return tuple(out.shape[1:])

    @property
    def _encoder(self) -> Conditioned:
        return Conditioned(self.encoder, self.conditioning)

    @property
    def _decoder(self) -> Conditioned:
        return Conditioned(self.decoder, self.conditioning)

    @property
    def _critic(self) -> Conditioned:
        assert self.discriminator is not None
        return Conditioned(self.discriminator, self.conditioning)


def adaptive_weight(
    decode: Callable[[jax.Array], jax.Array],
    kernel: jax.Array,
    near: Callable[[jax.Array], jax.Array],
    adversarial: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """|d near / d kernel| / (|d adversarial / d kernel| + 1e-4) [], at most 1e4: Esser et al. 2021 (arXiv:2012.09841,
    eq. 7, with the constants of the authors' program).

    decode: the last layer's kernel -> the decoder's output; near, adversarial: of that, [] each. A constant: nothing
    flows back through it.
    """
    out, pull = jax.vjp(decode, kernel)
    norms = [jnp.linalg.norm(pull(jax.grad(term)(out))[0].reshape(-1)) for term in (near, adversarial)]
    return jax.lax.stop_gradient(jnp.clip(norms[0] / (norms[1] + 1e-4), 0.0, MOST))


def last_kernel(decoder: nn.Module, params: PyTree) -> tuple[jax.Array, Callable[[jax.Array], PyTree]]:
    """The kernel of the decoder's last layer, and the parameters of the decoder with another one in its place.

    It is that of the layer that the decoder's `last_layer` names, by default "out".

    Raises:
      UserError: there is no such layer.
    """
    path: tuple[Any, ...] = tuple(getattr(decoder, "last_layer", "out").split("/"))
    own = params["network"]
    try:
        kernel = functools.reduce(lambda tree, name: tree[name], (*path, "kernel"), own)
    except KeyError as error:
        raise UserError(
            f"family.adaptive=True reads the last layer of the decoder, and a {type(decoder).__name__} has none named "
            f"{'/'.join(path)}; set adaptive=False"
        ) from error

    def put(kernel: jax.Array) -> PyTree:
        def replaced(tree: PyTree, path: tuple[Any, ...]) -> PyTree:
            return kernel if not path else {**tree, path[0]: replaced(tree[path[0]], path[1:])}

        return {**params, "network": replaced(own, (*path, "kernel"))}

    return kernel, put
