"""Tell which clips the models of a revision are judged by, and why those of another are not."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from curation import review
from curation.label import NO_LABEL
from curation.snapshot import TEST, Snapshot, places

Rows: TypeAlias = list[dict[str, Any]]


def judged(one: Snapshot) -> pd.DataFrame:
    """Return the clips with a label and a prediction, of the test fold where there is one."""
    clips = one.clips[one.clips["label"] != ""]
    if (one.clips["fold"] == TEST).any():
        clips = clips[clips["fold"] == TEST]
    predicted = [places(clips.index, table.index) >= 0 for model, table in one.predictions.items() if model != "scores"]
    return clips[np.logical_or.reduce(predicted)] if predicted else clips.head(0)


def exchanged(before: Snapshot, after: Snapshot) -> dict[str, Rows]:
    """Return the clips that only the models of `after` are judged by, `added`, and only those of `before`, `removed`.

    `why` says what they are on the other side. Nothing where one side has no models.
    """
    if not all(one.predictions.keys() - {"scores"} for one in (before, after)):
        return {}
    old, new = judged(before), judged(after)
    return {"added": _alone(new, old, before), "removed": _alone(old, new, after)}


def _alone(mine: pd.DataFrame, theirs: pd.DataFrame, other: Snapshot) -> Rows:
    gone = mine[places(mine.index, theirs.index) < 0]
    place = places(gone.index, other.clips.index)
    states = other.clips[["label", "fold"]].iloc[place[place >= 0]].to_dict("index")
    standing = review.standing(other.reviews)
    answers = dict(standing.loc[standing["answer"].isin(NO_LABEL), ["clip_id", "answer"]].to_numpy())
    tested = bool((other.clips["fold"] == TEST).any())
    return [
        {
            "clip_id": clip_id,
            "file": file,
            "label": label,
            "why": _why(states.get(clip_id), answers.get(clip_id), tested),
        }
        for clip_id, file, label in zip(gone.index, gone["file"], gone["label"], strict=True)
    ]


def _why(state: Mapping[Any, str] | None, answer: str | None, tested: bool) -> str:
    if state is None:
        return "not there"
    if not state["label"]:
        return answer or "no label"
    return "in another fold" if tested and state["fold"] != TEST else "not predicted"
