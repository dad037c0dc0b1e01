"""Read people's answers out of Label Studio's tasks, and add them to the reviews."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from curation import tables

DELETED = "deleted"
SKIPPED = "skipped"
OTHERS = ("unsure", "bad_audio", "none")  # answers that are no class
IDENTITY = ["annotation_id", "annotation_utc"]  # of an annotation, through all its versions
TASK_KEYS = ("id", "data", "created_at")  # not updated_at: what is unread stays the same when others answer
ANNOTATION_KEYS = (
    *("id", "result", "was_cancelled", "completed_by", "updated_by", "created_at", "updated_at", "lead_time"),
)


class UnreadError(Exception):
    """An answer cannot be taken; the reason is one of `tables.UNREAD`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Known:
    """What an answer may be, and to which clips."""

    classes: Collection[str]
    clip_ids: Collection[str]


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
    fresh, failed = _read_all([*_again(unread), *_single(seen)], known)
    stored = set(map(tuple, reviews.loc[reviews["answer"] != DELETED, [*IDENTITY, "reviewed_utc"]].to_numpy()))
    new = {_version(row): row for row in fresh if _version(row) not in stored}
    both = _stacked(reviews, list(new.values()), tables.REVIEWS)
    present = _present(seen)
    reviews = _stacked(both, list(_tombstones(both, present)), tables.REVIEWS)
    kept = _rows(unread[unread["reason"] == DELETED])
    rows = [*kept, *(_gone(row, present) for row in failed)]
    return reviews, _stacked(tables.UNREAD.empty(), rows, tables.UNREAD)


def utc(text: object) -> str:
    """Return a time of Label Studio in one form, sortable as text.

    Raises:
        UnreadError: it is none.
    """
    try:
        moment = datetime.fromisoformat(str(text))
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError) as error:
        raise UnreadError("malformed", f"{str(text)[:50]!r} is no time") from error


def changed_utc(task: Mapping[str, object]) -> str:
    """Return when a task last changed, empty: it does not say."""
    try:
        return utc(task.get("updated_at"))
    except UnreadError:
        return ""


def _single(tasks: Iterable[object]) -> Iterator[dict[str, object]]:
    """Yield every annotation in a task of its own, without what is not needed (e-mail addresses, predictions)."""
    for task in tasks:
        whole = task if isinstance(task, dict) else {"data": task}
        annotations = whole.get("annotations")
        for annotation in annotations if isinstance(annotations, list) else [annotations] if annotations else []:
            slim = annotation
            if isinstance(annotation, dict):
                slim = {key: annotation[key] for key in ANNOTATION_KEYS if key in annotation}
                slim |= {key: _user(slim[key]) for key in ("completed_by", "updated_by") if key in slim}
            yield {key: whole[key] for key in TASK_KEYS if key in whole} | {"annotations": [slim]}


def _again(unread: pd.DataFrame) -> Iterator[dict[str, object]]:
    for raw in unread.loc[unread["reason"] != DELETED, "raw"]:
        yield json.loads(raw)


def _read_all(
    singles: Iterable[dict[str, object]], known: Known
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    rows, failed = [], []
    for single in singles:
        try:
            rows.append(_read(single, known))
        except UnreadError as error:
            failed.append(_failed(single, error))
    return rows, failed


def _read(single: Mapping[str, object], known: Known) -> dict[str, object]:
    """Return the row of `tables.REVIEWS` for a task with one annotation."""
    data, annotation = _dict(single.get("data")), _dict(_list(single.get("annotations"))[0])
    author = _text_id(annotation.get("completed_by"), "completed_by")
    editor = author if annotation.get("updated_by") is None else _text_id(annotation["updated_by"], "updated_by")
    clip_id = data.get("clip_id")
    if not isinstance(clip_id, str) or clip_id not in known.clip_ids:
        raise UnreadError("clip", f"{str(clip_id)[:50]!r} is no clip of clips.csv")
    answer, note = _answer(annotation, known.classes)
    seconds = annotation.get("lead_time")
    return {
        "clip_id": clip_id,
        "annotator": f"user-{editor}",
        "reviewed_utc": utc(annotation.get("updated_at")),
        "answer": answer,
        "seconds": float(f"{seconds:.6g}") if isinstance(seconds, int | float) and np.isfinite(seconds) else np.nan,
        "shown": "hinted" if data.get("shown") == "hinted" else "blind",
        "note": note,
        "task_id": _text_id(single.get("id"), "id"),
        "task_utc": utc(single.get("created_at")),
        "annotation_id": _text_id(annotation.get("id"), "id"),
        "annotation_utc": utc(annotation.get("created_at")),
        "overwrote": "" if editor == author else f"user-{author}",
    }


def _answer(annotation: Mapping[str, object], classes: Collection[str]) -> tuple[str, str]:
    """Return the answer and the note."""
    choices: list[object] = []
    notes: list[str] = []
    for part in _list(annotation.get("result")):
        name, value = _dict(part).get("from_name"), _dict(_dict(part).get("value"))
        if name == "label":
            choices += _list(value.get("choices"))
        elif name == "note":
            notes += map(str, _list(value.get("text")) if isinstance(value.get("text"), list) else [value.get("text")])
        else:
            raise UnreadError("answer", f"{str(name)[:50]!r} is nothing that the page asks for")
    note = _storable("\n".join(notes).replace("\r\n", "\n"))
    if annotation.get("was_cancelled") is True:
        return SKIPPED, note
    if len(choices) != 1 or choices[0] not in (*classes, *OTHERS):
        raise UnreadError("answer", f"{str(choices)[:80]} is not one of {', '.join((*classes, *OTHERS))}")
    return str(choices[0]), note


def _failed(single: Mapping[str, object], error: UnreadError) -> dict[str, object]:
    annotations = single.get("annotations")
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    annotation = first if isinstance(first, dict) else {}
    data = single.get("data")
    return {
        "task_id": _plain(single.get("id")),
        "annotation_id": _plain(annotation.get("id")),
        "reviewed_utc": _plain(annotation.get("updated_at")),
        "clip_id": _plain(data.get("clip_id") if isinstance(data, dict) else None),
        "annotator": f"user-{_plain(annotation.get('completed_by'))}",
        "reason": error.reason,
        "detail": str(error),
        "raw": json.dumps(single, sort_keys=True),
    }


def _present(tasks: Iterable[object]) -> dict[tuple[str, str], tuple[str, set[tuple[str, str]]]]:
    """Return, by task, when it last changed and which annotations it holds."""
    found = {}
    for task in tasks:
        try:
            whole = _dict(task)
            held = {
                (_text_id(one.get("id"), "id"), utc(one.get("created_at")))
                for one in map(_dict, _list(whole.get("annotations")))
            }
            found[_text_id(whole.get("id"), "id"), utc(whole.get("created_at"))] = (utc(whole.get("updated_at")), held)
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
        annotation = _dict(_list(single.get("annotations"))[0])
        changed_utc, held = present[_text_id(single.get("id"), "id"), utc(single.get("created_at"))]
        identity = (_text_id(annotation.get("id"), "id"), utc(annotation.get("created_at")))
        gone = identity not in held and utc(annotation.get("updated_at")) < changed_utc
    except (UnreadError, KeyError):
        return row
    return row | {"reason": DELETED, "detail": "the answer was deleted"} if gone else row


def _stacked(frame: pd.DataFrame, rows: list[dict[str, object]], table: tables.Table) -> pd.DataFrame:
    if not rows:
        return frame
    more = pd.DataFrame(rows, columns=list(table.columns))
    both = pd.concat([frame, more], ignore_index=True) if len(frame) else more
    return both.drop_duplicates(list(table.key), ignore_index=True)


def _rows(frame: pd.DataFrame) -> list[dict[str, object]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def _version(row: Mapping[str, object]) -> tuple[object, ...]:
    return (*(row[name] for name in IDENTITY), row["reviewed_utc"])


def _dict(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise UnreadError("malformed", f"{str(value)[:50]!r} is no object")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise UnreadError("malformed", f"{str(value)[:50]!r} is no list")
    return value


def _user(value: object) -> object:
    """Return the number of a user: a snapshot holds the user as an object, with the e-mail address."""
    return value.get("id") if isinstance(value, dict) else value


def _text_id(value: object, name: str) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnreadError("malformed", f"`{name}` is {str(value)[:50]!r}, no number")
    return str(value)


def _plain(value: object) -> str:
    return _storable(str(value)[:100]) if isinstance(value, str | int) else ""


def _storable(text: str) -> str:
    """Return text without what no CSV in UTF-8 can hold: lone surrogates and NUL."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
