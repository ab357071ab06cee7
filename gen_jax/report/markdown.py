"""A report as Markdown: all its text and tables. The pictures are in the HTML page beside it."""

from gen_jax.report.document import Report
from gen_jax.report.table import Column, Row, Table


def to_markdown(report: Report, page: str) -> str:
    """The text; `page` is the name of the HTML file, to which it refers for the pictures."""
    lines = [f"# {report.title}", "", " · ".join(f"{name}: {value}" for name, value in report.facts.items()), ""]
    lines += [f"The pictures are in [{page}]({page}).", ""]
    if report.warnings:
        lines += ["Not compared, or not measured:", "", *(f"- {warning}" for warning in report.warnings), ""]
    for section in report.sections:
        lines += [f"## {section.title}", ""]
        for paragraph in section.text:
            lines += [paragraph, ""]
        for table in section.tables:
            lines += table_lines(table, section.title)
    return "\n".join(lines).rstrip() + "\n"


def table_lines(table: Table, heading: str) -> list[str]:
    """A table; its title above it where that is not the heading already, its notes below."""
    parts = any(row.part for row in table.rows)
    arrows = {"low": " ↓", "high": " ↑", "": ""}
    lines = [] if table.title == heading else [f"**{table.title}**", ""]
    lines.append(_line([*table.heads[: 1 + parts], *(table.head(c) + arrows[c.better] for c in table.columns)]))
    lines.append(_line([*["---"] * (1 + parts), *("---:" for _ in table.columns)]))
    for row in table.rows:
        lines.append(_line([row.name, *([row.part] if parts else []), *(_cell(table, row, c) for c in table.columns)]))
    lines.append("")
    for note in table.notes:
        lines += [note, ""]
    return lines


def _cell(table: Table, row: Row, column: Column) -> str:
    text, value = table.text(row, column), table.cell(row, column).value
    return f"**{text}**" if value is not None and value == table.best(column) else text


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
