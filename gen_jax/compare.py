"""Sets trained runs side by side: python -m gen_jax.compare --workdirs=A,B,C --out=report.html

Writes one page that needs no other file (report.html), the same as text (report.md) and as numbers (report.json).
Figures of quality are those that gen_jax.evaluate left in each run's evals.json; two stand in one column only where
their receipts are equal. Samples, speed, network evaluations and nearest training images are measured here.
"""

import dataclasses
import datetime
import functools
import json
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from absl import flags

import gen_jax.evaluate
from gen_jax import cli
from gen_jax.data.load import load
from gen_jax.errors import UserError
from gen_jax.evals.receipts import code_version
from gen_jax.evals.reference import Reference
from gen_jax.report import contents, figures, measure
from gen_jax.report.contents import Measured
from gen_jax.report.document import Report
from gen_jax.report.html import to_html
from gen_jax.report.markdown import to_markdown
from gen_jax.report.runs import Entry, read_entries
from gen_jax.training import parallel, writers
from gen_jax.training.restore import Run, open_run

SWEEP = (1, 2, 4, 8, 16, 32)
SWEEP_SECONDS = 120.0
"""A sweep that was not asked for is left out where it would take a run longer than this."""
NEAREST = 10
"""How many samples are shown with the training image nearest to them."""


def run(
    workdirs: Sequence[str | Path],
    out: str | Path,
    *,
    names: Sequence[str] | None = None,
    num: int = 100,
    seeds: Sequence[int] = (0,),
    steps: Sequence[int] | None = None,
    sweep_num: int = 500,
    evaluate: bool = False,
    evaluate_num: int | None = None,
    rounds: int = 10,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Compares the runs in `workdirs` and writes `out`, an .html, with an .md and a .json of the same name beside it.

    Args:
      names: what the runs are called; None: the ends of their paths.
      num: samples in a grid, for each of `seeds`; sample i depends on (seed, i) and its label alone.
      steps: numbers of sampler steps at which diffusion models are timed and measured, with sweep_num samples each;
        None: 1, 2, 4, ... 32 and the config's own, where that takes a run two minutes at most; (): none.
      evaluate: evaluates runs that have no evaluation of their newest checkpoint yet, on evaluate_num samples (None:
        the default of gen_jax.evaluate).
      rounds: of each timing. overwrite: whether the files may be there already.

    Returns:
      What report.json holds: {"title", "facts", "warnings", "tables": {id: {"columns", "rows", "notes"}}}.

    Raises:
      UserError: fewer than two workdirs, one without a run or without a whole checkpoint, or files that cannot be
        written or are there.
    """
    settings = _Settings(num, tuple(seeds), None if steps is None else tuple(steps), sweep_num, rounds)
    page = _check_out(out, overwrite)
    entries = read_entries(workdirs, names)
    parallel.use_compilation_cache()
    opened = {e.name: open_run(e.workdir) for e in entries}  # all of them, before anything takes time
    console = writers.make_console()
    if evaluate:
        _evaluate([e for e in entries if not _evaluated(e, opened[e.name].step)], evaluate_num, console)
        entries = read_entries(workdirs, [e.name for e in entries])

    distance, why_no_sweep = _distance(opened, settings)
    measured = {}
    for e in entries:
        console.print(f"{e.name}: drawing and timing ...", markup=False)
        measured[e.name] = _measure(e.name, opened[e.name], settings, distance)
    warnings = [
        f"{e.name} has no figures: python -m gen_jax.evaluate {shlex.quote(f'--workdir={e.workdir}')}, or --evaluate"
        for e in entries
        if not e.evaluations
    ]
    quality = f"fid_own of {sweep_num:,} samples"
    report = contents.compose(entries, figures.choose(entries), measured, _facts(), quality, warnings + why_no_sweep)
    _write(page, report)
    for warning in report.warnings:
        console.print(f"note: {warning}", markup=False)
    console.print(f"written: {page}, {page.with_suffix('.md').name}, {page.with_suffix('.json').name}", markup=False)
    return report.as_json()


@dataclasses.dataclass(frozen=True)
class _Settings:
    """The numbers that `run` was given; UserError where one is out of range."""

    num: int
    seeds: tuple[int, ...]
    steps: tuple[int, ...] | None
    sweep_num: int
    rounds: int

    def __post_init__(self):
        given = [("num", self.num), ("rounds", self.rounds), *(("steps", s) for s in self.steps or ())]
        for name, value in given:
            if value < 1:
                raise UserError(f"--{name}={value}: it must be at least 1")
        if self.sweep_num < 2:
            raise UserError(f"--sweep_num={self.sweep_num}: it must be at least 2")
        if not self.seeds:
            raise UserError("--seeds= is empty: at least one seed is needed, as in --seeds=0")
        for seed in self.seeds:
            if not 0 <= seed < 2**31:
                raise UserError(f"--seeds={seed}: seeds are 0 to {2**31 - 1}")


Distance = Callable[[measure.Samples], float]


def _distance(opened: Mapping[str, Run], settings: _Settings) -> tuple[Distance | None, list[str]]:
    """fid_own, by which the runs' sweeps over sampler steps are measured; None, and why, where there is nothing to
    sweep or no measure that all of them share."""
    if settings.steps == () or not any(hasattr(run.setup.family, "steps") for run in opened.values()):
        return None, []
    first, *others = opened.values()
    if any(run.config["data"] != first.config["data"] for run in others):
        return None, ["no sweep over sampler steps: the runs are of different data, and fid_own is of one data set's"]
    try:
        return measure.own_distance(_data(first)), []
    except (UserError, OSError) as error:
        return None, [f"no sweep over sampler steps: {error}"]


def _data(run: Run) -> Reference:
    return Reference(run.config["data"]["name"], functools.partial(load, run.config["data"]))


def _measure(name: str, run: Run, settings: _Settings, distance: Distance | None) -> Measured:
    """All that is measured of a run; what cannot be is said in `missing`."""
    generate = measure.generator(run)
    grids = {seed: generate(run.state, settings.num, seed) for seed in settings.seeds}
    speed = measure.speed(run, generate, settings.rounds)
    found = Measured(run.step, run.info.num_classes, measure.parameters(run), speed, grids)
    if run.info.dtype != "uint8" or len(run.info.shape) != 3:
        return _lacking(found, f"{name}: its data are no images, so there are no nearest ones")
    try:
        train = _data(run).get("train")
    except (UserError, OSError) as error:
        return _lacking(found, f"{name}: nothing that needs its data is measured: {error}")
    first = grids[settings.seeds[0]]
    x = first["x"][:NEAREST]
    found = dataclasses.replace(
        found,
        variety=measure.variety(first, train.some(settings.num)),
        nearest=(x, *measure.nearest(x, train)),
    )
    if distance is None:
        return found
    own = getattr(run.setup.family, "steps", 1)
    counts = settings.steps or sorted({*SWEEP, own})
    estimate = settings.sweep_num * sum(counts) / (speed["images_per_second"] * own)
    if settings.steps is None and hasattr(run.setup.family, "steps") and estimate > SWEEP_SECONDS:
        return _lacking(
            found, f"{name}: no sweep over sampler steps, about {writers.duration(estimate)}; --steps=8 asks"
        )
    return dataclasses.replace(found, sweep=measure.sweep(run, counts, settings.sweep_num, distance))


def _lacking(found: Measured, line: str) -> Measured:
    return dataclasses.replace(found, missing=[*found.missing, line])


def _evaluated(entry: Entry, step: int) -> bool:
    receipts = [f["receipt"] for e in entry.evaluations for f in e["figures"].values()]
    return any(receipt.get("checkpoint") == step for receipt in receipts)


def _evaluate(entries: Sequence[Entry], num: int | None, console: Any) -> None:
    for entry in entries:
        console.print(f"{entry.name}: evaluating ...", markup=False)
        gen_jax.evaluate.run(entry.workdir, num=num)


def _facts() -> dict[str, str]:
    devices = jax.devices()
    return {
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})",
        "gen_jax": code_version(),
        "jax": version("jax"),
    }


def _check_out(out: str | Path, overwrite: bool) -> Path:
    """Where to write, known to be possible before anything is measured."""
    page = Path(out)
    if page.suffix != ".html":
        raise UserError(f"--out={out}: give the name of a page, such as report.html")
    for path in (page, page.with_suffix(".md"), page.with_suffix(".json")):
        if path.is_dir():
            raise UserError(f"--out={out}: {path} is a folder")
        if path.exists() and not overwrite:
            raise UserError(f"--out={out}: {path} is there already; take another name, or --overwrite")
    there = next(p for p in page.absolute().parents if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"--out={out} cannot be written: {error.strerror or error}") from error
    return page


def _write(page: Path, report: Report) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    texts = {
        ".json": json.dumps(report.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        ".md": to_markdown(report, page.name),
        ".html": to_html(report),
    }
    for suffix, text in texts.items():
        path = page.with_suffix(suffix)
        partial = path.with_name(f".{path.name}.tmp")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def _numbers(flag: str, values: Sequence[str] | None) -> list[int] | None:
    """Whole numbers from a list flag; None where it was not given."""
    if values is None:
        return None
    try:
        return [int(value) for value in values]
    except ValueError as error:
        raise UserError(f"--{flag}={','.join(values)}: whole numbers are needed, as in --{flag}=1,2") from error


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    for name in ("workdirs", "out"):
        if not getattr(given, name):
            raise UserError(f"--{name} is needed: python -m gen_jax.compare --workdirs=A,B --out=report.html")
    run(
        given.workdirs,
        given.out,
        names=given.names,
        num=given.num,
        seeds=_numbers("seeds", given.seeds) or [],
        steps=_numbers("steps", given.steps),
        sweep_num=given.sweep_num,
        evaluate=given.evaluate,
        evaluate_num=given.evaluate_num,
        rounds=given.rounds,
        overwrite=given.overwrite,
    )


if __name__ == "__main__":
    flags.DEFINE_list("workdirs", None, "The folders of two runs of gen_jax.main, or more: A,B,C.")
    flags.DEFINE_string("out", None, "The page to write; an .md and a .json of the same name go beside it.")
    flags.DEFINE_list("names", None, "What the runs are called; default: the ends of their paths.")
    flags.DEFINE_integer("num", 100, "How many samples a grid shows.")
    flags.DEFINE_list("seeds", ["0"], "The seeds of the grids.")
    flags.DEFINE_list("steps", None, "Sampler steps of the sweep of diffusion models, such as 4,8,16; empty: no sweep.")
    flags.DEFINE_integer("sweep_num", 500, "How many samples a point of the sweep is measured on.")
    flags.DEFINE_boolean("evaluate", False, "Whether to evaluate runs that have no figures of their newest checkpoint.")
    flags.DEFINE_integer("evaluate_num", None, "On how many samples; default: as many as gen_jax.evaluate takes.")
    flags.DEFINE_integer("rounds", 10, "Rounds of each timing; the median counts.")
    flags.DEFINE_boolean("overwrite", False, "Whether the files may be there already.")
    cli.run(main, "stopped; there is no report, and the evaluations that were finished are kept")
