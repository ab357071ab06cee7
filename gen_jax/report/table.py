"""The one form that every number of a report goes through, so that its HTML, Markdown and JSON cannot disagree."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

LOW, HIGH = "low", "high"
MULTIPLES = {
    "s": ((10800, 3600.0, "h"), (600, 60.0, "min"), (1, 1.0, "s"), (1e-3, 1e-3, "ms"), (0, 1e-6, "µs")),
    "B": ((1e9, 1e9, "GB"), (1e6, 1e6, "MB"), (1e3, 1e3, "kB"), (0, 1.0, "B")),
    "FLOP": ((1e15, 1e15, "PFLOP"), (1e12, 1e12, "TFLOP"), (1e9, 1e9, "GFLOP"), (0, 1e6, "MFLOP")),
    "#": ((1e9, 1e9, "billions"), (1e6, 1e6, "millions"), (1e3, 1e3, "thousands"), (0, 1.0, "")),
}
"""Units that are scaled, a whole column by one factor: (for which values, on the geometric mean, the factor, what it is
called)."""


@dataclasses.dataclass(frozen=True)
class Column:
    """What stands in one column.

    unit: what the values are in; those of MULTIPLES are shown by the one that fits. better: "low", "high", or "" where
    neither is. digits: the significant ones that the smallest value keeps; all have its decimals. apart: every value
    keeps as many by itself, for columns of different quantities."""

    key: str
    label: str
    unit: str = ""
    better: str = ""
    digits: int = 3
    apart: bool = False


@dataclasses.dataclass(frozen=True)
class Cell:
    """A number with, where there is one, its spread (a standard deviation); a text; or the reason why it is empty."""

    value: float | str | None = None
    spread: float | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row: the run's name (and the part of it, such as a player), and cells by the column's key."""

    name: str
    cells: Mapping[str, Cell]
    part: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells under columns. notes: lines that belong under it, such as why a column was not filled."""

    id: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    heads: tuple[str, str] = ("run", "")

    def cell(self, row: Row, column: Column) -> Cell:
        return row.cells.get(column.key, Cell(reason="–"))

    def numbers(self, column: Column) -> list[float]:
        """The finite numbers of a column."""
        values = [self.cell(row, column).value for row in self.rows]
        return [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]

    def scale(self, column: Column) -> tuple[float, str]:
        """The column's factor and unit."""
        if column.unit not in MULTIPLES:
            return 1.0, column.unit
        sizes = [abs(v) for v in self.numbers(column) if v]
        middle = statistics.geometric_mean(sizes) if sizes else 1.0
        return next((factor, name) for least, factor, name in MULTIPLES[column.unit] if middle >= least)

    def head(self, column: Column) -> str:
        """The column's label and unit."""
        unit = self.scale(column)[1]
        return f"{column.label} ({unit})" if unit else column.label

    def text(self, row: Row, column: Column) -> str:
        """The cell as it is shown: all numbers of a column with the same number of decimals."""
        cell = self.cell(row, column)
        if cell.value is None:
            return cell.reason or "–"
        if isinstance(cell.value, str):
            return cell.value
        if not math.isfinite(cell.value):
            return "not finite"
        factor, _ = self.scale(column)
        values = [cell.spread or cell.value] if column.apart else self.numbers(column)
        decimals = _decimals([v / factor for v in values], 2 if column.apart and cell.spread else column.digits)
        text = f"{cell.value / factor:,.{decimals}f}".replace("-", "−")
        return text if cell.spread is None else f"{text} ± {cell.spread / factor:,.{decimals}f}"

    def best(self, column: Column) -> float | None:
        """The value that is better than another of its column, where one is."""
        values = self.numbers(column)
        if not column.better or len(set(values)) < 2:
            return None
        return min(values) if column.better == LOW else max(values)

    def as_json(self) -> dict[str, Any]:
        """The table for report.json: values in their own units, unrounded, beside the text that is shown of each."""
        rows = []
        for row in self.rows:
            cells = {}
            for column in self.columns:
                cell = self.cell(row, column)
                value = cell.value if not isinstance(cell.value, float) or math.isfinite(cell.value) else None
                cells[column.key] = {"value": value, "text": self.text(row, column)}
                if cell.spread is not None:
                    cells[column.key]["spread"] = cell.spread
            rows.append({"run": row.name} | ({"part": row.part} if row.part else {}) | {"cells": cells})
        columns = [
            {"key": c.key, "label": c.label, "unit": c.unit if c.unit != "#" else "", "better": c.better}
            for c in self.columns
        ]
        return {"id": self.id, "title": self.title, "columns": columns, "rows": rows, "notes": list(self.notes)}


def _decimals(values: Sequence[float], digits: int) -> int:
    """So many that the smallest value has `digits` significant ones, 4 at most; none where all are whole numbers."""
    sizes = [abs(v) for v in values if v]
    if not sizes or all(float(v).is_integer() for v in values):
        return 0
    return min(max(digits - 1 - math.floor(math.log10(min(sizes))), 0), 4)
