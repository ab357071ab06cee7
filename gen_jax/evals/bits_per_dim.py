"""How many bits per dimension does a diffusion model need for held-out images? Less is better.

Two figures that bound the code length from above: by the density of the probability flow ODE (Song et al. 2021,
arXiv:2011.13456, tab. 2, there NLL) with uniform dequantization, and by the variational bound over the 256 levels
(Kingma et al. 2021, arXiv:2107.00630, tab. 1). Guidance and clipping belong to sampling and are left out.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.diffusion.likelihood import LEVEL, bits, dequantize, elbo, ode_log_prob
from gen_jax.diffusion.schedule import horizon, log_snr, time_of
from gen_jax.errors import UserError
from gen_jax.families.diffusion import Diffusion
from gen_jax.families.vdm import VDM
from gen_jax.random import fold
from gen_jax.types import Params

VERSION = 1
MAX_LOG_SNR = 13.3
"""Where noise is taken for none and data for gone, as in Kingma et al. 2021: log snr 13.3 and -13.3."""


def bits_per_dim(
    run: Any,
    test_x: np.ndarray,
    test_label: np.ndarray | None = None,
    *,
    end: float | None = None,
    steps: int = 100,
    probes: int | None = 1,
    draws: int = 32,
    num: int | None = None,
    batch_size: int = 100,
    seed: int = 0,
) -> dict[str, float]:
    """Bits per dimension of held-out images under a run's model, on the mean over the images.

    Args:
      run: an opened run (training.restore.Run) of a diffusion model, taken as it samples: with averaged parameters.
      test_x: uint8 [n, ...]. test_label: int [n], for models that are conditional on it; others don't read it.
      end: the last time; None: the family's, or that of log snr 13.3 where a fixed schedule's goes beyond.
      steps: of the ODE, at equal distances of log snr, four evaluations each. probes: for its divergence, None for the
        exact trace of small images. draws: evaluations of the variational bound per image.
      num: of more images, so many are drawn (by `seed`); None: all.
      seed: image i's randomness depends on (seed, i) alone, not on batch_size.

    Returns:
      bits_per_dim_ode, bits_per_dim_elbo; each with its standard error over the images (/error), which holds the noise
      of dequantization, probes and draws, and the number of network evaluations per image (/evaluations; of the ODE's,
      each goes with `probes` derivatives). bits_per_dim_elbo/prior, /diffusion, /reconstruction: the bound's parts.

    Raises:
      UserError: a model that is no diffusion model or conditional on more than labels, fewer than two images, images
        that are not bytes or not of the model's shape, or labels that are missing or of another count.
    """
    family, params, x = run.setup.family, run.state.averaged, test_x
    if not isinstance(family, Diffusion | VDM):
        raise UserError(f"bits_per_dim: a {type(family).__name__} is no diffusion model (Diffusion, VDM)")
    if len(x) < 2 or x.dtype != np.uint8 or x.shape[1:] != tuple(family.shape):
        raise UserError(
            f"bits per dimension need two images or more, uint8 [n, {', '.join(map(str, family.shape))}], these are "
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
    if isinstance(family, Diffusion):
        family = dataclasses.replace(family, guidance={}, clip=None)
    shape = x.shape[1:]

    @jax.jit
    def measure(params, index, x, cond):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), index)
        x = x.astype(jnp.float32) / 127.5 - 1
        if getattr(family, "self_condition", 0):
            cond = {**cond, "estimate": jnp.zeros_like(x)}
        model, schedule, start, own_end, prior_std = _process(family, params)
        last = own_end if end is None else jnp.float32(end)
        times = time_of(schedule, jnp.linspace(log_snr(schedule, start), log_snr(schedule, last), steps + 1))
        denoise = lambda x, t: model(x, t, cond)  # noqa: E731
        noised = dequantize(fold(keys, 0), x)
        density = ode_log_prob(fold(keys, 1), noised, denoise, schedule, times, probes, prior_std)
        bound = elbo(fold(keys, 2), x, denoise, schedule, start, last, draws, prior_std=prior_std)
        return bits(density, shape, LEVEL), *(bits(-term, shape) for term in bound)

    rows = []
    for i in range(0, len(x), batch_size):
        # The last batch is filled up with images seen before, so that it has the others' shape.
        index = np.minimum(np.arange(i, i + min(batch_size, len(x))), len(x) - 1)
        values = measure(params, index, x[index], {k: v[index] for k, v in cond.items()})
        rows.append(np.stack(values)[:, : len(x) - i])
    ode, *parts = np.concatenate(rows, axis=1).astype(np.float64)  # [n] each
    figures: dict[str, float] = {}
    for name, values, evaluations in (("ode", ode, 4 * steps), ("elbo", sum(parts), draws)):
        figures[f"bits_per_dim_{name}"] = float(np.mean(values))
        figures[f"bits_per_dim_{name}/error"] = float(np.std(values, ddof=1) / len(x) ** 0.5)
        figures[f"bits_per_dim_{name}/evaluations"] = float(evaluations)
    for name, values in zip(("prior", "diffusion", "reconstruction"), parts, strict=True):
        figures[f"bits_per_dim_elbo/{name}"] = float(values.mean())
    return figures


def _process(family: Diffusion | VDM, params: Params):
    """(denoise, schedule, start, end, prior_std) of a model."""
    if isinstance(family, VDM):
        return family.denoiser(params), family.schedule(params), jnp.float32(1.0), jnp.float32(0.0), 1.0
    schedule = family.schedule
    start = horizon(schedule) if family.start is None else family.start
    clean, noise = (time_of(schedule, jnp.float32(value)) for value in (MAX_LOG_SNR, -MAX_LOG_SNR))
    return family.denoiser(params), schedule, jnp.minimum(start, noise), jnp.maximum(family.end, clean), None
