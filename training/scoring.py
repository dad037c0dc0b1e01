"""The scoring model: support vector machines on vectors of clips, what they learn from, and how sure they are."""

from typing import TypeAlias

import click
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import squareform
from scipy.special import log_softmax
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Names: TypeAlias = NDArray[np.str_]

STEEPEST = 10  # bounds the confidence where decisions separate the labels perfectly


def kernel(points: NDArray[np.float32], clips: int) -> tuple[Floats, float]:
    """Return the Laplacian kernel of points (n, d), shape (n, n), and its width, the median distance of two clips.

    Args:
        points: of clips as they are, and then of their variations.
        clips: number of clips.
    """
    distances = torch.pdist(torch.from_numpy(points).double(), p=1)  # in a third of the time that SciPy takes
    similarity: Floats = squareform(distances.numpy())
    width = float(max(np.median(similarity[:clips, :clips]), np.finfo(np.float64).tiny))
    similarity /= -width
    return np.exp(similarity, out=similarity), width


def heard(part: Integers, clips: int, points: int) -> Integers:
    """Return the places of some clips among all points, then those of their variations; place p is of clip p % clips.

    Args:
        part: places of these clips among the clips.
        clips: number of clips; the first points are the clips as they are, then comes one variation of each, and so on.
        points: number of points.
    """
    return (part + np.arange(0, points, clips)[:, None]).ravel()


def per_point(penalty: float, clips: int, points: int) -> float:
    """Return the C of a point: a clip and its n variations pull more than one example does, and less than n + 1 do.

    The root lies between; on ESC-10 it is near the best for right labels and for wrong ones, and where there are no
    variations it changes nothing.
    """
    return penalty * float(np.sqrt(clips / points))


def machine(penalty: float) -> OneVsRestClassifier:
    """Return a machine a class against the rest; both sides weigh the same, however many clips they have.

    Args:
        penalty: C of a point: the lower, the less a single label is trusted.
    """
    return OneVsRestClassifier(SVC(C=penalty, kernel="precomputed", class_weight="balanced"))


def training_parts(label: Names, group: Integers, names: Names, *, folds: int, seed: int) -> list[Integers]:
    """Return what each model learns from: all but one of at most `folds` folds of whole groups, stratified by label.

    Raises:
        click.ClickException: a model would know nothing of one of `names`.
    """
    groups = {str(name): len(np.unique(group[label == name])) for name in names}
    rarest = min(groups, key=groups.__getitem__)
    if groups[rarest] > 1:
        splitter = StratifiedGroupKFold(min(folds, groups[rarest]), shuffle=True, random_state=seed)
        parts = [train for train, _ in splitter.split(label, label, group)]
        if all(set(label[part]) == set(names) for part in parts):
            return parts
    raise click.ClickException(
        f"Class {rarest!r} has labelled clips in {groups[rarest]} of the {len(np.unique(group))} groups outside the "
        "test fold: too few to learn from some of them and score the others. Add recordings of this class, or label "
        "some, from other groups."
    )


def calibrate(found: Floats, truth: Integers) -> float:
    """Return the factor b >= 0 with which softmax(b * decisions) fits the labels best: its inverse is a temperature.

    A single number for all clips and classes keeps their order. Guo et al. 2017, On Calibration of Modern Neural
    Networks, arXiv:1706.04599.

    Args:
        found: decisions out of sample, shape (n_clips, n_classes).
        truth: column of each clip's label, shape (n_clips,).
    """

    def loss(steepness: float) -> float:
        return -float(log_softmax(steepness * found, axis=1)[np.arange(len(truth)), truth].mean())

    return float(minimize_scalar(loss, bounds=(0, STEEPEST), method="bounded").x)


def joined(labels: pd.DataFrame, folds: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Return `clip_id`, `label`, `group` and `fold` of every clip.

    Raises:
        click.ClickException: the tables are not of the same clips.
    """
    for name, table in {"folds": folds, "groups": groups}.items():
        if odd := sorted(set(labels["clip_id"]) ^ set(table["clip_id"])):
            raise click.ClickException(
                f"{name} and labels differ by {len(odd)} clips, {odd[0]!r} first. `dvc repro score` makes them anew."
            )
    return labels[["clip_id", "label"]].merge(groups[["clip_id", "group"]]).merge(folds)
