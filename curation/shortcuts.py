"""Audit for shortcuts: how well the label is told by how clips were recorded, not by what is to be heard in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import rankdata
from sklearn.model_selection import GroupKFold

from curation import nuisances, params, tables

Floats: TypeAlias = NDArray[np.float64]

ALL = "all"
RIDGE = 1.0  # as if one clip a bin spoke for no class
CHANCE = 0.95  # of shuffles stay below


class Params(params.Section):
    """Section `shortcuts` of params.yaml."""

    folds: int = Field(ge=2, le=20)  # a clip is judged by what others than its group tell
    shuffles: int = Field(ge=20)  # of the labels, to tell a shortcut from luck
    seed: int = Field(ge=0)


def shortcuts(
    clips: pd.DataFrame, labels: pd.DataFrame, groups: pd.DataFrame, p: Params
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `tables.SHORTCUTS`, the most telling measure first, and what all measures say: `tables.NUISANCE`.

    Each measure alone predicts the label by ridge regression on its bins, held out by group. `chance_auc` is what the
    luckiest of all measures stays below in 95 % of shuffles, which give each group the label of another one (Westfall
    and Young 1993, ISBN 0-471-55761-7): a measure above it is no luck, however many were tried. Level, noise and
    silence are recorded and heard at once; that these tell something need not be a fault.

    Args:
        clips: `tables.CLIPS`.
        labels: `tables.LABELS`; clips without a label are left out.
        groups: `tables.GROUPS`.
        p: parameters.
    """
    rows = labels.loc[labels["label"] != "", ["clip_id", "label"]].merge(groups[["clip_id", "group"]], on="clip_id")
    rows = rows.merge(clips.drop(columns=["label", "group"]), on="clip_id", validate="one_to_one")
    group = pd.factorize(rows["group"])[0]
    drawn = _shuffled(rows["label"], group, p)
    fold = _folds(group, p)
    binned = {name: nuisances.bins(rows, columns) for name, columns in nuisances.MEASURES.items()}
    binned[ALL] = pd.concat(binned.values(), axis=1)
    said = {name: _said(bins_.to_numpy(np.float64), drawn, fold) for name, bins_ in binned.items()}
    areas = {name: _areas(of_class, drawn) for name, of_class in said.items()}
    chance = float(np.quantile(np.max([area[1:] for area in areas.values()], axis=0), CHANCE))
    told = [
        {"measure": name, "auc": areas[name][0], "chance_auc": chance} | _example(bins_, rows["label"])
        for name, bins_ in binned.items()
    ]
    ranked = pd.DataFrame(told).sort_values(["auc", "measure"], ascending=[False, True], ignore_index=True)
    return ranked, _probabilities(rows, said[ALL][:, :, 0])


def _shuffled(label: pd.Series, group: NDArray[np.intp], p: Params) -> NDArray[np.intp]:
    """Return the labels as numbers, shape (clips, 1 + shuffles): as they are, then shuffled between groups."""
    rng = np.random.default_rng(p.seed)
    number = pd.factorize(label, sort=True)[0]
    of_group = pd.Series(number).groupby(group).agg(lambda part: part.mode()[0]).to_numpy()
    return np.column_stack([number, *(rng.permutation(of_group)[group] for _ in range(p.shuffles))])


def _folds(group: NDArray[np.intp], p: Params) -> NDArray[np.intp]:
    splitter = GroupKFold(min(p.folds, int(group.max()) + 1), shuffle=True, random_state=p.seed)
    fold = np.empty(len(group), np.intp)
    for number, (_, held_out) in enumerate(splitter.split(group, groups=group)):
        fold[held_out] = number
    return fold


def _said(x: Floats, drawn: NDArray[np.intp], fold: NDArray[np.intp]) -> Floats:
    """Return how much the bins speak for each class, by other folds, shape (classes, clips, 1 + shuffles).

    All columns of labels are solved at once: they share the bins.
    """
    truth = np.array([drawn == label for label in np.unique(drawn[:, 0])], np.float64)
    said = np.empty_like(truth)
    for number in np.unique(fold):
        known, held_out = fold != number, fold == number
        target = truth[:, known] - truth[:, known].mean(axis=1, keepdims=True)  # else a fold's share would speak too
        gram = x[known].T @ x[known] + RIDGE * np.eye(x.shape[1])
        said[:, held_out] = x[held_out] @ np.linalg.solve(gram, x[known].T @ target)
    return said


def _areas(said: Floats, drawn: NDArray[np.intp]) -> Floats:
    """Return the area under the ROC curve for each column of labels, one class against the rest, their mean."""
    areas = []
    for label, of_class in zip(np.unique(drawn[:, 0]), said, strict=True):
        truth = drawn == label
        positive = truth.sum(axis=0)
        above = (rankdata(of_class.round(9), axis=0) * truth).sum(axis=0) - positive * (positive + 1) / 2
        areas.append(above / (positive * (len(truth) - positive)))
    mean: Floats = np.mean(areas, axis=0)
    return mean


def _probabilities(rows: pd.DataFrame, said: Floats) -> pd.DataFrame:
    """Return `tables.NUISANCE` of what speaks for each class, shape (classes, clips): each as likely beforehand."""
    names = np.unique(rows["label"])
    odds = np.clip(1 / len(names) + said, 0, 1)
    wide = pd.DataFrame((odds / odds.sum(axis=0)).T, columns=names).assign(clip_id=rows["clip_id"])
    return wide.melt("clip_id", var_name="label", value_name="probability")


def _example(binned: pd.DataFrame, label: pd.Series) -> dict[str, str | int | float]:
    """Return the bin that stands out most from the shares of all clips, and the label it speaks for."""

    def candidates() -> Iterator[tuple[float, str, str, int, float]]:
        for name, share in label.value_counts(normalize=True).sort_index().items():
            spread = np.sqrt(max(share * (1 - share), np.finfo(float).tiny))
            for where, inside in binned.items():
                here = float((label[inside] == name).mean())
                yield (here - share) * np.sqrt(inside.sum()) / spread, str(where), str(name), int(inside.sum()), here

    _, where, name, count, share = max(candidates())
    return {"where": where, "label": name, "clips": count, "share": share}


@click.command()
@click.option("--clips", type=click.Path(path_type=Path), required=True, help="The clips and what was measured.")
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels.")
@click.option("--groups", type=click.Path(path_type=Path), required=True, help="What must not be split.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the audit goes.")
@click.option("--nuisance", type=click.Path(path_type=Path), required=True, help="Where what all measures say goes.")
def main(clips: Path, labels: Path, groups: Path, out: Path, nuisance: Path) -> None:
    """Write how well each measure of the recording tells the label, and what all of them say of each clip."""
    found, said = shortcuts(
        tables.read(clips, tables.CLIPS),
        tables.read(labels, tables.LABELS),
        tables.read(groups, tables.GROUPS),
        Params.load("shortcuts"),
    )
    tables.write(found, out, tables.SHORTCUTS)
    tables.write(said, nuisance, tables.NUISANCE)
    best = found.iloc[0]
    click.echo(f"shortcuts: {best['measure']} tells most, AUC {best['auc']:.2f}; luck reaches {best['chance_auc']:.2f}")


if __name__ == "__main__":
    main()
