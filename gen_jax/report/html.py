"""A report as one HTML page that needs nothing else: no network, no script, no other file."""

import importlib.resources
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from gen_jax.report.document import Picture, Report, Section
from gen_jax.report.table import Table

LONG = 24
"""Texts of more characters may be broken into lines."""


def to_html(report: Report) -> str:
    """The page. It is built as a tree, so that whatever stands in a name is escaped and every tag is closed."""
    page = Element("html", lang="en")
    head = _add(page, "head")
    _add(head, "meta", charset="utf-8")
    _add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", report.title)
    _add(head, "style", importlib.resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8"))
    body = _add(page, "body")
    header = _add(body, "header")
    _add(header, "h1", report.title)
    _add(header, "p", " · ".join(f"{name}: {value}" for name, value in report.facts.items()), **{"class": "facts"})
    if report.warnings:
        box = _add(header, "aside")
        _add(box, "p", "Not compared, or not measured:")
        items = _add(box, "ul")
        for warning in report.warnings:
            _add(items, "li", warning)
    for section in report.sections:
        _section(body, section)
    return "<!DOCTYPE html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def _section(body: Element, section: Section) -> None:
    part = _add(body, "section", id=section.id)
    _add(part, "h2", section.title)
    for paragraph in section.text:
        _add(part, "p", paragraph)
    for table in section.tables:
        _table(part, table, heading=section.title)
    for row in section.pictures:
        _pictures(part, row)


def _table(part: Element, table: Table, heading: str) -> None:
    holder = _add(part, "div", **{"class": "table"})
    element = _add(holder, "table", id=f"table-{table.id}")
    if table.title != heading:
        _add(element, "caption", table.title)
    parts = any(row.part for row in table.rows)
    head = _add(_add(element, "thead"), "tr")
    for label in table.heads[: 1 + parts]:
        _add(head, "th", label, scope="col")
    for column in table.columns:
        arrow = {"low": "\u00a0↓", "high": "\u00a0↑"}.get(column.better, "")
        _add(head, "th", table.head(column) + arrow, scope="col", **_numeric(table, column))
    rows, before = _add(element, "tbody"), None
    for row in table.rows:
        line = _add(rows, "tr")
        _add(line, "th", row.name if row.name != before else "", scope="row")
        before = row.name if parts else None
        if parts:
            _add(line, "td", row.part)
        for column in table.columns:
            cell = _add(line, "td", **_numeric(table, column))
            value, text = table.cell(row, column).value, table.text(row, column)
            if isinstance(value, str) and len(value) > LONG:
                cell.set("class", "long")
            if value is None:
                cell.set("class", f"{cell.get('class', '')} none".strip())
                cell.text = text
            elif value == table.best(column):
                _add(cell, "strong", text)
            else:
                cell.text = text
    for note in table.notes:
        _add(holder, "p", note, **{"class": "note"})


def _numeric(table: Table, column: Any) -> dict[str, str]:
    texts = any(isinstance(table.cell(row, column).value, str) for row in table.rows)
    return {} if texts else {"class": "number"}


def _pictures(part: Element, pictures: Sequence[Picture]) -> None:
    holder = _add(part, "div", **{"class": "pictures"})
    for picture in pictures:
        figure = _add(holder, "figure")
        kind = "chart" if isinstance(picture.data, str) else "grid"
        _add(figure, "img", src=picture.uri, alt=picture.caption, **{"class": kind})
        _add(figure, "figcaption", picture.caption)


def _add(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    element = SubElement(parent, tag, attributes)
    element.text = text
    return element
