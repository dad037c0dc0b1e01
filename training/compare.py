"""Compare the models of two revisions on the clips that both predict: what is better, and what only chance."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits

from curation import files
from curation.snapshot import TEST, Snapshot, places
from training import bootstrap, metrics

Codes: TypeAlias = NDArray[np.int64]  # number of each clip's group, from 0
Differences: TypeAlias = Callable[[metrics.Floats, metrics.Floats], dict[tuple[str, ...], metrics.Floats]]

RESAMPLES, SEED = 1000, 0  # of the groups
FEWEST_GROUPS = 10  # with fewer an interval says little
BLOCKS = 500  # of groups, at most: more are drawn together
MANY, STEPS = 5000, 200  # from so many clips on, those between the same of so many quantiles count as one
ATTRIBUTED = ("accuracy", "balanced_accuracy", "mcc", "roc_auc")


def compare(before: Snapshot, after: Snapshot) -> dict[str, dict[str, files.Json]]:
    """Return for each model of both revisions how its metrics differ, and what the labels had to do with it.

    Both are judged by the same clips, those that both can be judged by, and by the labels of `after`.
    `low` and `high` are the ends of the 95 % interval of the paired difference (see `bootstrap`), `p` how often chance
    makes one as large. Where some of these clips are in another fold, `refolded` says how many, and `p` allows for the
    luck of that. Where labels of them changed or went, `relabelled` and `unlabelled` say of how many, `by_old_labels`
    gives the metrics by the labels of `before`, also of the clips that have none in `after`, and `attribution` the four
    combinations of old and new predictions and labels.

    Models whose classes differ, or that share no clip, are not compared.
    """
    models = sorted(before.predictions.keys() & after.predictions.keys() - {"scores"})
    if not models:
        return {}
    clips = _shared(before, after)
    with threadpool_limits(1), ThreadPoolExecutor() as pool:  # models side by side; threads of BLAS would spin
        found = pool.map(lambda model: _model(before.predictions[model], after.predictions[model], clips), models)
        return {model: comparison for model, comparison in zip(models, found, strict=True) if comparison}


def _shared(before: Snapshot, after: Snapshot) -> pd.DataFrame:
    """Return labels and folds `before` and `after`, and the `group`, of the clips of both that had a label before.

    Of these `after` may have none: who takes a clip out relabels it, and the earlier labels judge by it all the same.
    """
    place = places(after.clips.index, before.clips.index)
    old, new = before.clips.iloc[place[place >= 0]], after.clips[place >= 0]
    kept = np.asarray(old["label"] != "")
    for one, clips in ((before, old), (after, new)):
        if (one.clips["fold"] == TEST).any():
            kept = kept & np.asarray(clips["fold"] == TEST)
    columns = {"before": old["label"], "after": new["label"], "group": new["group"]}
    return pd.DataFrame(columns | {"fold_before": old["fold"], "fold_after": new["fold"]})[kept]


def _model(old: pd.DataFrame, new: pd.DataFrame, clips: pd.DataFrame) -> dict[str, files.Json]:
    at_old, at_new = (places(clips.index, table.index) for table in (old, new))
    known = (at_old >= 0) & (at_new >= 0)
    both, old, new = clips[known], old.iloc[at_old[known]], new.iloc[at_new[known]]
    classes, labelled = list(new.columns), (both["after"] != "").to_numpy()
    said = {*both["before"].unique(), *both["after"].unique()} - {""}
    if not labelled.any() or classes != list(old.columns) or not said <= {*classes}:
        return {}
    relabelled = int((both["before"] != both["after"])[labelled].sum())
    unlabelled = len(both) - int(labelled.sum())
    if old.equals(new) and not relabelled and not unlabelled:
        return {}

    def differences(labels: pd.Series, rows: NDArray[np.bool_]) -> dict[str, dict[str, float | None]]:
        truth = pd.Index(classes).get_indexer(pd.Index(labels[rows]))
        was, now = (metrics.Outcome(truth, table[rows].to_numpy(dtype=np.float64)) for table in (old, new))
        return _differences(was, now, groups[rows].factorize()[0], classes, _variance(both[rows]))

    groups = both["group"].where(both["group"] != "", both.index.to_series())
    by_new = differences(both["after"], labelled)
    comparison: dict[str, files.Json] = {
        "clips": int(labelled.sum()),
        "groups": int(groups[labelled].nunique()),
        "metrics": by_new,
    }
    if refolded := int(_moved(both)[labelled].sum()):
        comparison["refolded"] = refolded
    if relabelled or unlabelled:
        by_old = differences(both["before"], np.ones(len(both), dtype=bool))
        comparison |= {
            "relabelled": relabelled,
            "unlabelled": unlabelled,
            "by_old_labels": by_old,
            "attribution": {name: _attribution(by_old[name], by_new[name]) for name in ATTRIBUTED},
        }
    return comparison


def _differences(
    old: metrics.Outcome, new: metrics.Outcome, groups: Codes, classes: list[str], variance: float
) -> dict[str, dict[str, float | None]]:
    """Return each metric of both, the difference, its interval, and how probable one as large is by chance."""
    was, now = (_figures(outcome, np.ones((1, len(groups))), classes) for outcome in (old, new))
    blocks = groups % BLOCKS
    differences = _paired(old, new, blocks, classes)
    estimates = bootstrap.estimate(
        lambda drawn: differences(drawn, 0 * drawn), np.arange(blocks.max() + 1), RESAMPLES, seed=SEED
    )
    chances = _swapped(differences, int(blocks.max()) + 1)
    enough = groups.max() + 1 >= FEWEST_GROUPS
    return {
        ".".join(key): {
            "before": _rounded(was[key][0]),
            "after": _rounded(now[key][0]),
            "difference": _rounded(now[key][0] - was[key][0]),
            "low": _rounded(estimate.low) if enough else None,
            "high": _rounded(estimate.high) if enough else None,
            "p": _rounded(_tempered(chances[key], variance)) if enough else None,
        }
        for key, estimate in estimates.items()
    }


def _figures(
    outcome: metrics.Outcome, weights: metrics.Floats, classes: list[str]
) -> dict[tuple[str, ...], metrics.Floats]:
    return metrics.overall(outcome, weights) | metrics.by_class(outcome, weights, classes)


def _paired(old: metrics.Outcome, new: metrics.Outcome, blocks: Codes, classes: list[str]) -> Differences:
    """Return what tells new metrics minus old ones, where blocks of old and of new weigh so much."""
    stacked = metrics.Outcome(
        np.concatenate([old.truth, new.truth]), np.concatenate([old.probabilities, new.probabilities])
    )
    rows, row = _alike(stacked) if len(blocks) >= MANY else (stacked, np.arange(len(stacked.truth)))
    occurs = [_occurrences(blocks, of_side, len(rows.truth)) for of_side in np.split(row, 2)]
    step = max(1, bootstrap.CHUNK // len(rows.truth))

    def some(of_old: metrics.Floats, of_new: metrics.Floats) -> dict[tuple[str, ...], metrics.Floats]:
        was, now = (
            _figures(rows, first @ occurs[0] + second @ occurs[1], classes)
            for first, second in ((of_old, of_new), (of_new, of_old))
        )
        return {key: now[key] - was[key] for key in was}

    def differences(of_old: metrics.Floats, of_new: metrics.Floats) -> dict[tuple[str, ...], metrics.Floats]:
        parts = [some(of_old[at : at + step], of_new[at : at + step]) for at in range(0, len(of_old), step)]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    return differences


def _alike(outcome: metrics.Outcome) -> tuple[metrics.Outcome, Codes]:
    """Return an outcome in the place of all that are nearly the same, and the row of each clip there."""
    cell: Codes = outcome.predicted
    for scores in outcome.probabilities.T:
        edges = np.quantile(scores, np.linspace(0, 1, STEPS + 1)[1:-1])
        cell = pd.factorize(cell * STEPS + np.searchsorted(edges, scores))[0]
    mean = pd.DataFrame(outcome.probabilities).groupby(cell).mean().to_numpy()
    classes = outcome.probabilities.shape[1]
    row, found = pd.factorize(cell * classes + outcome.truth)
    return metrics.Outcome(found % classes, mean[found // classes]), row


def _occurrences(blocks: Codes, row: Codes, rows: int) -> metrics.Floats | sparse.csr_array:
    """Return how often each row occurs in each block, shape (blocks, rows)."""
    counts = sparse.csr_array((np.ones(len(row)), (blocks, row)), shape=(blocks.max() + 1, rows))
    return counts.toarray() if rows < MANY else counts


def _moved(clips: pd.DataFrame) -> pd.Series:
    """Return whether each clip was in one fold and is in another."""
    known = (clips["fold_before"] != "") & (clips["fold_after"] != "")
    return known & (clips["fold_before"] != clips["fold_after"])


def _variance(clips: pd.DataFrame) -> float:
    """Return the variance of a difference between two runs of one model, in that of swaps of old and new.

    On the same folds it is 1. On other folds all clips of a fold share the luck of what their model learned from, which
    swaps clip by clip know nothing of. As Nadeau and Bengio 2003, doi:10.1023/A:1024068626366, do for such luck, clips
    tested over clips learned from are added; `bench/aa.py` sees whether that is enough.
    """
    counts = [count for count in (clips["fold_before"].nunique(), clips["fold_after"].nunique()) if count > 1]
    if not counts:
        return 1.0
    folds = min(counts)
    anew = float(_moved(clips).mean()) * folds / (folds - 1)  # 1 where every clip is placed anew at random
    return 1 + anew / (folds - 1)


def _tempered(chance: float, variance: float) -> float:
    """Return how often chance makes a difference as large, where its variance is so many times what `chance` knows."""
    return float(2 * ndtr(ndtri(chance / 2) / variance**0.5))


def _swapped(differences: Differences, blocks: int) -> dict[tuple[str, ...], float]:
    """Return the share of swaps of old and new, block by block, that make a difference at least as large.

    Where runs have luck of their own in every block, this test is exact: of two runs of one model it calls 5 %
    different. Some 10 % of the intervals exclude 0 there.
    """
    once = np.ones((1, blocks))
    seen = {key: abs(figure[0]) - 1e-12 for key, figure in differences(once, 0 * once).items()}
    stays = np.random.default_rng(SEED).integers(0, 2, size=(RESAMPLES, blocks)).astype(np.float64)
    swapped = differences(stays, 1 - stays)
    extreme = {key: int((np.abs(swapped[key]) >= seen[key]).sum()) for key in seen}
    return {key: (1 + count) / (RESAMPLES + 1) for key, count in extreme.items()}  # what was seen is one of the swaps


def _attribution(by_old: Mapping[str, float | None], by_new: Mapping[str, float | None]) -> dict[str, files.Json]:
    """Return a metric by whose predictions (`model`) and which labels it was computed with."""
    return {whose: {"before": by_old[whose], "after": by_new[whose]} for whose in ("before", "after")}


def _rounded(figure: float) -> float | None:
    return float(f"{figure:.6g}") if np.isfinite(figure) else None
