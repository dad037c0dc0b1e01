"""Which clips a model learns from, stops by and predicts: one round of a hold-out or k of a cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

TEST = -1
MIN_FOLDS = 3  # to learn from, to stop by, to predict


@dataclass(frozen=True)
class Round:
    """The rows of one round: positions in the list of clips."""

    fold: int  # the one held out; -1: the test fold
    draws: Tensor  # clips of one epoch, each as often as the training list says
    valid: Tensor  # clips of the fold that chooses the epoch, each once; may be none
    held_out: Tensor  # clips to predict

    @property
    def name(self) -> str:
        """Name of the round in files: `test` or `fold_0`, `fold_1`, ..."""
        return "test" if self.fold == TEST else f"fold_{self.fold}"


def listing(train: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Return every clip of `tables.FOLDS` with its row of `tables.TRAIN`, times 0 where it has none.

    Raises:
        click.ClickException: the tables disagree, or the training list holds a test clip.
    """
    known = train.merge(folds, on=["clip_id", "fold"])
    if len(known) < len(train) or (train["fold"] == TEST).any():
        raise click.ClickException(
            "The training list disagrees with the folds, or holds a test clip. `dvc repro balance` makes it anew."
        )
    rows = folds.merge(train.drop(columns="fold"), on="clip_id", how="left")
    return rows.fillna({"label": "", "times": 0, "weight": 0.0, "why": ""}).astype({"times": "int64"})


def rounds(rows: pd.DataFrame, classes: Sequence[str], *, validate: bool) -> list[Round]:
    """Return the rounds over the clips of `listing`.

    With a test fold: one round predicts it. Without: round v predicts fold v. To `validate`, a round sets the next
    fold, counted round, aside to choose the epoch by; it learns from the others. So no clip is predicted by a model
    that learned from it or was chosen by it.

    Raises:
        click.ClickException: there are fewer than three folds, or one has no clips, or a class nothing to learn from.
    """
    numbers = sorted(set(rows["fold"]) - {TEST})
    if len(numbers) < MIN_FOLDS:
        raise click.ClickException(
            f"Training needs {MIN_FOLDS} folds, not {numbers}. Raise `split.folds` in params.yaml."
        )
    predicted = [TEST] if TEST in set(rows["fold"]) else numbers
    after = dict(zip([TEST, *numbers], [*numbers, numbers[0]], strict=True))
    return [_round(rows, classes, fold, after[fold] if validate else None) for fold in predicted]


def _round(rows: pd.DataFrame, classes: Sequence[str], fold: int, aside: int | None) -> Round:
    listed = (rows["label"] != "") & (rows["times"] > 0)
    valid = listed & (rows["fold"] == aside)
    learned = listed & ~valid & ~rows["fold"].isin([fold, TEST])
    if missing := sorted({*classes} - {*rows.loc[learned, "label"]}):
        raise click.ClickException(
            f"To predict fold {fold}, training has no clip to learn {missing} from. Label more clips, leave out fewer, "
            "or take the class out of `data.classes` in params.yaml."
        )
    if aside is not None and not valid.any():
        raise click.ClickException(
            f"To predict fold {fold}, training has no clip in fold {aside} to choose the epoch by. Label more clips, "
            "leave out fewer, or set `patience_epochs: null` in params.yaml."
        )
    draws = np.repeat(np.flatnonzero(learned), rows.loc[learned, "times"])
    return Round(fold, torch.from_numpy(draws), _positions(valid), _positions(rows["fold"] == fold))


def _positions(mask: pd.Series) -> Tensor:
    return torch.from_numpy(np.flatnonzero(mask))


def targets(rows: pd.DataFrame, classes: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return 1 in the column of each clip's label, shape (clips, classes), and its weight in the loss."""
    onehot = rows["label"].to_numpy()[:, None] == np.array(classes)
    return torch.from_numpy(onehot.astype(np.float32)), torch.tensor(rows["weight"].to_numpy(), dtype=torch.float32)


def table(clip_ids: pd.Series, turn: Round, probabilities: NDArray[np.float64], classes: Sequence[str]) -> pd.DataFrame:
    """Return `tables.PREDICTIONS` of the held-out clips from probabilities of shape (held_out, classes)."""
    wide = pd.DataFrame(probabilities, columns=[*classes])
    wide.insert(0, "clip_id", clip_ids.iloc[turn.held_out.numpy()].to_numpy())
    return wide.melt("clip_id", var_name="label", value_name="probability")
