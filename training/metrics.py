"""Metrics of predictions under clip weights: a row of weights is a resample, a row of ones the sample itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FLOOR = float(np.finfo(np.float32).eps)  # of a probability in a logarithm: what models compute with, next to 1
ECE_BINS = 10  # of equal width in confidence, after Guo et al. 2017, https://proceedings.mlr.press/v70/guo17a.html


@dataclass(frozen=True)
class Outcome:
    """What is right for each clip, and what a model said."""

    truth: NDArray[np.int64]  # column of the label, shape (clips,); every column occurs
    probabilities: Floats  # shape (clips, classes)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Column of the largest probability, the first of equals, shape (clips,)."""
        columns: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return columns

    @cached_property
    def confidence(self) -> Floats:
        """Probability of the predicted class, shape (clips,)."""
        largest: Floats = self.probabilities.max(axis=1)
        return largest


def overall(outcome: Outcome, weights: Floats) -> dict[tuple[str, ...], Floats]:
    """Return the metrics of the model as a whole, each by its name in a tuple.

    `roc_auc` is one class against the rest, mean of the classes; so is `average_precision` for three classes and
    more, for two it is that of the first class. `brier` is the squared error summed over the classes.

    Args:
        outcome: the predictions.
        weights: how often each clip counts, shape (resamples, clips).

    Returns:
        Arrays of shape (resamples,), NaN where a metric needs all classes and one of them has no weight.
    """
    table = confusion(outcome, weights)
    classes = table.shape[1]
    curves = [_areas(outcome.truth == column, outcome.probabilities[:, column], weights) for column in range(classes)]
    areas, precisions = np.array(curves).transpose(1, 0, 2)
    onehot = np.eye(classes)[outcome.truth]
    figures = {
        "accuracy": _mean(outcome.predicted == outcome.truth, weights),
        "balanced_accuracy": balanced_accuracy(outcome, weights),
        "mcc": _mcc(table),
        "roc_auc": areas.mean(axis=0),
        "average_precision": precisions[0] if classes == 2 else precisions.mean(axis=0),
        "brier": _mean(((outcome.probabilities - onehot) ** 2).sum(axis=1), weights),
    }
    return {(name,): figure for name, figure in figures.items()}


def balanced_accuracy(outcome: Outcome, weights: Floats) -> Floats:
    """Return the mean over the classes of the share found, shape (resamples,), NaN where a class has no weight."""
    table = confusion(outcome, weights)
    mean: Floats = _ratio(np.diagonal(table, axis1=1, axis2=2), table.sum(axis=2)).mean(axis=1)
    return mean


def by_confidence(outcome: Outcome, weights: Floats) -> dict[tuple[str, ...], Floats]:
    """Return what the probabilities are worth, each figure by its name in a tuple, shape (resamples,); lower is better.

    `log_loss` is the mean of -ln of the probability of the label. `aurc` is the area under the risk-coverage curve
    (Geifman, Uziel and El-Yaniv 2019, https://arxiv.org/abs/1805.08206): the share of errors among the clips that the
    model answers, mean over how many these are, the most confident first. One whose confidence tells nothing about its
    errors has its error rate.
    """
    own = log_probabilities(outcome.probabilities)[np.arange(len(outcome.truth)), outcome.truth]
    order = np.argsort(-outcome.confidence, kind="stable")
    starts = np.flatnonzero(np.diff(outcome.confidence[order], prepend=np.inf))  # clips of equal confidence go together
    drawn = weights[:, order]
    every = np.add.reduceat(drawn, starts, axis=1)
    wrong = np.add.reduceat(drawn * (outcome.predicted != outcome.truth)[order], starts, axis=1)
    risk = np.nan_to_num(_ratio(wrong.cumsum(axis=1), every.cumsum(axis=1)))
    return {("log_loss",): _mean(-own, weights), ("aurc",): (every * risk).sum(axis=1) / weights.sum(axis=1)}


def log_probabilities(probabilities: Floats) -> Floats:
    """Return the logarithms, of probabilities below `FLOOR` that of `FLOOR`."""
    logs: Floats = np.log(np.maximum(probabilities, FLOOR))
    return logs


def by_class(outcome: Outcome, weights: Floats, classes: Sequence[str]) -> dict[tuple[str, ...], Floats]:
    """Return for each (metric, class) precision, recall and F1, shape (resamples,), NaN where the class has no weight.

    The precision of a class that is never predicted is 0.
    """
    table = confusion(outcome, weights)
    hits, labelled, said = np.diagonal(table, axis1=1, axis2=2), table.sum(axis=2), table.sum(axis=1)
    figures = {
        "precision": np.where(labelled > 0, np.nan_to_num(_ratio(hits, said)), np.nan),
        "recall": _ratio(hits, labelled),
        "f1": np.where(labelled > 0, _ratio(2 * hits, said + labelled), np.nan),
    }
    return {(name, label): figure[:, i] for name, figure in figures.items() for i, label in enumerate(classes)}


def calibration_error(outcome: Outcome) -> float:
    """Return the expected calibration error (ECE): the gap between confidence and accuracy, mean of the bins by size.

    It is too high for few clips, and an interval from resamples, where it is higher still, would miss the truth.
    """
    gap = outcome.confidence - (outcome.predicted == outcome.truth)
    bins = np.bincount(confidence_bin(outcome.confidence), weights=gap, minlength=ECE_BINS)
    return round(float(np.abs(bins).sum() / len(gap)), 9)  # sums of floats: what is 0 shall be 0 everywhere


def confidence_bin(confidence: Floats) -> NDArray[np.int64]:
    """Return the bin of each confidence, from 0: lower edges belong to the bin, and 1 to the last."""
    return np.minimum((confidence * ECE_BINS).astype(np.int64), ECE_BINS - 1)


def majority(truth: NDArray[np.int64]) -> Outcome:
    """Return what a model says that knows only the share of each class: the commonest one, of every clip."""
    return Outcome(truth, np.tile(np.bincount(truth) / len(truth), (len(truth), 1)))


def minority(truth: NDArray[np.int64]) -> Outcome:
    """Return what a model says that calls every clip the rarest class, the last of equals."""
    counts = np.bincount(truth)
    rarest = len(counts) - 1 - counts[::-1].argmin()
    return Outcome(truth, np.tile(np.eye(len(counts))[rarest], (len(truth), 1)))


def confusion(outcome: Outcome, weights: Floats) -> Floats:
    """Return the weight of each (label, prediction), shape (resamples, classes, classes)."""
    classes = outcome.probabilities.shape[1]
    cell = np.eye(classes**2)[outcome.truth * classes + outcome.predicted]
    table: Floats = weights @ cell
    return table.reshape(-1, classes, classes)


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return ratio


def _mean(values: NDArray[np.bool_] | Floats, weights: Floats) -> Floats:
    mean: Floats = (weights @ values) / weights.sum(axis=1)
    return mean


def _mcc(table: Floats) -> Floats:
    """Return Matthews' coefficient for any number of classes (Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006).

    It is 0 when one class is predicted throughout.
    """
    total, labelled, said = table.sum(axis=(1, 2)), table.sum(axis=2), table.sum(axis=1)
    shared = np.trace(table, axis1=1, axis2=2) * total - (labelled * said).sum(axis=1)
    spread = np.sqrt((total**2 - (labelled**2).sum(axis=1)) * (total**2 - (said**2).sum(axis=1)))
    return np.where((labelled > 0).all(axis=1), np.nan_to_num(_ratio(shared, spread)), np.nan)


def _areas(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the areas under the ROC curve and, stepwise, under the precision-recall curve."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))  # clips of equal score are one threshold
    drawn = weights[:, order]
    hits = np.add.reduceat(drawn * positive[order], starts, axis=1)
    every = np.add.reduceat(drawn, starts, axis=1)
    above, reached = hits.cumsum(axis=1), every.cumsum(axis=1)
    hit, missed = above[:, -1], reached[:, -1] - above[:, -1]
    area = ((every - hits) * (above - hits / 2)).sum(axis=1)
    precision = (hits * np.nan_to_num(_ratio(above, reached))).sum(axis=1)
    return _ratio(area, hit * missed), _ratio(precision * missed, hit * missed)
