import pandas as pd
import rows

from curation import review, tables


def said(*versions: tuple[str, str, str, str]) -> pd.DataFrame:
    names = ("annotator", "reviewed_utc", "answer", "annotation_id")
    return rows.table(tables.REVIEWS, *({"clip_id": "c"} | dict(zip(names, one, strict=True)) for one in versions))


def stands(*versions: tuple[str, str, str, str]) -> list[tuple[str, str]]:
    return list(review.standing(said(*versions))[["annotator", "answer"]].itertuples(index=False, name=None))


def test_the_newest_answer_of_each_annotator_stands_also_across_time_zones() -> None:
    noon, later = "2026-01-01T12:00:00+00:00", "2026-01-01T12:30:00+01:00"  # by the clock later, in truth earlier
    assert stands(("ann", noon, "safe", "1"), ("ann", later, "harmful", "2")) == [("ann", "safe")]


def test_an_answer_taken_back_leaves_the_one_before_it() -> None:
    assert stands(
        ("ann", "2026-01-01T00:00:00Z", "safe", "1"),
        ("ann", "2026-01-02T00:00:00Z", "harmful", "2"),
        ("ann", "2026-01-03T00:00:00Z", "deleted", "2"),
        ("bob", "2026-01-03T00:00:00Z", "skipped", "3"),
    ) == [("ann", "safe")]


def test_a_skip_counts_until_somebody_answers_or_takes_it_back() -> None:
    skip = ("ann", "2026-01-01T00:00:00Z", "skipped", "1")
    assert review.skipped(said(skip)) == {"c"}
    assert review.skipped(said(skip, ("bob", "2026-01-02T00:00:00Z", "safe", "2"))) == set()
    assert review.skipped(said(skip, ("ann", "2026-01-02T00:00:00Z", "deleted", "1"))) == set()


def test_a_task_is_answered_until_all_that_was_said_of_it_is_known_to_be_taken_back() -> None:
    words = ("annotator", "reviewed_utc", "answer", "annotation_id", "task_id")
    versions = (
        ("ann", "2026-01-01", "safe", "1", "7"),
        ("bob", "2026-01-02", "harmful", "1", "7"),  # he changed hers
        ("ann", "2026-01-03", "skipped", "2", "8"),
        ("ann", "2026-01-04", "safe", "3", "9"),
        ("bob", "2026-01-05", "safe", "4", "9"),
    )
    found = [{"clip_id": "c", "task_utc": "t"} | dict(zip(words, one, strict=True)) for one in versions]
    assert review.answered_tasks(rows.table(tables.REVIEWS, *found)) == {("7", "t"), ("8", "t"), ("9", "t")}
    gone = [found[n] | {"reviewed_utc": "2026-01-06", "answer": "deleted"} for n in (0, 1, 2, 3)]
    assert review.answered_tasks(rows.table(tables.REVIEWS, *found, *gone)) == {("9", "t")}


def test_nobody_said_anything() -> None:
    assert stands() == []
    assert review.skipped(said()) == set()
    assert review.minutes(said()) == 0
    assert review.answered_tasks(said()) == set()
