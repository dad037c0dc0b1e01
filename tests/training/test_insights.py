import dataclasses
from pathlib import Path

from training.causes import causes
from training.findings import Findings
from training.insights import insights

GOLDEN = Path(__file__).with_name("insights.md")


def page(found: Findings) -> str:
    return insights(found, causes(found))


def test_the_page_is_the_golden_one(found: Findings) -> None:
    assert page(found) == GOLDEN.read_text(encoding="utf-8")


def test_the_page_is_short_and_a_collapse_is_in_its_first_lines(found: Findings) -> None:
    lines = page(found).splitlines()
    assert len(lines) <= 65
    assert "collapsed" in lines[2]


def test_every_figure_stands_beside_that_of_always_one_class(found: Findings) -> None:
    evidence = page(found).partition("## Evidence")[2].partition("## ")[0]
    whole, of_first = ([line.split("|")[1:-1] for line in part.splitlines()] for part in evidence.split("\n\n")[1:3])
    rows = [[[cell.strip() for cell in row] for row in part] for part in (whole, of_first)]
    assert [header for header, *_ in rows] == [
        ["model", "accuracy", "balanced accuracy", "MCC", "AUC"],
        ["model", "precision of `harmful`", "recall of `harmful`", "F1 of `harmful`"],
    ]
    assert ["always `harmful`", "0.60", "0.50", "0.00", "0.50"] in rows[0]
    assert ["always `harmful`", "0.60", "1.00", "0.75"] in rows[1]
    assert ["always `safe`", "0.00", "0.00", "0.00"] in rows[1]


def test_at_most_five_steps_the_gate_last(found: Findings) -> None:
    flat = found.trainings["wav2vec2"]
    many = {f"m{i}": found.metrics["lite_cnn"] for i in range(9)}
    beside = {name: dict.fromkeys(many, vars(found)[name]["lite_cnn"]) for name in ("predictions", "plots")}
    crowded = dataclasses.replace(found, metrics=many, trainings=dict.fromkeys(many, flat), **beside)
    listed = page(crowded).partition("## What to do next\n\n")[2].partition("\n\n")[0].splitlines()
    assert len(listed) == 5
    assert listed[-1].startswith("5. Run `earmark gate`")


def test_where_all_is_cleared_only_the_gate_is_left(found: Findings) -> None:
    calm = [cause for cause in causes(found) if cause.verdict == "cleared"]
    text = insights(dataclasses.replace(found, rejects=found.rejects.head(0)), calm)
    assert "1. Run `earmark gate`" in text
    assert "- rejected: 0\n" in text


def test_a_test_fold_is_counted(found: Findings) -> None:
    tested = dataclasses.replace(found, folds=found.folds.assign(fold=[-1] * 4 + [0] * 17))
    assert "- kept for the test: 4 clips\n" in page(tested)
