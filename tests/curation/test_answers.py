import dataclasses
import json

import click
import pandas as pd
import pytest
import rows

from curation import annotation, answers, tables

KNOWN = annotation.Known(("harmful", "safe"), frozenset("ab"))
MADE, T1, T2, T3 = (f"2026-01-01T00:00:0{second}.000000Z" for second in range(4))


def result(*choices: str, note: str = "") -> list[dict]:
    parts = [{"from_name": "label", "type": "choices", "value": {"choices": list(choices)}}]
    return parts + ([{"from_name": "note", "type": "textarea", "value": {"text": [note]}}] if note else [])


def answered(number: int = 1, **values: object) -> dict:
    base = {"id": number, "completed_by": 4, "updated_by": 4, "created_at": T1, "updated_at": T1, "lead_time": 2.5}
    return {**base, "was_cancelled": False, "result": result("safe"), **values}


def task(*annotations: dict, number: int = 7, updated: str = T3, **data: object) -> dict:
    times = {"created_at": MADE, "updated_at": updated}
    return {"id": number, **times, "data": {"clip_id": "a", **data}, "annotations": list(annotations)}


def merged(*tasks: object, reviews=None, unread=None, known=KNOWN) -> tuple[pd.DataFrame, pd.DataFrame]:
    reviews = tables.REVIEWS.empty() if reviews is None else reviews
    unread = tables.UNREAD.empty() if unread is None else unread
    return answers.merge(reviews, unread, tasks, known)


def short(reviews: pd.DataFrame) -> list[tuple]:
    return [tuple(row) for row in reviews[["annotator", "reviewed_utc", "answer", "overwrote"]].to_numpy()]


def test_an_answer_becomes_a_row_with_all_that_is_known_of_it() -> None:
    reviews, unread = merged(task(answered(result=result("safe", note="faint")), shown="hinted"))
    expected = {
        "clip_id": "a",
        "annotator": "user-4",
        "reviewed_utc": T1,
        "answer": "safe",
        "seconds": 2.5,
        "shown": "hinted",
        "note": "faint",
        "task_id": "7",
        "task_utc": MADE,
        "annotation_id": "1",
        "annotation_utc": T1,
        "overwrote": "",
        "asked": "",
    }
    assert reviews.to_dict("records") == [expected]
    assert len(unread) == 0


def test_an_answer_keeps_why_its_clip_was_asked_when_the_queue_has_moved_on() -> None:
    asked = dataclasses.replace(KNOWN, asked={"a": "audit"})
    reviews, unread = merged(task(answered()), known=asked)
    assert reviews["asked"].tolist() == ["audit"]
    assert merged(task(answered()), reviews=reviews, unread=unread)[0].equals(reviews)


def test_a_changed_answer_is_a_further_row_and_twice_is_once() -> None:
    before, _ = merged(task(answered()))
    changed = task(answered(updated_at=T2, result=result("harmful")))
    after, unread = merged(changed, reviews=before)
    assert short(after) == [("user-4", T1, "safe", ""), ("user-4", T2, "harmful", "")]
    pd.testing.assert_frame_equal(merged(changed, reviews=after, unread=unread)[0], after)


def test_what_somebody_else_changed_is_theirs_and_the_authors_row_stays() -> None:
    before, _ = merged(task(answered()))
    after, _ = merged(task(answered(updated_at=T2, updated_by=9, result=result("harmful"))), reviews=before)
    assert short(after) == [("user-4", T1, "safe", ""), ("user-9", T2, "harmful", "user-4")]


def test_a_skip_is_no_answer_but_is_kept() -> None:
    reviews, _ = merged(task(answered(was_cancelled=True, result=[])))
    assert short(reviews) == [("user-4", T1, "skipped", "")]


def test_a_deleted_answer_is_followed_by_a_row_that_says_so_once() -> None:
    before, _ = merged(task(answered()))
    after, _ = merged(task(), reviews=before)
    assert short(after) == [("user-4", T1, "safe", ""), ("user-4", T3, "deleted", "")]
    pd.testing.assert_frame_equal(merged(task(updated=T3), reviews=after)[0], after)


def test_a_number_given_again_is_another_answer() -> None:
    before, _ = merged(task(answered()))
    again = answered(completed_by=5, updated_by=5, created_at=T2, updated_at=T2)
    after, _ = merged(task(again), reviews=before)
    assert short(after) == [("user-4", T1, "safe", ""), ("user-4", T3, "deleted", ""), ("user-5", T2, "safe", "")]


def test_the_same_numbers_on_another_server_take_no_answer_back() -> None:
    before, _ = merged(task(answered()))
    elsewhere = task() | {"created_at": T2}
    pd.testing.assert_frame_equal(merged(elsewhere, reviews=before)[0], before)


def test_an_export_older_than_an_answer_does_not_take_it_back() -> None:
    before, _ = merged(task(answered(created_at=T2, updated_at=T2)))
    pd.testing.assert_frame_equal(merged(task(updated=T1), reviews=before)[0], before)


def test_answers_of_tasks_that_are_gone_stay() -> None:
    before, _ = merged(task(answered()))
    pd.testing.assert_frame_equal(merged(reviews=before)[0], before)


@pytest.mark.parametrize(
    ("one", "reason", "detail"),
    [
        (task(answered(), clip_id="zzz"), "clip", "'zzz' is no clip of clips.csv"),
        (task(answered(), clip_id=["a"]), "clip", '["a"]'.replace('"', "'")),
        (task(answered(result=result("dog"))), "answer", r"\['dog'\] is not one of harmful, safe, unsure"),
        (task(answered(result=result("safe", "harmful"))), "answer", "is not one of"),
        (task(answered(result=[])), "answer", r"\[\] is not one of"),
        (task(answered(result=[{"from_name": "mood", "value": {}}])), "answer", "'mood' is nothing that the page"),
        (task(answered(result={"a": 1})), "malformed", "is no list"),
        (task(answered(result=[3])), "malformed", "'3' is no object"),
        (task(answered(completed_by=None)), "malformed", "`completed_by` is 'None', no number"),
        (task(answered(updated_at="soon")), "malformed", "'soon' is no time"),
        (task("text"), "malformed", "'text' is no object"),
        ({"id": 1, "annotations": "text"}, "malformed", "is no object"),
        ({"annotations": [answered()]}, "malformed", "is no object"),
    ],
)
def test_what_cannot_be_taken_is_kept_with_its_reason(one: dict, reason: str, detail: str) -> None:
    reviews, unread = merged(one)
    assert len(reviews) == 0
    assert unread["reason"].tolist() == [reason]
    assert unread["detail"].str.contains(detail.replace("['a']", r"\['a'\]")).all()
    pd.testing.assert_frame_equal(merged(one, unread=unread)[1], unread)


def test_one_bad_answer_does_not_keep_the_others_out() -> None:
    reviews, unread = merged(None, task(answered(), answered(2, result=result("dog"))), 5, task(number=8))
    assert (len(reviews), len(unread)) == (1, 1)


def test_what_was_unread_is_read_when_its_class_is_known() -> None:
    _, unread = merged(task(answered(result=result("dog"))))
    more = annotation.Known(("harmful", "safe", "dog"), KNOWN.clip_ids)
    reviews, left = merged(unread=unread, known=more)
    assert short(reviews) == [("user-4", T1, "dog", "")]
    assert len(left) == 0


def test_what_was_unread_and_taken_back_is_never_read() -> None:
    _, unread = merged(task(answered(result=result("dog"))))
    _, unread = merged(task(), unread=unread)
    assert unread["reason"].tolist() == ["deleted"]
    more = annotation.Known(("harmful", "safe", "dog"), KNOWN.clip_ids)
    reviews, left = merged(unread=unread, known=more)
    assert (len(reviews), len(left)) == (0, 1)


def test_an_unread_table_that_was_edited_is_named() -> None:
    _, unread = merged(task(answered(result=result("dog"))))
    for raw in ("{", "3"):
        with pytest.raises(click.ClickException, match=r"unread.csv: `raw` must be as `earmark pull` wrote it"):
            merged(unread=unread.assign(raw=raw))


def test_a_snapshots_e_mail_addresses_do_not_come_along() -> None:
    person = {"id": 4, "email": "ann@example.com"}
    reviews, unread = merged(task(answered(completed_by=person), answered(2, completed_by=person, result=[])))
    assert reviews["annotator"].tolist() == ["user-4"]
    assert "example.com" not in unread.to_csv()


def test_any_text_can_be_stored(tmp_path) -> None:
    note = "a\r\nb\x00\ud800,\"'"
    reviews, _ = merged(task(answered(result=result("safe", note=note))))
    tables.write(reviews, tmp_path / "reviews.csv", tables.REVIEWS)
    assert tables.read(tmp_path / "reviews.csv", tables.REVIEWS)["note"].tolist() == ["a\nb?,\"'"]


def test_times_are_compared_in_one_form() -> None:
    assert annotation.utc("2026-01-01T02:00:00+02:00") == "2026-01-01T00:00:00.000000Z"
    with pytest.raises(annotation.UnreadError, match="'never' is no time"):
        annotation.utc("never")


def test_rows_typed_in_by_hand_are_left_alone() -> None:
    by_hand = rows.table(tables.REVIEWS, {"clip_id": "a", "annotator": "ann", "reviewed_utc": T1, "answer": "safe"})
    after, _ = merged(task(answered()), task(), reviews=by_hand)
    assert after["annotator"].tolist() == ["ann", "user-4", "user-4"]
    assert json.loads(after.to_json(orient="records"))[0]["answer"] == "safe"
