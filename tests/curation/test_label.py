import shutil
from pathlib import Path

import click
import pandas as pd
import pytest
import rows
from click.testing import CliRunner

from curation import label, tables

CLASSES = ("harmful", "safe")


def clips(**labels: str) -> pd.DataFrame:
    return rows.labelled(tables.CLIPS, **labels)


def reviews(*answers: tuple[str, str, str, str]) -> pd.DataFrame:
    names = ("clip_id", "annotator", "reviewed_utc", "answer")
    return rows.table(tables.REVIEWS, *(dict(zip(names, answer, strict=True)) for answer in answers))


def today(given: pd.DataFrame, answers: pd.DataFrame) -> dict[str, tuple[str, str, float, int]]:
    labels = label.label(given, answers, classes=CLASSES).set_index("clip_id")
    return {str(clip): tuple(row) for clip, row in labels.iterrows()}


def test_without_answers_the_given_label_stands() -> None:
    labels = label.label(clips(a="harmful", b=""), reviews(), classes=CLASSES)
    assert labels["label"].tolist() == ["harmful", ""]
    assert labels["origin"].tolist() == ["given", "none"]
    assert labels["confidence"].isna().all()
    assert labels["answers"].tolist() == [0, 0]


def test_an_answer_replaces_the_given_label_and_labels_the_unlabelled() -> None:
    answers = reviews(("a", "ann", "2026-01-01T00:00:00Z", "safe"), ("b", "ann", "2026-01-01T00:00:00Z", "harmful"))
    assert today(clips(a="harmful", b=""), answers) == {
        "a": ("safe", "review", 1.0, 1),
        "b": ("harmful", "review", 1.0, 1),
    }


def test_the_newest_answer_of_an_annotator_counts_whatever_its_time_zone() -> None:
    answers = reviews(
        ("a", "ann", "2026-01-01T12:00:00+05:00", "harmful"),  # 07:00 in UTC, though 12:00 sorts later as text
        ("a", "ann", "2026-01-01T08:00:00Z", "safe"),
    )
    assert today(clips(a="harmful"), answers) == {"a": ("safe", "review", 1.0, 1)}


def test_the_majority_of_annotators_wins_and_confidence_is_its_share() -> None:
    answers = reviews(
        ("a", "ann", "2026-01-01T00:00:00Z", "safe"),
        ("a", "bob", "2026-01-01T00:00:00Z", "safe"),
        ("a", "cyn", "2026-01-01T00:00:00Z", "harmful"),
        ("a", "dan", "2026-01-01T00:00:00Z", "unsure"),
    )
    assert today(clips(a="harmful"), answers) == {"a": ("safe", "review", 0.5, 4)}


def test_a_tie_decides_nothing() -> None:
    answers = reviews(("a", "ann", "2026-01-01T00:00:00Z", "safe"), ("a", "bob", "2026-01-01T00:00:00Z", "harmful"))
    assert today(clips(a="harmful"), answers) == {"a": ("harmful", "given", 0.5, 2)}


@pytest.mark.parametrize("answer", ["none", "bad_audio"])
def test_none_and_bad_audio_take_the_label_away(answer: str) -> None:
    assert today(clips(a="harmful"), reviews(("a", "ann", "2026-01-01T00:00:00Z", answer))) == {
        "a": ("", "review", 1.0, 1)
    }


def test_unsure_alone_changes_nothing_but_is_counted() -> None:
    answers = reviews(("a", "ann", "2026-01-01T00:00:00Z", "unsure"))
    assert today(clips(a="harmful"), answers) == {"a": ("harmful", "given", 0.0, 1)}


def version(answer: str, second: int, annotation: str) -> dict[str, object]:
    when = f"2026-01-01T00:00:0{second}Z"
    return {"clip_id": "a", "annotator": "ann", "reviewed_utc": when, "answer": answer, "annotation_id": annotation}


def test_a_skip_is_no_answer_and_an_answer_taken_back_counts_no_more() -> None:
    skipped = rows.table(tables.REVIEWS, version("skipped", 1, "1"))
    deleted = rows.table(tables.REVIEWS, version("safe", 1, "1"), version("deleted", 2, "1"))
    unchanged = label.label(clips(a="harmful"), reviews(), classes=CLASSES)
    for answers in (skipped, deleted):
        pd.testing.assert_frame_equal(label.label(clips(a="harmful"), answers, classes=CLASSES), unchanged)


def test_whoever_takes_one_of_two_answers_back_stands_by_the_other() -> None:
    answers = rows.table(
        tables.REVIEWS, version("safe", 1, "1"), version("harmful", 2, "2"), version("deleted", 3, "2")
    )
    assert today(clips(a="harmful"), answers) == {"a": ("safe", "review", 1.0, 1)}


def test_answers_to_clips_that_are_gone_do_not_matter() -> None:
    answers = reviews(("gone", "ann", "2026-01-01T00:00:00Z", "safe"))
    assert list(today(clips(a="harmful"), answers)) == ["a"]


def test_an_answer_that_is_no_class_is_refused() -> None:
    with pytest.raises(click.ClickException, match=r"1 answers are none of .* 'dog' by 'ann' to clip a"):
        label.label(clips(a="safe"), reviews(("a", "ann", "2026-01-01T00:00:00Z", "dog")), classes=CLASSES)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(click.ClickException, match=r"must be a time like .* not 'yesterday'"):
        label.label(clips(a="safe"), reviews(("a", "ann", "yesterday", "safe")), classes=CLASSES)


def test_the_stage_reads_and_writes_tables(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, "params.yaml")
    tables.write(clips(a="harmful"), Path("clips.csv"), tables.CLIPS)
    tables.write(reviews(("a", "ann", "2026-01-01T00:00:00Z", "safe")), Path("reviews.csv"), tables.REVIEWS)
    result = CliRunner().invoke(label.main, ["--clips", "clips.csv", "--reviews", "reviews.csv", "--out", "labels.csv"])
    assert (result.exit_code, result.output) == (0, "label: 0 given, 1 review, 0 none\n")
    assert Path("labels.csv").read_text() == "clip_id,label,origin,confidence,answers\na,safe,review,1,1\n"
