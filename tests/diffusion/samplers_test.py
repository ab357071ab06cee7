"""Samplers against closed forms: Gaussian data has an exact denoiser and an exact ODE solution.

For x0 ~ N(m, s^2 I) the marginal at t is N(alpha m, (alpha s)^2 + sigma^2), the best x0 given x is known, and the
probability flow ODE carries a point to the same quantile of every marginal.
"""

import dataclasses
import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.diffusion.grids import karras_grid, uniform_grid
from gen_jax.diffusion.multistep import DEIS, PLMS, DPMSolverPP, DPMSolverSDE, UniPC
from gen_jax.diffusion.parameterization import Prediction, determinant, edm, eps, flow, invert, target, v, x0
from gen_jax.diffusion.samplers import DDIM, DPMSolverPP2S, Euler, Heun, integrate
from gen_jax.diffusion.schedule import (
    EDM,
    VE,
    Cosine,
    DiscreteLinear,
    LinearBeta,
    RectifiedFlow,
    SubVP,
    TrigFlow,
    expand,
)
from gen_jax.diffusion.stochastic import (
    Ancestral,
    ConsistencyMultistep,
    EDMStochastic,
    EulerAncestral,
    EulerMaruyama,
    PredictorCorrector,
)
from gen_jax.errors import UserError
from gen_jax.random import normal

MEAN, STD = 0.4, 0.7
SCHEDULES = (Cosine(), LinearBeta(), RectifiedFlow())
START, END = 0.95, 0.05  # away from the ends, where LinearBeta's velocity is not smooth

ORDERS = [
    (Euler(), 1),
    (DDIM(), 1),
    (Heun(), 2),
    (EDMStochastic(), 2),
    (DPMSolverPP2S(), 2),
    (PLMS(), 2),
    *((DPMSolverPP(order), order) for order in (1, 2, 3)),
    *((DEIS(order), order) for order in (1, 2, 3, 4)),
    *((UniPC(order, kind), order + 1) for order in (1, 2, 3) for kind in ("bh1", "bh2")),
]
"""The deterministic samplers of fixed steps, and their orders."""

# The largest error at the end after 200 steps; Euler's is VE's, whose time is the logarithm of the noise.
DETERMINISTIC = [
    (Euler(), 0.3),
    (DDIM(), 0.04),
    *((s, 0.004) for s in (Heun(), DPMSolverPP2S(), PLMS(), DEIS(), DPMSolverPP(), DPMSolverPP(3))),
    *((s, 0.004) for s in (UniPC(), UniPC(3, "bh1"))),
]
# The relative error of the standard deviation, most of it the method's after 200 steps.
STOCHASTIC = [
    (Ancestral(), 0.06),
    (Ancestral("large"), 0.03),
    (DDIM(eta=0.5), 0.04),
    (EulerAncestral(), 0.06),
    (EDMStochastic(gamma=0.2), 0.03),
    (EulerMaruyama(), 0.03),
    (PredictorCorrector(), 0.06),
    (DPMSolverSDE(), 0.03),
]
ALL = [s for s, _ in (*DETERMINISTIC, *STOCHASTIC)] + [ConsistencyMultistep()]
EVALUATIONS = {Heun: 2, DPMSolverPP2S: 2, EDMStochastic: 2, PredictorCorrector: 2}
"""Per step, where it is not 1."""

TOPS = {TrigFlow: math.pi / 2, EDM: 80.0}
"""The largest times, where they are not 1."""

FORMS = (v, eps, x0, flow, edm)
"""What networks predict."""

EVERY_SCHEDULE = (*SCHEDULES, SubVP(), VE(), EDM(), TrigFlow(), DiscreteLinear())


@dataclasses.dataclass(frozen=True)
class Chosen:
    """One of several schedules, with its time scaled to [0, 1]. Which one is traced: all share one compilation."""

    schedules: tuple
    index: jax.Array

    def __call__(self, t):
        return jax.lax.switch(self.index, [functools.partial(_scaled, s) for s in self.schedules], t)


def _scaled(schedule, t):
    return schedule(t * TOPS.get(type(schedule), 1.0))


def marginal_std(schedule, t):
    alpha, sigma = schedule(t)
    return jnp.sqrt((alpha * STD) ** 2 + sigma**2)


def oracle(schedule):
    """The exact denoiser (x, t [b]) of N(MEAN, STD^2)."""

    def denoise(x, t):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        var = (alpha * STD) ** 2 + sigma**2
        return Prediction(MEAN + alpha * STD**2 / var * (x - alpha * MEAN), sigma / var * (x - alpha * MEAN))

    return denoise


def ends(schedule, start, end, quantile):
    """Where the ODE starts for standard normal quantiles, and where it ends."""
    return (schedule(t)[0] * MEAN + marginal_std(schedule, t) * quantile for t in (start, end))


@functools.partial(jax.jit, static_argnums=0)
def trajectory(sampler, index, times, quantile):
    """x at every one of `times`."""
    schedule = Chosen(SCHEDULES, index)
    x, _ = ends(schedule, times[0], times[-1], quantile)

    def body(state, between):
        t, s = (jnp.full(len(x), u) for u in between)
        state = sampler.step(None, state, oracle(schedule), schedule, t, s)
        return state, state.x

    return jax.lax.scan(body, sampler.init(x), (times[:-1], times[1:]))[1]


def gentle(steps):
    """A uniform grid whose first step begins with tiny ones, so that a first step of lower order does not show."""
    times = np.linspace(START, END, steps + 1)
    return np.concatenate([times[:1], times[0] + (times[1] - times[0]) * 0.5 ** np.arange(10, 0, -1), times[1:]])


@pytest.mark.parametrize(("sampler", "order"), ORDERS, ids=lambda s: str(s))
def test_order_of_convergence(sampler, order):
    """Halving the step divides the error by 2^order; float64 keeps rounding out of it."""
    multistep = isinstance(sampler, DPMSolverPP | DEIS | UniPC)
    steps, start = (256, 512, 1024) if multistep else (32, 64, 128), START
    if sampler == PLMS():  # it has two errors of second order, of the transfer and the first steps, which nearly cancel
        steps, start = (512, 1024, 2048), 0.8
    with jax.enable_x64(True):
        quantile = jax.random.normal(jax.random.key(0), (16, 2))
        for index, schedule in enumerate(SCHEDULES):
            _, exact = ends(schedule, start, END, quantile)
            errors = []
            for n in steps:
                times = gentle(n) if multistep else np.linspace(start, END, n + 1)
                # all of one length, so that they are compiled once: what comes after END is not looked at
                after = END * 0.99 ** np.arange(1, steps[-1] + 16 - len(times))
                x = trajectory(sampler, index, jnp.asarray(np.append(times, after)), quantile)[len(times) - 2]
                errors.append(float(jnp.abs(x - exact).max()))
            rates = np.log2(np.array(errors[:-1]) / errors[1:])
            np.testing.assert_allclose(rates, order, atol=0.2 if multistep else 0.15, err_msg=str(schedule))
            assert errors[-1] < 0.05


def told(schedule, form):
    """The exact denoiser as a network of FORMS[form] gives it; which one is traced, too."""

    def parameterization(alpha, sigma):
        return jax.lax.switch(form, FORMS, alpha, sigma)

    def denoise(x, t):
        (alpha, sigma), known = (expand(a, x) for a in schedule(t)), oracle(schedule)(x, t)
        return invert(parameterization, alpha, sigma, x, target(parameterization, alpha, sigma, known.x0, known.eps))

    return denoise


@functools.partial(jax.jit, static_argnums=0)
def whole(sampler, index, times, quantile, seed=0, form=0):
    """(samples, the exact end points of the ODE from the same start), each [n, d]."""
    schedule = Chosen(EVERY_SCHEDULE, index)
    x, exact = ends(schedule, times[0], times[-1], quantile)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(len(x)))
    return integrate(sampler, keys, x, told(schedule, form), schedule, times), exact


def to_the_very_end(schedule, steps):
    """The times from a schedule's start to its very end, scaled to [0, 1]."""
    top = TOPS.get(type(schedule), 1.0)
    return (karras_grid if schedule == EDM() else uniform_grid)(schedule, top, 0.0, steps) / top


@pytest.mark.parametrize(("sampler", "tolerance"), [*DETERMINISTIC, *STOCHASTIC], ids=lambda s: str(s))
def test_every_sampler_with_every_schedule_and_parameterization_from_start_to_end(sampler, tolerance):
    """alpha = 0 at the start of some, sigma = 0 at the end of most. The end points of an ODE are known; of a stochastic
    sampler the law is. Keys matter to the second only. What the network predicts matters to none, where it can be
    inverted at all: noise not where there is nothing else."""
    quantile = jax.random.normal(jax.random.key(0), (64, 64))
    for index, schedule in enumerate(EVERY_SCHEDULE):
        times = to_the_very_end(schedule, 199)  # of 200, many fall on a knot of 1,000, and rounding takes either side
        alpha, sigma = jax.vmap(Chosen(EVERY_SCHEDULE, index))(times[:-1])
        usable = [k for k, form in enumerate(FORMS) if jnp.abs(determinant(form, alpha, sigma)).min() > 1e-4]
        assert {0, 1, 2} - set(usable) <= ({1} if alpha[0] < 1e-4 else set())
        for form in usable:
            out, exact = whole(sampler, index, times, quantile, form=form)
            case = f"{schedule}, {FORMS[form].__name__}"
            if (sampler, tolerance) in DETERMINISTIC:
                np.testing.assert_allclose(out, exact, atol=tolerance, err_msg=case)
                if form == usable[0]:
                    chex.assert_trees_all_equal(out, whole(sampler, index, times, quantile, seed=1, form=form)[0])
                continue
            mean, std = schedule(0.0)[0] * MEAN, marginal_std(schedule, 0.0)
            np.testing.assert_allclose(out.mean(), mean, atol=4 * STD / out.size**0.5, err_msg=case)
            np.testing.assert_allclose(out.std(), std, rtol=tolerance, err_msg=case)
            # a sample does not remember the noise that it started from, or not all of it
            assert np.corrcoef(np.ravel(out), np.ravel(exact))[0, 1] < 0.9


def test_consistency_sampling_of_the_exact_map():
    """Where x0 is the end point of the ODE, every step gives the law of the data, however few there are."""
    schedule = Cosine()

    def denoise(x, t):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        x0 = MEAN + STD * (x - alpha * MEAN) / expand(marginal_std(schedule, t), x)
        return Prediction(x0, (x - alpha * x0) / sigma)

    n = 20_000
    for steps in (1, 3):
        x = normal(jax.random.split(jax.random.key(0), n), (1,))
        keys = jax.random.split(jax.random.key(1), n)
        out = integrate(ConsistencyMultistep(), keys, x, denoise, schedule, uniform_grid(schedule, 1.0, 0.0, steps))
        np.testing.assert_allclose(out.mean(), MEAN, atol=4 * STD / n**0.5)
        np.testing.assert_allclose(out.std(), STD, rtol=4 * (2 * n) ** -0.5)


def one_step(sampler, n=200_000, t=0.6, s=0.5, variance=None):
    """n steps of LinearBeta from x = 0.9 where x0 is known to be 0.3; and DDPM's (mean, small, large variance)."""
    schedule, x, x0 = LinearBeta(), 0.9, 0.3
    (at, _), (as_, _) = schedule(jnp.float32(t)), schedule(jnp.float32(s))
    # Ho et al. 2020, eq. 7, with alpha_bar = alpha^2 in its notation
    abar_t, abar_s, alpha_ts = at**2, as_**2, (at / as_) ** 2
    mean = (as_ * (1 - alpha_ts) * x0 + jnp.sqrt(alpha_ts) * (1 - abar_s) * x) / (1 - abar_t)

    def denoise(x, t):
        alpha, sigma = (expand(a, x) for a in schedule(t))
        v = None if variance is None else jnp.full_like(x, variance)
        return Prediction(jnp.full_like(x, x0), (x - alpha * x0) / sigma, v)

    keys = jax.random.split(jax.random.key(0), n)
    out = integrate(sampler, keys, jnp.full((n, 1), x), denoise, schedule, jnp.array([t, s]))
    return out, mean, (1 - abar_s) / (1 - abar_t) * (1 - alpha_ts), 1 - alpha_ts


@pytest.mark.parametrize("sampler", [DDIM(eta=1.0), Ancestral(), DPMSolverSDE()], ids=lambda s: str(s))
def test_one_ancestral_step_has_the_posterior_of_ddpm(sampler):
    """Three ways to write the same step, which draw the same noise."""
    out, mean, var, _ = one_step(sampler)
    np.testing.assert_allclose(out.mean(), mean, atol=4 * float(jnp.sqrt(var / out.size)))
    np.testing.assert_allclose(out.var(), var, rtol=0.02)
    chex.assert_trees_all_close(out, one_step(DDIM(eta=1.0))[0], atol=1e-5)


def test_variances_of_the_ancestral_step():
    """The large one is beta; the learned one runs between both in its logarithm, and has the last word."""
    (out, _, small, large), n = one_step(Ancestral("large"), n=1000), 1000
    shape = (out - out.mean()) / out.std()
    np.testing.assert_allclose(out.var() / one_step(Ancestral(), n)[0].var(), large / small, rtol=1e-4)
    for between in (0.0, 0.3, 1.0):
        out, *_ = one_step(Ancestral("large"), n, variance=between)
        np.testing.assert_allclose(out, out.mean() + out.std() * shape, atol=1e-5)  # the same noise
        ratio = out.var() / one_step(Ancestral(), n)[0].var()
        np.testing.assert_allclose(ratio, jnp.exp(between * jnp.log(large / small)), rtol=1e-4)


@pytest.mark.parametrize("schedule", [EDM(), Cosine()], ids=lambda s: type(s).__name__)
def test_noise_is_raised_only_where_it_should_be(schedule):
    """Without churn, or outside of its interval, the stochastic sampler of EDM is Heun's bit for bit."""
    times = jnp.array([0.7, 0.4, 0.2, 0.0])
    keys, x = jax.random.split(jax.random.key(0), 4), jnp.ones((4, 2))
    run = lambda sampler: integrate(sampler, keys, x, oracle(schedule), schedule, times)  # noqa: E731
    heun = run(Heun())
    chex.assert_trees_all_equal(run(EDMStochastic()), heun)
    chex.assert_trees_all_close(run(EDMStochastic(gamma=0.4, s_min=3.0)), heun, atol=1e-6)
    chex.assert_trees_all_close(run(EDMStochastic(gamma=0.4, s_max=0.1)), heun, atol=1e-6)
    assert jnp.abs(run(EDMStochastic(gamma=0.4)) - heun).min() > 1e-3


EXACT = [DDIM(), DPMSolverPP2S(), PLMS(), DEIS(4), *(f(n) for f in (DPMSolverPP, UniPC) for n in (1, 2, 3))]


@pytest.mark.parametrize("sampler", EXACT, ids=lambda s: str(s))
def test_lands_exactly_where_the_prediction_does_not_change(sampler):
    """A denoiser that knows (x0, eps) is followed without error in one step or many, to the very end."""
    x0, eps = jax.random.normal(jax.random.key(0), (2, 3, 4))
    keys = jax.random.split(jax.random.key(0), 3)

    @functools.partial(jax.jit, static_argnums=1)
    def land(index, steps):
        schedule = Chosen(SCHEDULES, index)
        alpha, sigma = schedule(jnp.float32(0.9))
        times = uniform_grid(schedule, 0.9, 0.0, steps)
        return integrate(sampler, keys, alpha * x0 + sigma * eps, lambda x, t: Prediction(x0, eps), schedule, times)

    for index in range(len(SCHEDULES)):
        for steps in (1, 7):
            chex.assert_trees_all_close(land(index, steps), x0, atol=1e-5)


@pytest.mark.parametrize("sampler", ALL, ids=lambda s: str(s))
def test_a_sample_depends_on_itself_alone_and_costs_what_is_said(sampler):
    """Seven samples are the first of sixty-four. A denoiser that is undefined at sigma = 0 does no harm, and is
    evaluated as often as the method says."""
    schedule, calls = Cosine(), []

    def denoise(x, t):
        jax.debug.callback(lambda: calls.append(1))
        return jax.tree.map(lambda y: jnp.where(expand(t, x) == 0, jnp.nan, y), oracle(schedule)(x, t))

    @jax.jit
    def draw(keys):
        x = normal(keys, (2,))
        return integrate(sampler, keys, x, denoise, schedule, uniform_grid(schedule, 1.0, 0.0, 6))

    keys = jax.random.split(jax.random.key(0), 64)
    out = draw(keys)
    jax.effects_barrier()
    assert len(calls) == 6 * EVALUATIONS.get(type(sampler), 1)
    assert jnp.isfinite(out).all()
    chex.assert_trees_all_close(draw(keys[:7]), out[:7], rtol=1e-5)


@pytest.mark.parametrize("sampler", [DDIM(), DPMSolverPP2S(), UniPC()], ids=lambda s: str(s))
def test_self_conditioning_passes_the_estimate_of_the_evaluation_before(sampler):
    """A denoiser that says one more than it was told counts the evaluations, the last one included."""
    keys, times = jax.random.split(jax.random.key(0), 3), uniform_grid(Cosine(), 0.9, 0.0, 5)

    def denoise(x, t, estimate):
        chex.assert_shape(estimate, (3, 2))
        return Prediction(estimate + 1, jnp.zeros_like(x))

    run = functools.partial(integrate, sampler, keys, jnp.ones((3, 2)), denoise, Cosine(), times, estimate=True)
    evaluations = 5 * EVALUATIONS.get(type(sampler), 1)
    np.testing.assert_allclose(run(denoise_last=True), evaluations + 1)
    if sampler == DDIM():
        np.testing.assert_allclose(run(), evaluations)


def test_denoising_at_the_last_time():
    """One more evaluation, at the last time, whose x0 is the result."""
    schedule, keys = Cosine(), jax.random.split(jax.random.key(0), 4)
    args = keys, jnp.ones((4, 2)), oracle(schedule), schedule, uniform_grid(schedule, 0.9, 0.1, 3)
    x = integrate(DDIM(), *args)
    wanted = oracle(schedule)(x, jnp.full(4, 0.1)).x0
    chex.assert_trees_all_close(integrate(DDIM(), *args, denoise_last=True), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Ancestral("larg"), "did you mean 'large'"),
        (lambda: EDMStochastic(gamma=1.0), "gamma=1.0"),
        (lambda: PredictorCorrector(snr=0.0), "snr=0.0"),
        (lambda: PredictorCorrector(corrector_steps=-1), "corrector_steps=-1"),
        (lambda: DPMSolverPP(4), "known orders are 1 to 3"),
        (lambda: DEIS(0), "DEIS: order=0"),
        (lambda: UniPC(2, "bh3"), "Known: bh1, bh2"),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
