"""Even out the classes: a list of how often each clip is drawn and how much it weighs, not copies of audio."""

import math
from pathlib import Path
from typing import Literal

import click
import numpy as np
import numpy.typing as npt
import pandas as pd
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from pydantic import Field

from curation import params, tables

TEST = -1


class Params(params.Section):
    """Section `balance` of params.yaml."""

    method: Literal["oversample", "undersample", "weights", "none"]
    undecided: Literal["keep", "downweight", "drop"]  # clips whose label is flagged and that nobody has answered
    downweight: float = Field(gt=0, le=1)  # weight of an undecided clip, when they are weighted down
    max_drop_share: float = Field(ge=0, lt=1)  # at most this share of a class is left out by `undecided` and `method`
    seed: int = Field(ge=0)


def balance(labels: pd.DataFrame, folds: pd.DataFrame, flags: pd.DataFrame, p: Params) -> pd.DataFrame:
    """Return `tables.TRAIN`: every clip outside the test fold, with what training does with it and why.

    Each fold is balanced by itself, so that the union of any folds, whatever is held out, is balanced, and a repeated
    clip never leaves its fold. Clips of the test fold are not listed: training cannot see their labels.
    """
    rows = labels[["clip_id", "label", "origin", "answers"]].merge(folds, on="clip_id", validate="one_to_one")
    rows = rows[rows["fold"] != TEST].sort_values("clip_id", ignore_index=True)
    rows = rows.assign(times=1, weight=1.0, why="kept")
    nameless = rows["label"] == ""
    _leave_out(rows, nameless, "unlabelled")
    _leave_out(rows, nameless & (rows["origin"] == "review"), "reviewed as none of the classes or bad audio")
    room = _room(rows, p.max_drop_share)
    _settle_undecided(rows, flags, room, p)
    if p.method == "oversample":
        _oversample(rows, p.seed)
    elif p.method == "undersample":
        _undersample(rows, room, p.seed)
    elif p.method == "weights":
        _weigh(rows)
    return rows[list(tables.TRAIN.columns)]


def _leave_out(rows: pd.DataFrame, which: pd.Series | pd.Index, why: str) -> None:
    rows.loc[which, "times"] = 0
    rows.loc[which, "why"] = why


def _room(rows: pd.DataFrame, max_drop_share: float) -> dict[str, int]:
    """Return how many clips of each class may still be left out."""
    counts = rows.loc[rows["times"] > 0, "label"].value_counts()
    return {str(name): math.floor(count * max_drop_share) for name, count in counts.items()}


def _settle_undecided(rows: pd.DataFrame, flags: pd.DataFrame, room: dict[str, int], p: Params) -> None:
    doubt = flags[flags["reason"] == "label"].set_index("clip_id")["score"]
    undecided = rows[rows["clip_id"].isin(doubt.index) & (rows["answers"] == 0) & (rows["times"] > 0)]
    if p.undecided == "downweight":
        rows.loc[undecided.index, "weight"] = p.downweight
        rows.loc[undecided.index, "why"] = "weighted down: suspect"
    if p.undecided == "drop":
        worst_first = undecided.assign(score=undecided["clip_id"].map(doubt)).sort_values("score", kind="stable")
        for name, members in worst_first.groupby("label"):
            dropped = members.index[: room[str(name)]]
            room[str(name)] -= len(dropped)
            _leave_out(rows, dropped, "suspect")


def _oversample(rows: pd.DataFrame, seed: int) -> None:
    for members in _folds_of_several_classes(rows):
        drawn = _drawn(RandomOverSampler(random_state=seed), members)
        rows.loc[members.index, "times"] = np.bincount(drawn, minlength=len(members))
    rows.loc[(rows["times"] > 1) & (rows["why"] == "kept"), "why"] = "repeated"


def _undersample(rows: pd.DataFrame, room: dict[str, int], seed: int) -> None:
    """Leave out clips of the larger classes, fold by fold, as far as `room` allows."""
    surplus = [rows.iloc[:0]]
    for members in _folds_of_several_classes(rows):
        drawn = _drawn(RandomUnderSampler(random_state=seed), members)
        surplus.append(members.drop(members.index[drawn]))
    shuffled = pd.concat(surplus).sample(frac=1, random_state=seed)
    for name, members in shuffled.groupby("label"):
        _leave_out(rows, members.index[: room[str(name)]], "undersampled")


def _folds_of_several_classes(rows: pd.DataFrame) -> list[pd.DataFrame]:
    folds = [members for _, members in rows[rows["times"] > 0].groupby("fold")]
    return [members for members in folds if len(members["label"].unique()) > 1]


def _drawn(sampler: RandomOverSampler | RandomUnderSampler, members: pd.DataFrame) -> npt.NDArray[np.int64]:
    sampler.fit_resample(np.zeros((len(members), 1)), members["label"].to_numpy(dtype="U"))
    return np.asarray(sampler.sample_indices_, dtype=np.int64)


def _weigh(rows: pd.DataFrame) -> None:
    """Weigh a clip by n / (classes * n of its class): every class weighs the same, and the mean weight is 1."""
    kept = rows[rows["times"] > 0]
    of_its_class = kept.groupby("label")["clip_id"].transform("size").astype("float64")
    rows.loc[kept.index, "weight"] *= len(kept) / (len(kept["label"].unique()) * of_its_class)


@click.command()
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels.")
@click.option("--folds", type=click.Path(path_type=Path), required=True, help="The folds.")
@click.option("--flags", type=click.Path(path_type=Path), required=True, help="The doubts.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the training list goes.")
def main(labels: Path, folds: Path, flags: Path, out: Path) -> None:
    """Write the training list."""
    train = balance(
        tables.read(labels, tables.LABELS),
        tables.read(folds, tables.FOLDS),
        tables.read(flags, tables.FLAGS),
        Params.load("balance"),
    )
    tables.write(train, out, tables.TRAIN)
    drawn = train.groupby("label")["times"].sum()
    click.echo("balance: " + ", ".join(f"{name}: {n} draws an epoch" for name, n in drawn.items() if n))


if __name__ == "__main__":
    main()
