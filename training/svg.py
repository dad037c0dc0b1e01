"""Draw charts as SVG: scales and marks in, text out. Colours are classes of the page's style, s0, s1, ..."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 440, 270  # of a picture, in px
LEFT, RIGHT, TOP, BOTTOM = 58, 426, 34, 222  # of its plot
DASHES = ("", "7 4", "2 3", "9 3 2 3")  # of lines, so that colour is not all that tells them apart
TENTHS = [(n / 5, f"{n / 5:.1f}") for n in range(6)]  # ticks of a share

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """An axis: its name, what it spans, where its ends are on the picture, in px, and its ticks with their names."""

    name: str
    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[tuple[float, str]]
    lines: bool = True  # whether ticks have lines across the plot

    def __call__(self, value: float) -> float:
        """Return where a value is."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def across(name: str, low: float, high: float, ticks: Sequence[tuple[float, str]], *, lines: bool = True) -> Scale:
    """Return an axis from left to right."""
    return Scale(name, low, high, LEFT, RIGHT, ticks, lines)


def upwards(name: str, low: float, high: float, ticks: Sequence[tuple[float, str]]) -> Scale:
    """Return an axis from the bottom to the top."""
    return Scale(name, low, high, BOTTOM, TOP, ticks)


def rows(name: str, names: Sequence[str], *, named: bool = True) -> Scale:
    """Return an axis from the top down with a row for each name, at 0 to 1, 1 to 2, ..."""
    ticks = [(row + 0.5, shortened(one, 8)) for row, one in enumerate(names)] if named else []
    return Scale(name, 0, len(names), TOP, BOTTOM, ticks, lines=False)


def counts(most: float) -> list[tuple[float, str]]:
    """Return ticks from 0 up to `most`: round numbers, of which there are few."""
    size = 10.0 ** math.floor(math.log10(max(most, 1)))
    step = next(step for step in (size / 5, size / 2, size, size * 2) if step >= 1 and most / step <= 6)
    return [(step * n, f"{step * n:.0f}") for n in range(int(most / step) + 1)]


def chart(title: str, x: Scale, y: Scale, marks: Iterable[Markup], legend: Sequence[str] = ()) -> Markup:
    """Return a picture with axes; a screen reader reads its title, and a table beside it has the figures.

    Args:
        title: what the picture shows.
        x: from left to right.
        y: from the bottom to the top.
        marks: what is drawn.
        legend: names of the series s0, s1, ...
    """
    return Markup(
        '<svg class="chart" viewBox="0 {top} {width} {height}" role="img" aria-label="{title}"><title>{title}</title>'
        "{axes}{marks}{legend}</svg>"
    ).format(
        top=0 if legend else TOP - 14,
        width=WIDTH,
        height=HEIGHT if legend else HEIGHT - TOP + 14,
        title=title,
        axes=_axes(x, y),
        marks=Markup().join(marks),
        legend=Markup().join(_legend(legend)),
    )


def _axes(x: Scale, y: Scale) -> Markup:
    drawn = []
    for value, name in x.ticks:
        drawn += [grid((x(value), TOP), (x(value), BOTTOM))] if x.lines else []
        drawn.append(text(x(value), BOTTOM + 16, name, "middle"))
    for value, name in y.ticks:
        drawn += [grid((LEFT, y(value)), (RIGHT, y(value)))] if y.lines else []
        drawn.append(text(LEFT - 6, y(value) + 4, name, "end"))
    sideways = Markup('<text x="13" y="{0}" text-anchor="middle" transform="rotate(-90 13 {0})">{1}</text>')
    names = [text((LEFT + RIGHT) / 2, HEIGHT - 10, x.name, "middle"), sideways.format((TOP + BOTTOM) / 2, y.name)]
    return Markup().join([*drawn, *names])


def grid(start: Point, end: Point) -> Markup:
    """Return a faint line."""
    return Markup('<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(*start, *end)


def _legend(names: Sequence[str]) -> Iterable[Markup]:
    step = (RIGHT - LEFT) / max(2, len(names))
    for series, name in enumerate(names):
        left = LEFT + step * series
        yield line([(left, 16), (left + 22, 16)], series)
        yield text(left + 28, 20, shortened(name, 22), "start")


def shortened(name: str, longest: int) -> str:
    """Return a name with so many characters at most."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def line(points: Iterable[Point], series: int, *, dash: str | None = None) -> Markup:
    """Return a line through points in px."""
    return Markup('<polyline class="line s{}" stroke-dasharray="{}" points="{}"/>').format(
        series % 4, DASHES[series % 4] if dash is None else dash, " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    )


def band(lower: Sequence[Point], upper: Sequence[Point], series: int) -> Markup:
    """Return the area between two lines."""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*lower, *reversed(upper)])
    return Markup('<polygon class="band s{}" points="{}"/>').format(series % 4, points)


def bar(left: float, right: float, bottom: float, top: float, series: int) -> Markup:
    """Return a bar; a pixel is left free around it."""
    return Markup('<rect class="bar s{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        series % 4, left + 0.5, min(top, bottom), max(0.0, right - left - 1), abs(bottom - top)
    )


def cell(left: float, right: float, top: float, bottom: float, share: float, content: str) -> Markup:
    """Return a cell of a table, the darker the larger its share of 1."""
    return Markup(
        '<rect class="cell" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill-opacity="{:.2f}"/>{}'
    ).format(
        left,
        top,
        right - left,
        bottom - top,
        0.6 * share,
        text((left + right) / 2, (top + bottom) / 2 + 4, content, "middle", big=True),
    )


def dot(x: float, y: float, series: int, radius: float = 4) -> Markup:
    """Return a dot: a circle, a square for every second series."""
    if series % 2:
        return Markup('<rect class="dot s{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            series % 4, x - radius * 0.9, y - radius * 0.9, radius * 1.8, radius * 1.8
        )
    return Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(series % 4, x, y, radius)


def rule(start: Point, end: Point, name: str = "") -> Markup:
    """Return a thin line of reference from one point to another, named above its end."""
    drawn = Markup('<line class="rule" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(*start, *end)
    return drawn + (text(end[0] - 3, end[1] - 4, name, "end") if name else Markup())


def text(x: float, y: float, content: str, anchor: str, *, big: bool = False) -> Markup:
    """Return text at a point in px; `anchor` start, middle or end."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}"{}>{}</text>').format(
        x, y, anchor, Markup(' class="big"') if big else "", content
    )
