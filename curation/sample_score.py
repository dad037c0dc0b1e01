"""Score what the pipeline found against the faults that were planted."""

from collections.abc import Hashable, Iterator, Mapping, Set
from itertools import combinations
from typing import TypeAlias

import pandas as pd

from curation.shortcuts import ALL

Planted: TypeAlias = Mapping[str, Set[Hashable]]  # a fault's name -> what finds it, any one of these

REJECTS = (
    "missing",
    "unlisted",
    "outside",
    "unreadable",
    "empty",
    "truncated",
    "not_finite",
    "too_short",
    "too_long",
    "silent",
    "duplicate",
    "conflict",
)
FLAGS = (
    "label",
    "clipped",
    "dc_offset",
    "low_bandwidth",
    "dead_channel",
    "inverted_channel",
    "noisy",
    "mostly_silent",
    "outlier",
    "near_duplicate",
)
SHORTCUT = "bandwidth"  # the measure that tells the class of the faults `shortcut`
FIRST = (10, 20, 30)  # so many clips from the top of the queue
SHOWN = 2  # how many missed faults the text names


def score(
    truth: pd.DataFrame,
    *,
    clips: pd.DataFrame | None = None,
    rejects: pd.DataFrame | None = None,
    groups: pd.DataFrame | None = None,
    flags: pd.DataFrame | None = None,
    labels: pd.DataFrame | None = None,
    queue: pd.DataFrame | None = None,
    shortcuts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return one row a finder: how many faults were planted, what it found, and how much of that is true.

    `planted` counts faults; `found` and `true` count files, but for near-duplicates they count pairs of given groups,
    since these are what `groups` joins, and for shortcuts measures. A copy is found when it or its twin is. A table
    that is None was not made yet: `found`, `true`, `precision` and `recall` of its finders are missing.

    Args:
        truth: `tables.TRUTH`.
        clips: `tables.CLIPS`; without it only the rejects can be scored.
        rejects: `tables.REJECTS`.
        groups: `tables.GROUPS`.
        flags: `tables.FLAGS`.
        labels: `tables.LABELS`.
        queue: `tables.QUEUE`.
        shortcuts: `tables.SHORTCUTS`.
    """
    planted: dict[str, Planted] = {str(fault): _planted(rows) for fault, rows in truth.groupby("fault")}
    flagged, queued, labelled = (_of_files(table, clips) for table in (flags, queue, labels))
    rows = [
        *_by_reason("rejects.csv", REJECTS, planted, rejects),
        _joined(truth, clips, groups),
        *_by_reason("flags.csv", FLAGS, planted, flagged),
        *_by_measure(planted, shortcuts),
        *_queued(planted.get("label", {}), queued),
        *_labelled(planted, labelled),
    ]
    return pd.DataFrame(rows).astype({"found": "Int64", "true": "Int64", "precision": float, "recall": float})


def text(scores: pd.DataFrame) -> str:
    """Return `scores` as an aligned table for the terminal."""
    shown = scores.astype({"found": "object", "true": "object"})
    for column in ("precision", "recall"):
        shown[column] = [f"{value:.2f}" if pd.notna(value) else "" for value in scores[column]]
    shown[["found", "true"]] = shown[["found", "true"]].where(scores["found"].notna(), "")
    shown["missed"] = [_few(missed) for missed in scores["missed"]]
    shown.loc[scores["found"].isna(), "missed"] = "not scored: " + scores["table"] + " is not there yet"
    width = shown["missed"].str.len().max()
    lines: str = shown.to_string(index=False, formatters={"missed": lambda cell: cell.ljust(width)})
    return "\n".join(line.rstrip() for line in lines.splitlines())


def _planted(rows: pd.DataFrame) -> Planted:
    return {f"{row.file} ({row.detail})": {row.file, row.twin} - {""} for row in rows.itertuples()}


def _of_files(table: pd.DataFrame | None, clips: pd.DataFrame | None) -> pd.DataFrame | None:
    if table is None or clips is None:
        return None
    known = clips[["clip_id", "file", "label"]].rename(columns={"label": "given"})
    return table.merge(known, on="clip_id", validate="many_to_one")


def _row(finder: str, table: str, planted: Planted, found: Set[Hashable] | None) -> dict[str, object]:
    row: dict[str, object] = {"finder": finder, "table": table, "planted": len(planted)}
    if found is None:
        return {**row, "found": None, "true": None, "precision": None, "recall": None, "missed": []}
    true = found & {item for items in planted.values() for item in items}
    missed = [name for name, items in planted.items() if not items & found]
    return {
        **row,
        "found": len(found),
        "true": len(true),
        "precision": len(true) / len(found) if found else None,
        "recall": 1 - len(missed) / len(planted) if planted else None,
        "missed": missed,
    }


def _by_reason(
    name: str, reasons: tuple[str, ...], planted: Mapping[str, Planted], table: pd.DataFrame | None
) -> Iterator[dict[str, object]]:
    others = [] if table is None else sorted(set(table["reason"]) - set(reasons))
    for reason in (*reasons, *others):
        found = None if table is None else set(table.loc[table["reason"] == reason, "file"])
        if found or reason in planted:
            yield _row(reason, name, planted.get(reason, {}), found)


def _joined(truth: pd.DataFrame, clips: pd.DataFrame | None, groups: pd.DataFrame | None) -> dict[str, object]:
    planted, found = _planted(truth[truth["fault"] == "near_duplicate"]), None
    if clips is not None and groups is not None:
        given = dict(zip(clips["file"], clips["group"], strict=True))
        planted = {name: {frozenset(given.get(str(file)) for file in pair)} for name, pair in planted.items()}
        both = clips[["clip_id", "group"]].merge(groups[["clip_id", "group"]], on="clip_id", suffixes=("_given", ""))
        joined = both.groupby("group")["group_given"].unique()
        found = {frozenset(pair) for members in joined for pair in combinations(members, 2)}
    return _row("near_duplicate", "groups.csv", planted, found)


def _by_measure(planted: Mapping[str, Planted], table: pd.DataFrame | None) -> Iterator[dict[str, object]]:
    if "shortcut" in planted:
        told = None if table is None else table[(table["auc"] > table["chance_auc"]) & (table["measure"] != ALL)]
        yield _row("shortcut", "shortcuts.csv", {SHORTCUT: {SHORTCUT}}, None if told is None else set(told["measure"]))


def _queued(flipped: Planted, queue: pd.DataFrame | None) -> Iterator[dict[str, object]]:
    for first in FIRST:
        found = None if queue is None else set(queue.loc[queue["rank"] <= first, "file"])
        yield _row(f"label, first {first} to hear", "queue.csv", flipped, found)


def _labelled(planted: Mapping[str, Planted], labels: pd.DataFrame | None) -> Iterator[dict[str, object]]:
    without = None if labels is None else set(labels.loc[labels["label"] == "", "file"])
    yield _row("unlabelled", "labels.csv", planted.get("unlabelled", {}), without)
    changed = None if labels is None else set(labels.query("given != '' and label != given")["file"])
    yield _row("label, corrected", "labels.csv", planted.get("label", {}), changed)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
