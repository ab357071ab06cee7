"""Evaluation at intervals of training, as config.evals says:

    evals=dict(every=1000, num=1000, metrics=dict(fid=dict(name="evals.fid")), features="own",
               best=dict(figure="fid_own", mode="min"))

every: steps; the last step is evaluated too. num: how many samples (1,000). metrics: specs by any name. features: own,
inception or dinov2, with `weights` and `resize` as in gen_jax.evaluate. split: of the reference (train). seed: of the
samples (0). best: the figure by which the best checkpoint is kept, and whether "min" or "max" is best. {}: no
evaluation.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gen_jax.errors import UserError, unknown
from gen_jax.evals.choose import Choice, choose_network
from gen_jax.evals.features.sounds import is_sounds
from gen_jax.evals.frechet import statistics
from gen_jax.evals.metrics import Metric, find_metric
from gen_jax.evals.record import write_text
from gen_jax.evals.reference import Reference
from gen_jax.evals.run import Inputs, Samples, evaluate, figure_name
from gen_jax.types import Source

DEFAULTS: dict[str, Any] = {
    "num": 1000,
    "features": "own",
    "weights": None,
    "resize": None,
    "split": "train",
    "seed": 0,
    "best": None,
}
NEEDED = ("every", "metrics")


@dataclasses.dataclass(frozen=True)
class Criterion:
    """figure: the one by which the best checkpoint is kept. mode: "min" or "max"."""

    figure: str
    mode: str


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """What is evaluated, when and how. Called at a step of training, it gives the step's figures.

    every: in steps. num, seed: of the samples. best: None where no best checkpoint is kept."""

    every: int
    num: int
    seed: int
    metrics: Sequence[Metric]
    reference: Reference
    network: Choice | None
    best: Criterion | None

    def __call__(self, samples: Samples, opened: Any, receipts: Path) -> dict[str, float]:
        """The figures, and `seconds`, what they cost. Their receipts go to the file `receipts`.

        opened: the run as it is now (training.restore.Run).

        Raises:
          UserError: a metric cannot be computed, or the figure of the best checkpoint is none of those computed.
        """
        found = evaluate(self.metrics, samples, self.reference, self.network, opened)
        figures = {name: float(figure["value"]) for name, figure in found["figures"].items()}
        if self.best is not None and self.best.figure not in figures:
            raise unknown("figure in config.evals.best", self.best.figure, figures)
        # One receipt serves all rows of metrics.jsonl, which give the step themselves.
        kept = {f"evals/{name}": figure["receipt"] for name, figure in found["figures"].items()}
        kept = {name: {k: v for k, v in receipt.items() if k != "checkpoint"} for name, receipt in kept.items()}
        write_text(receipts, json.dumps(kept, indent=2) + "\n")
        return figures

    def describe(self) -> str:
        """One line for people."""
        what = f"{', '.join(metric.name for metric in self.metrics)} of {self.num:,} samples every {self.every:,} steps"
        if self.network is not None and any(metric.featured for metric in self.metrics):
            what += f", features {self.network.name}"
        return what + (f"; the checkpoint of the best {self.best.figure} in best/" if self.best else "")


def make_evaluator(
    spec: Mapping[str, Any], data: str, load: Callable[[str], Source], fields: tuple[str, ...] = ()
) -> Evaluator | None:
    """What config.evals asks for; None where it is empty.

    data: the data set's name. load: the source of a split. fields: what is known of samples beside x.

    Raises:
      UserError: a field that is missing or unknown or out of range, an unknown metric or setting, a metric that these
        data cannot serve, or a figure to keep the best by that no metric gives.
    """
    if not spec:
        return None
    for name in spec:
        if name not in (known := (*NEEDED, *DEFAULTS)):
            raise unknown("field of config.evals", name, known)
    if missing := [name for name in NEEDED if name not in spec]:
        raise UserError(f"config.evals has no field: {', '.join(missing)}; or leave all out, evals=dict()")
    given = {**DEFAULTS, **spec}
    for name, least in (("every", 1), ("num", 2), ("seed", 0)):
        if not isinstance(given[name], int) or given[name] < least:
            raise UserError(f"evals.{name}={given[name]}: it must be a whole number from {least} on")
    if not isinstance(given["metrics"], Mapping) or not given["metrics"]:
        raise UserError('evals.metrics: specs by name are needed, such as dict(fid=dict(name="evals.fid"))')
    metrics = [find_metric(metric) for metric in given["metrics"].values()]
    if len({metric.name for metric in metrics}) < len(metrics):
        raise UserError("evals.metrics: the same metric twice, whose figures would have the same names")
    reference = Reference(data, load, given["split"])
    is_images = reference.info is not None and reference.info.dtype == "uint8" and len(reference.info.shape) == 3
    has_features = is_images or is_sounds(reference.info)
    network = choose_network(given["features"], given["weights"], given["resize"], reference) if has_features else None
    best = None if not given["best"] else _best(given["best"])
    if network is not None and network.name != "own" and any(metric.featured for metric in metrics):
        network()  # weights that are missing are found missing now
    evaluator = Evaluator(given["every"], given["num"], given["seed"], metrics, reference, network, best)
    _check_inputs(evaluator, fields)
    if best is not None:
        _check_figure(best.figure, evaluator)
    return evaluator


def _best(spec: Any) -> Criterion:
    if not isinstance(spec, Mapping) or set(spec) != {"figure", "mode"}:
        raise UserError(f"evals.best={spec}: it takes figure and mode, such as dict(figure='fid_own', mode='min')")
    if spec["mode"] not in ("min", "max"):
        raise unknown("mode in evals.best", spec["mode"], ("min", "max"))
    return Criterion(spec["figure"], spec["mode"])


def _check_inputs(evaluator: Evaluator, fields: tuple[str, ...]) -> None:
    """Raises UserError where the data lack what a metric needs."""
    assert evaluator.reference.info is not None
    samples = Samples(lambda: iter(()), 0, evaluator.reference.info, {}, fields=fields)
    inputs = Inputs(samples, evaluator.reference, evaluator.network, opened=True)
    for metric in evaluator.metrics:
        if why := next(filter(None, map(inputs.why_not, metric.needs)), ""):
            raise UserError(f"config.evals: metric {metric.name}: {why}")


def _check_figure(figure: str, evaluator: Evaluator) -> None:
    """Raises UserError where the figure is surely none of the metrics'.

    Which figures a metric has is seen from what it makes of a few real images, with noise for features. A metric that
    cannot be tried so may have any."""
    network = "own" if evaluator.network is None else evaluator.network.name
    known: set[str] = set()
    for metric in sorted(evaluator.metrics, key=lambda metric: not figure.startswith(metric.name)):
        try:
            names = _tried(metric, evaluator.reference)
        except (UserError, AttributeError, IndexError, ValueError):  # too few, or nothing to be tried without the model
            return
        known |= {figure_name(name, network) if metric.featured else name for name in names}
        if figure in known:
            return
    raise unknown("figure in config.evals.best", figure, known)


def _tried(metric: Metric, reference: Reference, count: int = 64) -> set[str]:
    """The names of a metric's figures, by a trial."""
    if "run" in metric.inputs:
        raise UserError(f"{metric.name} needs the model")
    x, label = reference.get(reference.split).some(3 * count)
    noise = np.random.default_rng(0).normal(size=(len(x), 8)).astype(np.float32)
    made: dict[str, Any] = {}
    for i, split in enumerate(("", "train_", "test_")):  # others for each: copies are refused by some
        made |= {f"{split}x": x[i::3], f"{split}label": None if label is None else label[i::3]}
        made[f"{split}features"] = noise[i::3]
    made |= {f"real_{name}": made[f"train_{name}"] for name in ("x", "label", "features")}
    made |= {"logits": made["features"], "real_statistics": statistics(made["real_features"])}
    made |= {"image": made["train_x"], "target": made["test_x"][: len(made["x"])]}
    return set(metric(**{name: made[name] for name in metric.inputs}))
