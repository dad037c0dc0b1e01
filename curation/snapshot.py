"""The tables, metrics and params of one revision, read leniently: an older one may have had other columns."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import yaml

Row: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Snapshot:
    """What one revision holds; what it lacks is empty."""

    clips: Mapping[str, Row]  # by clip_id, as the next three
    labels: Mapping[str, Row]
    folds: Mapping[str, Row]
    train: Mapping[str, Row]
    rejects: Mapping[tuple[str, ...], Row]  # by file, start_s, reason
    duration_s: Mapping[str, float]  # by clip_id
    metrics: Mapping[str, Any]  # by model, nested
    params: Mapping[str, Any]  # by section, nested

    def label(self, clip_id: str) -> str:
        """Return the label of a clip today, or the given one when there is no table of labels."""
        return self.labels.get(clip_id, self.clips[clip_id]).get("label", "")


def parse(texts: Mapping[str, str | None]) -> Snapshot:
    """Return what these files say: their texts by the name of the field; None, there is no such file.

    Raises:
        ValueError: a text is not the CSV, JSON or YAML it should be; the message begins with its name.
    """
    clips = _by_clip(texts, "clips")
    return Snapshot(
        clips=clips,
        labels=_by_clip(texts, "labels"),
        folds=_by_clip(texts, "folds"),
        train=_by_clip(texts, "train"),
        rejects=_rows(texts, "rejects", ("file", "start_s", "reason")),
        duration_s={clip_id: _seconds(row) for clip_id, row in clips.items()},
        metrics=_nested(texts, "metrics", _json),
        params=_nested(texts, "params", yaml.safe_load),
    )


def _by_clip(texts: Mapping[str, str | None], name: str) -> dict[str, Row]:
    return {clip_id: row for (clip_id,), row in _rows(texts, name, ("clip_id",)).items()}


def _rows(texts: Mapping[str, str | None], name: str, key: tuple[str, ...]) -> dict[tuple[str, ...], Row]:
    reader = csv.DictReader(io.StringIO(texts[name] or "", newline=""), restkey="", restval="", strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(f"{name}: {error}") from error
    if missing := [column for column in key if rows and column not in rows[0]]:
        raise ValueError(f"{name}: the table has no column {missing[0]!r}")
    return {tuple(row[column] for column in key): row for row in rows}


def _seconds(row: Row) -> float:
    text = row.get("duration_s") or "0"
    try:
        return float(text) if math.isfinite(float(text)) else _refuse(text)
    except ValueError as error:
        raise ValueError(f"clips: `duration_s` is {text!r}, not a number") from error


def _nested(texts: Mapping[str, str | None], name: str, load: Callable[[str], Any]) -> Mapping[str, Any]:
    try:
        value = load(texts[name] or "{}")
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{name}: {error}") from error
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected keys with values, not {value!r:.40}")
    return value


def _json(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
