import html

import pandas as pd
import pytest

from curation.markdown import block, code, counted, interval, table, to_html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rec_1 <b>*x*</b> @you #1", "`rec_1 <b>*x*</b> @you #1`"),
        ("a`b", "`` a`b ``"),
        ("```", "```` ``` ````"),
        ("a|b", r"`a\u007cb`"),
        ("a\nb\x1b[31m", r"`a\u000ab\u001b[31m`"),
        ("\u202egnp.exe", r"`\u202egnp.exe`"),
        ("", "` `"),
        ("x" * 201, f"`{'x' * 200}...`"),
    ],
)
def test_text_becomes_code_on_one_line(text: str, shown: str) -> None:
    assert code(text) == shown


def test_a_table_is_aligned() -> None:
    assert table(["a", "long"], [["1", "2"], ["three", "4"]]) == (
        "| a     | long |\n"
        "| ----- | ---- |\n"
        "| 1     | 2    |\n"
        "| three | 4    |"
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "[a](b)", "`", "``|``", "a\\|b", "\\", "**", "<!--", "&lt;"]
)
def test_no_text_breaks_out_of_its_cell(text: str) -> None:
    renderer = pytest.importorskip("markdown_it", reason="needs markdown-it-py to render").MarkdownIt("commonmark")
    cell = renderer.enable("table").parse(table(["x", "y"], [[code(text), code("next")]]))
    spans = [token.content for inline in cell if inline.children for token in inline.children if token.type != "text"]
    assert spans == [text.replace("|", r"\u007c"), "next"]


def test_numbers_are_aligned_to_the_right_and_names_to_the_left() -> None:
    assert table(("model", "MCC"), [("a", "0.5"), ("longer", "-0.25")], numbers=True).splitlines() == [
        "| model  |   MCC |",
        "| ------ | ----: |",
        "| a      |   0.5 |",
        "| longer | -0.25 |",
    ]


@pytest.mark.parametrize("text", ["a: 1\n", "```\n# b", "  ````  \n", "~~~"])
def test_no_text_ends_its_block(text: str) -> None:
    renderer = pytest.importorskip("markdown_it", reason="needs markdown-it-py to render").MarkdownIt("commonmark")
    [found] = renderer.parse(block(text, "yaml"))
    assert (found.type, found.info, found.content) == ("fence", "yaml", text.rstrip() + "\n")


def test_values_are_counted_the_commonest_first_and_equals_by_name() -> None:
    assert counted(pd.Series(["b", "a|", "c", "b"])) == r"2 `b`, 1 `a\u007c`, 1 `c`"
    assert counted(pd.Series([], dtype="str")) == ""


def test_a_figure_has_its_interval_or_says_that_there_is_none() -> None:
    assert interval({"value": 0.5, "low": 0.25, "high": 1.0}) == "0.50 [0.25, 1.00]"
    assert interval({"value": 0.5, "low": 0.25, "high": None}) == "0.50 (no interval)"


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "`", "``a`` b", "a`b<i>", "&lt;", "", "*x*", "` `` ```", " a "]
)
def test_a_code_span_becomes_html_and_back_whatever_it_holds(text: str) -> None:
    shown = to_html(f"<b> {code(text)} `of` <i>")
    assert html.unescape(shown) == f"<b> <code>{text or ' '}</code> <code>of</code> <i>"
    assert "<b>" not in shown
    assert "<script>" not in shown


def test_backticks_without_a_partner_stay() -> None:
    assert to_html("a ` b `` c") == "a ` b `` c"
