"""What a penalty adds to a GAN's train step: paid in every step, and paid in every k-th.

    python benchmarks/penalties.py [--config=configs/gan/stylegan2.py] [--penalties=r1,PathLength] [--every=16]
        [--steps=16] [--rounds=5] [--out=FILE.json]

The config's networks and batch, with none of its own penalties, then with one of losses/penalties.py at a time, on a
synthetic batch that lies on the device. Of each: seconds a step without it, with it in every step, and with it in every
k-th (Karras et al. 2020, arXiv:1912.04958, section 3.1); blocks of `steps` steps of the three take turns in one run,
and the medians are compared. A lazy penalty of one k-th of the cost adds one k-th of the difference; what it adds
beyond that is the price of the branch.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import report
from absl import flags
from train_step import BareStep, known_info, synthetic

from gen_jax import cli
from gen_jax.errors import UserError, unknown
from gen_jax.training.setup import set_up
from gen_jax.types import Config

PENALTIES: dict[str, tuple[str, dict[str, Any]]] = {
    "r1": ("disc", {}),
    "r2": ("disc", {}),
    "gradient_penalty": ("disc", {}),
    "zero_centred": ("disc", {}),
    "dragan": ("disc", {}),
    "drift": ("disc", {}),
    "consistency": ("disc", {"augment": {"name": "losses.diff_augment", "policy": ("translation",)}}),
    "balanced_consistency": ("disc", {"augment": {"name": "losses.diff_augment", "policy": ("translation",)}}),
    "LeCam": ("disc", {}),
    "orthogonal": ("disc", {}),
    "PathLength": ("gen", {}),
}
"""Each with its player and what it cannot do without."""


def run(
    spec: str,
    out: str | Path,
    names: Sequence[str] = tuple(PENALTIES),
    every: int = 16,
    steps: int = 16,
    rounds: int = 5,
) -> dict[str, Any]:
    """Measures the penalties of these names, prints a table, and writes the result to `out`."""
    for name in names:
        if name not in PENALTIES:
            raise unknown("penalty", name, PENALTIES)
    if every < 2:
        raise UserError(f"--every={every}: a lazy penalty is paid in every second step at most")
    config = report.load_config(spec)
    if config.family.name != "families.GAN":
        raise UserError(f"--config={spec}: penalties are those of families.GAN, and it has {config.family.name}")
    steps = -(-steps // every) * every  # whole rounds of the lazy one
    config.family.disc_penalties, config.family.gen_penalties = {}, {}
    result = report.header("penalties") | {"config": spec, "every": every, "steps": steps, "rounds": rounds, "rows": []}
    plain = _step(config)
    for name in names:
        player, arguments = PENALTIES[name]
        print(f"{name} ...", flush=True)
        paid = [_step(config, player, {"name": f"losses.{name}", **arguments}, k) for k in (1, every)]
        times = [[step.run(steps) / steps for step in (plain, *paid)] for _ in range(rounds)]
        without, always, lazy = (statistics.median(column) for column in zip(*times, strict=True))
        result["rows"].append(
            {
                "penalty": name,
                "player": player,
                "seconds": {"without": without, "always": always, "lazy": lazy},
                "always_ratio": always / without,
                "lazy_ratio": lazy / without,
            }
        )
    _show(result)
    report.write(out, result)
    print(f"written: {out}")
    return result


def _step(config: Config, player: str | None = None, penalty: dict[str, Any] | None = None, every: int = 1) -> BareStep:
    """The step of the config, with the one penalty, after its first calls."""
    config = config.copy_and_resolve_references()
    if player is not None:
        paid = {"measured": {"name": "losses.Penalty", "of": penalty, "weight": 1.0, "every": every}}
        config.family[f"{player}_penalties"] = paid
    info = known_info(config)
    setup = set_up(config.to_dict(), info)
    step = BareStep(config, setup, synthetic(setup, info, config.train.batch_size), steps_per_call=1)
    step.run(every)  # the first calls allocate
    return step


def _show(result: dict[str, Any]) -> None:
    hardware = result["hardware"]
    print(f"{hardware['cores']} cores of {hardware['cpu']}, {hardware['devices']} x {hardware['device_kind']}")
    rows = [
        (
            r["penalty"],
            *(1e3 * r["seconds"][k] for k in ("without", "always", "lazy")),
            r["always_ratio"],
            r["lazy_ratio"],
        )
        for r in result["rows"]
    ]
    lazy = f"every {result['every']}"
    columns = ("penalty", "ms without", "ms always", f"ms {lazy}", "always / without", f"{lazy} / without")
    report.show(f"{result['config']}: what a penalty adds to a step", columns, rows)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    jax.config.update("jax_enable_compilation_cache", False)
    run(given.config, given.out, given.penalties, given.every, given.steps, given.rounds)


if __name__ == "__main__":
    flags.DEFINE_string("config", "configs/gan/stylegan2.py", "The GAN: FILE.py, or FILE.py:variant.")
    flags.DEFINE_list("penalties", list(PENALTIES), "Which of them.")
    flags.DEFINE_integer("every", 16, "k of the lazy penalty.")
    flags.DEFINE_integer("steps", 16, "Steps in a block.", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "Blocks; the median counts.", lower_bound=1)
    flags.DEFINE_string("out", str(report.RESULTS / "penalties.json"), "Where to write the result.")
    cli.run(main)
