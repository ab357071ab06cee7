from pathlib import Path

import pytest

from gen_jax.report.figures import cells, choose, columns
from gen_jax.report.runs import Entry
from gen_jax.report.table import Cell

OWN = {"network": "own", "hash": "a" * 64, "resize": "none"}


def receipt(metric="fid", count=1000, features=OWN, checkpoint=500, data="d" * 64, **samples):
    return {
        "metric": metric,
        "version": 1,
        "settings": {},
        "features": features,
        "data": {"name": "digits", "split": "train", "hash": data, "count": 1442},
        "samples": {"count": count, "dtype": "uint8", "seed": 0} | samples,
        "checkpoint": checkpoint,
        "code": "0.1.0",
        "device": "1 x cpu (cpu)",
        "date": "2026-11-24T00:00:00+00:00",
    }


def evaluation(value, name="fid_own", **facts):
    return {"figures": {name: {"value": value, "receipt": receipt(**facts)}}, "cost": {}}


def entry(name, *evaluations):
    return Entry(name, Path(name), {}, {}, evaluations, {})


def test_equal_receipts_fill_a_column():
    """Seed, sampler and checkpoint may differ: they are what is compared."""
    a, b = entry("a", evaluation(3.0)), entry("b", evaluation(4.0, seed=1, sampler="Heun", checkpoint=6000))
    (chosen,) = choose([a, b])
    assert not chosen.refused
    assert cells([chosen], a) == {"fid_own": Cell(3.0)}
    assert cells([chosen], b) == {"fid_own": Cell(4.0)}
    (column,) = columns([chosen], "quality")
    assert (column.key, column.label, column.better) == ("fid_own", "FID_own", "low")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"count": 500}, "samples.count is 1000 and 500"),
        ({"features": OWN | {"hash": "b" * 64}}, "features.hash is aaaaaaaaaaaa"),
        ({"features": OWN | {"resize": "clean"}}, "features.resize is none and clean"),
        ({"data": "e" * 64}, "data.hash is dddddddddddd"),
    ],
)
def test_figures_of_other_receipts_are_refused_and_the_note_says_in_what_they_differ(facts, says):
    a, b = entry("a", evaluation(3.0)), entry("b", evaluation(4.0, **facts))
    (chosen,) = choose([a, b])
    assert "fid_own" in chosen.refused
    assert "a and b differ in" in chosen.refused
    assert says in chosen.refused
    assert cells([chosen], a) == cells([chosen], b) == {}
    assert columns([chosen], "quality")  # the column is there, and empty


def test_a_third_run_that_differs_empties_the_column_and_is_named():
    (chosen,) = choose([entry("a", evaluation(3.0)), entry("b", evaluation(4.0)), entry("c", evaluation(5.0, count=7))])
    assert not chosen.by_run
    assert "a and c differ" in chosen.refused
    assert "b and c differ" in chosen.refused
    assert "a and b" not in chosen.refused


def test_a_run_without_the_figure_leaves_its_own_cell_empty():
    a, b = entry("a", evaluation(3.0)), entry("b")
    (chosen,) = choose([a, b])
    assert cells([chosen], a) == {"fid_own": Cell(3.0)}
    assert cells([chosen], b) == {}
    assert not chosen.refused


def test_of_several_evaluations_the_latest_that_compare_are_taken():
    a = entry("a", evaluation(9.0, count=200, checkpoint=250), evaluation(3.0), evaluation(2.0, count=200))
    b = entry("b", evaluation(8.0), evaluation(4.0), evaluation(7.0, checkpoint=100))
    (chosen,) = choose([a, b])
    assert (chosen.by_run["a"][0], chosen.by_run["b"][0]) == (3.0, 4.0)


def test_parts_of_figures_stay_out_and_known_figures_come_in_their_order():
    figures = [evaluation(1.0, name) for name in ("strange", "recall_own", "agreement/3", "fid_own", "distance_median")]
    chosen = choose([entry("a", *figures), entry("b", *figures)])
    assert [c.name for c in chosen] == ["fid_own", "recall_own", "strange"]
    assert [c.kind.section for c in chosen] == ["quality", "diversity", "other"]
