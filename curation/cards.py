"""Gather, for every clip that changed, what a person needs to judge the change."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd
from sklearn.neighbors import NearestNeighbors

from curation.diff import records
from curation.snapshot import Snapshot
from curation.vectors import Vectors
from curation.verdict import Changes

NEIGHBOURS = 5
KINDS = {  # where the changes have them, and what they are called
    "labels": "relabelled",
    "folds": "in another fold",
    "groups": "regrouped",
    "train": "newly in or out of training",
    "files": "in another file",
}
UNJUDGED = "models no longer judged by it"
CONFIRMED = "label from elsewhere"  # the same one, and the least of news
Rows: TypeAlias = list[dict[str, Any]]


@dataclass(frozen=True)
class Card:
    """A clip that changed."""

    clip_id: str
    file: str
    duration_s: float
    kinds: list[str]
    before: Mapping[str, str]  # label, origin, group, fold, use; empty: the clip was not there
    after: Mapping[str, str]
    flags: Rows  # reason, score, suggested, when
    answers: Rows
    opinions: Rows  # model, before, after: the likeliest class with its probability
    neighbours: Rows  # clip_id, file, label, distance


def cards(changes: Changes, before: Snapshot, after: Snapshot, vectors: Vectors | None) -> list[Card]:
    """Return a card for each clip that `changes` name, relabelled ones first, those whose label was confirmed last."""
    kinds: dict[str, list[str]] = {}
    for key, kind in KINDS.items():
        for clip in changes.get(key, []):
            same = key == "labels" and clip["before"]["label"] == clip["after"]["label"]
            kinds.setdefault(clip["clip_id"], []).append(CONFIRMED if same else kind)
    for kind, rows in changes.get("clips", {}).items():
        for clip in rows:
            kinds.setdefault(clip["clip_id"], []).append(kind)
    for clip in changes.get("judged", {}).get("removed", []):
        kinds.setdefault(clip["clip_id"], []).append(UNJUDGED)
    near = neighbours(kinds, after, vectors) if vectors else {}
    reviews = pd.concat([before.reviews, after.reviews]).drop_duplicates()
    answers = _by_clip(reviews[reviews["clip_id"].isin(kinds)].sort_values(["clip_id", "reviewed_utc"]))
    flags = _flags(before, after, kinds)
    return [
        Card(
            clip_id=clip_id,
            file=one.clips["file"][clip_id],
            duration_s=one.clips["duration_s"][clip_id],
            kinds=kinds[clip_id],
            before=_state(before, clip_id),
            after=_state(after, clip_id),
            flags=flags.get(clip_id, []),
            answers=answers.get(clip_id, []),
            opinions=_opinions(before, after, clip_id),
            neighbours=near.get(clip_id, []),
        )
        for clip_id in sorted(kinds, key=lambda clip_id: kinds[clip_id][0] == CONFIRMED)
        for one in [after if clip_id in after.clips.index else before]
    ]


def neighbours(clip_ids: Collection[str], after: Snapshot, vectors: Vectors) -> dict[str, Rows]:
    """Return the nearest other clips by the distance of their features, nearest first, for the clips that have some."""
    known = [clip_id for clip_id in vectors.clip_ids if clip_id in after.clips.index]
    asked = [clip_id for clip_id in clip_ids if clip_id in set(known)]
    if not asked or len(known) < 2:
        return {}
    points = vectors.points(known)
    place = {clip_id: row for row, clip_id in enumerate(known)}
    index = NearestNeighbors(n_neighbors=min(NEIGHBOURS + 1, len(known)), metric="manhattan").fit(points)
    distances, found = index.kneighbors(points[[place[clip_id] for clip_id in asked]])
    clips = after.clips[["file", "label"]]
    return {
        clip_id: [
            {"clip_id": known[row], **clips.loc[known[row]], "distance": float(distance)}
            for row, distance in zip(rows, far, strict=True)
            if known[row] != clip_id
        ][:NEIGHBOURS]
        for clip_id, rows, far in zip(asked, found, distances, strict=True)
    }


def _state(one: Snapshot, clip_id: str) -> dict[str, str]:
    columns = ["label", "origin", "group", "fold", "use"]
    return {column: one.clips[column][clip_id] for column in columns if clip_id in one.clips.index}


def _flags(before: Snapshot, after: Snapshot, clip_ids: Collection[str]) -> dict[str, Rows]:
    """Return the flags before and after; a label that was corrected is no longer doubted, and the reviewer asks why."""
    tables = [one.flags.assign(when=when) for when, one in (("before", before), ("after", after))]
    both = pd.concat(tables)
    return _by_clip(both[both["clip_id"].isin(clip_ids)])


def _by_clip(table: pd.DataFrame) -> dict[str, Rows]:
    return {str(clip_id): records(rows) for clip_id, rows in table.groupby("clip_id")}


def _opinions(before: Snapshot, after: Snapshot, clip_id: str) -> Rows:
    """Return what each model says is likeliest, before and after."""
    said: dict[str, dict[str, str]] = {}
    for when, one in (("before", before), ("after", after)):
        for model, table in one.predictions.items():
            if clip_id in table.index:
                row = table.loc[clip_id]
                said.setdefault(model, {})[when] = f"{row.idxmax()} {row.max():.2f}"
    names = {"scores": "scoring model"}
    return [{"model": names.get(model, model), **when} for model, when in sorted(said.items())]
