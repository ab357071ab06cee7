"""Samplers that draw noise: the reverse Markov chain, the reverse SDE, and ODE steps from noise that was added first.

The reverse steps are in two numbers of the schedule, which are finite from alpha_t = 0 to sigma_s = 0:
    q = (sigma_s / alpha_s) / (sigma_t / alpha_t) < 1,   sigma_t^2 - (alpha_t sigma_s / alpha_s)^2 = sigma_t^2 (1 - q^2)
"""

import dataclasses
import math

import jax.numpy as jnp

from gen_jax.diffusion.samplers import DDIM, Heun, State, half_log_snr
from gen_jax.diffusion.schedule import expand, sde, time_of
from gen_jax.errors import UserError, unknown
from gen_jax.random import fold, normal


@dataclasses.dataclass(frozen=True)
class Ancestral:
    """The reverse Markov chain of DDPM, Ho et al. 2020 (arXiv:2006.11239, eq. 6 and 7), in any schedule's alpha, sigma.

    variance: "small", the posterior's, which is right for data that are one point; "large", the forward step's, right
    for normal data (sec. 3.2). Where the network learned a variance, it lies between both in its logarithm, Nichol &
    Dhariwal 2021 (arXiv:2102.09672, eq. 15). The last step, to sigma = 0, adds none.

    Raises:
      UserError: an unknown variance.
    """

    variance: str = "small"

    def __post_init__(self):
        if self.variance not in ("small", "large"):
            raise unknown("variance", self.variance, ("small", "large"))

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x, p = state.x, denoise(state.x, t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = (tuple(expand(a, x) for a in schedule(u)) for u in (t, s))
        q = alpha_t * sigma_s / (alpha_s * sigma_t)
        gone = jnp.maximum(1 - jnp.square(q), 0.0)
        mean = sigma_s / sigma_t * q * x + alpha_s * gone * p.x0
        v = p.variance if p.variance is not None else float(self.variance == "large")
        std = jnp.sqrt(gone) * sigma_t**v * sigma_s ** (1 - v)
        return State(mean + jnp.where(sigma_s > 0, std, 0.0) * normal(keys, x.shape[1:]))


@dataclasses.dataclass(frozen=True)
class EulerAncestral:
    """Euler's step in sigma / alpha to less noise than wanted, and noise to make up for it, as in k-diffusion.

    In sigma / alpha Euler's step is DDIM's: this is DDIM with its eta, by the name that it has there."""

    eta: float = 1.0

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        return DDIM(self.eta).step(keys, state, denoise, schedule, t, s)


@dataclasses.dataclass(frozen=True)
class EDMStochastic:
    """Karras et al. 2022 (arXiv:2206.00364, alg. 2): before each of Heun's steps the noise is raised a little.

    gamma: by which fraction of itself sigma / alpha is raised; it is min(S_churn / steps, sqrt(2) - 1) in the paper.
    0 is Heun. s_min, s_max: only where sigma / alpha lies between them. s_noise: the factor on the added noise. Noise
    is raised up to the schedule's largest, so that a first step from there is Heun's.

    Raises:
      UserError: gamma is not in [0, sqrt(2) - 1].
    """

    gamma: float = 0.0
    s_min: float = 0.0
    s_max: float = math.inf
    s_noise: float = 1.0

    def __post_init__(self):
        if not 0 <= self.gamma <= math.sqrt(2) - 1 + 1e-6:
            raise UserError(f"gamma={self.gamma}: it lies in [0, 0.4142]; take min(S_churn / steps, 0.4142)")

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        if self.gamma:
            state, t = self._raise(keys, state, schedule, t)
        return Heun().step(keys, state, denoise, schedule, t, s)

    def _raise(self, keys, state, schedule, t):
        """x at a later time, and that time."""
        x, level = state.x, half_log_snr(schedule, t)
        wanted = 2 * (level - math.log1p(self.gamma))
        within = (-level >= _log(self.s_min)) & (-level <= _log(self.s_max))
        later = jnp.where(within, jnp.maximum(time_of(schedule, wanted), t), t)
        (alpha, sigma), (alpha_later, sigma_later) = schedule(t), schedule(later)
        same = later == t  # also where alpha = 0 and nothing can be raised
        kept = jnp.where(same, 1.0, alpha_later / jnp.where(same, 1.0, alpha))
        added = jnp.sqrt(jnp.maximum(jnp.square(sigma_later) - jnp.square(kept * sigma), 0.0))
        added = jnp.where(same, 0.0, added) * self.s_noise
        return State(expand(kept, x) * x + expand(added, x) * normal(keys, x.shape[1:])), later


@dataclasses.dataclass(frozen=True)
class EulerMaruyama:
    """First order on the reverse SDE dx = (f x - g^2 score) dt + g dw, Song et al. 2021 (arXiv:2011.13456, eq. 6).

    The step to sigma = 0 gives x0. At alpha = 0 f is infinite; there x says nothing of the data and the step is the
    exact one, new noise around alpha_s x0."""

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x, p, z = state.x, denoise(state.x, t), normal(keys, state.x.shape[1:])
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        pure = alpha_t < _NO_SIGNAL * sigma_t
        f, g2 = (jnp.where(pure, 0.0, a) for a in sde(schedule, t))
        h = expand(t - s, x)
        drift = expand(f, x) * x + expand(g2 / sigma_t, x) * p.eps
        stepped = x - h * drift + jnp.sqrt(expand(g2, x) * h) * z
        renewed = expand(alpha_s, x) * p.x0 + expand(sigma_s, x) * z
        return State(_unless_clean(sigma_s, p.x0, jnp.where(expand(pure, x), renewed, stepped)))


@dataclasses.dataclass(frozen=True)
class PredictorCorrector:
    """Song et al. 2021 (arXiv:2011.13456, alg. 1 to 5): a step of the reverse diffusion, then Langevin steps at s.

    corrector_steps: how many, one evaluation each. snr: the target r of the Langevin steps' size, which is
    2 a (r |z| / |score|)^2 with a = (alpha_t / alpha_s)^2, 1 for VE and 1 - beta for VP. The paper takes the norms'
    mean over the batch; here they are each example's own, so that a sample depends on itself alone. For data of few
    values |score| can be near 0 and the step wild. The last step, to sigma = 0, gives x0.

    Raises:
      UserError: corrector_steps < 0 or snr <= 0.
    """

    corrector_steps: int = 1
    snr: float = 0.16

    def __post_init__(self):
        if self.corrector_steps < 0:
            raise UserError(f"corrector_steps={self.corrector_steps}: it must be at least 0")
        if self.snr <= 0:
            raise UserError(f"snr={self.snr}: it must be more than 0, say 0.16")

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x, p = state.x, denoise(state.x, t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        a = alpha_t / alpha_s
        g2 = jnp.maximum(jnp.square(sigma_t) - jnp.square(a * sigma_s), 0.0)
        z = normal(fold(keys, 0), x.shape[1:])
        x = expand(2 - a, x) * x - expand(g2 / sigma_t, x) * p.eps + expand(jnp.sqrt(g2), x) * z
        # at sigma = 0 there is no score: what is found there is not used
        asked, sigma = (jnp.where(sigma_s > 0, u, v) for u, v in ((s, t), (sigma_s, sigma_t)))
        for j in range(self.corrector_steps):
            z = normal(fold(keys, 1 + j), x.shape[1:])
            score = -denoise(x, asked).eps / expand(sigma, x)
            size = 2 * jnp.square(a * self.snr * _norm(z) / jnp.maximum(_norm(score), 1e-12))
            x = x + expand(size, x) * score + expand(jnp.sqrt(2 * size), x) * z
        return State(_unless_clean(sigma_s, p.x0, x))


@dataclasses.dataclass(frozen=True)
class ConsistencyMultistep:
    """New noise around each x0, x_s = alpha_s x0 + sigma_s z: Song et al. 2023 (arXiv:2303.01469, alg. 1), and latent
    consistency models (Luo et al. 2023, arXiv:2310.04378, alg. 3). For networks whose x0 is the ODE's end point."""

    def init(self, x):
        return State(x)

    def step(self, keys, state, denoise, schedule, t, s):
        x0 = denoise(state.x, t).x0
        alpha, sigma = (expand(a, x0) for a in schedule(s))
        return State(alpha * x0 + sigma * normal(keys, x0.shape[1:]))


_NO_SIGNAL = 1e-6
"""alpha / sigma below it counts as 0: in float32 the cosine of pi / 2 is -4e-8."""


def _unless_clean(sigma_s, x0, x):
    """x, or x0 where the step ends at sigma = 0."""
    return jnp.where(expand(sigma_s, x) > 0, x, x0)


def _norm(x):
    """The norm of each example, [b]."""
    return jnp.sqrt(jnp.square(x).sum(tuple(range(1, x.ndim))))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf
