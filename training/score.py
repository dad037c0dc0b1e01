"""Score every clip by models that have seen neither the clip nor its group."""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import softmax
from tqdm import tqdm

from curation import params, tables, vectors
from training.scoring import (
    Floats,
    Integers,
    Names,
    calibrate,
    heard,
    joined,
    kernel,
    machine,
    per_point,
    training_parts,
)

TEST = -1  # in `tables.FOLDS`
DECIMALS = 6  # of a probability; a table keeps six digits, so that they still sum to 1 there


class Params(params.Section):
    """Section `score` of params.yaml."""

    folds: int = Field(ge=2, le=50)  # a model learns from all of them but one
    repeats: int = Field(ge=1, le=50)  # of the cross-validation, each with other folds
    penalty: float = Field(gt=0, le=1000)  # C of the support vector machine, see `scoring.per_point`
    seed: int = Field(ge=0, lt=2**31)


def score(clips: pd.DataFrame, points: NDArray[np.float32], p: Params, *, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return `tables.SCORES`: a probability of every class for every clip, labelled or not.

    Models learn from the labelled clips outside the test fold and from variations of these; a clip is judged, as it
    is, by those that learnt from no clip of its group. Its own label reaches its score only by what is common to all:
    which clips share a fold (folds are stratified) and the calibration (one number). A label in the test fold reaches
    no score.

    Memory grows with the square of the points: 17 bytes a pair, 1.1 GB for 1,000 clips with seven variations each and
    1.7 GB for 10,000 without.

    Args:
        clips: `clip_id`, `label`, `group`, `fold`.
        points: features of these clips, and of their variations if there are any, as `Vectors.points` has them; their
            Manhattan distances count.
        p: parameters.
        classes: names of the classes.

    Raises:
        click.ClickException: a class has labelled clips in too few groups.
    """
    names = np.sort(classes)
    label, group = clips["label"].to_numpy(str), pd.factorize(clips["group"])[0]
    learnable = np.flatnonzero((label != "") & (clips["fold"] != TEST))
    seeds = range(p.seed, p.seed + p.repeats)
    parts = [
        learnable[part]
        for seed in seeds
        for part in training_parts(label[learnable], group[learnable], names, folds=p.folds, seed=seed)
    ]
    similarity, _ = kernel(points, len(clips))
    found = decisions(similarity, label, group, parts, per_point(p.penalty, len(clips), len(points)))
    steepness = calibrate(found[learnable], np.searchsorted(names, label[learnable]))
    wide = pd.DataFrame(rounded(softmax(steepness * found, axis=1)), columns=names.tolist())
    return wide.assign(clip_id=clips["clip_id"].to_numpy()).melt("clip_id", var_name="label", value_name="probability")


def decisions(similarity: Floats, label: Names, group: Integers, parts: Sequence[Integers], penalty: float) -> Floats:
    """Return how much each class speaks for itself in each clip, shape (n_clips, n_classes), classes sorted.

    The mean of the decisions of support vector machines, one class against the rest. A clip is judged by those alone
    whose training part holds no clip of its group: its group has no influence, neither labels nor variations.

    Args:
        similarity: kernel of the points: of the clips as they are, and then of their variations.
        label: class of each, read for the clips in `parts` only.
        group: group of each.
        parts: the clips that each machine learns from, and from their variations; each clip's group is missing in one
            part or more.
        penalty: C of a point.
    """
    total, judges = np.zeros((len(label), len(np.unique(label[parts[0]])))), np.zeros((len(label), 1))
    for part in tqdm(parts, "score", unit="model", disable=None):
        unseen = np.flatnonzero(~np.isin(group, group[part]))
        known = heard(part, len(label), len(similarity))
        model = machine(penalty).fit(similarity[np.ix_(known, known)], label[known % len(label)])
        found = model.decision_function(similarity[np.ix_(unseen, known)])
        total[unseen] += found if found.ndim == 2 else np.column_stack([-found, found])
        judges[unseen] += 1
    return total / judges


def rounded(probabilities: Floats) -> Floats:
    """Return probabilities of shape (n, n_classes) with `DECIMALS` decimals whose rows still sum to 1."""
    short = np.round(probabilities, DECIMALS)
    largest = short.argmax(axis=1)[:, None]
    rest = 1 - (short.sum(axis=1, keepdims=True) - np.take_along_axis(short, largest, 1))
    np.put_along_axis(short, largest, np.round(rest, DECIMALS), 1)
    return short


@click.command()
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels.")
@click.option("--folds", type=click.Path(path_type=Path), required=True, help="Which clips are in the test fold.")
@click.option("--groups", type=click.Path(path_type=Path), required=True, help="What must not be split.")
@click.option("--features", type=click.Path(file_okay=False, path_type=Path), required=True, help="The clips' vectors.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the scores go.")
def main(labels: Path, folds: Path, groups: Path, features: Path, out: Path) -> None:
    """Write a probability of every class for every clip, out of sample."""
    classes = params.Data.load("data").classes
    today = tables.read(labels, tables.LABELS)
    tables.check_labels(today["label"], classes, labels)
    clips = joined(today, tables.read(folds, tables.FOLDS), tables.read(groups, tables.GROUPS))
    points = vectors.read(features).points(clips["clip_id"].tolist(), varied=True)
    scores = score(clips, points, Params.load("score"), classes=classes)
    tables.write(scores, out, tables.SCORES)
    click.echo(f"score: {len(clips)} clips, {(clips['label'] != '').sum()} of them labelled")


if __name__ == "__main__":
    main()
