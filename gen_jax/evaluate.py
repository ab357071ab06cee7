"""Measures samples: python -m gen_jax.evaluate --workdir=DIR [--evals=fid,prdc] [--num=10000]

The samples of a run of gen_jax.main are drawn for it, and the figures added to DIR/evals.json. Another program's lie in
a folder or an .npz, and are measured against images or against published statistics (mu, sigma):

    python -m gen_jax.evaluate --samples=FOLDER|FILE.npz --reference=FOLDER|FILE.npz|DATASET --out=FILE.json

Every figure is stored with its receipt: what it was measured on, by which network, with which settings. Features are
those of Inception where its weights are at hand, and figures have the names of papers (fid). Elsewhere a small
classifier of the data itself gives them, and figures end in _own (fid_own): those compare with one another on that
data set alone.
"""

import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from gen_jax import cli
from gen_jax.data.load import load
from gen_jax.errors import UserError
from gen_jax.evals.choose import SUFFIX, Choice, choose_network, default_metrics
from gen_jax.evals.external import load_reference, load_samples
from gen_jax.evals.features.sounds import is_sounds
from gen_jax.evals.metrics import Metric, find_metrics, metrics
from gen_jax.evals.receipts import describe_family
from gen_jax.evals.record import add_evaluation, check_target
from gen_jax.evals.reference import Reference
from gen_jax.evals.run import Samples, check_same, evaluate
from gen_jax.sample import check_numbers, open_model, parse_json
from gen_jax.tasks.conditions import Conditions, conditions
from gen_jax.tasks.generation import make_stream
from gen_jax.training import parallel, writers
from gen_jax.training.restore import Run

NUM = 10_000


def run(
    workdir: str | Path | None = None,
    evals: str | Sequence[str | Mapping[str, Any]] | None = None,
    num: int | None = None,
    *,
    features: str | None = None,
    weights: str | None = None,
    resize: str | None = None,
    split: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    sampler: str | None = None,
    guidance: float | None = None,
    family: Mapping[str, Any] | None = None,
    ema: float | None = None,
    checkpoint: int | str | None = None,
    batch_size: int | None = None,
    samples: str | Path | None = None,
    reference: str | Path | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Evaluates the run in `workdir`, or `samples` against `reference`, and adds the evaluation to a file.

    Args:
      evals: "fid,prdc", or a list of names and of specs such as {"name": "prdc", "k": 3}; None: a set that fits the
        data, of which what cannot be computed is left out with its reason.
      num: how many samples; None: 10,000 of a run (of one that is conditional on more than a label, one for each
        example of its data's test split), all of those in `samples`.
      features: "inception", "dinov2", or "own", a classifier of the data itself. None: Inception where its weights are
        at hand, else own. Nothing is downloaded unless it is asked for by name.
      weights: the network's file. resize: "clean", "tf-legacy" or "pytorch-fid"; None: the network's usual one.
      split: the real images that samples are measured against; None: train, and of reconstructions the split that they
        are of, so that fid is the rFID of papers, and psnr and ssim compare each image with its own.
      seed: sample i of a run depends on (seed, i) and its label alone; classes are asked for in turn.
      steps, sampler, guidance, family, ema, checkpoint, batch_size: as for gen_jax.sample.run.
      samples: a folder, archive or .npz of images. reference: the same, or the name of a data set, or an .npz of
        statistics mu [d] and sigma [d, d]; see evals/external.py.
      out: where another program's figures go, FILE.json; None: nowhere. A run's go to DIR/evals.json.

    Returns:
      {"figures": {name: {"value": float, "receipt": {...}}}, "cost": {...}, "left_out": {metric: reason}}

    Raises:
      UserError: no run, samples or reference; a metric that is unknown or cannot be computed; samples that are fewer
        than `num` or of another size, type or range than the reference; weights that are not there, or damaged.
    """
    check_numbers(num=num, seed=seed, steps=steps, guidance=guidance, batch_size=batch_size)
    named = None if evals is None else find_metrics(evals)
    drawing = dict(steps=steps, sampler=sampler, guidance=guidance, family=family, ema=ema, checkpoint=checkpoint)
    if workdir is None:
        if wrong := [name for name, value in {**drawing, "batch_size": batch_size}.items() if value is not None]:
            raise UserError(f"--{wrong[0]} is of runs (--workdir): these samples are there already")
        target, drawn, real = _of_files(samples, reference, out, num, split or "train", seed)
        opened, labelled, originals = None, bool(drawn.info.num_classes), ""
    else:
        for name, path in (("samples", samples), ("reference", reference), ("out", out)):
            if path is not None:
                raise UserError(f"--{name}={path}: a run (--workdir) has its own; give one or the other")
        target, opened = Path(workdir) / "evals.json", open_model(workdir, **drawing)  # type: ignore[arg-type]
        check_target(target)
        data = opened.config["data"]
        given = conditions(opened.setup.family, opened.info, data)
        originals = given.originals
        real = Reference(data["name"], functools.partial(load, data), split or originals or "train")
        drawn = _of_run(opened, given, num, seed, batch_size, ema)
        check_same(drawn, real)
        labelled = "label" in opened.setup.family.cond_keys or "label" in drawn.fields

    console = writers.make_console()
    usual = default_metrics(labelled, drawn.info, "target" in drawn.fields, bool(originals))
    wanted = find_metrics(usual) if named is None else named
    network = _network(features, weights, resize, real, drawn, wanted)
    if network is not None:
        if network.note:
            console.print(f"features: {network.note}", markup=False)
        network()  # what is missing is found missing before anything is drawn
    names = ", ".join(metric.name for metric in wanted)
    console.print(f"evaluating {drawn.count:,} samples against {real.name} ({real.split}): {names}", markup=False)
    start = time.perf_counter()
    evaluation = evaluate(wanted, drawn, real, network, opened, lenient=named is None)
    if target is not None:
        add_evaluation(target, evaluation)
    title = f"{drawn.count:,} samples, {writers.duration(time.perf_counter() - start)}"
    values = {name: f"{figure['value']:.5g}" for name, figure in evaluation["figures"].items()}
    writers.start_table(console, values, title)
    for name, why in evaluation["left_out"].items():
        console.print(f"left out: {name}: {why}", markup=False)
    if target is not None:
        console.print(f"written: {target}", markup=False)
    return evaluation


def _of_run(
    opened: Run, given: Conditions, num: int | None, seed: int, batch_size: int | None, ema: float | None
) -> Samples:
    """What is drawn from a run, with the conditions that tasks/conditions.py gives it."""
    family, state = opened.setup.family, opened.state
    size = batch_size or opened.config["sample"]["batch_size"]
    count = num or given.count or NUM
    stream = make_stream(family, opened.info, size, parallel.split_batch(opened.mesh), given)
    facts = {"seed": seed, **describe_family(family), "ema": bool(state.ema) if ema is None else ema}
    return Samples(lambda: stream(state, count, seed), count, opened.info, facts, opened.step, given.names)


def _of_files(
    samples: str | Path | None,
    reference: str | Path | None,
    out: str | Path | None,
    num: int | None,
    split: str,
    seed: int,
) -> tuple[Path | None, Samples, Reference]:
    """Another program's samples, what they are measured against, and where the figures go."""
    if samples is None:
        raise UserError("--workdir is needed (of a run), or --samples and --reference (of another program): see --help")
    if reference is None:
        raise UserError(f"--samples={samples}: --reference is needed too, a folder, an .npz or a data set")
    target = None if out is None else Path(out)
    if target is not None:
        if target.suffix != ".json":
            raise UserError(f"--out={out}: give a FILE.json")
        check_target(target)
    parallel.use_compilation_cache()
    real = load_reference(str(reference), split)
    return target, load_samples(str(samples), real, num, seed), real


def _network(
    features: str | None,
    weights: str | None,
    resize: str | None,
    reference: Reference,
    samples: Samples,
    wanted: Sequence[Metric],
) -> Choice | None:
    """The feature network; None where the data are neither images nor sounds, or no metric reads features."""
    asked = next((f"--{k}={v}" for k, v in (("features", features), ("weights", weights), ("resize", resize)) if v), "")
    why = ""
    if not is_sounds(samples.info) and (samples.info.dtype != "uint8" or len(samples.info.shape) != 3):
        shape = list(samples.info.shape)
        why = f"feature networks are for images and sounds, and these are {samples.info.dtype} {shape}"
    elif not any(metric.featured for metric in wanted):
        why = f"none of {', '.join(metric.name for metric in wanted)} reads features"
    if why and asked:
        raise UserError(f"{asked}: {why}")
    return None if why else choose_network(features, weights, resize, reference)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    if given.workdir is None and None not in (given.samples, given.reference) and given.out is None:
        raise UserError("--out is needed: where the figures go, --out=FILE.json")
    names = ["workdir", "evals", "num", "features", "weights", "resize", "split", "seed", "steps", "sampler"]
    names += ["guidance", "ema", "checkpoint", "batch_size", "samples", "reference", "out"]
    run(family=parse_json("family", given.family), **{name: getattr(given, name) for name in names})


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "The folder of a run of gen_jax.main.")
    flags.DEFINE_string("evals", None, f"Metrics: some of {', '.join(sorted(metrics()))}; default: what fits.")
    flags.DEFINE_integer("num", None, f"How many samples; default: {NUM:,} of a run, all of --samples.")
    flags.DEFINE_string("features", None, f"The feature network, of {', '.join(SUFFIX)}; default: what is at hand.")
    flags.DEFINE_string("weights", None, "The feature network's file.")
    flags.DEFINE_string("resize", None, "How images come to its size: clean, tf-legacy or pytorch-fid.")
    flags.DEFINE_string(
        "split", None, "The split of the real images to compare with; default: train, or the originals'."
    )
    flags.DEFINE_integer("seed", 0, "Sample i of a run depends on (seed, i) and its label alone.")
    flags.DEFINE_integer("steps", None, "Steps of the sampler; default: the config's.")
    flags.DEFINE_string("sampler", None, "The sampler, such as Heun or DDIM; default: the config's.")
    flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; default: the config's.")
    flags.DEFINE_string("family", None, """Other fields of the family, as JSON: '{"clip": 1.0}'.""")
    flags.DEFINE_float("ema", None, "Relative width of the average of the parameters, for runs with post-hoc averages.")
    flags.DEFINE_string("checkpoint", None, "The step of the checkpoint to take, or best; default: the newest.")
    flags.DEFINE_integer("batch_size", None, "How many are drawn at once; default: the config's sample.batch_size.")
    flags.DEFINE_string("samples", None, "Another program's samples: a folder, an archive or an .npz.")
    flags.DEFINE_string("reference", None, "What they are compared with: the same, statistics (.npz), or a data set.")
    flags.DEFINE_string("out", None, "Where the figures of --samples go: FILE.json.")
    cli.run(main)
