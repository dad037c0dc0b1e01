"""Judge whether out-of-sample scores are worth anything, or say one class for everything, or are at chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import matthews_corrcoef, recall_score, roc_auc_score

COMMONEST_SHARE = 0.9  # a healthy model on 60/40 data stays below; on 95/5 data it may not, hence the next one
SWALLOWED_SHARE = 0.9  # of the clips of all other classes; a healthy model finds more than one in ten of them
FLAT_STD = 0.03  # standard deviation of the scores; dead networks stay below, under-trained ones do not
CHANCE_Z = 1.96  # standard errors above 0.5 that chance alone exceeds in 1 of 40 sets
CHANCE_AUC = 0.55  # up to here scores are useless, however many clips prove that they are not random


@dataclass(frozen=True)
class Verdict:
    """What scores are worth, and in words what is wrong with them."""

    clips: int
    commonest: str  # the class said most often
    commonest_share: float  # of the clips are said to be `commonest`
    label_share: float  # of the clips are labelled `commonest`
    swallowed_share: float  # of the clips of all other classes are said to be `commonest`
    precision: float  # of `commonest`
    balanced_accuracy: float
    mcc: float  # Matthews' correlation coefficient
    roc_auc: float  # one against the rest, mean of the classes that occur among the labels
    chance_auc: float  # what chance alone may reach with as many clips of each class
    score_std: float  # standard deviation between clips, of the class where it is largest

    @property
    def collapsed(self) -> bool:
        """The model says one class for (nearly) everything, and not because nearly everything is of that class."""
        return self.commonest_share >= COMMONEST_SHARE and self.swallowed_share >= SWALLOWED_SHARE

    @property
    def at_chance(self) -> bool:
        """The order of the scores cannot be told from random, or hardly differs from it."""
        return self.roc_auc <= self.chance_auc

    @property
    def sound(self) -> bool:
        """Neither collapsed nor at chance: conclusions may be drawn from these scores."""
        return not (self.collapsed or self.at_chance)

    @property
    def faults(self) -> list[str]:
        """What is wrong, in words."""
        said = round(self.commonest_share * self.clips)
        found = (
            (
                self.collapsed,
                f"says {self.commonest!r} for {said} of {self.clips} clips: precision {self.precision:.2f} beside "
                f"a share of {self.label_share:.2f}, MCC {self.mcc:.2f}",
            ),
            (
                self.at_chance,
                f"no better than chance: AUC {self.roc_auc:.2f}, chance alone reaches {self.chance_auc:.2f}",
            ),
            (not self.sound and self.score_std < FLAT_STD, f"scores hardly differ: std {self.score_std:.3f}"),
        )
        return [sentence for wrong, sentence in found if wrong]

    @property
    def words(self) -> str:
        """What is wrong, in one line; empty when nothing is."""
        return "; ".join(self.faults)


def judge(labels: Sequence[str], probabilities: ArrayLike, classes: Sequence[str]) -> Verdict:
    """Judge out-of-sample scores by the labels.

    F1 and accuracy do not tell a collapsed model from a healthy one: always saying the class of 60 % of the clips
    has an F1 of 0.75. What tells is how often the commonest prediction comes, above all for clips of other classes.

    Args:
        labels: label of each clip, shape (clips,); at least two of `classes` occur.
        probabilities: shape (clips, classes); each row sums to 1. The first of equal probabilities is the prediction.
        classes: names of the columns.

    Raises:
        ValueError: the shapes differ, a label is not in `classes`, only one class occurs, or a number is not finite.
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    _check(labels, scores, classes)
    truth = np.array([classes.index(label) for label in labels])
    predicted = scores.argmax(axis=1)
    said = np.bincount(predicted, minlength=len(classes))
    commonest = int(said.argmax())
    auc, chance_auc = _auc(truth, scores)
    return Verdict(
        clips=len(truth),
        commonest=classes[commonest],
        commonest_share=float(said[commonest] / len(truth)),
        label_share=float((truth == commonest).mean()),
        swallowed_share=float((predicted[truth != commonest] == commonest).mean()),
        precision=float((truth[predicted == commonest] == commonest).mean()),
        balanced_accuracy=float(recall_score(truth, predicted, average="macro", labels=np.unique(truth))),
        mcc=float(matthews_corrcoef(truth, predicted)),
        roc_auc=auc,
        chance_auc=chance_auc,
        score_std=float(scores.std(axis=0).max()),
    )


def _check(labels: Sequence[str], scores: NDArray[np.float64], classes: Sequence[str]) -> None:
    if scores.shape != (len(labels), len(classes)):
        raise ValueError(f"probabilities have shape {scores.shape}, expected {(len(labels), len(classes))}")
    if not np.isfinite(scores).all():
        raise ValueError("probabilities must be finite")
    if unknown := set(labels) - set(classes):
        raise ValueError(f"labels {sorted(unknown)} are not among the classes {list(classes)}")
    if len(set(labels)) < 2:
        raise ValueError(f"labels must hold at least two classes, not {sorted(set(labels))}")


def _auc(truth: NDArray[np.int_], scores: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean area under the ROC curves, and what chance may reach by the Mann-Whitney test.

    The means over classes of one-against-rest areas vary less than the mean of their standard errors says, so for
    more than two classes the second figure is on the safe side. It takes clips as independent.
    """
    areas, errors = [], []
    for column in np.unique(truth):
        positive = truth == column
        n, m = positive.sum(), (~positive).sum()
        areas.append(roc_auc_score(positive, scores[:, column]))
        errors.append(np.sqrt((n + m + 1) / (12 * n * m)))
    return float(np.mean(areas)), max(CHANCE_AUC, float(0.5 + CHANCE_Z * np.mean(errors)))
