"""Correct how sure a model says it is, and where it draws the line, by clips other than those that are corrected."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from training import metrics
from training.metrics import Floats, Outcome, log_probabilities

PLAIN = {"balanced_accuracy_at_threshold": "balanced_accuracy", "log_loss_calibrated": "log_loss"}  # what is corrected
LOG_TEMPERATURE = (-3.0, 3.0)  # of the search: scores that order every clip right would have no end
EVEN = 0.5  # the cut between two classes when nothing is known


@dataclass(frozen=True)
class Calibrated:
    """What a model says after correction."""

    tempered: Outcome  # probabilities after temperature scaling
    cut: Outcome | None  # of two classes: certain of the class that the chosen threshold decides for

    def figures(self, weights: Floats) -> dict[tuple[str, ...], Floats]:
        """Return what the correction is for, each figure by its name in a tuple, shape (resamples,)."""
        found: dict[tuple[str, ...], Floats] = {
            ("log_loss_calibrated",): metrics.by_confidence(self.tempered, weights)["log_loss",]
        }
        if self.cut:
            found["balanced_accuracy_at_threshold",] = metrics.balanced_accuracy(self.cut, weights)
        return found


def by_other_folds(outcome: Outcome, folds: NDArray[np.int64]) -> Calibrated | None:
    """Return the predictions of each fold, corrected by those of the other folds; None where there is one fold.

    So no clip has a say in its own temperature or threshold. What remains: the models that predicted the other folds
    learned from this one. With an own temperature for each fold and one number to fit this is little, but it is there.

    Args:
        outcome: out-of-fold predictions.
        folds: of each clip, shape (clips,).
    """
    numbers = np.unique(folds)
    if len(numbers) == 1:
        return None
    two = outcome.probabilities.shape[1] == len((EVEN, EVEN))
    probabilities, said = outcome.probabilities.copy(), np.zeros_like(outcome.probabilities)
    for fold in numbers:
        here, others = folds == fold, _part(outcome, folds != fold)
        probabilities[here] = tempered(outcome.probabilities[here], temperature(others))
        if two:
            said[here] = np.eye(2)[(outcome.probabilities[here, 0] < threshold(others)).astype(int)]
    return Calibrated(Outcome(outcome.truth, probabilities), Outcome(outcome.truth, said) if two else None)


def temperature(outcome: Outcome) -> float:
    """Return what the logits are divided by for the lowest log loss; above 1: the model is too sure.

    Guo et al. 2017, https://proceedings.mlr.press/v70/guo17a.html.
    """
    own = np.arange(len(outcome.truth)), outcome.truth

    def loss(log_temperature: float) -> float:
        scaled = tempered(outcome.probabilities, np.exp(log_temperature))
        return -float(log_probabilities(scaled)[own].mean())

    return float(np.exp(minimize_scalar(loss, bounds=LOG_TEMPERATURE, method="bounded").x))


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Return the probabilities whose logits are those of `probabilities` by `temperature`."""
    logits = log_probabilities(probabilities) / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: Floats = odds / odds.sum(axis=1, keepdims=True)
    return scaled


def threshold(outcome: Outcome) -> float:
    """Return from which score on the first of two classes is best said: for balanced accuracy, of equals next to 0.5.

    Where only one class occurs there is nothing to choose by, and 0.5 stays.
    """
    first = outcome.truth == 0
    score = outcome.probabilities[:, 0]
    if first.all() or not first.any():
        return EVEN
    known = np.unique(score)
    cuts = np.unique([EVEN, *(known[1:] + known[:-1]) / 2])
    found = 1 - np.searchsorted(np.sort(score[first]), cuts) / first.sum()
    refused = np.searchsorted(np.sort(score[~first]), cuts) / (~first).sum()
    best = np.isclose(found + refused, (found + refused).max())
    return float(min(cuts[best], key=lambda cut: abs(cut - EVEN)))


def _part(outcome: Outcome, chosen: NDArray[np.bool_]) -> Outcome:
    return Outcome(outcome.truth[chosen], outcome.probabilities[chosen])
