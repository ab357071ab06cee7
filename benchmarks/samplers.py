"""Samplers: error over the number of network evaluations, and what the scan costs beside the network.

    python benchmarks/samplers.py [--evaluations=8,16,32,64,128] [--workdir=DIR] [--config=FILE.py] [--rounds=7]
        [--num=4096] [--out=FILE.json]

On a mixture of two normal distributions in one dimension, whose denoiser is exact, from t = 1 to t = 0 of the
linear-beta schedule, with times at equal distances in t ("uniform") and by noise level ("karras"):

    path      root mean square distance from the end point of the probability flow ODE, found with AdaptiveODE in
              float64; deterministic samplers only
    law       Wasserstein-1 distance between the samples and the mixture's quantiles. `floor` is that of as many
              independent draws, below which nothing can be told of a stochastic sampler (all start at quantiles of the
              normal distribution, so that the deterministic ones have no such floor)
    network   --workdir only: root mean square distance from 1000 steps of Heun's with the network of that run
    ratio     seconds of a jitted scan of N evaluations over those of N calls of the jitted denoiser, one after the
              other, both waited for at the end, for N up to 32; the median of `rounds`, in which they alternate. The
              network is that of --workdir, or of --config with its parameters as initialized

Beside the result lies a plot of it, of the same name. The orders of the methods, which so few evaluations do not show,
are measured by sampler_orders.py.
"""

import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import report
from absl import flags
from scipy import optimize, stats
from train_step import known_info

from gen_jax import cli
from gen_jax.diffusion.adaptive import AdaptiveODE
from gen_jax.diffusion.grids import karras_grid, uniform_grid
from gen_jax.diffusion.multistep import DEIS, PLMS, DPMSolverPP, DPMSolverSDE, UniPC
from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.samplers import DDIM, DPMSolverPP2S, Euler, Heun, integrate
from gen_jax.diffusion.schedule import LinearBeta, expand
from gen_jax.diffusion.stochastic import Ancestral, EDMStochastic, EulerMaruyama, PredictorCorrector
from gen_jax.random import normal
from gen_jax.training import parallel
from gen_jax.training.restore import open_run
from gen_jax.training.setup import set_up

# name: (sampler, evaluations a step, whether it is deterministic)
SAMPLERS: dict[str, tuple[Any, int, bool]] = {
    "Euler": (Euler(), 1, True),
    "Heun": (Heun(), 2, True),
    "DDIM": (DDIM(), 1, True),
    "DPMSolverPP2S": (DPMSolverPP2S(), 2, True),
    "DPMSolverPP(2)": (DPMSolverPP(2), 1, True),
    "DPMSolverPP(3)": (DPMSolverPP(3), 1, True),
    "UniPC(2)": (UniPC(2), 1, True),
    "UniPC(3)": (UniPC(3), 1, True),
    "DEIS(3)": (DEIS(3), 1, True),
    "PLMS": (PLMS(), 1, True),
    "Ancestral": (Ancestral(), 1, False),
    "DPMSolverSDE": (DPMSolverSDE(), 1, False),
    "EulerMaruyama": (EulerMaruyama(), 1, False),
    "PredictorCorrector": (PredictorCorrector(), 2, False),
    "EDMStochastic(0.1)": (EDMStochastic(gamma=0.1), 2, False),
}
GRIDS = {"uniform": uniform_grid, "karras": karras_grid}
SCHEDULE = LinearBeta()
MIXTURE = ((-0.7, 0.1, 0.4), (0.5, 0.2, 0.6))  # mean, standard deviation, weight
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5)
DIMENSION = 64  # of an example: as many independent draws, since the corrector's step takes norms over an example


def run(
    out: str | Path,
    *,
    evaluations: tuple[int, ...] = (8, 16, 32, 64, 128),
    num: int = 4096,
    workdir: str | Path | None = None,
    config: str = "configs/diffusion/flow_matching.py",
    rounds: int = 7,
) -> dict[str, Any]:
    """Measures all samplers, prints the tables, and writes the result to `out` and the plot beside it.

    num: values drawn from the mixture. workdir: a run whose network is measured too.
    """
    result = report.header("samplers") | {"num": num, "floor": floor(num)}
    result["mixture"] = measure_mixture(evaluations, num)
    family, params, cond, name = trained(workdir) if workdir is not None else initialized(config)
    result["network"] = name
    result["network_errors"] = [] if workdir is None else measure_network(family, params, cond, evaluations)
    result["ratios"] = measure_ratios(family, params, cond, min(32, max(evaluations)), rounds)
    _show(result)
    report.write(out, result)
    plot(result, Path(out).with_suffix(".png"))
    print(f"written: {out} and its .png")
    return result


def denoise_mixture(x: jax.Array, t: jax.Array) -> Prediction:
    """The exact denoiser of the mixture, for each value of x by itself."""
    alpha, sigma = (expand(a, x) for a in SCHEDULE(t))
    mean, std, weight = (jnp.asarray(column)[(...,) + (None,) * x.ndim] for column in zip(*MIXTURE, strict=True))
    var = jnp.square(alpha * std) + jnp.square(sigma)
    gap = x - alpha * mean
    p = jax.nn.softmax(jnp.log(weight) - jnp.square(gap) / (2 * var) - jnp.log(var) / 2, axis=0)
    return Prediction((p * (mean + alpha * std**2 / var * gap)).sum(0), (p * sigma / var * gap).sum(0))


def quantiles(num: int) -> np.ndarray:
    """The mixture's quantiles at (i + 1/2) / num."""
    cdf = lambda x, u: sum(w * stats.norm.cdf(x, m, s) for m, s, w in MIXTURE) - u  # noqa: E731
    return np.array([optimize.brentq(cdf, -9, 9, args=((i + 0.5) / num,)) for i in range(num)])


def floor(num: int, draws: int = 20) -> float:
    """The mean law error of independent draws from the mixture itself."""
    rng, wanted = np.random.default_rng(0), quantiles(num)
    mean, std, weight = (np.array(column) for column in zip(*MIXTURE, strict=True))
    errors = []
    for _ in range(draws):
        which = rng.choice(len(mean), num, p=weight)
        errors.append(np.abs(np.sort(rng.normal(mean[which], std[which])) - wanted).mean())
    return float(np.mean(errors))


def measure_mixture(evaluations: tuple[int, ...], num: int) -> list[dict[str, Any]]:
    """One row per sampler, grid and number of evaluations; the adaptive solver has one per tolerance."""
    rows = max(num // DIMENSION, 1)
    wanted = quantiles(rows * DIMENSION)
    start = np.random.default_rng(0).permutation(stats.norm.ppf((np.arange(wanted.size) + 0.5) / wanted.size))
    x = jnp.asarray(start.reshape(rows, DIMENSION), jnp.float32)  # alpha(1) = 0.0066: all but normal
    keys = jax.random.split(jax.random.key(0), rows)
    with jax.enable_x64(True):
        exact = AdaptiveODE(1e-9, 1e-9, "Dopri8", last=1e-6, max_steps=10_000).solve(
            jnp.asarray(x, jnp.float64), denoise_mixture, SCHEDULE, jnp.float64(1.0), jnp.float64(0.0)
        )[0]
    exact = np.asarray(exact)

    def row(name, grid, count, found, deterministic):
        path = float(np.sqrt(np.mean(np.square(np.asarray(found) - exact)))) if deterministic else None
        law = float(np.abs(np.sort(np.ravel(found)) - wanted).mean())
        return {"sampler": name, "grid": grid, "evaluations": count, "path": path, "law": law}

    found_rows = []
    for name, (sampler, cost, deterministic) in SAMPLERS.items():
        draw = jax.jit(lambda times, sampler=sampler: integrate(sampler, keys, x, denoise_mixture, SCHEDULE, times))
        for grid, make in GRIDS.items():
            for count in evaluations:
                found = draw(make(SCHEDULE, 1.0, 0.0, count // cost))
                found_rows.append(row(name, grid, count, found, deterministic))
    for tolerance in TOLERANCES:
        solve = functools.partial(AdaptiveODE(tolerance, tolerance).solve, denoise=denoise_mixture, schedule=SCHEDULE)
        found, counts = jax.jit(functools.partial(solve, start=jnp.float32(1.0), end=jnp.float32(0.0)))(x)
        found_rows.append(row(f"AdaptiveODE({tolerance:g})", "its own", int(counts.max()), found, True))
    return found_rows


def measure_network(family, params, cond, evaluations: tuple[int, ...], num: int = 64) -> list[dict[str, Any]]:
    """The distance of the deterministic samplers' images from those of 1000 steps of Heun's."""
    start, end = family.grid(family.schedule, family._start, family.end, 1)
    x = family.schedule(start)[1] * normal(jax.random.split(jax.random.key(0), num), family.shape)
    keys = jax.random.split(jax.random.key(1), num)
    cond = jax.tree.map(lambda c: jnp.resize(c, (num, *c.shape[1:])), cond)

    @functools.partial(jax.jit, static_argnums=0)
    def draw(sampler, times, params):
        denoise = family.denoiser(params)
        return integrate(sampler, keys, x, lambda x, t: denoise(x, t, cond), family.schedule, times)

    reference = draw(Heun(), uniform_grid(family.schedule, start, end, 1000), params)
    found_rows = []
    for name, (sampler, cost, deterministic) in SAMPLERS.items():
        for count in evaluations if deterministic else ():
            times = family.grid(family.schedule, family._start, family.end, count // cost)
            error = float(jnp.sqrt(jnp.mean(jnp.square(draw(sampler, times, params) - reference))))
            found_rows.append({"sampler": name, "evaluations": count, "network": error})
    return found_rows


def measure_ratios(family, params, cond, evaluations: int, rounds: int) -> list[dict[str, Any]]:
    """The time of each sampler's scan over that of as many calls of the denoiser."""
    num = len(next(iter(cond.values()))) if cond else 64
    x = normal(jax.random.split(jax.random.key(0), num), family.shape)
    keys = jax.random.split(jax.random.key(1), num)
    t = jnp.full(num, family._start / 2)
    once = jax.jit(lambda params, x, t, cond: family.denoiser(params)(x, t, cond))
    once = functools.partial(once.lower(params, x, t, cond).compile(), params, x, t, cond)
    found_rows = []
    for name, (sampler, cost, _) in SAMPLERS.items():
        steps = evaluations // cost
        times = family.grid(family.schedule, family._start, family.end, steps)

        def scan(params, x, cond, sampler=sampler, times=times):
            denoise = family.denoiser(params)
            return integrate(sampler, keys, x, lambda x, t: denoise(x, t, cond), family.schedule, times)

        scan = functools.partial(jax.jit(scan).lower(params, x, cond).compile(), params, x, cond)
        pairs = [(_seconds(scan, 1), _seconds(once, steps * cost)) for _ in range(rounds + 1)][1:]
        found_rows.append(
            {
                "sampler": name,
                "evaluations": steps * cost,
                "batch_size": num,
                "scan_seconds": statistics.median(a for a, _ in pairs),
                "calls_seconds": statistics.median(b for _, b in pairs),
                "ratio": statistics.median(a / b for a, b in pairs),
            }
        )
    return found_rows


def _seconds(call: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        out = call()
    jax.block_until_ready(out)
    return time.perf_counter() - start


def initialized(spec: str):
    """The family of a config with its parameters as initialized, a condition for 64 samples, and the config's name."""
    config = report.load_config(spec)
    setup = set_up(config.to_dict(), known_info(config))
    state = setup.init(jax.random.key(0), parallel.replicated(parallel.make_mesh(1)))
    return setup.family, state.params, _labels(setup), spec


def trained(workdir: str | Path):
    """The same of a run: the averaged parameters of its newest checkpoint."""
    run = open_run(workdir)
    return run.setup.family, run.state.averaged, _labels(run.setup), str(workdir)


def _labels(setup, num: int = 64):
    classes = setup.family.conditioning.num_classes
    return {"label": jnp.arange(num) % classes} if "label" in setup.family.cond_keys else {}


def plot(result: dict[str, Any], path: Path) -> None:
    """Errors over evaluations, a panel for each measure and grid."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    panels = [(measure, grid, result["mixture"]) for measure in ("path", "law") for grid in GRIDS]
    if result["network_errors"]:
        panels.append(("network", "the run's", result["network_errors"]))
    figure, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 5), layout="constrained")
    styles = {name: (f"C{i % 10}", "o" if i < 10 else "x") for i, name in enumerate(SAMPLERS)}
    for axis, (measure, grid, rows) in zip(axes, panels, strict=True):
        for name, (color, marker) in styles.items():
            own = [r for r in rows if r["sampler"] == name and r.get("grid", grid) == grid and r[measure] is not None]
            if own:
                at, error = [r["evaluations"] for r in own], [r[measure] for r in own]
                axis.loglog(at, error, color=color, marker=marker, markersize=4, label=name)
        own = [r for r in rows if r.get("grid") == "its own"]
        if own:
            at, error = [r["evaluations"] for r in own], [r[measure] for r in own]
            axis.loglog(at, error, "k*--", label="AdaptiveODE")
        if measure == "law":
            axis.axhline(result["floor"], color="gray", linestyle=":", label="independent draws")
        axis.set(title=f"{measure}, {grid} grid", xlabel="evaluations", ylabel="error")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _show(result: dict[str, Any]) -> None:
    for measure in ("path", "law"):
        for grid in GRIDS:
            rows = [r for r in result["mixture"] if r["grid"] == grid and r[measure] is not None]
            _table(f"mixture: {measure} error, {grid} grid", rows, measure)
    own = [r for r in result["mixture"] if r["grid"] == "its own"]
    columns = ("sampler", "evaluations", "path", "law")
    report.show("mixture: adaptive", columns, [[r[c] for c in columns] for r in own])
    print(f"law error of independent draws: {result['floor']:.4g}")
    if result["network_errors"]:
        _table(f"{result['network']}: error", result["network_errors"], "network")
    columns = ("sampler", "evaluations", "batch_size", "scan_seconds", "calls_seconds", "ratio")
    rows = [[r[c] for c in columns] for r in result["ratios"]]
    report.show(f"scan over network, {result['network']}", columns, rows)


def _table(title: str, rows: list[dict[str, Any]], measure: str) -> None:
    counts = sorted({r["evaluations"] for r in rows})
    by_sampler: dict[str, dict[int, float]] = {}
    for r in rows:
        by_sampler.setdefault(r["sampler"], {})[r["evaluations"]] = r[measure]
    table = [[name, *(errors[count] for count in counts)] for name, errors in by_sampler.items()]
    report.show(title, ["evaluations", *map(str, counts)], table)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    evaluations = tuple(int(n) for n in given.evaluations)
    run(
        given.out,
        evaluations=evaluations,
        num=given.num,
        workdir=given.workdir,
        config=given.config,
        rounds=given.rounds,
    )


if __name__ == "__main__":
    flags.DEFINE_list("evaluations", ["8", "16", "32", "64", "128"], "Of the network, by each sampler; even numbers.")
    flags.DEFINE_integer("num", 4096, "Values drawn from the mixture.", lower_bound=64)
    flags.DEFINE_string("workdir", None, "A run of gen_jax.main of a diffusion model: its network is measured too.")
    flags.DEFINE_string("config", "configs/diffusion/flow_matching.py", "Whose network the scan is compared with.")
    flags.DEFINE_integer("rounds", 7, "Of the comparison; the median counts.", lower_bound=1)
    flags.DEFINE_string("out", str(report.RESULTS / "samplers.json"), "Where to write the result.")
    cli.run(main)
