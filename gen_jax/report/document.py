"""The report before it has a form: tables, pictures and lines of text, in their order."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from gen_jax.report.table import Table


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture with its caption. data: PNG bytes, or SVG text."""

    data: bytes | str
    caption: str

    @property
    def uri(self) -> str:
        """The picture itself as an address, so that a page needs no other file."""
        svg = isinstance(self.data, str)
        data = self.data.encode() if isinstance(self.data, str) else self.data
        return f"data:image/{'svg+xml' if svg else 'png'};base64,{base64.b64encode(data).decode()}"


@dataclasses.dataclass(frozen=True)
class Section:
    """text: paragraphs above the pictures. rows of pictures stand side by side."""

    id: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Sequence[Picture]] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """facts: of the making, such as date and device. warnings: what does not compare, or is missing."""

    title: str
    facts: Mapping[str, str]
    warnings: Sequence[str]
    sections: Sequence[Section]

    @property
    def tables(self) -> list[Table]:
        return [table for section in self.sections for table in section.tables]

    def as_json(self) -> dict[str, Any]:
        """All numbers and texts, without the pictures."""
        return {
            "title": self.title,
            "facts": dict(self.facts),
            "warnings": list(self.warnings),
            "tables": {table.id: table.as_json() for table in self.tables},
        }
