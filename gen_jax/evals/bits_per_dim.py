"""How many bits per dimension, or nats per image, does a model need for held-out images? Less is better.

Of diffusion models, two figures that bound the code length from above: by the density of the probability flow ODE (Song
et al. 2021, arXiv:2011.13456, tab. 2, there NLL) with uniform dequantization, and by the variational bound over the 256
levels (Kingma et al. 2021, arXiv:2107.00630, tab. 1). Guidance and clipping belong to sampling and are left out.

Of variational autoencoders, the evidence lower bound and the importance-weighted estimate (Burda et al. 2015,
arXiv:1509.00519, sec. 5), which is an upper bound of the code length too, and nears it with the number of samples: in
bits per dimension where the likelihood is that of 256 levels, else in nats per image.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.diffusion.likelihood import LEVEL, bits, dequantize, elbo, ode_log_prob
from gen_jax.diffusion.schedule import horizon, log_snr, time_of
from gen_jax.errors import UserError
from gen_jax.families.diffusion import Diffusion
from gen_jax.families.vdm import VDM
from gen_jax.losses.reconstruction import Bernoulli
from gen_jax.random import fold
from gen_jax.types import Params

VERSION = 1
MAX_LOG_SNR = 13.3
"""Where noise is taken for none and data for gone, as in Kingma et al. 2021: log snr 13.3 and -13.3."""

Measure = Callable[..., tuple[jax.Array, ...]]
"""(state, keys [b], x [b, ...] in [-1, 1], cond) -> what is measured of each image, [b] each."""


def bits_per_dim(
    run: Any,
    test_x: np.ndarray,
    test_label: np.ndarray | None = None,
    *,
    end: float | None = None,
    steps: int = 100,
    probes: int | None = 1,
    draws: int = 32,
    samples: int = 5000,
    num: int | None = None,
    batch_size: int = 100,
    seed: int = 0,
) -> dict[str, float]:
    """Bits per dimension, or nats, of held-out images under a run's model, on the mean over the images.

    Args:
      run: an opened run (training.restore.Run) of a diffusion model or a VAE, taken as it samples: with averaged
        parameters.
      test_x: uint8 [n, ...]. test_label: int [n], for models that are conditional on it; others don't read it.
      end, steps, probes, draws: of diffusion models. end: the last time; None: the family's, or that of log snr 13.3
        where a fixed schedule's goes beyond. steps: of the ODE, at equal distances of log snr, four evaluations each.
        probes: for its divergence, None for the exact trace of small images. draws: evaluations of the variational
        bound per image.
      samples: of VAEs, draws of the latents per image.
      num: of more images, so many are drawn (by `seed`); None: all.
      seed: image i's randomness depends on (seed, i) alone, not on batch_size.

    Returns:
      Each figure with its standard error over the images (/error), which holds the noise of dequantization, probes and
      draws, and the number of network evaluations per image (/evaluations).

      Of diffusion models bits_per_dim_ode (each of its evaluations goes with `probes` derivatives) and
      bits_per_dim_elbo, with the bound's parts: /prior, /diffusion, /reconstruction.
      Of VAEs bits_per_dim_elbo and bits_per_dim_iw, or, of densities (Gaussian) and of bits (Bernoulli), nats_elbo and
      nats_iw, the negative logarithm per image. The receipt names the likelihood: a density's nats and a probability's
      do not compare.

    Raises:
      UserError: a model without a likelihood or conditional on more than labels, fewer than two images, images that are
        not bytes or not of the model's shape, labels that are missing or of another count; of Bernoulli's, images that
        are not black and white alone.
    """
    family, x = run.setup.family, test_x
    if not (isinstance(family, Diffusion | VDM) or hasattr(family, "log_likelihood")):
        raise UserError(f"bits_per_dim: a {type(family).__name__} is no diffusion model (Diffusion, VDM) and no VAE")
    shape = tuple(getattr(family, "shape", x.shape[1:]))
    if len(x) < 2 or x.dtype != np.uint8 or x.shape[1:] != shape:
        raise UserError(
            f"bits per dimension need two images or more, uint8 [n, {', '.join(map(str, shape))}], these are "
            f"{x.dtype} {list(x.shape)}"
        )
    cond = {}
    for name in family.cond_keys:
        value = test_label if name == "label" else None
        if value is None or len(value) != len(x):
            raise UserError(f"bits per dimension of {len(x)} images need as many values of '{name}'")
        cond[name] = np.asarray(value)
    if num is not None and num < 2:
        raise UserError(f"bits_per_dim: num={num}; needed: 2 or more")
    if num is not None and num < len(x):
        drawn = np.sort(np.random.default_rng(seed).choice(len(x), num, replace=False))
        x, cond = x[drawn], {name: value[drawn] for name, value in cond.items()}
    if isinstance(family, Diffusion | VDM):
        measure = _by_diffusion(family, shape, end, steps, probes, draws)
    else:
        measure = _by_latents(family, x, samples)

    @jax.jit
    def measured(state, index, x, cond):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), index)
        return measure(state, keys, x.astype(jnp.float32) / 127.5 - 1, cond)

    state = {"params": run.state.averaged, "extra": getattr(run.state, "extra", ())}
    rows = []
    for i in range(0, len(x), batch_size):
        # The last batch is filled up with images seen before, so that it has the others' shape.
        index = np.minimum(np.arange(i, i + min(batch_size, len(x))), len(x) - 1)
        values = measured(state, index, x[index], {k: v[index] for k, v in cond.items()})
        rows.append(np.stack(values)[:, : len(x) - i])
    values = np.concatenate(rows, axis=1).astype(np.float64)  # [figures, n]
    if isinstance(family, Diffusion | VDM):
        ode, *parts = values
        figures = _figures("bits_per_dim", {"ode": (ode, 4 * steps), "elbo": (sum(parts), draws)})
        for name, part in zip(("prior", "diffusion", "reconstruction"), parts, strict=True):
            figures[f"bits_per_dim_elbo/{name}"] = float(part.mean())
        return figures
    bound, weighted = values if family.likelihood.discrete else values * (math.log(2) * math.prod(shape))
    unit = "bits_per_dim" if family.likelihood.discrete else "nats"
    return _figures(unit, {"elbo": (bound, samples), "iw": (weighted, samples)})


def _by_diffusion(
    family: Diffusion | VDM, shape: tuple[int, ...], end: float | None, steps: int, probes: int | None, draws: int
) -> Measure:
    """In bits per dimension: by the ODE, and the three parts of the bound."""
    if isinstance(family, Diffusion):
        family = dataclasses.replace(family, guidance={}, clip=None)

    def measure(state, keys, x, cond):
        if getattr(family, "self_condition", 0):
            cond = {**cond, "estimate": jnp.zeros_like(x)}
        model, schedule, start, own_end, prior_std = _process(family, state["params"])
        last = own_end if end is None else jnp.float32(end)
        times = time_of(schedule, jnp.linspace(log_snr(schedule, start), log_snr(schedule, last), steps + 1))
        denoise = lambda x, t: model(x, t, cond)  # noqa: E731
        noised = dequantize(fold(keys, 0), x)
        density = ode_log_prob(fold(keys, 1), noised, denoise, schedule, times, probes, prior_std)
        bound = elbo(fold(keys, 2), x, denoise, schedule, start, last, draws, prior_std=prior_std)
        return bits(density, shape, LEVEL), *(bits(-term, shape) for term in bound)

    return measure


def _by_latents(family: Any, x: np.ndarray, samples: int) -> Measure:
    """In bits per dimension: the bound, and the importance-weighted estimate.

    Raises:
      UserError: samples < 1; images that are no bits, of a likelihood of bits.
    """
    if samples < 1:
        raise UserError(f"bits_per_dim: samples={samples}; needed: 1 or more")
    if isinstance(family.likelihood, Bernoulli) and not np.isin(x, (0, 255)).all():
        raise UserError(
            "bits_per_dim: Bernoulli is a likelihood of black and white images, and these have other greys: set "
            "config.data.binarize, or take losses.DiscretizedLogistic"
        )

    def measure(state, keys, x, cond):
        found = family.log_likelihood(state["params"], state["extra"], {"x": x, **cond}, keys, samples)
        return tuple(bits(log_prob, x.shape[1:]) for log_prob in found)

    return measure


def _figures(unit: str, found: dict[str, tuple[Any, int]]) -> dict[str, float]:
    """The mean, its standard error and the number of evaluations, by name, of values [n] per image."""
    figures = {}
    for name, (values, evaluations) in found.items():
        figures[f"{unit}_{name}"] = float(np.mean(values))
        figures[f"{unit}_{name}/error"] = float(np.std(values, ddof=1) / len(values) ** 0.5)
        figures[f"{unit}_{name}/evaluations"] = float(evaluations)
    return figures


def _process(family: Diffusion | VDM, params: Params):
    """(denoise, schedule, start, end, prior_std) of a model."""
    if isinstance(family, VDM):
        return family.denoiser(params), family.schedule(params), jnp.float32(1.0), jnp.float32(0.0), 1.0
    schedule = family.schedule
    start = horizon(schedule) if family.start is None else family.start
    clean, noise = (time_of(schedule, jnp.float32(value)) for value in (MAX_LOG_SNR, -MAX_LOG_SNR))
    return family.denoiser(params), schedule, jnp.minimum(start, noise), jnp.maximum(family.end, clean), None
