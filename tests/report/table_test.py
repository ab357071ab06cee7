import json
import math

import pytest

from gen_jax.report.table import HIGH, LOW, Cell, Column, Row, Table


def table(column, *values, **extra):
    """A table of one column."""
    return Table("t", "T", [column], [Row(str(i), {column.key: Cell(v)}) for i, v in enumerate(values)], **extra)


def shown(column, *values):
    t = table(column, *values)
    return [t.text(row, column) for row in t.rows]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((3.14159, 12.5), ["3.14", "12.50"]),
        ((0.8312, 0.9), ["0.831", "0.900"]),
        ((0.00012, 1.0), ["0.0001", "1.0000"]),
        ((60.0, 250_000.4), ["60.0", "250,000.4"]),
        ((500, 6000), ["500", "6,000"]),
        ((0.0, 2.5), ["0.00", "2.50"]),
        ((-0.25, 0.5), ["−0.250", "0.500"]),
        ((0, 0), ["0", "0"]),
        (("DiT", "MLP"), ["DiT", "MLP"]),
        ((math.nan, 1.5), ["not finite", "1.50"]),
        ((None, 1.5), ["–", "1.50"]),
    ],
)
def test_a_columns_numbers_have_the_same_decimals(values, texts):
    assert shown(Column("a", "a"), *values) == texts


@pytest.mark.parametrize(
    ("unit", "values", "head", "texts"),
    [
        ("s", (88.2, 31.0, 15.5), "a (s)", ["88.2", "31.0", "15.5"]),
        ("s", (0.0021, 0.1), "a (ms)", ["2.10", "100.00"]),
        ("s", (342e-6, 360e-6, 30.86e-3), "a (ms)", ["0.342", "0.360", "30.860"]),
        ("s", (36000.0, 7200.0), "a (h)", ["10", "2"]),
        ("s", (600.0, 630.0), "a (min)", ["10.0", "10.5"]),
        ("#", (2_500_000, 1_000_000), "a (millions)", ["2.50", "1.00"]),
        ("FLOP", (2e12, 5e12), "a (TFLOP)", ["2", "5"]),
        ("B", (0.0, 0.0), "a (B)", ["0", "0"]),
    ],
)
def test_a_column_has_one_unit(unit, values, head, texts):
    column = Column("a", "a", unit)
    assert table(column, *values).head(column) == head
    assert shown(column, *values) == texts


def test_a_spread_has_the_decimals_of_its_value():
    column = Column("a", "a", "s")
    t = Table("t", "T", [column], [Row("r", {"a": Cell(90.0, 1.25)}), Row("s", {"a": Cell(30.5)})])
    assert [t.text(row, column) for row in t.rows] == ["90.0 ± 1.2", "30.5"]


def test_values_of_different_quantities_keep_their_digits_apart():
    column = Column("a", "a", apart=True)
    rows = [
        Row("r", {"a": Cell(136.0021, 1.138)}),
        Row("s", {"a": Cell(0.41602, 0.0061)}),
        Row("t", {"a": Cell(4.0012)}),
    ]
    t = Table("t", "T", [column], rows)
    assert [t.text(row, column) for row in rows] == ["136.0 ± 1.1", "0.4160 ± 0.0061", "4.00"]


def test_the_best_is_marked_only_where_there_is_a_better_and_a_worse():
    assert table(Column("a", "a", "", LOW), 3.0, 1.0, math.nan).best(Column("a", "a", "", LOW)) == 1.0
    assert table(Column("a", "a", "", HIGH), 3.0, 1.0).best(Column("a", "a", "", HIGH)) == 3.0
    assert table(Column("a", "a", "", LOW), 2.0, 2.0).best(Column("a", "a", "", LOW)) is None
    assert table(Column("a", "a"), 3.0, 1.0).best(Column("a", "a")) is None


def test_json_holds_the_value_and_what_is_shown_of_it():
    column = Column("a", "a", "s")
    found = table(column, 0.0021, math.nan, None, "x", notes=["n"]).as_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    cells = [row["cells"]["a"] for row in found["rows"]]
    assert cells[0] == {"value": 0.0021, "text": "2.10"}
    assert cells[1]["value"] is None
    assert cells[2] == {"value": None, "text": "–"}
    assert cells[3] == {"value": "x", "text": "x"}
    assert found["notes"] == ["n"]
