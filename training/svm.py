"""Train a support vector machine on the vectors of clips and of their variations, and predict with it."""

from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file, save
from sklearn.svm import SVC
from torch import Tensor, nn

from curation import descriptors, files, params, tables, vectors
from curation.audio import FULL_SCALE
from training import rounds
from training.scoring import Floats, Integers, calibrate, heard, kernel, per_point

UNCALIBRATED = 1.0  # steepness where no fold of the training part can be judged by the others


class Params(params.Section):
    """Section `svm` of params.yaml."""

    penalty: float = Field(gt=0, le=1000)  # C of the machine, see `scoring.per_point`


class SVM(nn.Module):
    """A machine a class against the rest, on the Laplacian kernel of standardised vectors; all it needs are tensors."""

    mean: Tensor  # of each dimension of a vector, over the clips that were learned from
    scale: Tensor  # what makes a point of its distance to the mean
    support: Tensor  # the points that decide, float32 of shape (points, dimensions)
    coefficients: Tensor  # how much each speaks for each class, shape (points, classes)
    intercept: Tensor  # of each class
    width: Tensor  # of the kernel
    steepness: Tensor  # from decisions to logits

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__()
        for name in SVM.__annotations__:
            self.register_buffer(name, tensors[name])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, float64 of shape (clips, classes), of vectors of shape (clips, dimensions)."""
        points = ((x - self.mean) / self.scale).float().double()
        similarity = torch.exp(-torch.cdist(points, self.support.double(), p=1) / self.width)
        return self.steepness * (similarity @ self.coefficients + self.intercept)


def svm(x: vectors.Vectors, rows: pd.DataFrame, p: Params, *, classes: tuple[str, ...]) -> SVM:
    """Return the machine that has learned from some clips and their variations.

    A clip counts as often as the training list says, times its weight, and so does each variation of it; in each
    machine both sides weigh the same. How far decisions are to be trusted is told by machines of all folds but one, on
    the clips of that one as they are: a single number.

    Args:
        x: vectors of these clips and their variations, and of others.
        rows: `clip_id`, `label`, `fold`, `times` and `weight` of the clips to learn from.
        p: parameters.
        classes: names of the columns of what it says, each with a clip or more.
    """
    mean, scale = x.standard(rows["clip_id"])
    points = ((x.rows(rows["clip_id"], varied=True) - mean) / scale).astype(np.float32)
    similarity, width = kernel(points, len(rows))
    truth = pd.Index(classes).get_indexer(pd.Index(rows["label"]))
    weights = (rows["times"] * rows["weight"]).to_numpy(np.float64)
    clip, penalty = np.arange(len(points)) % len(rows), per_point(p.penalty, len(rows), len(points))
    coefficients, intercept = machines(similarity, truth[clip], weights[clip], penalty)
    deciding = np.flatnonzero(coefficients.any(axis=1))
    return SVM(
        mean=torch.from_numpy(mean),
        scale=torch.from_numpy(scale),
        support=torch.from_numpy(points[deciding]),
        coefficients=torch.from_numpy(coefficients[deciding]),
        intercept=torch.from_numpy(intercept),
        width=torch.tensor(width, dtype=torch.float64),
        steepness=torch.tensor(
            steepness(similarity, truth, weights, rows["fold"].to_numpy(), penalty), dtype=torch.float64
        ),
    )


def machines(similarity: Floats, truth: Integers, weights: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Return how much each point speaks for each class, shape (points, classes), and the intercepts.

    Args:
        similarity: kernel of the points to learn from, shape (points, points).
        truth: number of each point's class; none is missing.
        weights: how much each point counts: 2 is to be there twice.
        penalty: C of a point of weight 1, where the sides are even.
    """
    count = int(truth.max()) + 1
    coefficients, intercept = np.zeros((len(truth), count)), np.zeros(count)
    for number in range(count):
        own = truth == number
        even = weights / np.where(own, weights[own].sum(), weights[~own].sum()) * weights.sum() / 2
        machine = SVC(C=penalty, kernel="precomputed").fit(similarity, own, sample_weight=even)
        coefficients[machine.support_, number] = machine.dual_coef_[0]
        intercept[number] = machine.intercept_[0]
    return coefficients, intercept


def steepness(similarity: Floats, truth: Integers, weights: Floats, fold: Integers, penalty: float) -> float:
    """Return the factor that makes logits of decisions, by what the machines of the other folds say of each fold.

    Args:
        similarity: kernel of the points: of the clips as they are, which are judged, and then of their variations.
        truth: number of each clip's class.
        weights: how much each clip counts, and each of its variations.
        fold: of each clip.
        penalty: C of a point of weight 1.
    """
    said, right = [], []
    for number in np.unique(fold):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(np.unique(truth[inside])) > truth.max():
            known = heard(inside, len(truth), len(similarity))
            clip = known % len(truth)
            coefficients, intercept = machines(similarity[np.ix_(known, known)], truth[clip], weights[clip], penalty)
            said.append(similarity[np.ix_(outside, known)] @ coefficients + intercept)
            right.append(truth[outside])
    return calibrate(np.concatenate(said), np.concatenate(right)) if said else UNCALIBRATED


def inputs(samples: Tensor, lengths: Tensor, p: descriptors.Params, *, rate_hz: int) -> tuple[Tensor, Tensor]:
    """Return the vectors of clips, shape (clips, dimensions), and that all of each is to be read."""
    sounds = zip(samples.numpy(), lengths.tolist(), strict=True)
    blocks = (descriptors.features(row[:n].astype(np.float32) / FULL_SCALE, p, rate_hz=rate_hz) for row, n in sounds)
    x = torch.from_numpy(np.stack([np.concatenate([*of.values()]) for of in blocks]))
    return x, torch.full((len(x),), x.shape[1])


def predict(model: SVM, x: NDArray[np.float32]) -> Floats:
    """Return the probabilities of the classes, shape (clips, classes), of vectors of shape (clips, dimensions)."""
    with torch.inference_mode():
        found: Floats = model(torch.from_numpy(x)).softmax(dim=1).numpy()
        return found


def out_of_fold(x: vectors.Vectors, rows: pd.DataFrame, p: Params, *, classes: tuple[str, ...]) -> Floats:
    """Return the probabilities, shape (clips, classes), of each clip of `rounds.listing` by a machine of other folds.

    Of what no round holds out, with a test fold all others, they are NaN.
    """
    said = np.full((len(rows), len(classes)), np.nan)
    for turn in rounds.rounds(rows, classes, validate=False):
        model = svm(x, rows.iloc[np.unique(turn.draws)], p, classes=classes)
        said[turn.held_out] = predict(model, x.rows(rows["clip_id"].iloc[turn.held_out.numpy()]))
    return said


def load(folder: Path, name: str) -> SVM:
    """Return the model of round `name` from the folder that `main` wrote, ready to predict."""
    return SVM(**load_file(folder / f"{name}.safetensors")).eval()


@click.command()
@click.option("--train", type=click.Path(path_type=Path), required=True, help="The training list.")
@click.option("--folds", type=click.Path(path_type=Path), required=True, help="The fold of each clip.")
@click.option("--features", "described", type=click.Path(path_type=Path), required=True, help="The clips' vectors.")
@click.option("--models", type=click.Path(path_type=Path), required=True, help="Where the machines go.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the predictions go.")
def main(train: Path, folds: Path, described: Path, models: Path, out: Path) -> None:
    """Train the machine in rounds and write what each predicts for the clips it has not seen."""
    data, p, x = params.Data.load("data"), Params.load("svm"), vectors.read(described)
    rows = rounds.listing(tables.read(train, tables.TRAIN), tables.read(folds, tables.FOLDS))
    tables.check_labels(rows["label"], data.classes, train)
    turns = rounds.rounds(rows, data.classes, validate=False)
    predictions = []
    for turn in turns:
        model = svm(x, rows.iloc[np.unique(turn.draws)], p, classes=data.classes)
        with files.replacing(models / f"{turn.name}.safetensors") as temporary:
            temporary.write_bytes(save(model.state_dict()))
        said = predict(model, x.rows(rows["clip_id"].iloc[turn.held_out.numpy()]))
        predictions.append(rounds.table(rows["clip_id"], turn, said, data.classes))
    about = {"model": "svm", "features": descriptors.Params.load("features").model_dump()}
    files.write_json(data.model_dump() | about | {"rounds": [turn.name for turn in turns]}, models / "model.json")
    tables.write(pd.concat(predictions), out, tables.PREDICTIONS)
    click.echo(f"svm: {(rows['times'] > 0).sum()} clips learned from, in {len(turns)} rounds")


if __name__ == "__main__":
    main()
