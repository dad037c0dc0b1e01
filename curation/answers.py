"""Add the answers in Label Studio's tasks to the reviews, each version once."""

import json
from collections.abc import Iterable, Iterator, Mapping

import click
import numpy as np
import pandas as pd

from curation import annotation, tables
from curation.annotation import Known, UnreadError, as_dict, as_id, as_list, read, singles, utc

DELETED = "deleted"
IDENTITY = ["annotation_id", "annotation_utc"]  # of an annotation, through all its versions


def merge(
    reviews: pd.DataFrame, unread: pd.DataFrame, tasks: Iterable[object], known: Known
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `reviews` and `unread` with what `tasks` hold in addition; twice is once.

    Each version of an answer is a row. One that somebody else has changed is a row of theirs, the author's own row
    stays. One that is gone from its task is followed by a row `deleted`. What was unread is tried again, because its
    clip or its class may be known by now.

    Args:
        reviews: `tables.REVIEWS`.
        unread: `tables.UNREAD`.
        tasks: in the form of Label Studio's JSON export, each with all its annotations; nothing about them is trusted.
        known: the classes and clips of today.
    """
    seen = list(tasks)
    fresh, failed = _sorted_out([*_again(unread), *singles(seen)], known)
    stored = set(map(tuple, reviews.loc[reviews["answer"] != DELETED, [*IDENTITY, "reviewed_utc"]].to_numpy()))
    new = {_version(row): row for row in fresh if _version(row) not in stored}
    both = _stacked(reviews, list(new.values()), tables.REVIEWS)
    present = _present(seen)
    reviews = _stacked(both, list(_tombstones(both, present)), tables.REVIEWS)
    kept = _rows(unread[unread["reason"] == DELETED])
    rows = [*kept, *(_gone(row, present) for row in failed)]
    return reviews, _stacked(tables.UNREAD.empty(), rows, tables.UNREAD)


def _again(unread: pd.DataFrame) -> Iterator[dict[str, object]]:
    for raw in unread.loc[unread["reason"] != DELETED, "raw"]:
        try:
            yield as_dict(json.loads(raw))
        except (ValueError, UnreadError) as error:
            raise click.ClickException(
                f"unread.csv: `raw` must be as `earmark pull` wrote it, not {raw[:50]!r}. Take the file from git again."
            ) from error


def _sorted_out(
    singles: Iterable[dict[str, object]], known: Known
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    rows, failed = [], []
    for single in singles:
        try:
            rows.append(read(single, known))
        except UnreadError as error:
            failed.append(annotation.unread(single, error))
    return rows, failed


def _present(tasks: Iterable[object]) -> dict[tuple[str, str], tuple[str, set[tuple[str, str]]]]:
    """Return, by task, when it last changed and which annotations it holds."""
    found = {}
    for task in tasks:
        try:
            whole = as_dict(task)
            held = {
                (as_id(one.get("id"), "id"), utc(one.get("created_at")))
                for one in map(as_dict, as_list(whole.get("annotations")))
            }
            found[as_id(whole.get("id"), "id"), utc(whole.get("created_at"))] = (utc(whole.get("updated_at")), held)
        except UnreadError:
            continue  # what it holds is not known, so nothing is known to be gone
    return found


def _tombstones(
    reviews: pd.DataFrame, present: Mapping[tuple[str, str], tuple[str, set[tuple[str, str]]]]
) -> Iterator[dict[str, object]]:
    """Yield a row `deleted` for every answer that its task no longer holds, one for each who had a hand in it."""
    tasks = pd.MultiIndex.from_frame(reviews[["task_id", "task_utc"]])
    newest = reviews[tasks.isin(list(present))].sort_values("reviewed_utc", kind="stable")
    for row in newest.drop_duplicates([*IDENTITY, "annotator"], keep="last").pipe(_rows):
        changed_utc, held = present[str(row["task_id"]), str(row["task_utc"])]
        is_older = str(row["reviewed_utc"]) < changed_utc  # else this is an export from before the answer
        if row["answer"] != DELETED and is_older and tuple(row[name] for name in IDENTITY) not in held:
            yield row | {"answer": DELETED, "reviewed_utc": changed_utc, "seconds": np.nan, "note": ""}


def _gone(
    row: dict[str, object], present: Mapping[tuple[str, str], tuple[str, set[tuple[str, str]]]]
) -> dict[str, object]:
    """Return an unread row, marked when its task no longer holds the answer: it must not be read again."""
    single = json.loads(str(row["raw"]))
    try:
        one = as_dict(as_list(single.get("annotations"))[0])
        changed_utc, held = present[as_id(single.get("id"), "id"), utc(single.get("created_at"))]
        identity = (as_id(one.get("id"), "id"), utc(one.get("created_at")))
        gone = identity not in held and utc(one.get("updated_at")) < changed_utc
    except (UnreadError, KeyError):
        return row
    return row | {"reason": DELETED, "detail": "the answer was deleted"} if gone else row


def _stacked(frame: pd.DataFrame, rows: list[dict[str, object]], table: tables.Table) -> pd.DataFrame:
    more = pd.DataFrame(rows, columns=list(table.columns))
    both = pd.concat([part for part in (frame, more) if len(part)] or [frame], ignore_index=True)
    return both.drop_duplicates(list(table.key)).sort_values(list(table.key), ignore_index=True, kind="stable")


def _rows(frame: pd.DataFrame) -> list[dict[str, object]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def _version(row: Mapping[str, object]) -> tuple[object, ...]:
    return (*(row[name] for name in IDENTITY), row["reviewed_utc"])
