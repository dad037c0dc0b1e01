"""Read one annotation of Label Studio as a row of reviews.csv; nothing about it is trusted."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

SKIPPED = "skipped"
SHOWN = ("blind", "hinted")
UNKNOWN = "unknown"  # instead of one of these
OTHERS = ("unsure", "bad_audio", "none")  # answers that are no class
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
    """What an answer may be, to which clips, and what else is known: why clips are asked, and who has a name."""

    classes: Collection[str]
    clip_ids: Collection[str]
    asked: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def annotator(self, number: str) -> str:
        """Return the id of the user with this number."""
        return self.names.get(number, f"user-{number}")


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


def singles(tasks: Iterable[object]) -> Iterator[dict[str, object]]:
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


def read(single: Mapping[str, object], known: Known) -> dict[str, object]:
    """Return the row of `tables.REVIEWS` for a task with one annotation.

    Raises:
        UnreadError: it is none.
    """
    data, annotation = as_dict(single.get("data")), as_dict(as_list(single.get("annotations"))[0])
    author = as_id(annotation.get("completed_by"), "completed_by")
    editor = author if annotation.get("updated_by") is None else as_id(annotation["updated_by"], "updated_by")
    clip_id = data.get("clip_id")
    if not isinstance(clip_id, str) or clip_id not in known.clip_ids:
        raise UnreadError("clip", f"{str(clip_id)[:50]!r} is no clip of clips.csv")
    answer, note = _answer(annotation, known.classes)
    seconds = annotation.get("lead_time")
    return {
        "clip_id": clip_id,
        "annotator": known.annotator(editor),
        "reviewed_utc": utc(annotation.get("updated_at")),
        "answer": answer,
        "seconds": float(f"{seconds:.6g}") if isinstance(seconds, int | float) and np.isfinite(seconds) else np.nan,
        "shown": data["shown"] if data.get("shown") in SHOWN else UNKNOWN,
        "note": note,
        "task_id": as_id(single.get("id"), "id"),
        "task_utc": utc(single.get("created_at")),
        "annotation_id": as_id(annotation.get("id"), "id"),
        "annotation_utc": utc(annotation.get("created_at")),
        "overwrote": "" if editor == author else known.annotator(author),
        "asked": known.asked.get(clip_id, ""),
    }


def _answer(annotation: Mapping[str, object], classes: Collection[str]) -> tuple[str, str]:
    """Return the answer and the note."""
    choices: list[object] = []
    notes: list[str] = []
    for part in as_list(annotation.get("result")):
        name, value = as_dict(part).get("from_name"), as_dict(as_dict(part).get("value"))
        if name == "label":
            choices += as_list(value.get("choices"))
        elif name == "note":
            notes += map(
                str, as_list(value.get("text")) if isinstance(value.get("text"), list) else [value.get("text")]
            )
        else:
            raise UnreadError("answer", f"{str(name)[:50]!r} is nothing that the page asks for")
    note = _storable("\n".join(notes).replace("\r\n", "\n"))
    if annotation.get("was_cancelled") is True:
        return SKIPPED, note
    if len(choices) != 1 or choices[0] not in (*classes, *OTHERS):
        raise UnreadError("answer", f"{str(choices)[:80]} is not one of {', '.join((*classes, *OTHERS))}")
    return str(choices[0]), note


def unread(single: Mapping[str, object], error: UnreadError) -> dict[str, object]:
    """Return the row of `tables.UNREAD` for a task with one annotation."""
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


def as_dict(value: object) -> dict[str, object]:
    """Return `value`, which must be an object."""
    if not isinstance(value, dict):
        raise UnreadError("malformed", f"{str(value)[:50]!r} is no object")
    return value


def as_list(value: object) -> list[object]:
    """Return `value`, which must be a list."""
    if not isinstance(value, list):
        raise UnreadError("malformed", f"{str(value)[:50]!r} is no list")
    return value


def _user(value: object) -> object:
    """Return the number of a user: a snapshot holds the user as an object, with the e-mail address."""
    return value.get("id") if isinstance(value, dict) else value


def as_id(value: object, name: str) -> str:
    """Return the number `value` as text."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnreadError("malformed", f"`{name}` is {str(value)[:50]!r}, no number")
    return str(value)


def _plain(value: object) -> str:
    return _storable(str(value)[:100]) if isinstance(value, str | int) else ""


def _storable(text: str) -> str:
    """Return text without what no CSV in UTF-8 can hold: lone surrogates and NUL."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
