"""Estimate from people's answers how many labels were wrong, by the reason for which they were asked."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
from scipy.stats import binomtest

LEVEL = 0.95
UNKNOWN = "unknown"  # its queue is not in git


@dataclass(frozen=True)
class Heard:
    """The labelled clips that people decided on, asked for one reason; those of `audit` are a random sample."""

    reason: str
    clips: int
    wrong: int  # given another label than before, or none
    low: float  # ends of the exact 95 % interval of the share of wrong ones (Clopper and Pearson 1934)
    high: float


def label_noise(labels: pd.DataFrame, given: pd.Series, reasons: Mapping[str, str]) -> list[Heard]:
    """Return what people's answers did to the given labels, by reason.

    Args:
        labels: `tables.LABELS`.
        given: the given label by clip_id; clips without one are left out.
        reasons: why each clip was asked, by clip_id.
    """
    decided = labels[labels["origin"] == "review"].set_index("clip_id")["label"]
    before = given[given != ""]
    both = pd.DataFrame({"before": before, "after": decided}).dropna()
    wrong = (both["before"] != both["after"]).groupby([reasons.get(clip, UNKNOWN) for clip in both.index])
    return [_heard(str(reason), int(part.size), int(part.sum())) for reason, part in wrong]


def reasons(queues: Iterable[bytes]) -> dict[str, str]:
    """Return why each clip was asked, by clip_id: what the newest queue says that holds it.

    Args:
        queues: contents of queue.csv, oldest first; a clip that is answered is not in later ones.
    """
    found = {}
    for content in queues:
        for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"))):
            if row.get("clip_id") and row.get("reason"):
                found[row["clip_id"]] = row["reason"]
    return found


def _heard(reason: str, clips: int, wrong: int) -> Heard:
    ends = binomtest(wrong, clips).proportion_ci(LEVEL, method="exact")
    return Heard(reason, clips, wrong, float(ends.low), float(ends.high))
