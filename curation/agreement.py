"""How far the people who answered agree, and how often they say what they were shown."""

from typing import TypedDict

import numpy as np
import pandas as pd

from curation import review
from curation.snapshot import places

ABSTAINS = "unsure"


class Agreement(TypedDict):
    """Of the answers that stand; None where there is nothing to divide by."""

    clips: int  # answered by two annotators or more
    agreeing_pairs: float | None  # share of the pairs of answers to one clip that are the same
    alpha: float | None  # Krippendorff's: 1 perfect, 0 as by chance
    given_blind: float | None  # of the answers to clips with a given label, the share that equals it; it was not shown
    given_hinted: float | None  # the same where it was shown


def agreement(reviews: pd.DataFrame, given: pd.Series) -> Agreement:
    """Return how far annotators agree with one another, and with the given label.

    Alpha is the one for nominal data with any number of annotators (Krippendorff 2011, "Computing Krippendorff's
    alpha-reliability").

    Args:
        reviews: columns of `tables.REVIEWS`, `shown` and those that `review.standing` reads.
        given: the given label by clip_id.
    """
    newest = review.standing(reviews)
    newest = newest[newest["answer"] != ABSTAINS]
    several = newest[newest.duplicated("clip_id", keep=False)]
    counts = pd.crosstab(several["clip_id"], several["answer"]).to_numpy(dtype=np.float64)
    answers = counts.sum(axis=1)
    weighted = counts / (answers[:, None] - 1)
    coincidences = weighted.T @ counts - np.diag(weighted.sum(axis=0))
    by_chance = answers.sum() ** 2 - (counts.sum(axis=0) ** 2).sum()
    apart = coincidences.sum() - np.trace(coincidences)
    pairs, same = (answers * (answers - 1)).sum(), (counts * (counts - 1)).sum()
    place = places(pd.Index(newest["clip_id"]), given.index)
    known = newest[place >= 0].assign(given=given.iloc[place[place >= 0]].to_numpy())
    labelled = known[known["given"] != ""]
    as_given = labelled["answer"] == labelled["given"]
    return {
        "clips": len(counts),
        "agreeing_pairs": _rounded(same / pairs) if pairs else None,
        "alpha": _rounded(1 - (answers.sum() - 1) * apart / by_chance) if by_chance else None,
        "given_blind": _share(as_given[labelled["shown"] == "blind"]),
        "given_hinted": _share(as_given[labelled["shown"] == "hinted"]),
    }


def _share(truth: pd.Series) -> float | None:
    return _rounded(truth.mean()) if len(truth) else None


def _rounded(figure: float) -> float:
    return float(f"{figure:.6g}")
