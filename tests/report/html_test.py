"""The page and the text say what the JSON says, whatever stands in names."""

import base64
import html.parser
import xml.etree.ElementTree

import numpy as np
import pytest

from gen_jax.report.charts import curves, trade
from gen_jax.report.document import Picture, Report, Section
from gen_jax.report.html import to_html
from gen_jax.report.markdown import to_markdown
from gen_jax.report.table import LOW, Cell, Column, Row, Table

NASTY = '<b>"A" & b|c</b>'
VOID = {"meta", "img", "br", "hr", "link"}


class Page(html.parser.HTMLParser):
    """Checks that every tag is closed in its order, and keeps pictures, tables (rows of cells) and ids."""

    def __init__(self, text):
        super().__init__()
        self.open, self.pictures, self.tables, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.pictures += [attributes] if tag == "img" else []
        assert tag != "script"
        assert not {"src", "href"} & set(attributes) or attributes.get("src", "").startswith("data:image/")
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data


@pytest.fixture
def report():
    columns = [Column("fid_own", "FID_own", "", LOW), Column("seconds", "time", "s"), Column("kind", "kind")]
    rows = [
        Row(NASTY, {"fid_own": Cell(3.25), "seconds": Cell(0.002), "kind": Cell("MLP|x")}, "gen"),
        Row(NASTY, {"fid_own": Cell(1.5, 0.25)}, "disc"),
        Row("flow", {"seconds": Cell(reason="not recorded")}, "model"),
    ]
    table = Table("quality", "Quality", columns, rows, ["A note: <i>."], heads=("run", "player"))
    line = np.arange(1.0, 5.0), np.array([3.0, 2.0, 1.0, 1.5])
    rows_ = [{"steps": s, "seconds_per_image": 0.01 * s, "quality": 5.0 / s} for s in (1.0, 4.0)]
    pictures = [
        [Picture(b"\x89PNG", f"grid of {NASTY}")],
        [Picture(curves(NASTY, {"disc": line, "gen": line}, {"disc": line}), "curves")],
        [Picture(trade({NASTY: rows_, "GAN": [rows_[0] | {"steps": 0.0}]}, "fid_own"), "speed")],
    ]
    sections = [Section("first", "Quality", ["Text."], [table], pictures)]
    return Report(f"{NASTY} compared", {"made": "now", "device": "1 x cpu"}, [f"{NASTY} differs"], sections)


def test_the_page_is_well_formed_and_needs_nothing_else(report):
    text = to_html(report)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert len(page.pictures) == 3
    assert all(picture["alt"] for picture in page.pictures)
    assert len(set(page.ids)) == len(page.ids)
    assert "<b>" not in text
    for picture in page.pictures[1:]:
        kind, _, data = picture["src"].partition(";base64,")
        assert kind == "data:image/svg+xml"
        assert xml.etree.ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")


def test_tables_agree_with_the_json(report):
    found = report.as_json()["tables"]["quality"]
    texts = [[cell["text"] for cell in row["cells"].values()] for row in found["rows"]]
    head, *rows = Page(to_html(report)).tables[0]
    assert head == ["run", "player", "FID_own\u00a0↓", "time (ms)", "kind"]
    assert [row[2:] for row in rows] == texts
    assert [row[0] for row in rows] == [NASTY, "", "flow"]  # a run is named once
    lines = [line for line in to_markdown(report, "r.html").splitlines() if line.startswith("| ")]
    cells = [[c.strip().strip("*") for c in line.replace("\\|", "/").split("|")[1:-1]] for line in lines]
    assert [row[2:] for row in cells[2:]] == [[t.replace("|", "/") for t in row] for row in texts]


def test_charts_are_the_same_each_time_and_say_what_their_axes_are():
    line = np.arange(1.0, 5.0), np.ones(4)
    assert curves("a", {"model": line}, {"model": line}) == curves("a", {"model": line}, {"model": line})
    assert curves("a", {}, {}).startswith("<svg")  # a run without rows
