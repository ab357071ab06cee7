"""Models of a codec's latents by any other family: latent diffusion, Rombach et al. 2022 (arXiv:2112.10752).

z = (encode(x) - mean) / std      the codec is a trained run's, and stays as it is
x = decode(std z + mean)          of the z that the model draws
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.types import Alarm, Batch, Cond, LossFn, Params, PyTree, TrainState

SCALINGS = ("channels", "one", "none")


@dataclasses.dataclass(frozen=True)
class Latent:
    """A `model`, of any family, of what the codec makes of the data: `latents`, then scaled.

    codec: {"workdir": DIR}, a trained run of a family that encodes and decodes: VAE, Autoencoder.
    scaling: by the mean and standard deviation of each channel in the first batch ("channels"), by one standard
    deviation of them all (Rombach et al. 2022, appendix G: "one"), or not at all ("none"). They stand in extra.
    cached: batches hold the latents in place of x (tasks/latent_cache.py).

    Raises:
      UserError: a codec that has no latents, an unknown scaling, a model of other than the latents' shape.
    """

    codec: Any
    model: Any
    scaling: str = "channels"
    cached: bool = False

    def __post_init__(self):
        if not hasattr(self.codec, "latent_shape"):
            raise UserError(
                f"family.codec is a {type(self.codec).__name__}, which has no latents to model; name the run of an "
                "autoencoder, such as configs/vae/kl_autoencoder.py"
            )
        if self.scaling not in SCALINGS:
            raise unknown("family.scaling", self.scaling, SCALINGS)
        if not hasattr(self.model, "losses"):
            raise UserError(f"family.model is a {type(self.model).__name__}; it has to be a family, such as Diffusion")

    @property
    def conditioning(self) -> Any:
        """The model's."""
        return self.model.conditioning

    @property
    def cond_keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.model.cond_keys, *self.codec.cond_keys)))

    @property
    def alarms(self) -> Mapping[str, Alarm]:
        """The model's."""
        return getattr(self.model, "alarms", {})

    @property
    def losses(self) -> Mapping[str, LossFn]:
        return {player: self._on_latents(loss) for player, loss in self.model.losses.items()}

    def check_batch(self, batch_size: int) -> None:
        """Raises UserError for a batch size that the model cannot use."""
        if hasattr(self.model, "check_batch"):
            self.model.check_batch(batch_size)

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, PyTree], PyTree]:
        codec_key, model_key = jax.random.split(key)
        params, extra = self.codec.init(codec_key, batch)  # their shapes; the trained ones take their place
        shape = self.codec.latent_shape
        latents = {**batch, "x": jnp.zeros((batch["x"].shape[0], *shape))}
        own, model = self.model.init(model_key, latents)
        scale = jnp.zeros(shape[-1])  # a standard deviation of 0: not measured yet
        return own, {"codec": {"params": params, "extra": extra}, "model": model, "mean": scale, "std": scale}

    def sample(self, params: Params, extra: PyTree, keys: jax.Array, cond: Cond) -> jax.Array:
        own = {k: cond[k] for k in self.model.cond_keys}
        return self.decode(params, extra, self.model.sample(params, extra["model"], keys, own), cond)

    def decode(
        self, params: Params, extra: PyTree, z: jax.Array, cond: Cond, keys: jax.Array | None = None
    ) -> jax.Array:
        """Scaled latents [b, *latent_shape] -> x [b, ...] in [-1, 1]."""
        codec, own = extra["codec"], {k: cond[k] for k in self.codec.cond_keys}
        return self.codec.decode(codec["params"], codec["extra"], z * extra["std"] + extra["mean"], own)

    def settle(self, params: Params, extra: PyTree, key: jax.Array) -> PyTree:
        """`extra` as it is sampled with."""
        if not hasattr(self.model, "settle"):
            return extra
        return {**extra, "model": self.model.settle(params, extra["model"], key)}

    def latents(self, extra: PyTree, batch: Batch) -> jax.Array:
        """What the codec makes of x [b, ...], before scaling: [b, *latent_shape]."""
        codec, cond = extra["codec"], {k: batch[k] for k in self.codec.cond_keys}
        z = self.codec.encode(codec["params"], codec["extra"], batch["x"], cond)
        return jax.lax.stop_gradient(z.astype(jnp.float32))

    def _on_latents(self, loss: LossFn) -> LossFn:
        """A loss of the model as one of the data."""

        def of_data(params: Params, state: TrainState, batch: Batch, key: jax.Array):
            z = batch["x"] if self.cached else self.latents(state.extra, batch)
            mean, std = self._scale(state.extra, z)
            inner = {**batch, "x": (z - mean) / std}
            value, (metrics, extra) = loss(params, state.replace(extra=state.extra["model"]), inner, key)
            return value, (metrics, {**state.extra, "model": extra, "mean": mean, "std": std})

        return of_data

    def _scale(self, extra: PyTree, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation [c]: those in extra, or before the first step those of z."""
        axes = tuple(range(z.ndim - 1))
        mean, std = z.mean(axes), z.std(axes) + 1e-6  # a channel that never changes stays finite
        if self.scaling == "one":
            mean, std = jnp.zeros_like(mean), jnp.full_like(std, z.std() + 1e-6)
        if self.scaling == "none":
            mean, std = jnp.zeros_like(mean), jnp.ones_like(std)
        measured = extra["std"] > 0
        return jnp.where(measured, extra["mean"], mean), jnp.where(measured, extra["std"], std)
