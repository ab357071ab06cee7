"""From a dict of conditions to what networks read, once for every family.

A network is called `network(x, context, train)`; a family applies `Conditioned(network, conditioning)` to (x, cond).
`null` and `drop` take conditions away, for classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from gen_jax.errors import UserError, unknown
from gen_jax.nn.layers import sinusoidal, xavier_uniform
from gen_jax.types import Cond, PyTree

_SMALL = nn.initializers.normal(0.02)


class Context(flax.struct.PyTreeNode):
    """What a network is conditioned on, in the three forms that networks read. None: not given.

    vector: [b, d], read by FiLM or AdaLN. tokens: [b, n, d] with token_mask [b, n] (1: read it), read by
    cross-attention. spatial: [b, h, w, c], concatenated to the image.

    keys: [b], one random key per example, from which a network draws what is random in it: so it depends on the example
    alone, not on the batch; None: nothing is drawn. progress: [] float32, how far a network that grows has grown, in
    stages; None: wholly. Networks that draw nothing, or do not grow, leave them alone.
    """

    vector: jax.Array | None = None
    tokens: jax.Array | None = None
    token_mask: jax.Array | None = None
    spatial: jax.Array | None = None
    keys: jax.Array | None = None
    progress: jax.Array | None = None

    def only(self, *reads: str, network: str) -> "Context":
        """The context itself. Raises UserError if it holds conditions that the network would ignore in silence."""
        conditions = ("vector", "tokens", "token_mask", "spatial")
        ignored = [k for k in conditions if getattr(self, k) is not None and k not in reads]
        if ignored:
            raise UserError(f"{network} reads {', '.join(reads)} of its context and cannot use: {', '.join(ignored)}")
        return self


class Conditioning(nn.Module):
    """cond -> Context. The vector is made of the embeddings of label, noise, span and augment, None without any.

    label: int32 [b], read when num_classes > 0; -1 is the null label, which has an embedding of its own.
    noise: float32 [b], the noise level's number, read when it is there: features, then Dense, silu, Dense.
    span: float32 [b], a second such number with layers of its own: how far a network that predicts steps is to go.
    augment: float32 [b, k], read when it is there: what non-leaking augmentation did, by a Dense without bias.
    image, mask, estimate: [b, h, w, c] each, concatenated in this order to context.spatial.

    mix: "sum" adds the label's embedding to what the noise's layers give (DDPM, ADM, DiT); "mlp" adds it, and
    augment's, to the noise's features before these layers (EDM).
    embedding: "sinusoidal" features of frequencies from 1 to 1e-4, for which noise * noise_scale should span thousands:
    1000 suits t in [0, 1] and log-SNR in [-10, 10] (the slowest wave still tells -10 from 10); take 1 for steps that
    count 0 ... 999. Or "fourier": fixed random frequencies of standard deviation fourier_scale times 2 pi (Tancik et
    al. 2020, arXiv:2006.10739), with noise_scale=1 for log sigma.
    width: of the vector. noise_features: None for `width`; DiT takes 256, DDPM's U-Net of width 128 takes 128 with a
    vector 512 wide.

    Raises UserError when a label is to be read and cond has none, and for an unknown embedding or mix.
    """

    width: int
    num_classes: int = 0
    noise_scale: float = 1000.0
    noise_features: int | None = None
    embedding: str = "sinusoidal"
    fourier_scale: float = 16.0
    mix: str = "sum"
    dtype: str = "float32"

    @property
    def keys(self) -> tuple[str, ...]:
        """The conditions that are read from the data."""
        return ("label",) if self.num_classes else ()

    @nn.compact
    def __call__(self, cond: Cond) -> Context:
        for name, value, known in (
            ("embedding", self.embedding, ("sinusoidal", "fourier")),
            ("mix", self.mix, ("sum", "mlp")),
        ):
            if value not in known:
                raise unknown(f"Conditioning {name}", value, known)
        features = self.noise_features or self.width
        first = self.mix == "mlp" and "noise" in cond
        size = features if first else self.width
        # Beside the noise's features, which are of magnitude one, a small label would be learned late.
        init = nn.initializers.normal(1.0) if first else _SMALL
        others = []
        if self.num_classes:
            others.append(self._label(cond, size, init))
        if "augment" in cond:
            dense = nn.Dense(size, use_bias=False, dtype=self.dtype, kernel_init=init, name="augment")
            others.append(dense(cond["augment"]))
        parts = [] if first else others
        if "noise" in cond:
            parts = [*parts, self._embed(cond["noise"], features, others if first else [], "noise")]
        if "span" in cond:
            parts = [*parts, self._embed(cond["span"], features, [], "span")]
        spatial = [cond[name] for name in ("image", "mask", "estimate") if name in cond]
        return Context(
            vector=sum(parts[1:], parts[0]) if parts else None,
            spatial=jnp.concatenate(spatial, axis=-1) if spatial else None,
        )

    def _label(self, cond: Cond, width: int, init: nn.initializers.Initializer) -> jax.Array:
        if "label" not in cond:
            raise UserError(f"the network reads a label (-1 for none) and was given: {', '.join(cond) or 'nothing'}")
        # Row 0 is the null label's, so that a label beyond the table gives NaN (jnp.take) and not the null.
        embed = nn.Embed(self.num_classes + 1, width, dtype=self.dtype, embedding_init=init, name="label")
        return embed(jnp.maximum(cond["label"], -1) + 1)  # [b, width]

    def _embed(self, level: jax.Array, features: int, added: list[jax.Array], name: str) -> jax.Array:
        """Dense, silu, Dense of the features of `level` [b], to which `added` [b, features] each is added first."""
        level = level.astype(jnp.float32) * self.noise_scale
        if self.embedding == "sinusoidal":
            x = sinusoidal(level, features)
        else:
            init = nn.initializers.normal(self.fourier_scale)
            # A parameter that is not trained, so that it is saved with the network that knows it.
            frequencies = jax.lax.stop_gradient(self.param(f"{name}_frequencies", init, (features // 2,)))
            angles = 2 * jnp.pi * level[:, None] * frequencies
            x = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
        x = sum(added, x)
        kernel: Any = _SMALL if self.mix == "sum" else xavier_uniform  # DiT's, and EDM's
        hidden = nn.Dense(self.width, dtype=self.dtype, kernel_init=kernel, name=f"{name}_in")(x)
        return nn.Dense(self.width, dtype=self.dtype, kernel_init=kernel, name=f"{name}_out")(nn.silu(hidden))


class OneHot(nn.Module):
    """A label alone, as it is: context.vector [b, num_classes] is 1 at the label and 0 elsewhere, all 0 for -1, and NaN
    for a label beyond the classes.

    For networks with embeddings of their own, as R3GAN's: they are linear layers of this vector. num_classes=0: no
    vector. Raises UserError when a label is to be read and cond has none."""

    num_classes: int = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """The conditions that are read from the data."""
        return ("label",) if self.num_classes else ()

    def __call__(self, cond: Cond) -> Context:
        if not self.num_classes:
            return Context()
        if "label" not in cond:
            raise UserError(f"the network reads a label (-1 for none) and was given: {', '.join(cond) or 'nothing'}")
        vector = jax.nn.one_hot(cond["label"], self.num_classes)
        return Context(vector=jnp.where(cond["label"][:, None] < self.num_classes, vector, jnp.nan))


class Conditioned(nn.Module):
    """A network with its conditioning: (x, cond, train) -> network(x, conditioning(cond), train).

    `keys` and `progress` go into the context. A network of several parts may offer them as methods of the same
    arguments; `part` names one of them.
    """

    network: nn.Module
    conditioning: nn.Module

    def __call__(
        self,
        x: jax.Array,
        cond: Cond,
        train: bool = False,
        keys: jax.Array | None = None,
        progress: jax.Array | None = None,
        part: str = "__call__",
    ) -> jax.Array:
        context = self.conditioning(cond).replace(keys=keys, progress=progress)  # type: ignore[operator]
        return getattr(self.network, part)(x, context, train)

    @nn.nowrap
    def create(self, key: jax.Array, x: jax.Array, cond: Cond, shape: tuple[int, ...], hint: str) -> PyTree:
        """New parameters. Raises UserError, with the hint, where the output for one example is not of `shape`, and for
        a network that keeps more than parameters."""
        params, others = self.create_whole(key, x, cond, shape, hint)
        if others:
            network = type(self.network).__name__
            raise UserError(f"the {network} keeps {', '.join(others)} beside its parameters, which only GANs carry")
        return params

    @nn.nowrap
    def create_whole(
        self, key: jax.Array, x: jax.Array, cond: Cond, shape: tuple[int, ...], hint: str, **others: Any
    ) -> tuple[PyTree, dict[str, PyTree]]:
        """New parameters as by `create`, and by collection what else the network keeps (batch statistics)."""
        out, variables = self.init_with_output(key, x, cond, **others)
        if out.shape[1:] != shape:
            network = type(self.network).__name__
            raise UserError(f"the {network} gives {out.shape[1:]} for an example where {shape} is needed: {hint}")
        return variables["params"], {name: tree for name, tree in variables.items() if name != "params"}

    @nn.nowrap
    def evaluate(
        self, params: PyTree, x: jax.Array, cond: Cond, train: bool = False, dropout: jax.Array | None = None
    ) -> jax.Array:
        """The output under `params`; `dropout` is the key of what is random in training."""
        rngs = None if dropout is None else {"dropout": dropout}
        return self.apply({"params": params}, x, cond, train, rngs=rngs)  # type: ignore[return-value]

    @nn.nowrap
    def run(
        self, params: PyTree, kept: Mapping[str, PyTree], x: jax.Array, cond: Cond, train: bool = False, **others: Any
    ) -> tuple[jax.Array, dict[str, PyTree]]:
        """The output under `params` and what else the network keeps, and that as it is afterwards."""
        variables = {"params": params, **kept}
        if not (train and kept):
            return self.apply(variables, x, cond, train, **others), dict(kept)  # type: ignore[return-value]
        return self.apply(variables, x, cond, train, **others, mutable=list(kept))  # type: ignore[return-value]


def null(cond: Cond) -> dict[str, jax.Array]:
    """The same conditions with nothing said: every label -1, every text_mask 0; all others are kept."""
    nothing = {"label": -1, "text_mask": 0}
    return {k: jnp.full_like(v, nothing[k]) if k in nothing else v for k, v in cond.items()}


def drop(cond: Cond, keys: jax.Array, rate: float | jax.Array) -> dict[str, jax.Array]:
    """Each example's conditions, replaced by those of `null` with probability `rate`, all of an example's at once.

    keys: [b], one per example: whether example i is dropped depends on keys[i] alone.
    """
    dropped = jax.vmap(lambda key: jax.random.bernoulli(key, rate))(keys)  # [b]
    nothing = null(cond)
    return {k: jnp.where(dropped.reshape((-1,) + (1,) * (v.ndim - 1)), nothing[k], v) for k, v in cond.items()}
