"""Markdown that no text from the data can break out of, and that reads well in a terminal."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd
from markupsafe import Markup, escape

LONGEST = 200  # characters of a text that are shown


def code(text: str) -> str:
    """Return `text` as a code span on one line: markup, links, mentions and control characters have no effect."""
    plain = "".join(mark if mark.isprintable() and mark != "|" else rf"\u{ord(mark):04x}" for mark in text) or " "
    shown = plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}..."
    fence = "`" * (_longest_run(shown) + 1)
    space = " " if len(fence) > 1 else ""
    return f"{fence}{space}{shown}{space}{fence}"


def block(text: str, language: str) -> str:
    """Return `text` as a block of code that it cannot end."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def counted(values: pd.Series) -> str:
    """Return how often each value occurs, the commonest first."""
    counts = sorted(values.value_counts().items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {code(str(value))}" for value, count in counts)


def interval(figure: Mapping[str, float | None]) -> str:
    """Return the `value` of a metric with the ends of its interval, `low` and `high`, if it has one."""
    low, high = figure["low"], figure["high"]
    return f"{figure['value']:.2f} " + ("(no interval)" if low is None or high is None else f"[{low:.2f}, {high:.2f}]")


def to_html(text: str) -> Markup:
    """Return text with code spans as HTML; all else in it is escaped, other marks of Markdown stay as they are."""
    parts, end = [], 0
    for span in re.finditer(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", text):
        content = span[2].removeprefix(" ").removesuffix(" ") if len(span[1]) > 1 else span[2]
        parts += [escape(text[end : span.start()]), Markup("<code>{}</code>").format(content)]
        end = span.end()
    return Markup().join([*parts, escape(text[end:])])


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """Return a table of Markdown cells, which hold text of the data only as `code`.

    With `numbers` all columns but the first are aligned to the right.
    """
    widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]
    right = [numbers and column > 0 for column in range(len(widths))]
    rule = ["-" * (width - 1) + ":" if to_right else "-" * width for width, to_right in zip(widths, right, strict=True)]
    lines = [
        [cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(*parts, strict=True)]
        for parts in ((line, widths, right) for line in (header, rule, *rows))
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
