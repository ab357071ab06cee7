"""Writes the .npz files beside it: trajectories of diffusers' schedulers, which parity_test.py replays with ours.

    pip install torch diffusers scipy; python tests/diffusion/parity/make_reference.py

Every scheduler is given the same analytic denoiser in place of a network, x0 = 0.3 + 0.6 tanh(1.5 y - 0.2) with y = x
scaled by 1 / sqrt(alpha^2 + sigma^2). A file has times [steps + 1] (in [0, 1] where sigma = sigma(t) of the linear
betas, else sigma itself), x [steps + 1, n, d], the noise drawn in each step [steps, n, d], and the versions.
"""

import importlib
from pathlib import Path

import diffusers
import numpy as np
import torch

HERE = Path(__file__).parent
STEPS, SHAPE = 12, (3, 4)
BETAS = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
EPS = dict(BETAS, prediction_type="epsilon")


def predict_x0(y):
    return 0.3 + 0.6 * torch.tanh(1.5 * y - 0.2)


class Noise:
    """Noise in place of randn_tensor's, and a record of it."""

    def __init__(self, scheduler):
        self._generator = np.random.default_rng(1)
        self.drawn = np.zeros(SHAPE)
        module = importlib.import_module(type(scheduler).__module__)
        if hasattr(module, "randn_tensor"):
            module.randn_tensor = self

    def __call__(self, shape, *args, **kwargs):
        self.drawn = self._generator.standard_normal(tuple(shape))
        return torch.from_numpy(self.drawn)

    def take(self):
        drawn, self.drawn = self.drawn, np.zeros(SHAPE)
        return drawn


def start(scale=1.0):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(SHAPE)) * scale


def save(name, times, xs, noises, **more):
    arrays = dict(times=times, x=np.stack(xs), noise=np.stack(noises), **more)
    arrays = {key: np.asarray(value, np.float32) for key, value in arrays.items()}
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__}
    np.savez_compressed(HERE / f"{name}.npz", **arrays, **versions)
    print(name, arrays["x"].shape, float(np.abs(arrays["x"][-1]).max()))


def discrete(name, scheduler, steps=STEPS, **kwargs):
    """Schedulers of variance preserving x at integer time steps."""
    scheduler.set_timesteps(steps, **kwargs)
    noise, x = Noise(scheduler), start()
    xs, noises, boundary = [x.numpy()], [], []
    for i in scheduler.timesteps:
        alpha = scheduler.alphas_cumprod[int(i)].double() ** 0.5
        sigma = (1 - alpha**2) ** 0.5
        eps = (x - alpha * predict_x0(x)) / sigma  # y = x
        if hasattr(scheduler, "get_scalings_for_boundary_condition_discrete"):
            boundary.append([float(c) for c in scheduler.get_scalings_for_boundary_condition_discrete(int(i))])
        x = scheduler.step(eps, i, x).prev_sample.double()
        xs.append(x.numpy())
        noises.append(noise.take())
    more = dict(boundary=boundary) if boundary else {}
    save(name, np.append((scheduler.timesteps.double().numpy() + 1) / 1000, 0), xs, noises, **more)


def continuous(name, scheduler):
    """Schedulers of x = x0 + sigma eps; a step of Heun's is two of the scheduler's, and the last one is one."""
    scheduler.set_timesteps(STEPS)
    noise, x = Noise(scheduler), start(float(scheduler.sigmas[0]))
    edm = name.startswith("edm")
    xs, noises, times = [x.numpy()], [], [float(scheduler.sigmas[0])]
    for i in scheduler.timesteps:
        scheduler.scale_model_input(x, i)
        sigma = scheduler.sigmas[scheduler.step_index].double()
        x0 = predict_x0(x / (sigma**2 + 1) ** 0.5)
        out = (x - x0) / sigma
        if edm:  # the network behind the preconditioning
            skip = scheduler.precondition_outputs(x, torch.zeros_like(x), sigma)
            out = (x0 - skip) / (scheduler.precondition_outputs(x, torch.ones_like(x), sigma) - skip)
        x = scheduler.step(out, i, x).prev_sample.double()
        if getattr(scheduler, "state_in_first_order", True) or i == scheduler.timesteps[-1]:
            xs.append(x.numpy())
            noises.append(noise.take())
            times.append(float(scheduler.sigmas[scheduler.step_index]))
    save(name, times, xs, noises)


def flow(name, scheduler):
    """The straight path x = (1 - t) x0 + t eps."""
    scheduler.set_timesteps(STEPS)
    times, x = scheduler.sigmas.double(), start()
    xs = [x.numpy()]
    for t, i in zip(times[:-1], scheduler.timesteps, strict=True):
        x0 = predict_x0(x / ((1 - t) ** 2 + t**2) ** 0.5)
        x = scheduler.step((x - x0) / t, i, x).prev_sample.double()  # eps - x0 = (x - x0) / t
        xs.append(x.numpy())
    save(name, times.numpy(), xs, np.zeros((STEPS, *SHAPE)))


def main():
    dpm = dict(EPS, solver_type="midpoint", lower_order_final=True, final_sigmas_type="zero")
    uni = dict(EPS, predict_x0=True, final_sigmas_type="zero")
    for spacing, steps in (("leading", STEPS), ("trailing", 10)):
        exact = dict(EPS, clip_sample=False, timestep_spacing=spacing)
        # its DDIM goes to t - 1000 // steps, which is the next of the trailing times only where steps divides 1000
        discrete(f"ddim_{spacing}", diffusers.DDIMScheduler(**exact, set_alpha_to_one=True), steps)
    discrete("ddpm_small", diffusers.DDPMScheduler(**EPS, clip_sample=False, variance_type="fixed_small"))
    discrete("ddpm_large", diffusers.DDPMScheduler(**EPS, clip_sample=False, variance_type="fixed_large"))
    discrete("dpmpp_2m", diffusers.DPMSolverMultistepScheduler(**dpm, algorithm_type="dpmsolver++"))
    discrete("dpmpp_2m_sde", diffusers.DPMSolverMultistepScheduler(**dpm, algorithm_type="sde-dpmsolver++"))
    for order, kind in ((2, "bh1"), (2, "bh2"), (3, "bh2")):
        unipc = diffusers.UniPCMultistepScheduler(**uni, solver_order=order, solver_type=kind)
        discrete(f"unipc_{order}_{kind}", unipc)
    discrete("lcm", diffusers.LCMScheduler(**EPS, clip_sample=False), original_inference_steps=50)
    continuous("euler", diffusers.EulerDiscreteScheduler(**EPS))
    continuous("euler_ancestral", diffusers.EulerAncestralDiscreteScheduler(**EPS))
    continuous("heun", diffusers.HeunDiscreteScheduler(**EPS))
    continuous("edm_euler", diffusers.EDMEulerScheduler())
    continuous("edm_dpmpp_2m", diffusers.EDMDPMSolverMultistepScheduler(solver_type="midpoint"))
    flow("flow_euler", diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))


if __name__ == "__main__":
    main()
