"""A section of the Markdown on a change: a title, a table, and how its cells are written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from curation.markdown import code, table

CELL = 80  # characters of a text in a table
UNFOLDED = 8  # longer lists are folded


@dataclass(frozen=True)
class Section:
    """A table of one kind of change."""

    title: str  # holds no text of the data
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    explained: str = ""
    folds: bool = True  # when long

    def body(self, shown: int) -> str:
        """Return the section with so many of its rows, folded when long."""
        more = f"\n\nand {len(self.rows) - shown} more; `--json` has them all" if len(self.rows) > shown else ""
        rows = table(self.header, self.rows[:shown]) + more
        folded = f"<details><summary>{self.title} ({len(self.rows)})</summary>\n\n{rows}\n\n</details>"
        body = folded if self.folds and len(self.rows) > UNFOLDED else f"**{self.title}**\n\n{rows}"
        return f"{body}\n\n{self.explained}" if self.explained else body


def number(figure: float | None) -> str:
    """Return a figure as a cell."""
    return "-" if figure is None else f"{figure:.3f}" if isinstance(figure, float) else str(figure)


def text(told: str) -> str:
    """Return text of the data as a cell."""
    return code(told if len(told) <= CELL else f"{told[:CELL]}...") if told else "-"


def as_json(value: object) -> str:
    """Return any value as a cell."""
    return "-" if value is None else code(json.dumps(value, ensure_ascii=False, default=str))
