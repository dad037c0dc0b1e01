from xml.etree import ElementTree as xml

import pytest

from training import svg

EVIL = "</svg><script>alert(1)</script>\"'&"
X, Y = svg.across("x", 0, 10, [(0, "0"), (10, "10")]), svg.upwards("y", -1, 1, svg.TENTHS)


def parse(drawn: str) -> xml.Element:
    return xml.fromstring(drawn)  # noqa: S314 - ours


def test_a_scale_puts_its_ends_at_the_ends_of_the_plot_and_up_is_more() -> None:
    assert (X(0), X(10)) == (svg.LEFT, svg.RIGHT)
    assert (Y(-1), Y(1)) == (svg.BOTTOM, svg.TOP)
    assert X(5) == pytest.approx((svg.LEFT + svg.RIGHT) / 2)


@pytest.mark.parametrize("most", [1, 3, 9, 10, 51, 60, 99, 1000, 123456])
def test_ticks_of_counts_are_few_whole_and_within(most: int) -> None:
    ticks = svg.counts(most)
    assert 2 <= len(ticks) <= 7
    assert ticks[0] == (0, "0")
    assert ticks[-1][0] <= most
    assert [name for _, name in ticks] == [str(int(value)) for value, _ in ticks]


def test_a_chart_is_well_formed_and_has_a_name_whatever_it_is_called() -> None:
    marks = [svg.text(1, 2, EVIL, "start"), svg.rule((0, 0), (1, 1), EVIL), svg.cell(0, 1, 0, 1, 0.5, EVIL)]
    root = parse(svg.chart(EVIL, svg.across(EVIL, 0, 1, [(0, EVIL)]), Y, marks, [EVIL, EVIL]))
    assert root.get("aria-label") == EVIL
    assert {element.tag for element in root.iter()} <= {"svg", "title", "text", "line", "polyline", "rect"}
    assert root.get("role") == "img"


def test_series_differ_by_more_than_colour() -> None:
    lines = [parse(svg.line([(0, 0), (1, 1)], series)).get("stroke-dasharray") for series in range(4)]
    assert len(set(lines)) == 4
    assert [parse(svg.dot(0, 0, series)).tag for series in (0, 1)] == ["circle", "rect"]


def test_a_bar_reaches_from_the_base_to_its_value_on_either_side() -> None:
    for value in (0.5, -0.5):
        bar = parse(svg.bar(X(0), X(1), Y(0), Y(value), 0))
        top = float(bar.get("y"))
        assert [top, top + float(bar.get("height"))] == pytest.approx(sorted([Y(0), Y(value)]))
