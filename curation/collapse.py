"""Judge whether out-of-sample scores are worth anything, or say one class for everything, or are at chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.metrics import matthews_corrcoef, recall_score

COMMONEST_SHARE = 0.9  # a healthy model on 60/40 data stays below; on 95/5 data it may not, hence the next one
SWALLOWED_SHARE = 0.9  # of the clips of all other classes; a healthy model finds more than one in ten of them
FEWEST_CLIPS = 8  # that show what a model of a cross-validation says most often; of one clip it is what it says
FLAT_STD = 0.03  # standard deviation of the scores; dead networks stay below, under-trained ones do not
FEWEST, MOST, SEED = 40, 1000, 0  # shuffles of the labels between groups
SHUFFLED = 10_000_000  # labels in all, within these limits: where clips are many, `CHANCE_AUC` is above chance
CHUNK = 1_000_000  # labels in memory at a time
CHANCE = 0.975  # of the shuffles stay below: chance alone exceeds it in 1 of 40 sets
NO_ORDER = 0.5  # AUC of random scores
CHANCE_AUC = 0.55  # up to here scores are useless, however many clips prove that they are not random


@dataclass(frozen=True)
class Verdict:
    """What scores are worth, and in words what is wrong with them."""

    clips: int
    commonest: str  # the class said most often
    commonest_share: float  # of the clips are said to be `commonest`
    label_share: float  # of the clips are labelled `commonest`
    swallowed_share: float  # of the clips of all other classes are said to be `commonest`
    own_share: float  # of the clips get what their model, that of their fold, says most often
    own_swallowed_share: float  # of the clips of all other classes than that get it
    precision: float  # of `commonest`
    balanced_accuracy: float
    mcc: float  # Matthews' correlation coefficient
    roc_auc: float  # one against the rest, mean of the classes that occur among the labels
    chance_auc: float  # what chance alone may reach with such groups
    auc_low: float  # lower end of the interval of `roc_auc`; NaN: not known
    score_std: float  # standard deviation between clips, of the class where it is largest

    @property
    def collapsed(self) -> bool:
        """The model says one class for (nearly) everything, and not because nearly everything is of that class."""
        return self.divided or (self.commonest_share >= COMMONEST_SHARE and self.swallowed_share >= SWALLOWED_SHARE)

    @property
    def divided(self) -> bool:
        """Each model of a cross-validation has collapsed, but not all to one class: together they seem to choose."""
        if self.commonest_share >= COMMONEST_SHARE:
            return False
        return self.own_share >= COMMONEST_SHARE and self.own_swallowed_share >= SWALLOWED_SHARE

    @property
    def at_chance(self) -> bool:
        """The order of the scores hardly differs from random, or cannot be told from it by shuffles or interval."""
        return self.roc_auc <= self.chance_auc or self.auc_low <= NO_ORDER

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
                self.divided,
                f"says one class in each fold, not the same in all: what is said most in a fold comes for "
                f"{self.own_share:.0%} of its clips, MCC {self.mcc:.2f}",
            ),
            (
                self.collapsed and not self.divided,
                f"says {self.commonest!r} for {said} of {self.clips} clips: precision {self.precision:.2f} beside "
                f"a share of {self.label_share:.2f}, MCC {self.mcc:.2f}",
            ),
            (
                self.at_chance,
                f"no better than chance: AUC {self.roc_auc:.2f}, "
                + (
                    f"chance alone reaches {self.chance_auc:.2f}"
                    if self.roc_auc <= self.chance_auc
                    else f"its interval begins at {self.auc_low:.2f}"
                ),
            ),
            (not self.sound and self.score_std < FLAT_STD, f"scores hardly differ: std {self.score_std:.3f}"),
        )
        return [sentence for wrong, sentence in found if wrong]

    @property
    def words(self) -> str:
        """What is wrong, in one line; empty when nothing is."""
        return "; ".join(self.faults)


def judge(
    labels: Sequence[str],
    probabilities: ArrayLike,
    classes: Sequence[str],
    groups: ArrayLike,
    *,
    models: ArrayLike | None = None,
    auc_low: float | None = None,
) -> Verdict:
    """Judge out-of-sample scores by the labels.

    F1 and accuracy do not tell a collapsed model from a healthy one: always saying the class of 60 % of the clips
    has an F1 of 0.75. What tells is how often the commonest prediction comes, above all for clips of other classes.

    Args:
        labels: label of each clip, shape (clips,); at least two of `classes` occur.
        probabilities: shape (clips, classes); each row sums to 1. The first of equal probabilities is the prediction.
        classes: names of the columns.
        groups: number or name of each clip's group, shape (clips,): clips of one group are no independent witnesses.
        models: number or name of the model that predicted each clip, such as its fold, shape (clips,); None: one model.
        auc_low: lower end of the interval of the AUC, where one was estimated.

    Raises:
        ValueError: the shapes differ, a label is not in `classes`, only one class occurs, or a number is not finite.
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    names = np.asarray(groups)
    _check(labels, scores, classes, names)
    truth = np.array([classes.index(label) for label in labels])
    predicted = scores.argmax(axis=1)
    said = np.bincount(predicted, minlength=len(classes))
    commonest = int(said.argmax())
    own = _own_commonest(predicted, np.zeros(len(truth)) if models is None else np.asarray(models))
    areas = _areas(truth, scores, np.unique(names, return_inverse=True)[1])
    return Verdict(
        clips=len(truth),
        commonest=classes[commonest],
        commonest_share=float(said[commonest] / len(truth)),
        label_share=float((truth == commonest).mean()),
        swallowed_share=float((predicted[truth != commonest] == commonest).mean()),
        own_share=float((predicted == own).mean()),
        own_swallowed_share=float((predicted == own)[truth != own].mean()) if (truth != own).any() else 0.0,
        precision=float((truth[predicted == commonest] == commonest).mean()),
        balanced_accuracy=float(recall_score(truth, predicted, average="macro", labels=np.unique(truth))),
        mcc=float(matthews_corrcoef(truth, predicted)),
        roc_auc=float(areas[0]),
        chance_auc=max(CHANCE_AUC, float(np.quantile(areas[1:], CHANCE))),
        auc_low=np.nan if auc_low is None else auc_low,
        score_std=float(scores.std(axis=0).max()),
    )


def _check(
    labels: Sequence[str], scores: NDArray[np.float64], classes: Sequence[str], groups: NDArray[np.generic]
) -> None:
    if scores.shape != (len(labels), len(classes)):
        raise ValueError(f"probabilities have shape {scores.shape}, expected {(len(labels), len(classes))}")
    if groups.shape != (len(labels),):
        raise ValueError(f"groups have shape {groups.shape}, expected {(len(labels),)}")
    if not np.isfinite(scores).all():
        raise ValueError("probabilities must be finite")
    if unknown := set(labels) - set(classes):
        raise ValueError(f"labels {sorted(unknown)} are not among the classes {list(classes)}")
    if len(set(labels)) < 2:
        raise ValueError(f"labels must hold at least two classes, not {sorted(set(labels))}")


def _own_commonest(predicted: NDArray[np.intp], models: NDArray[np.generic]) -> NDArray[np.intp]:
    """Return for each clip the class that the model which predicted it says most often."""
    own = np.full_like(predicted, np.bincount(predicted).argmax())
    for model, clips in zip(*np.unique(models, return_counts=True), strict=True):
        if clips >= FEWEST_CLIPS:
            own[models == model] = np.bincount(predicted[models == model]).argmax()
    return own


def _areas(truth: NDArray[np.int_], scores: NDArray[np.float64], group: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the mean area under the ROC curves of the classes: by the labels, then by each shuffle of them.

    A shuffle gives each group the labels of another one, as many as it has clips, from a random one on and round again.
    So the copies within a group make chance no smaller than the groups do.
    """
    order = np.lexsort((*scores.T, truth, group))  # whatever the order of the clips
    truth, group = truth[order], group[order]
    ranks = {column: rankdata(scores[order, column]) for column in np.unique(truth)}
    size = np.bincount(group)
    start = size.cumsum() - size
    place = np.arange(len(group)) - start[group]
    rng = np.random.default_rng(SEED)

    def shuffled(times: int) -> NDArray[np.int_]:
        donor = rng.permuted(np.tile(np.arange(len(size)), (times, 1)), axis=1)
        skipped = rng.integers(size.max(), size=donor.shape)
        labels: NDArray[np.int_] = truth[start[donor][:, group] + (place + skipped[:, group]) % size[donor][:, group]]
        return labels

    def areas(labels: NDArray[np.int_]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.mean([_area(labels == column, rank) for column, rank in ranks.items()], axis=0)
        return mean

    shuffles, step = int(np.clip(SHUFFLED // len(truth), FEWEST, MOST)), max(1, CHUNK // len(truth))
    times = (min(step, shuffles - begun) for begun in range(0, shuffles, step))
    return np.concatenate([areas(truth[None]), *(areas(shuffled(count)) for count in times)])


def _area(positive: NDArray[np.bool_], rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area for each row of `positive`, by the ranks of the scores; of one class alone, that of no order."""
    n = positive.sum(axis=1)
    pairs = n * (positive.shape[1] - n)
    above = positive @ rank - n * (n + 1) / 2
    area: NDArray[np.float64] = np.divide(above, pairs, out=np.full(len(pairs), NO_ORDER), where=pairs > 0)
    return area
