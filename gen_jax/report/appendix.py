"""The end of a report: the numbers behind its training curves, and what makes its figures comparable."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gen_jax.report.document import Section
from gen_jax.report.figures import Chosen
from gen_jax.report.runs import Entry
from gen_jax.report.table import Cell, Column, Row, Table

CURVE_ROWS = 12
WORDS = {"loss": "loss", "grad_norm": "gradient norm"}


def appendix(entries: Sequence[Entry], chosen: Sequence[Chosen]) -> list[Section]:
    """The numbers behind the training curves, and the receipts."""
    tables = []
    for i, e in enumerate(entries):
        if not e.steps:
            continue
        names = [(p, n) for p in e.players for n in WORDS if len(e.column(p, n)[0])]
        columns = [Column(f"{p}/{n}", f"{p} {WORDS[n]}" if len(e.players) > 1 else WORDS[n]) for p, n in names]
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
    """What the figures are of: the facts that are equal in all runs, and how each run's samples were made."""
    shared: dict[tuple[str, ...], list[str]] = {}
    for c in chosen:
        if c.by_run:
            shared.setdefault(_shared(next(iter(c.by_run.values()))[1]), []).append(c.name)
    heads = [Column(k, k) for k in ("figures", "settings", "features", "data", "samples")]
    rows = [
        Row(key[0], {c.key: Cell(v) for c, v in zip(heads, (", ".join(names), *key[1:]), strict=True)})
        for key, names in shared.items()
    ]
    equal = Table("receipts", "Equal in all runs", heads, rows, heads=("metric", ""))

    heads = [Column(k, k) for k in ("figures", "checkpoint", "samples", "code", "device", "date")]
    rows = []
    for e in entries:
        groups: dict[tuple[str, ...], list[str]] = {}
        for c in chosen:
            if e.name in c.by_run:
                groups.setdefault(_own(c.by_run[e.name][1]), []).append(c.name)
        for key, names in groups.items():
            values = (", ".join(names) if len(groups) > 1 else "all", *key)
            rows.append(Row(e.name, {c.key: Cell(v) for c, v in zip(heads, values, strict=True)}))
    return [equal, Table("settings", "Of each run", heads, rows)]


def _shared(receipt: Mapping[str, Any]) -> tuple[str, ...]:
    data, samples = receipt.get("data") or {}, receipt.get("samples") or {}
    features = receipt.get("features") or {}
    count = f"{data['count']:,} images" if data.get("count") else ""
    return (
        f"{receipt.get('metric')}, version {receipt.get('version')}",
        _pairs(receipt.get("settings")) or "none",
        _line(features.get("network"), _short(features.get("hash")), f"resize {features.get('resize')}")
        if features
        else "none",
        _line(data.get("name"), data.get("split"), count, _short(data.get("hash"))),
        _line(f"{samples['count']:,}" if samples.get("count") else "", samples.get("dtype")),
    )


def _own(receipt: Mapping[str, Any]) -> tuple[str, ...]:
    drawn = {k: v for k, v in (receipt.get("samples") or {}).items() if k not in ("count", "dtype")}
    checkpoint = receipt.get("checkpoint")
    facts = [str(receipt.get(k, "")) for k in ("code", "device", "date")]
    return ("–" if checkpoint is None else f"{checkpoint:,}", _pairs(drawn), *facts)


def _pairs(facts: Mapping[str, Any] | None) -> str:
    said = ((k, _pairs(v) if isinstance(v, Mapping) else v) for k, v in (facts or {}).items())
    return _line(*(f"{name} {value}" for name, value in said if value not in (None, "", [])))


def _line(*parts: Any) -> str:
    return ", ".join(str(part) for part in parts if part)


def _short(hash_: str | None) -> str:
    return (hash_ or "")[:12]
