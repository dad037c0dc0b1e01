"""A picture for a page, with its figures as a table and what it shows in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Picture:
    """A picture; the table says the same to those who do not see it."""

    title: str
    words: str  # in Markdown
    drawn: Markup
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
