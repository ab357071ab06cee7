"""How much does a generator's image change along a path between two latents? Less is a smoother latent space.

Perceptual path length, Karras et al. 2019 (arXiv:1812.04948, sec. 4.1, in Z), for t uniform in [0, 1):

    E [d(G(slerp(z1, z2; t)), G(slerp(z1, z2; t + epsilon))) / epsilon^2]

For families with a standard normal latent of width `latent` and decode(params, extra, z [b, latent], cond) -> x
[b, ...] in [-1, 1], deterministic.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError, unknown
from gen_jax.nn.pretrained.lpips import lpips
from gen_jax.random import fold, normal, slerp

VERSION = 1
TRIM = (1, 99)  # percentiles: what lies outside is left out, as in the paper's program


def ppl(
    run: Any,
    *,
    num: int = 10_000,
    epsilon: float = 1e-4,
    distance: str = "lpips",
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """Path length of a run's generator (its averaged parameters), from `num` pairs of latents. No reference is needed.

    Args:
      run: an opened run (training.restore.Run) of a GAN or VAE. Conditional ones have a pair's both ends of one class,
        the classes in turn.
      distance: "lpips" (its VGG16, for images of 16x16 or more), or "pixels", the mean squared difference in [-1, 1],
        which needs no weights; the figure is then named ppl_pixels.
      seed: pair i depends on (seed, i) alone.

    Returns:
      ppl, ppl/error: mean and its standard error, without the lowest and highest hundredth.

    Raises:
      UserError: a family that has no such latent, too few pairs or an epsilon that cannot be; see
        nn/pretrained/lpips.py.
    """
    family, state = run.setup.family, run.state
    if not (hasattr(family, "decode") and isinstance(getattr(family, "latent", None), int)):
        raise UserError(f"ppl: a {type(family).__name__} has no latent and decode, as GANs and VAEs have")
    if others := set(family.cond_keys) - {"label"}:
        raise UserError(f"ppl: the model is conditional on {', '.join(sorted(others))}, and only labels are served")
    if num < 2 or batch_size < 1 or not 0 < epsilon < 1:
        raise UserError(f"ppl: num={num}, batch_size={batch_size}, epsilon={epsilon}; needed: 2, 1, and within 0 and 1")
    variables, measure = _measure(distance)

    @jax.jit
    def lengths(variables, params, extra, index, cond):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), index)
        a, b = (normal(fold(keys, end), (family.latent,)) for end in (0, 1))
        t = jax.vmap(jax.random.uniform)(fold(keys, 2))
        with jax.default_matmul_precision("highest"):  # the two images differ by little
            near, far = (family.decode(params, extra, slerp(a, b, t + e), cond) for e in (0, epsilon))
            return measure(variables, near, far) / epsilon**2

    values = []
    for i in range(0, num, batch_size):
        index = np.arange(i, i + batch_size)
        cond = {"label": jnp.asarray(index % run.info.num_classes, jnp.int32)} if family.cond_keys else {}
        values.append(np.asarray(lengths(variables, state.averaged, state.extra, index, cond))[: num - i])
    found = np.concatenate(values).astype(np.float64)
    low, high = np.percentile(found, TRIM[0], method="lower"), np.percentile(found, TRIM[1], method="higher")
    found = found[(found >= low) & (found <= high)]
    name = "ppl" if distance == "lpips" else f"ppl_{distance}"
    return {name: float(found.mean()), f"{name}/error": float(found.std(ddof=1) / len(found) ** 0.5)}


def _measure(distance: str) -> tuple[Any, Callable[[Any, jax.Array, jax.Array], jax.Array]]:
    """(variables, function of them and two batches [b, ...] in [-1, 1] -> distances [b])."""
    if distance == "lpips":
        network = lpips("vgg")
        return network.variables, network.forward
    if distance == "pixels":
        return (), lambda _, a, b: jnp.square(a - b).reshape(len(a), -1).mean(axis=1)
    raise unknown("distance of ppl", distance, ("lpips", "pixels"))
