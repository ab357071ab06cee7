"""The order of each deterministic sampler, as its error against a closed form shows it.

    python benchmarks/sampler_orders.py [--steps=256,512,1024,2048] [--out=FILE.json]

For data N(0.4, 0.7^2) denoiser and probability flow ODE are known exactly. From t = 0.9 to t = 0.05 of the linear-beta
schedule, in equal steps and in float64; multistep methods start with ten tiny steps, so that their first steps, of
lower order, do not show. Nothing is timed: the result does not depend on the machine.

    theory    the order of the method, its paper's
    order     log2 of the error at half of the steps over that at all of them, for the last two numbers of steps
    error     the largest distance from the exact end point over 16 starting points, for each number of steps
"""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import report
from absl import flags

from gen_jax import cli
from gen_jax.diffusion.multistep import DEIS, PLMS, DPMSolverPP, UniPC
from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.samplers import DDIM, DPMSolverPP2S, Euler, Heun
from gen_jax.diffusion.schedule import LinearBeta, expand
from gen_jax.errors import UserError

MEAN, STD = 0.4, 0.7
SCHEDULE = LinearBeta()
START, END = 0.9, 0.05  # away from the ends, where the schedule is not smooth
ORDERS: dict[str, tuple[Any, int]] = {
    "Euler": (Euler(), 1),
    "DDIM": (DDIM(), 1),
    "Heun, EDMStochastic(0)": (Heun(), 2),
    "DPMSolverPP2S": (DPMSolverPP2S(), 2),
    "PLMS": (PLMS(), 2),
    **{f"DPMSolverPP({n})": (DPMSolverPP(n), n) for n in (1, 2, 3)},
    **{f"DEIS({n})": (DEIS(n), n) for n in (1, 2, 3, 4)},
    **{f"UniPC({n})": (UniPC(n), n + 1) for n in (1, 2, 3)},
}


def run(out: str, steps: tuple[int, ...] = (256, 512, 1024, 2048)) -> dict[str, Any]:
    """Measures all samplers, prints the table, and writes the result to `out`."""
    if len(steps) < 2 or steps[0] < 1 or any(b != 2 * a for a, b in itertools.pairwise(steps)):
        raise UserError(f"--steps={','.join(map(str, steps))}: two numbers or more, each twice the one before")
    result = report.header("sampler_orders") | {"steps": steps, "samplers": []}
    for name, (sampler, theory) in ORDERS.items():
        found = errors(sampler, steps)
        order = math.log2(found[-2] / found[-1])
        result["samplers"].append({"sampler": name, "theory": theory, "order": order, "errors": found})
    columns = ["sampler", "theory", "order", *(f"error, {n}" for n in steps)]
    rows = [[r["sampler"], r["theory"], r["order"], *r["errors"]] for r in result["samplers"]]
    report.show("order of convergence", columns, rows)
    report.write(out, result)
    print(f"written: {out}")
    return result


def denoise(x: jax.Array, t: jax.Array) -> Prediction:
    """The exact denoiser of the data."""
    alpha, sigma = (expand(a, x) for a in SCHEDULE(t))
    gap = (x - alpha * MEAN) / ((alpha * STD) ** 2 + sigma**2)
    return Prediction(MEAN + alpha * STD**2 * gap, sigma * gap)


def on_path(t: float, quantile: jax.Array) -> jax.Array:
    """Where the ODE's paths of these standard normal quantiles are at t."""
    alpha, sigma = SCHEDULE(jnp.asarray(t))
    return alpha * MEAN + jnp.sqrt((alpha * STD) ** 2 + sigma**2) * quantile


def errors(sampler: Any, steps: tuple[int, ...]) -> list[float]:
    """The largest distance from the exact end point, for each number of steps."""
    multistep = hasattr(sampler, "order") or isinstance(sampler, PLMS)
    with jax.enable_x64(True):
        quantile = jax.random.normal(jax.random.key(0), (16, 1))

        @jax.jit
        def path(times):
            def body(state, between):
                t, s = (jnp.full(len(quantile), u) for u in between)
                state = sampler.step(None, state, denoise, SCHEDULE, t, s)
                return state, state.x

            return jax.lax.scan(body, sampler.init(on_path(START, quantile)), (times[:-1], times[1:]))[1]

        found = []
        for n in steps:
            times = grid(n, multistep)
            # all of one length, so that they are compiled once: what comes after END is not looked at
            after = END * 0.999 ** np.arange(1, steps[-1] + 16 - len(times))
            x = path(jnp.asarray(np.append(times, after)))[len(times) - 2]
            found.append(float(jnp.abs(x - on_path(END, quantile)).max()))
    return found


def grid(steps: int, gentle: bool) -> np.ndarray:
    """Times at equal distances, the first step divided into ten that grow from tiny where `gentle`."""
    times = np.linspace(START, END, steps + 1)
    if not gentle:
        return times
    return np.concatenate([times[:1], START + (times[1] - START) * 0.5 ** np.arange(10, 0, -1), times[1:]])


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    run(given.out, tuple(int(n) for n in given.steps))


if __name__ == "__main__":
    flags.DEFINE_list("steps", ["256", "512", "1024", "2048"], "Numbers of steps, each twice the one before.")
    flags.DEFINE_string("out", str(report.RESULTS / "sampler_orders.json"), "Where to write the result.")
    cli.run(main)
