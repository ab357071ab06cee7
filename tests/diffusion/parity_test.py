"""Our samplers against diffusers' schedulers, step by step, on the same times and with the same noise.

The trajectories are in parity/*.npz; parity/make_reference.py made them and says of what. Nothing here needs torch.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.diffusion import multistep, samplers, stochastic
from gen_jax.diffusion.grids import discrete_grid, karras_grid
from gen_jax.diffusion.multistep import DPMSolverPP, DPMSolverSDE, UniPC
from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.samplers import DDIM, Euler, Heun
from gen_jax.diffusion.schedule import EDM, DiscreteLinear, RectifiedFlow, expand
from gen_jax.diffusion.stochastic import Ancestral, ConsistencyMultistep, EulerAncestral

CHAIN = DiscreteLinear(1000, 1e-4, 0.02)
TABLE = {
    "ddim_leading": (DDIM(), CHAIN),
    "ddim_trailing": (DDIM(), CHAIN),
    "ddpm_small": (Ancestral("small"), CHAIN),
    "ddpm_large": (Ancestral("large"), CHAIN),
    "dpmpp_2m": (DPMSolverPP(2), CHAIN),
    "dpmpp_2m_sde": (DPMSolverSDE(), CHAIN),
    "unipc_2_bh1": (UniPC(2, "bh1"), CHAIN),
    "unipc_2_bh2": (UniPC(2, "bh2"), CHAIN),
    "unipc_3_bh2": (UniPC(3, "bh2"), CHAIN),
    "lcm": (ConsistencyMultistep(), CHAIN),
    "euler": (Euler(), EDM()),
    "euler_ancestral": (EulerAncestral(), EDM()),
    "heun": (Heun(), EDM()),
    "edm_euler": (Euler(), EDM()),
    "edm_dpmpp_2m": (DPMSolverPP(2), EDM()),
    "flow_euler": (Euler(), RectifiedFlow()),
}


def load(name):
    return np.load(Path(__file__).parent / "parity" / f"{name}.npz")


def predict(schedule, x, t, boundary):
    """The denoiser of make_reference.py; boundary: c_skip and c_out of a consistency model."""
    alpha, sigma = (expand(a, x) for a in schedule(t))
    x0 = 0.3 + 0.6 * jnp.tanh(1.5 * x / jnp.hypot(alpha, sigma) - 0.2)
    x0 = boundary[0] * x + boundary[1] * x0
    return Prediction(x0, (x - alpha * x0) / sigma)


@pytest.mark.parametrize("name", TABLE)
def test_every_step_is_that_of_diffusers(name, monkeypatch):
    (sampler, schedule), reference = TABLE[name], load(name)
    times, wanted, noises = reference["times"], reference["x"], reference["noise"]
    boundary = reference["boundary"] if "boundary" in reference else np.tile([0.0, 1.0], (len(noises), 1))

    @jax.jit
    def step(state, noise, t, s, boundary):
        for module in (samplers, stochastic, multistep):
            monkeypatch.setattr(module, "normal", lambda keys, shape: noise)
        denoise = lambda x, t: predict(schedule, x, t, boundary)  # noqa: E731
        t, s = (jnp.full(len(noise), u) for u in (t, s))
        return sampler.step(jax.random.split(jax.random.key(0), len(noise)), state, denoise, schedule, t, s)

    state, found = sampler.init(jnp.asarray(wanted[0])), []
    for inputs in zip(noises, times[:-1], times[1:], boundary, strict=True):
        state = step(state, *inputs)
        found.append(state.x)
    # diffusers also lowers the order of the last step but one, from three to two; its bh1 is NaN at sigma = 0
    last = {"unipc_3_bh2": -2, "unipc_2_bh1": -1}.get(name)
    np.testing.assert_allclose(np.stack(found)[:last], wanted[1:][:last], rtol=1e-4, atol=1e-4)
    assert jnp.isfinite(state.x).all()


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_times_of_a_chain_are_those_of_diffusers(spacing):
    times = load(f"ddim_{spacing}")["times"]
    np.testing.assert_allclose(discrete_grid(CHAIN, 1.0, 0.0, len(times) - 1, spacing=spacing), times, atol=1e-6)


def test_karras_grid_is_that_of_diffusers():
    times = load("edm_euler")["times"]
    np.testing.assert_allclose(karras_grid(EDM(), 80.0, 0.0, len(times) - 1), times, rtol=1e-5)
