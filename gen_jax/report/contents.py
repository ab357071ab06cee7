"""What stands in a report: from runs, their matched figures and what was measured of them to sections of tables."""

import dataclasses
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from gen_jax.report import charts, figures, runs
from gen_jax.report.appendix import appendix
from gen_jax.report.document import Picture, Report, Section
from gen_jax.report.figures import Chosen
from gen_jax.report.measure import COLLAPSED, Samples
from gen_jax.report.runs import Entry
from gen_jax.report.table import HIGH, LOW, Cell, Column, Row, Table
from gen_jax.training.writers import arranged, make_grid, scatter

STABILITY = "Stability of training"
CURVES = (
    "Loss and gradient norm: mean ± standard deviation over the rows of metrics.jsonl in the last quarter of training"
)
VARIETY = (
    "Variety: how far samples of one class lie apart in pixels, beside training images; 1: as far. Collapsed: below "
    f"{COLLAPSED}, or fewer than half of the data's classes are drawn; in training: in how many of the "
    "evaluations that counted them."
)
COST = (
    "images/s: the median of metrics.jsonl. Time: wall clock of training, compilation, evaluations, checkpoints and "
    "grids included. Work: XLA's count for a step, times the steps; every player counts in every step. Memory of the "
    "step: XLA's plan for one device, state and batch included; peak: the most that the device had in use, or, on a "
    "CPU, the process."
)
SPEED = (
    "median time from the call to images on the host, compiled before. Network evaluations are of one sample; guidance "
    "that asks twice counts twice."
)
GRID_WIDTH = 340
NEAREST = (
    "The first samples above, below each the training image that is nearest in pixels. A copy would be the same; a "
    "sample that is only alike shows what the model has learned of it."
)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of one run (measure.py).

    grids: samples by seed. variety: of the first of them, None where it was not measured. nearest: samples, the
    training images nearest to them, and their distances. sweep: rows of speed and quality over sampler steps.
    missing: lines that say what could not be measured and why."""

    step: int
    num_classes: int
    parameters: Mapping[str, int]
    speed: Mapping[str, float]
    grids: Mapping[int, Samples]
    variety: float | None = None
    nearest: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    sweep: Sequence[Mapping[str, float]] = ()
    missing: Sequence[str] = ()


def compose(
    entries: Sequence[Entry],
    chosen: Sequence[Chosen],
    measured: Mapping[str, Measured],
    facts: Mapping[str, str],
    quality: str,
    unevaluated: Sequence[str] = (),
) -> Report:
    """The report of these runs. measured: by the run's name. quality: what a sweep's quality is, in words.
    unevaluated: lines on runs without figures."""
    warnings = [*unevaluated, *(c.refused for c in chosen if c.refused)]
    warnings += dict.fromkeys(line for m in measured.values() for line in m.missing)
    here = f"Measured on {facts['device']} while this report was made"
    sections = [
        _models(entries, measured),
        *_grids(entries, measured),
        *_figures(entries, chosen),
        _stability(entries, chosen, measured),
        *_seeds(entries, chosen, measured),
        _training(entries),
        _generation(entries, measured, here, quality),
        *_nearest(entries, measured),
        *appendix(entries, chosen),
    ]
    return Report(f"{', '.join(e.name for e in entries)} compared", facts, warnings, sections)


def _models(entries: Sequence[Entry], measured: Mapping[str, Measured]) -> Section:
    columns = [
        Column("family", "family"),
        Column("network", "network"),
        Column("data", "data"),
        Column("seed", "seed"),
        Column("step", "at step"),
        Column("parameters", "parameters", "#"),
        Column("players", "of them"),
    ]
    rows = []
    for e in entries:
        counts = measured[e.name].parameters
        cells = {
            "family": Cell(e.family),
            "network": Cell(", ".join(_networks(e.config["family"]))),
            "data": Cell(e.config["data"]["name"]),
            "seed": Cell(e.config["seed"]),
            "step": Cell(measured[e.name].step),
            "parameters": Cell(sum(counts.values())),
        }
        if len(counts) > 1:
            cells["players"] = Cell(
                ", ".join(f"{player} {100 * n / sum(counts.values()):.0f}%" for player, n in counts.items())
            )
        rows.append(Row(e.name, cells))
    if not any("players" in row.cells for row in rows):
        columns.pop()
    folders = "; ".join(f"{e.name}: {e.workdir}" for e in entries)
    return Section("models", "The runs", tables=[Table("models", "The runs", columns, rows, [f"Folders: {folders}."])])


def _networks(family: Mapping[str, Any]) -> list[str]:
    """The classes of the networks that a family's spec names."""
    names = [v["name"] for v in family.values() if isinstance(v, Mapping) and str(v.get("name", "")).startswith("nn.")]
    return list(dict.fromkeys(n.removeprefix("nn.") for n in names if n != "nn.Conditioning"))


def _grids(entries: Sequence[Entry], measured: Mapping[str, Measured]) -> list[Section]:
    seeds = list(dict.fromkeys(seed for m in measured.values() for seed in m.grids))
    rows = []
    for seed in seeds:
        row = []
        for e in entries:
            m = measured[e.name]
            if seed in m.grids:
                samples = m.grids[seed]
                grid = _grid(*arranged(samples, m.num_classes))
                classes = ", all classes in turn" if "label" in samples else ", unconditional"
                classes = ", beside what they were made from" if "image" in samples else classes
                row.append(Picture(grid, f"{e.name}: seed {seed}{classes}"))
        rows.append(row)
    text = ["The first samples of each seed, none picked; conditional models are asked for the same labels."]
    return [Section("samples", "Samples", text, pictures=rows)] if rows else []


def _figures(entries: Sequence[Entry], chosen: Sequence[Chosen]) -> list[Section]:
    titles = {
        figures.QUALITY: "Quality",
        figures.DIVERSITY: "Fidelity and diversity",
        figures.COPIES: "Memorization",
        figures.OTHER: "Further figures",
    }
    sections = []
    for section, title in titles.items():
        columns = figures.columns(chosen, section)
        if not columns:
            continue
        rows = [Row(e.name, figures.cells(chosen, e)) for e in entries]
        own = [c for c in chosen if c.kind.section == section]
        notes = [_basis([c for c in own if c.by_run])]
        notes.append("; ".join(f"{c.kind.label}: {c.kind.meaning}" for c in own if c.kind.meaning) + ".")
        if any(len(c.by_run) < len(entries) for c in own):
            notes.append("–: not measured of that run, or not comparable (see above).")
        notes = [note for note in notes if note.strip(".")]
        sections.append(Section(section, title, tables=[Table(section, title, columns, rows, notes)]))
    return sections


def _basis(chosen: Sequence[Chosen]) -> str:
    """How many samples and reference images the figures are of."""
    seen: dict[str, None] = {}
    for c in chosen:
        receipt = next(iter(c.by_run.values()))[1]
        data, count = receipt.get("data", {}), receipt.get("samples", {}).get("count")
        if count is None:
            continue
        against = f"{data.get('count'):,} images" if data.get("count") else "images"
        seen[f"{count:,} samples against {against} of {data.get('name')}, split {data.get('split')}"] = None
    return f"Of {'; '.join(seen)}." if seen else ""


def _stability(entries: Sequence[Entry], chosen: Sequence[Chosen], measured: Mapping[str, Measured]) -> Section:
    columns = [
        Column("loss", "loss", apart=True),
        Column("loss_spread", "relative spread", "%", digits=2),
        Column("grad_norm", "gradient norm", apart=True),
        Column("grad_norm_spread", "relative spread", "%", digits=2),
        Column("skipped", "updates skipped", "", LOW),
        Column("variety", "variety of samples"),
        Column("collapsed", "collapsed"),
        Column("collapses", "collapses in training"),
    ]
    rows = []
    for e in entries:
        for i, player in enumerate(e.players):
            cells: dict[str, Cell] = {}
            for name in ("loss", "grad_norm"):
                mean, spread = runs.last_quarter(e, player, name)
                if math.isfinite(mean):
                    cells[name] = Cell(mean, spread)
                    cells[f"{name}_spread"] = Cell(100 * spread / abs(mean)) if mean else Cell()
            if not i:
                skipped = e.metrics.get("skipped", np.zeros(0))
                cells["skipped"] = Cell(int(skipped[-1])) if len(skipped) else Cell()
                m = measured[e.name]
                if m.variety is not None and math.isfinite(m.variety):
                    cells["variety"] = Cell(m.variety)
                    cells["collapsed"] = Cell("yes" if collapsed(e, chosen, m) else "no")
                if found := runs.collapses(e, m.num_classes):
                    cells["collapses"] = Cell(f"{found[0]} of {found[1]}")
            rows.append(Row(e.name, cells, player if len(e.players) > 1 else "–"))
    if not any("collapses" in row.cells for row in rows):
        columns.pop()
    every = ", ".join(f"{e.name}: {e.config['train']['log_every']}" for e in entries)
    apart = "Losses of different families are different quantities: only their spreads compare."
    notes = [f"{CURVES}, each the mean of some steps ({every}). {apart}", VARIETY]
    table = Table("stability", STABILITY, columns, rows, notes, heads=("run", "player"))
    pictures = [
        [
            Picture(
                charts.curves(e.name, *({p: e.column(p, name) for p in e.players} for name in ("loss", "grad_norm"))),
                f"{e.name}: loss and gradient norm over training. In numbers: “{e.name} in training”, at the end.",
            )
        ]
        for e in entries
        if e.steps
    ]
    return Section("stability", STABILITY, tables=[table], pictures=pictures)


def collapsed(entry: Entry, chosen: Sequence[Chosen], m: Measured) -> bool:
    """Whether the samples are all alike, or show fewer than half of the data's modes where these were counted."""
    counts = [c.by_run[entry.name][0] for c in chosen if c.name in runs.MODES and entry.name in c.by_run]
    few = any(count < m.num_classes / 2 for count in counts)
    return few or (m.variety is not None and m.variety < COLLAPSED)


def _seeds(entries: Sequence[Entry], chosen: Sequence[Chosen], measured: Mapping[str, Measured]) -> list[Section]:
    groups = runs.same_but_seed(entries)
    if not groups:
        return []
    kept = [c for c in chosen if c.kind.section in (figures.QUALITY, figures.DIVERSITY)]
    columns = [
        Column("seeds", "seeds"),
        *(Column(c.name, c.kind.label, "", c.kind.better) for c in kept),
        Column("collapsed", "collapsed"),
    ]
    rows = []
    for group in groups:
        cells = {"seeds": Cell(len(group))}
        for c in kept:
            values = [c.by_run[e.name][0] for e in group if e.name in c.by_run]
            if len(values) > 1:
                cells[c.name] = Cell(statistics.mean(values), statistics.stdev(values))
        fallen = sum(collapsed(e, chosen, measured[e.name]) for e in group)
        cells["collapsed"] = Cell(f"{fallen} of {len(group)}")
        rows.append(Row(" ".join(e.name for e in group), cells))
    notes = ["Mean ± standard deviation over runs of one config that differ in config.seed."]
    return [Section("seeds", "Across seeds", tables=[Table("seeds", "Across seeds", columns, rows, notes)])]


def _training(entries: Sequence[Entry]) -> Section:
    columns = [
        Column("steps", "steps"),
        Column("batch_size", "batch"),
        Column("images_per_second", "images/s", "", HIGH, digits=2),
        Column("seconds", "time", "s", LOW),
        Column("flops", "work", "FLOP", LOW),
        Column("step_bytes", "memory of the step", "B", LOW),
        Column("peak_bytes", "peak memory", "B", LOW),
        Column("device", "device"),
    ]
    rows = []
    for e in entries:
        cost = runs.training_cost(e)
        rows.append(Row(e.name, {k: Cell(v, reason="not recorded") for k, v in cost.items()}))
    devices = {e.record["device"] for e in entries if "device" in e.record}
    notes = [COST, *(["Figures of different devices do not compare."] if len(devices) > 1 else [])]
    return Section("training", "Cost of training", tables=[Table("training", "Cost of training", columns, rows, notes)])


def _generation(entries: Sequence[Entry], measured: Mapping[str, Measured], here: str, quality: str) -> Section:
    columns = [
        Column("images_per_second", "images/s", "", HIGH, digits=2),
        Column("batch_size", "at batch"),
        Column("latency", "latency at batch 1", "s", LOW),
        Column("evaluations", "network evaluations", "", LOW),
    ]
    rows = [Row(e.name, {k: Cell(v) for k, v in measured[e.name].speed.items()}) for e in entries]
    tables = [Table("generation", "Speed of generation", columns, rows, [f"{here}: {SPEED}"])]
    swept = {e.name: measured[e.name].sweep for e in entries if measured[e.name].sweep}
    pictures = []
    if any(len(points) > 1 for points in swept.values()):
        sweep_columns = [
            Column("evaluations", "network evaluations"),
            Column("seconds_per_image", "time of an image", "s", digits=2),
            Column("quality", quality, "", LOW),
        ]
        sweep_rows = [
            Row(name, {k: Cell(v) for k, v in point.items()}, f"{point['steps']:.0f}" if point["steps"] else "one pass")
            for name, points in swept.items()
            for point in points
        ]
        title = "Speed and quality over the steps of the sampler"
        tables.append(Table("sweep", title, sweep_columns, sweep_rows, heads=("run", "sampler steps")))
        caption = f"{quality} over the time of an image, at the number of sampler steps beside each point."
        pictures = [[Picture(charts.trade(swept, quality), caption)]]
    return Section("generation", "Speed of generation", tables=tables, pictures=pictures)


def _nearest(entries: Sequence[Entry], measured: Mapping[str, Measured]) -> list[Section]:
    row = []
    for e in entries:
        found = measured[e.name].nearest
        if found is not None:
            x, images, distance = found
            grid = _grid(np.concatenate([x, images]), columns=len(x))
            caption = f"{e.name}: median distance {np.median(distance):,.0f} in grey levels of 255"
            row.append(Picture(grid, caption))
    return [Section("nearest", "Nearest training images", [NEAREST], pictures=[row])] if row else []


def _grid(x: np.ndarray, columns: int) -> bytes:
    """A grid as PNG: small images are enlarged so that three grids fill the page's width at their own size. Points
    of the plane are drawn where they lie."""
    grid = scatter(x) if x.ndim == 2 else make_grid(x, columns, cell=max(1, GRID_WIDTH // columns - 2))
    out = io.BytesIO()
    Image.fromarray(grid).save(out, format="png", optimize=True)
    return out.getvalue()
