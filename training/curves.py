"""The tables behind the plots of an evaluation, in the form `dvc plots` draws."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from curation.tables import Column, Table
from training import metrics

_POINT = Column("int", "order along the curve")

CONFUSION = Table(
    "confusion.csv",
    ("clip_id",),
    {
        "clip_id": Column("text", "the clip"),
        "actual": Column("text", "its label"),
        "predicted": Column("text", "the class the model says"),
    },
)
ROC = Table(
    "roc.csv",
    ("point",),
    {
        "point": _POINT,
        "false_positive_rate": Column("float", "share of the other clips taken for the first class"),
        "true_positive_rate": Column("float", "share of the first class found"),
    },
)
PRECISION_RECALL = Table(
    "precision_recall.csv",
    ("point",),
    {
        "point": _POINT,
        "recall": Column("float", "share of the first class found"),
        "precision": Column("float", "share of the clips taken for the first class that are"),
    },
)
RELIABILITY = Table(
    "reliability.csv",
    ("confidence",),
    {
        "confidence": Column("float", "mean probability of the predicted class, in one of the bins of the ECE"),
        "accuracy": Column("float", "share of these clips that the model is right about"),
        "clips": Column("int", "how many clips the bin holds"),
    },
)
ABSTENTION = Table(
    "abstention.csv",
    ("answered",),
    {
        "answered": Column("float", "share of the clips that the model answers, the most confident first"),
        "confidence": Column("float", "probability of the predicted class from which on it answers"),
        "risk": Column("float", "share of errors among these clips"),
        "balanced_accuracy": Column("float", "on these clips; empty: a class is not among them"),
    },
)
POINTS = 100  # of the abstention curve, at most


def tables(
    clip_ids: pd.Series, outcome: metrics.Outcome, classes: tuple[str, ...]
) -> Iterator[tuple[Table, pd.DataFrame]]:
    """Yield every table of a model with its rows."""
    yield CONFUSION, confusion(clip_ids, outcome, classes)
    yield ROC, roc(outcome)
    yield PRECISION_RECALL, precision_recall(outcome)
    yield RELIABILITY, reliability(outcome)
    yield ABSTENTION, abstention(outcome)


def confusion(clip_ids: pd.Series, outcome: metrics.Outcome, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return `CONFUSION`: label and prediction of each clip."""
    names = np.array(classes)
    return pd.DataFrame({"clip_id": clip_ids, "actual": names[outcome.truth], "predicted": names[outcome.predicted]})


def roc(outcome: metrics.Outcome) -> pd.DataFrame:
    """Return `ROC` of the first class against the rest."""
    false, true, _ = roc_curve(outcome.truth == 0, outcome.probabilities[:, 0])
    return pd.DataFrame({"point": range(len(false)), "false_positive_rate": false, "true_positive_rate": true})


def precision_recall(outcome: metrics.Outcome) -> pd.DataFrame:
    """Return `PRECISION_RECALL` of the first class against the rest."""
    precision, recall, _ = precision_recall_curve(outcome.truth == 0, outcome.probabilities[:, 0])
    return pd.DataFrame({"point": range(len(recall)), "recall": recall[::-1], "precision": precision[::-1]})


def reliability(outcome: metrics.Outcome) -> pd.DataFrame:
    """Return `RELIABILITY`: accuracy against confidence, bins without clips left out."""
    clips = pd.DataFrame({"confidence": outcome.confidence, "accuracy": outcome.predicted == outcome.truth})
    bins = clips.groupby(metrics.confidence_bin(outcome.confidence))
    return bins.mean().assign(clips=bins.size()).reset_index(drop=True)


def abstention(outcome: metrics.Outcome) -> pd.DataFrame:
    """Return `ABSTENTION`: what a model is worth that answers only when it is sure (Geifman and El-Yaniv 2017).

    https://arxiv.org/abs/1705.08500. Clips of equal confidence are answered together.
    """
    cuts = np.unique(np.quantile(outcome.confidence, np.linspace(0, 1, POINTS), method="lower"))
    answered = (outcome.confidence >= cuts[:, None]).astype(np.float64)
    count = answered.sum(axis=1)
    return pd.DataFrame(
        {
            "answered": count / len(outcome.truth),
            "confidence": cuts,
            "risk": answered @ (outcome.predicted != outcome.truth) / count,
            "balanced_accuracy": metrics.balanced_accuracy(outcome, answered),
        }
    )
