"""Estimate from people's answers how many labels were wrong, by the reason for which they were asked."""

from dataclasses import dataclass

import pandas as pd
from scipy.stats import binomtest

from curation import review

LEVEL = 0.95
UNKNOWN = "unknown"  # the answer does not say


@dataclass(frozen=True)
class Heard:
    """The labelled clips that people decided on, asked for one reason; those of `audit` are a random sample."""

    reason: str
    clips: int
    wrong: int  # given another label than before, or none
    low: float  # ends of the exact 95 % interval of the share of wrong ones (Clopper and Pearson 1934)
    high: float


def heard(labels: pd.DataFrame, given: pd.Series, reviews: pd.DataFrame) -> pd.DataFrame:
    """Return the clips with a given label that people decided without seeing one: why they were `asked`, and `wrong`.

    Args:
        labels: `tables.LABELS`.
        given: the given label by clip_id.
        reviews: `tables.REVIEWS`; whoever was shown a guess tends to agree with it.
    """
    answers = review.standing(reviews)
    hinted = answers.loc[answers["shown"] != "blind", "clip_id"]
    asked = reviews.groupby("clip_id")["asked"].max()
    rows = labels[
        (labels["origin"] == "review") & ~labels["clip_id"].isin(hinted) & labels["clip_id"].isin(asked.index)
    ]
    rows = rows.assign(given=rows["clip_id"].map(given), asked=rows["clip_id"].map(asked).replace("", UNKNOWN))
    rows = rows[rows["given"].fillna("") != ""]
    return rows.assign(wrong=rows["label"] != rows["given"])[["clip_id", "asked", "wrong"]]


def label_noise(decided: pd.DataFrame) -> list[Heard]:
    """Return what people's answers did to the given labels, by reason.

    Args:
        decided: what `heard` returns.
    """
    wrong = decided.groupby("asked")["wrong"]
    return [_heard(str(reason), int(part.size), int(part.sum())) for reason, part in wrong]


def _heard(reason: str, clips: int, wrong: int) -> Heard:
    ends = binomtest(wrong, clips).proportion_ci(LEVEL, method="exact")
    return Heard(reason, clips, wrong, float(ends.low), float(ends.high))
