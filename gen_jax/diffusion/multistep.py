"""Multistep samplers: one evaluation a step, and a polynomial through those before.

In lambda = log(alpha / sigma) the probability flow ODE has the exact solution (Lu et al. 2022, arXiv:2211.01095, eq. 8)
    x_s = sigma_s / sigma_t x_t + sigma_s int_{lambda_t}^{lambda_s} exp(lambda) x0(lambda) d lambda
and in rho = sigma / alpha it is (Zhang & Chen 2022, arXiv:2204.13902)
    x_s = alpha_s / alpha_t x_t + alpha_s int_{rho_t}^{rho_s} eps d rho
The methods differ in what they take for x0 or eps inside the integral. All of them are DDIM if it is constant, so that
each is DDIM's step, which is finite from alpha_t = 0 to sigma_s = 0, and a correction.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.diffusion.samplers import State, follow, half_log_snr
from gen_jax.diffusion.schedule import derivative, expand
from gen_jax.errors import UserError, unknown
from gen_jax.random import normal


class _Past(NamedTuple):
    """Earlier evaluations, the latest first: where [b] each, and what was found there, [b, ...] each."""

    places: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]


@dataclasses.dataclass(frozen=True)
class PLMS:
    """Linear multistep of four evaluations with DDIM's transfer, Liu et al. 2022 (arXiv:2202.09778, eq. 11 and 12).

    The coefficients are Adams & Bashforth's for equal steps in t: take a uniform grid. Second order, as in the paper's
    theorem, since the transfer weighs the whole step alike. The first steps are of fewer evaluations."""

    def init(self, x):
        return State(x, (jnp.int32(0), (jnp.zeros_like(x),) * 3))

    def step(self, keys, state, denoise, schedule, t, s):
        x, (count, past) = state
        p = denoise(x, t)
        weights = jnp.asarray(_ADAMS, x.dtype)[jnp.minimum(count, 3)]
        found = (p.eps, *past)
        mixed = sum(w * e for w, e in zip(weights, found, strict=True))
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        # alpha_t = 0 can be in the first step only, where mixed is eps
        per_eps = sigma_s - sigma_t * alpha_s / jnp.where(count > 0, alpha_t, 1.0)
        ddim = expand(alpha_s, x) * p.x0 + expand(sigma_s, x) * p.eps
        return State(ddim + expand(per_eps, x) * (mixed - p.eps), (count + 1, found[:3]))


@dataclasses.dataclass(frozen=True)
class DEIS:
    """tAB-DEIS, Zhang & Chen 2022 (arXiv:2204.13902, eq. 15): a polynomial in t through the last `order` eps.

    order: 1 (DDIM) to 4, one more than the polynomial's degree, after which the paper names them. The integrals are
    taken by Gauss & Legendre's rule.

    Raises:
      UserError: an order that there is not.
    """

    order: int = 3

    def __post_init__(self):
        _check_order(self, 4)

    def init(self, x):
        return State(x, _no_past(x, self.order - 1, _FAR))

    def step(self, keys, state, denoise, schedule, t, s):
        x, past = state
        p = denoise(x, t)
        alpha_s, sigma_s = (expand(a, x) for a in schedule(s))
        x = alpha_s * p.x0 + sigma_s * p.eps
        # tau = s + (t - s) u^2: where sigma grows as a root of t, the integral over u is still a smooth one
        u, w = ((a + 1) / 2 if i == 0 else a / 2 for i, a in enumerate(np.polynomial.legendre.leggauss(12)))
        u, w = (jnp.asarray(a, t.dtype)[:, None] for a in (u, w))
        tau = s + (t - s) * jnp.square(u)  # [12, b]
        (alpha, sigma), (d_alpha, d_sigma) = schedule(tau), derivative(schedule, tau)
        moment = -2 * w * u * (t - s) * (d_sigma - sigma * d_alpha / alpha) / alpha  # d rho, from t down to s
        places = (t, *past.places)
        for place, f in zip(places, _newton(places, (p.eps, *past.values))[1:], strict=False):
            moment *= tau - place
            x += alpha_s * expand(moment.sum(0), x) * f
        return State(x, _push(past, t, p.eps))


@dataclasses.dataclass(frozen=True)
class DPMSolverPP:
    """DPM-Solver++, Lu et al. 2022 (arXiv:2211.01095): a polynomial in lambda through the last `order` x0.

    order: 1 (DDIM), 2 (the paper's 2M, alg. 2) or 3, with the integrals of the quadratic polynomial exact. The first
    steps are of lower order, and the step to sigma = 0 is of first.

    Raises:
      UserError: an order that there is not.
    """

    order: int = 2

    def __post_init__(self):
        _check_order(self, 3)

    def init(self, x):
        return State(x, _no_past(x, self.order - 1, -_FAR))

    def step(self, keys, state, denoise, schedule, t, s):
        x, past = state
        x0 = denoise(x, t).x0
        place = half_log_snr(schedule, t)
        h = half_log_snr(schedule, s) - place
        places = (place, *past.places)
        weights = _weights(h, [place - p for p in places])
        if self.order == 2:
            weights = [_midpoint(h) * h]
        change = _correct(weights, _newton(places, (x0, *past.values)), x)
        x = follow(schedule, x, x0, t, s) + _noisy_alpha(schedule, s, x) * change
        return State(x, _push(past, place, x0))


@dataclasses.dataclass(frozen=True)
class DPMSolverSDE:
    """SDE-DPM-Solver++(2M), Lu et al. 2022 (arXiv:2211.01095, eq. 15 and app. B.5), on the reverse SDE.

    Its first step, and that to sigma = 0, is the ancestral sampler's."""

    def init(self, x):
        return State(x, _no_past(x, 1, -_FAR))

    def step(self, keys, state, denoise, schedule, t, s):
        x, past = state
        x0 = denoise(x, t).x0
        place = half_log_snr(schedule, t)
        h = half_log_snr(schedule, s) - place
        slope = _newton((place, *past.places), (x0, *past.values))[1]
        (alpha_t, sigma_t), (alpha_s, sigma_s) = (tuple(expand(a, x) for a in schedule(u)) for u in (t, s))
        middle = x0 + jnp.where(sigma_s > 0, expand(h / 2, x), 0.0) * slope
        q = alpha_t * sigma_s / (alpha_s * sigma_t)  # exp(-h), finite where h is not
        gone = jnp.maximum(1 - jnp.square(q), 0.0)
        x = sigma_s / sigma_t * q * x + alpha_s * gone * middle
        x += sigma_s * jnp.sqrt(gone) * normal(keys, x.shape[1:])
        return State(x, _push(past, place, x0))


@dataclasses.dataclass(frozen=True)
class UniPC:
    """Zhao et al. 2023 (arXiv:2302.04867, alg. 1 and 2): a predictor, and a corrector that costs no evaluation.

    The evaluation at t corrects x at t, from which the next step predicts; the last x is a prediction. Of order
    order + 1 after the first steps. order: 1 to 3. kind: the paper's B(h), "bh1": h, or "bh2": exp(h) - 1. It matters
    only where one coefficient is taken for 1/2 and not solved for: predicting with order 2, correcting with order 1.

    Raises:
      UserError: an order or a kind that there is not.
    """

    order: int = 2
    kind: str = "bh2"

    def __post_init__(self):
        _check_order(self, 3)
        if self.kind not in ("bh1", "bh2"):
            raise unknown("kind", self.kind, ("bh1", "bh2"))

    def init(self, x):
        # the x corrected last and its time; any time at which sigma > 0 will do for the first
        return State(x, (x, jnp.ones(x.shape[0], x.dtype), _no_past(x, self.order, -_FAR)))

    def step(self, keys, state, denoise, schedule, t, s):
        x, (before, time_before, past) = state
        x0 = denoise(x, t).x0
        place = half_log_snr(schedule, t)
        x = self._correct(x, x0, place, before, time_before, past, schedule, t)
        predicted = self._predict(x, x0, place, past, schedule, t, s)
        return State(predicted, (x, t, _push(past, place, x0)))

    def _predict(self, x, x0, place, past, schedule, t, s):
        h = half_log_snr(schedule, s) - place
        places = (place, *past.places[:-1])
        weights = _weights(h, [place - p for p in places])
        if self.order > 1:
            simple = jnp.full_like(h, True, bool) if self.order == 2 else ~_known(places[2])
            weights[0] = jnp.where(simple, self._b(h) * h / 2, weights[0])
        change = _correct(weights, _newton(places, (x0, *past.values[:-1])), x)
        return follow(schedule, x, x0, t, s) + _noisy_alpha(schedule, s, x) * change

    def _correct(self, x, x0, place, before, time_before, past, schedule, t):
        """x at t, corrected by the x0 found there; as it is in the first step, and after one from alpha = 0."""
        h = place - past.places[0]
        places = (past.places[0], place, *past.places[1:])
        values = (past.values[0], x0, *past.values[1:])
        weights = _weights(h, [places[0] - p for p in places])
        simple = ~_known(past.places[1]) if self.order > 1 else True
        weights[0] = jnp.where(simple, self._b(h) * h / 2, weights[0])
        change = _correct(weights, _newton(places, values), x)
        corrected = follow(schedule, before, past.values[0], time_before, t) + expand(schedule(t)[0], x) * change
        return jnp.where(expand(_known(past.places[0]), x), corrected, x)

    def _b(self, h):
        return h if self.kind == "bh1" else -jnp.expm1(-h)


_FAR = 1e10
"""How far away the past is that has not been: slopes over it vanish, so that first steps are of lower order."""

_ADAMS = (
    (1, 0, 0, 0),
    (3 / 2, -1 / 2, 0, 0),
    (23 / 12, -16 / 12, 5 / 12, 0),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def _no_past(x: jax.Array, length: int, far: float) -> _Past:
    # each further than the one before by the same large factor, so that no two are at one place
    places = tuple(jnp.full(x.shape[0], far * abs(far) ** i, x.dtype) for i in range(length))
    return _Past(places, (jnp.zeros_like(x),) * length)


def _push(past: _Past, place: jax.Array, value: jax.Array) -> _Past:
    length = len(past.places)
    return _Past((place, *past.places)[:length], (value, *past.values)[:length])


def _known(place: jax.Array) -> jax.Array:
    """Whether there was an evaluation at this lambda, and some signal in it."""
    return place > -15


def _newton(places: Sequence[jax.Array], values: Sequence[jax.Array]) -> list[jax.Array]:
    """Newton's divided differences f[0], f[0, 1], f[0, 1, 2], ... of values [b, ...] at places [b]."""
    found, row = [], list(values)
    for k in range(len(places)):
        found.append(row[0])
        row = [(a - b) / expand(p - q, a) for a, b, p, q in zip(row, row[1:], places, places[k + 1 :], strict=False)]
    return found


def _weights(h: jax.Array, offsets: Sequence[jax.Array]) -> list[jax.Array]:
    """int_0^h exp(l - h) l (l + o_1) ... (l + o_j) dl for j = 0, 1, ..., len(offsets) - 2; offsets[0] is 0.

    Times alpha_s they are the weights of Newton's f[0, 1], f[0, 1, 2], ... in x_s."""
    # powers[k] = int exp(l - h) l^(k + 1) dl = h^(k + 1) - (k + 1) powers[k - 1]
    powers = [h + jnp.expm1(-h)]
    for k in range(2, len(offsets)):
        powers.append(h**k - k * powers[-1])
    weights, polynomial = [], [jnp.ones_like(h)]  # of l, without the first factor l; constant term first
    for offset in offsets[1:]:
        terms = [c * power for c, power in zip(polynomial, powers, strict=False)]
        weights.append(sum(terms, start=jnp.zeros_like(h)))
        shifted = [jnp.zeros_like(h), *polynomial]
        polynomial = [a + offset * b for a, b in zip(shifted, [*polynomial, jnp.zeros_like(h)], strict=True)]
    return weights


def _midpoint(h: jax.Array) -> jax.Array:
    """int_0^h exp(l - h) dl / 2: what weighs h f' where x0 is taken for constant, and for that of the step's middle."""
    return -jnp.expm1(-h) / 2


def _correct(weights: Sequence[jax.Array], differences: Sequence[jax.Array], x: jax.Array) -> jax.Array:
    terms = [expand(w, x) * f for w, f in zip(weights, differences[1:], strict=True)]
    return sum(terms, start=jnp.zeros_like(x))


def _noisy_alpha(schedule, s, x):
    """alpha_s, and 0 where sigma_s = 0: no polynomial in lambda reaches there."""
    alpha, sigma = schedule(s)
    return expand(jnp.where(sigma > 0, alpha, 0.0), x)


def _check_order(sampler, highest: int) -> None:
    if not 1 <= sampler.order <= highest:
        raise UserError(f"{type(sampler).__name__}: order={sampler.order}; known orders are 1 to {highest}")
