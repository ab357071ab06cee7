"""How likely data are: their density under the probability flow ODE, and the variational bound on it.

denoise(x [b, ...], t [b]) -> Prediction, without guidance, which belongs to no density. The model starts from its prior
N(0, prior_std^2), None: from N(0, sigma(start)^2), as samplers do. Where data are left at the start, an example's
density differs from the data's by the order of sqrt(snr) there, and their mean by snr.
Everything is per example, in nats [b]; `bits` turns it into bits per dimension.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.diffusion.samplers import Denoiser
from gen_jax.diffusion.schedule import Schedule, expand, log_snr, time_of, velocity
from gen_jax.errors import UserError
from gen_jax.random import fold, normal

LEVEL = 1 / 127.5
"""The distance of neighbours among the 256 levels of [-1, 1]."""


class Bound(NamedTuple):
    """-log p(x) <= prior + diffusion + reconstruction, in expectation over the draws; each in nats [b].

    Kingma et al. 2021 (arXiv:2107.00630, eq. 11)."""

    prior: jax.Array
    diffusion: jax.Array
    reconstruction: jax.Array

    @property
    def total(self) -> jax.Array:
        return self.prior + self.diffusion + self.reconstruction


def ode_log_prob(
    keys: jax.Array,
    x: jax.Array,
    denoise: Denoiser,
    schedule: Schedule,
    times: jax.Array,
    probes: int | None = 1,
    prior_std: float | None = None,
) -> jax.Array:
    """log of the density [b] that the probability flow ODE has at times[-1], Song et al. 2021 (arXiv:2011.13456, eq.
    39), by Runge-Kutta steps of fourth order through `times` [n + 1], which fall as a sampler's do: 4 n evaluations.

    x: [b, ...], data as they are at times[-1], where the velocity must be finite.
    probes: random signs per example, the same at all times, by which the divergence is estimated without bias
    (Hutchinson's trace; Grathwohl et al. 2018, arXiv:1810.01367, sec. 3.1); None: the exact trace, which costs as many
    derivatives as there are values in an example, all at once.

    Raises:
      UserError: the exact trace of examples with more than 1024 values, or fewer than one probe."""
    b, shape = x.shape[0], x.shape[1:]
    size = math.prod(shape)
    if probes is None and size > 1024:
        raise UserError(f"the exact trace is for 1024 values or fewer, an example has {size}: give probes=1 or more")
    if probes is not None and probes < 1:
        raise UserError(f"probes={probes}: the divergence needs at least 1, or None for the exact trace")
    if probes is None:
        units = jnp.eye(size, dtype=x.dtype).reshape(size, 1, *shape)
        directions = jnp.broadcast_to(units, (size, b, *shape))
    else:
        signs = jax.vmap(lambda key: jax.random.rademacher(key, (probes * size,), x.dtype))(keys)
        directions = jnp.moveaxis(signs.reshape(b, probes, *shape), 1, 0) / math.sqrt(probes)

    def slope(x, t):
        """dx/dt and its divergence, which is the sum of e (d velocity / dx) e over the directions e."""
        t = jnp.full(b, t)

        def flow(x):
            out = denoise(x, t)
            return velocity(schedule, t, out.x0, out.eps)

        def along(e):
            v, dv = jax.jvp(flow, (x,), (e,))
            return v, _sum(e * dv)

        v, parts = jax.vmap(along, out_axes=(None, 0))(directions)
        return v, parts.sum(0)

    def step(carry, ends):
        (x, gained), (t, s) = carry, ends
        h = s - t
        k1, d1 = slope(x, t)
        k2, d2 = slope(x + h / 2 * k1, (t + s) / 2)
        k3, d3 = slope(x + h / 2 * k2, (t + s) / 2)
        k4, d4 = slope(x + h * k3, s)
        return (x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), gained + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)), None

    rising = times[::-1]
    (z, gained), _ = jax.lax.scan(step, (x, jnp.zeros(b, x.dtype)), (rising[:-1], rising[1:]))
    std = schedule(rising[-1])[1] if prior_std is None else prior_std
    return _sum(-0.5 * jnp.square(z / std) - jnp.log(std) - 0.5 * math.log(2 * math.pi)) + gained


def elbo(
    keys: jax.Array,
    x: jax.Array,
    denoise: Denoiser,
    schedule: Schedule,
    start: float,
    end: float,
    draws: int = 1,
    levels: int | None = 256,
    prior_std: float | None = None,
) -> Bound:
    """The variational bound in continuous time, Kingma et al. 2021 (arXiv:2107.00630, eq. 11 to 18).

    Its middle term, 1/2 E |eps - eps_hat|^2 integrated over log snr, is the same for every schedule: it is taken at
    `draws` log snrs per example, evenly spread between those of `end` and `start` and moved by a random part.
    x: [b, ...], on the `levels` equidistant levels of [-1, 1], for log probabilities: x is then read off x_end by
    `log_levels_given`. None: continuous data and densities, x read off x_end as N(x_end / alpha, (sigma / alpha)^2).

    The bound suffers from a small `end` where the network is poor, and from a large one where x_end leaves x open:
    log snr 13.3 is the paper's. Beyond a log snr of 20 either way the schedule is not followed."""
    b, shape = x.shape[0], x.shape[1:]
    last = jnp.maximum(end, time_of(schedule, jnp.float32(20.0)))
    first = jnp.minimum(start, time_of(schedule, jnp.float32(-20.0)))
    low, high = log_snr(schedule, first), log_snr(schedule, last)
    prior = prior_divergence(schedule, x, first, prior_std)

    moved = jax.vmap(jax.random.uniform)(fold(keys, 0))
    noises = fold(keys, 1)

    def noised(t, i):
        eps = normal(fold(noises, i), shape)
        alpha, sigma = (expand(a, x) for a in schedule(t))
        return alpha * x + sigma * eps, eps, alpha, sigma

    def draw(i):
        t = time_of(schedule, high + (low - high) * (i + moved) / draws)
        x_t, eps, _, _ = noised(t, i)
        return 0.5 * (high - low) * _sum(jnp.square(eps - denoise(x_t, t).eps))

    diffusion = jax.lax.map(draw, jnp.arange(draws)).mean(0)
    x_end, eps, alpha, sigma = noised(jnp.full(b, last), draws)
    if levels is None:
        reconstruction = _sum(0.5 * jnp.square(eps) + jnp.log(sigma / alpha) + 0.5 * math.log(2 * math.pi))
    else:
        reconstruction = -log_levels_given(x_end, x, alpha, sigma, levels)
    return Bound(prior, diffusion, reconstruction)


def prior_divergence(
    schedule: Schedule, x: jax.Array, t: float | jax.Array = 1.0, prior_std: float | None = 1.0
) -> jax.Array:
    """KL(N(alpha x, sigma^2) || N(0, prior_std^2)) [b] at time t []; prior_std=None: sigma."""
    alpha, sigma = schedule(jnp.asarray(t, x.dtype))
    ratio = 1.0 if prior_std is None else sigma / prior_std
    mean = alpha * x / (sigma if prior_std is None else prior_std)
    return 0.5 * _sum(jnp.square(mean) + jnp.square(ratio) - 1 - 2 * jnp.log(ratio))


def log_levels_given(z: jax.Array, x: jax.Array, alpha: jax.Array, sigma: jax.Array, levels: int = 256) -> jax.Array:
    """log p(x | z) [b] with p proportional to N(z; alpha x, sigma^2) over the equidistant levels of [-1, 1], value by
    value, Kingma et al. 2021 (arXiv:2107.00630, sec. 3.3). alpha and sigma broadcast against x [b, ...], which is on
    the levels."""
    log_weight = lambda level: -0.5 * jnp.square((z - alpha * level) / sigma)  # noqa: E731

    def add(total, level):  # one level at a time: [b, ..., levels] would not fit
        return jnp.logaddexp(total, log_weight(level)), None

    places = jnp.linspace(-1, 1, levels, dtype=x.dtype)
    total, _ = jax.lax.scan(add, log_weight(places[0]), places[1:])
    return _sum(log_weight(x) - total)


def dequantize(keys: jax.Array, x: jax.Array) -> jax.Array:
    """x [b, ...] on the 256 levels of [-1, 1], each value spread evenly over its level: densities of the result bound
    probabilities of x, log P(x) >= E log p + log(LEVEL) per value, Theis et al. 2015 (arXiv:1511.01844, sec. 3.1)."""
    noise = jax.vmap(lambda key: jax.random.uniform(key, (math.prod(x.shape[1:]),), minval=-0.5, maxval=0.5))(keys)
    return x + LEVEL * noise.reshape(x.shape)


def bits(log_prob: jax.Array, shape: tuple[int, ...], width: float = 1.0) -> jax.Array:
    """-log_prob in bits per dimension [b], for examples of `shape`.

    width: 1 for log probabilities; LEVEL for log densities of `dequantize`d data, the width of what each value stands
    for."""
    return -(log_prob / math.prod(shape) + math.log(width)) / math.log(2)


def _sum(x: jax.Array) -> jax.Array:
    """The sum over each example's values [b]."""
    return x.reshape(x.shape[0], -1).sum(1)
