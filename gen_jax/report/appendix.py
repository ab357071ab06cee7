"""The end of a report: the numbers behind its training curves, and what makes its figures comparable."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gen_jax.report.document import Section
from gen_jax.report.figures import Chosen
from gen_jax.report.runs import Entry
from gen_jax.report.table import Cell, Column, Row, Table

CURVE_ROWS = 12


def appendix(entries: Sequence[Entry], chosen: Sequence[Chosen]) -> list[Section]:
    """The numbers behind the training curves, and the receipts."""
    tables = []
    for i, e in enumerate(entries):
        if not e.steps:
            continue
        names = [(p, n) for p in e.players for n in ("loss", "grad_norm") if len(e.column(p, n)[0])]
        columns = [
            Column(f"{p}/{n}", f"{p} {n.replace('_', ' ')}" if len(e.players) > 1 else n.replace("_", " "))
            for p, n in names
        ]
        steps = e.metrics["step"]
        ends = steps[np.unique(np.linspace(0, len(steps) - 1, CURVE_ROWS).round().astype(int))]
        rows = []
        for end in ends:
            cells = {}
            for p, n in names:
                at, values = e.column(p, n)
                if len(values[at == end]):
                    cells[f"{p}/{n}"] = Cell(float(values[at == end][0]))
            rows.append(Row(f"{end:,.0f}", cells))
        tables.append(Table(f"curve-{i}", f"{e.name} in training", columns, rows, heads=("step", "")))
    sections = [Section("numbers", "The numbers behind the curves", tables=tables)] if tables else []
    if any(c.by_run for c in chosen):
        sections.append(Section("receipts", "Receipts", tables=_receipts(entries, chosen)))
    return sections


def _receipts(entries: Sequence[Entry], chosen: Sequence[Chosen]) -> list[Table]:
    """What the figures are of: the facts that agree by figure, and the others by run."""
    shared = [Column(k, k) for k in ("metric", "settings", "features", "data", "samples", "dtype")]
    rows = []
    for c in chosen:
        if c.by_run:
            r = next(iter(c.by_run.values()))[1]
            facts = {
                "metric": f"{r.get('metric')}, version {r.get('version')}",
                "settings": _pairs(r.get("settings")) or "default",
                "features": _pairs(r.get("features")) or "none",
                "data": _pairs(r.get("data")),
                "samples": f"{(r.get('samples') or {}).get('count', '–')}",
                "dtype": str((r.get("samples") or {}).get("dtype", "–")),
            }
            rows.append(Row(c.name, {k: Cell(v) for k, v in facts.items()}))
    tables = [Table("receipts", "Equal in every run", shared, rows, heads=("figure", ""))]
    own = [Column(k, k) for k in ("figures", "checkpoint", "samples", "code", "device", "date")]
    rows = []
    for e in entries:
        groups: dict[tuple[str, ...], list[str]] = {}
        for c in chosen:
            if e.name in c.by_run:
                r = c.by_run[e.name][1]
                drawn = {k: v for k, v in (r.get("samples") or {}).items() if k not in ("count", "dtype")}
                key = (str(r.get("checkpoint")), _pairs(drawn), *(str(r.get(k)) for k in ("code", "device", "date")))
                groups.setdefault(key, []).append(c.name)
        for key, names in groups.items():
            values = (", ".join(names) if len(groups) > 1 else "all", *key)
            rows.append(Row(e.name, {c.key: Cell(v) for c, v in zip(own, values, strict=True)}))
    return [*tables, Table("settings", "Of each run", own, rows)]


def _pairs(facts: Mapping[str, Any] | None) -> str:
    """Facts in a line; hashes by their beginnings."""
    said = []
    for name, value in (facts or {}).items():
        if value not in (None, {}, []):
            value = _pairs(value) if isinstance(value, Mapping) else value
            said.append(f"{name} {str(value)[:12] if name == 'hash' else value}")
    return ", ".join(said)
