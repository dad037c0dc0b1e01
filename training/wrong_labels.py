"""Estimate how many labels are wrong: from clips that people heard, and from what the scores suppose."""

import numpy as np
import pandas as pd
from cleanlab.count import num_label_issues
from numpy.typing import NDArray
from scipy.stats import binomtest

from curation.markdown import code
from training.bootstrap import Estimate
from training.cause import Cause, Verdict
from training.findings import Findings

FEW = 0.05  # of the labels; fewer wrong ones are not what is in the way
RESAMPLES = 200  # of the groups, for the interval of what confident learning supposes
ENOUGH = 5  # suspects that were heard tell how often a suspect is wrong; before that the scores do


def cause(found: Findings) -> Cause:
    """Return whether wrong labels are in the way. The scores can raise the suspicion, only people can clear it."""
    audit, supposed = heard_share(found, "audit"), confident_learning(found)
    figure = f"{_audit(found, audit)} {_suspects(found)}{_supposition(found, supposed)}"
    if audit.high < FEW:
        return Cause("wrong labels", "cleared", figure, "")
    verdict: Verdict = "supported" if max(audit.low, supposed.low) > FEW else "not known"
    if found.queue.empty:
        return Cause("wrong labels", verdict, figure, "The queue is empty: every clip has been heard once.")
    listen = f"Listen: `earmark annotate` plays the {len(found.queue)} clips of the queue"
    suspects = int((found.queue["reason"] == "suspect").sum())
    if not suspects:
        return Cause("wrong labels", verdict, figure, f"{listen}.", minutes=found.listening_min)
    expected = expected_in_queue(found)
    advice = f"{listen}; of its {suspects} suspects about {expected:.0f} should have a wrong label."
    gain = correcting(found.ablations, expected / len(_labelled(found)))
    return Cause("wrong labels", verdict, figure, advice, gain, found.listening_min)


def heard_share(found: Findings, asked: str) -> Estimate:
    """Return the share of wrong labels among the clips asked for one reason, with its exact 95 % interval.

    Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404. Where nobody has answered, all is possible.
    """
    wrong = found.heard.loc[found.heard["asked"] == asked, "wrong"]
    if wrong.empty:
        return Estimate(np.nan, 0.0, 1.0)
    ends = binomtest(int(wrong.sum()), len(wrong)).proportion_ci(method="exact")
    return Estimate(float(wrong.mean()), float(ends.low), float(ends.high))


def confident_learning(found: Findings) -> Estimate:
    """Return the share of wrong labels that the scores suppose, with its 95 % interval from resampled groups.

    Northcutt et al. 2021, doi:10.1613/jair.1.12125. Weak scores suppose too many. Where stage `flag` has refused to
    doubt labels by them, nothing is known. Where most resamples lack a class there is no interval.
    """
    if found.flagging["label_issues"] == "refused":
        return Estimate(np.nan, 0.0, 1.0)
    rows = _labelled(found)
    wide = found.scores.pivot_table(index="clip_id", columns="label", values="probability")
    scores, truth = wide.loc[rows["clip_id"]].to_numpy(), wide.columns.get_indexer(pd.Index(rows["label"]))
    group = rows["group"].factorize()[0]
    members = np.split(np.argsort(group, kind="stable"), np.bincount(group).cumsum()[:-1])

    def supposed(places: NDArray[np.int64]) -> float:
        issues = num_label_issues(truth[places], scores[places], estimation_method="off_diagonal")
        return float(issues / len(places))

    rng = np.random.default_rng(0)
    drawn = [np.concatenate([members[i] for i in rng.choice(len(members), len(members))]) for _ in range(RESAMPLES)]
    shares = [supposed(places) for places in drawn if len(np.unique(truth[places])) == len(wide.columns)]
    enough = len(shares) >= RESAMPLES / 2
    low, high = np.quantile(shares, [0.025, 0.975]) if enough else (np.nan, np.nan)
    return Estimate(supposed(np.arange(len(truth))), float(low), float(high))


def expected_in_queue(found: Findings) -> float:
    """Return how many wrong labels listening to the suspects of the queue should find."""
    queued = found.queued[found.queued["reason"] == "suspect"]
    if (found.heard["asked"] == "suspect").sum() >= ENOUGH:
        return len(queued) * heard_share(found, "suspect").value
    return float((1 - queued.merge(found.scores, on=["clip_id", "label"])["probability"]).sum())


def correcting(ablations: pd.DataFrame, share: float) -> float:
    """Return the balanced accuracy that correcting this share of the labels should bring: what spoiling it costs."""
    rows = ablations[ablations["what"] == "labels"].sort_values("share")
    return max(0.0, float(np.interp(share, [0, *rows["share"]], [0, *rows["cost"]])))


def _labelled(found: Findings) -> pd.DataFrame:
    return found.labelled[found.labelled["label"] != ""]


def _audit(found: Findings, share: Estimate) -> str:
    wrong = found.heard.loc[found.heard["asked"] == "audit", "wrong"]
    if wrong.empty:
        return "Nobody has heard a random sample."
    return f"Of {len(wrong)} clips heard at random {wrong.sum()} had a wrong label: {share:.0%}."


def _suspects(found: Findings) -> str:
    wrong = found.heard.loc[found.heard["asked"] == "suspect", "wrong"]
    return f"Of {len(wrong)} suspects heard {wrong.sum()} had one. " if len(wrong) else ""


def _supposition(found: Findings, share: Estimate) -> str:
    if np.isnan(share.value):
        return f"The scores are too weak to doubt labels: {code(found.flagging['why'])}."
    return f"Confident learning supposes {share:.0%} of today's labels wrong, too many where scores are weak."
