"""Compare the models of two revisions on the clips that both predict: what is better, and what only chance."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curation import files
from curation.diff import TEST
from curation.snapshot import Snapshot
from training import bootstrap, metrics

Codes: TypeAlias = NDArray[np.int64]  # number of each clip's group, from 0
Differences: TypeAlias = Callable[[metrics.Floats, metrics.Floats], dict[tuple[str, ...], metrics.Floats]]

RESAMPLES, SEED = 1000, 0  # of the groups
FEWEST_GROUPS = 10  # with fewer an interval says little
ATTRIBUTED = ("accuracy", "balanced_accuracy", "mcc", "roc_auc")


def compare(before: Snapshot, after: Snapshot) -> dict[str, dict[str, files.Json]]:
    """Return for each model of both revisions how its metrics differ, and what the labels had to do with it.

    Both are judged by the same clips, those that both can be judged by, and by the labels of `after`.
    `low` and `high` are the ends of the 95 % interval of the paired difference (see `bootstrap`), `p` how often chance
    makes one as large. Where labels of these clips changed, `relabelled` says of how many, `by_old_labels` gives the
    metrics by the labels of `before`, and `attribution` the four combinations of old and new predictions and labels.

    Models whose classes differ, or that share no clip, are not compared.
    """
    models = sorted(before.predictions.keys() & after.predictions.keys() - {"scores"})
    if not models:
        return {}
    clips = _shared(before, after)
    found = {model: _model(before.predictions[model], after.predictions[model], clips) for model in models}
    return {model: comparison for model, comparison in found.items() if comparison}


def _shared(before: Snapshot, after: Snapshot) -> pd.DataFrame:
    """Return the labels `before` and `after`, and the `group`, of the clips that both revisions can be judged by."""
    clips = (
        before.clips[["label", "fold"]].add_suffix("_before").join(after.clips[["label", "fold", "group"]], how="inner")
    )
    kept = (clips["label_before"] != "") & (clips["label"] != "")
    for one, fold in ((before, "fold_before"), (after, "fold")):
        if (one.clips["fold"] == TEST).any():
            kept &= clips[fold] == TEST
    return clips[kept].rename(columns={"label_before": "before", "label": "after"})[["before", "after", "group"]]


def _model(old: pd.DataFrame, new: pd.DataFrame, clips: pd.DataFrame) -> dict[str, files.Json]:
    both = clips[clips.index.isin(old.index) & clips.index.isin(new.index)]
    classes = list(new.columns)
    if both.empty or classes != list(old.columns) or not set(both["before"]) | set(both["after"]) <= set(classes):
        return {}
    old, new = old.loc[both.index], new.loc[both.index]
    relabelled = int((both["before"] != both["after"]).sum())
    if old.equals(new) and not relabelled:
        return {}
    outcomes = {
        (whose, when): metrics.Outcome(
            pd.Index(classes).get_indexer(pd.Index(both[when])), table.to_numpy(dtype=np.float64)
        )
        for whose, table in (("before", old), ("after", new))
        for when in ("before", "after")
    }
    groups = both["group"].where(both["group"] != "", both.index.to_series()).factorize()[0]
    comparison: dict[str, files.Json] = {
        "clips": len(both),
        "groups": int(groups.max()) + 1,
        "metrics": _differences(outcomes["before", "after"], outcomes["after", "after"], groups, classes),
    }
    if relabelled:
        comparison |= {
            "relabelled": relabelled,
            "by_old_labels": _differences(outcomes["before", "before"], outcomes["after", "before"], groups, classes),
            "attribution": _attribution(outcomes),
        }
    return comparison


def _differences(
    old: metrics.Outcome, new: metrics.Outcome, groups: Codes, classes: list[str]
) -> dict[str, dict[str, float | None]]:
    """Return each metric of both, the difference, its interval, and how probable one as large is by chance."""
    stacked = metrics.Outcome(
        np.concatenate([old.truth, new.truth]), np.concatenate([old.probabilities, new.probabilities])
    )

    def figures(of_old: metrics.Floats, of_new: metrics.Floats) -> dict[tuple[str, ...], metrics.Floats]:
        weights = np.hstack([of_old, of_new])
        return metrics.overall(stacked, weights) | metrics.by_class(stacked, weights, classes)

    def differences(of_old: metrics.Floats, of_new: metrics.Floats) -> dict[tuple[str, ...], metrics.Floats]:
        was, now = figures(of_old, of_new), figures(of_new, of_old)
        return {key: now[key] - was[key] for key in was}

    once, none = np.ones((1, len(groups))), np.zeros((1, len(groups)))
    was, now = figures(once, none), figures(none, once)
    estimates = bootstrap.estimate(lambda drawn: differences(drawn, 0 * drawn), groups, RESAMPLES, seed=SEED)
    chances = _swapped(differences, groups)
    enough = groups.max() + 1 >= FEWEST_GROUPS
    return {
        ".".join(key): {
            "before": _rounded(was[key][0]),
            "after": _rounded(now[key][0]),
            "difference": _rounded(estimate.value),
            "low": _rounded(estimate.low) if enough else None,
            "high": _rounded(estimate.high) if enough else None,
            "p": _rounded(chances[key]) if enough else None,
        }
        for key, estimate in estimates.items()
    }


def _swapped(differences: Differences, groups: Codes) -> dict[tuple[str, ...], float]:
    """Return the share of swaps of old and new, group by group, that make a difference at least as large.

    This test is exact: of two runs of one model it calls 5 % different. Some 10 % of the intervals exclude 0 there.
    """
    rng = np.random.default_rng(SEED)
    once = np.ones((1, len(groups)))
    seen = {key: abs(figure[0]) - 1e-12 for key, figure in differences(once, 0 * once).items()}
    extreme = dict.fromkeys(seen, 1)  # what was seen is one of the swaps
    step = max(1, bootstrap.CHUNK // (2 * len(groups)))
    for start in range(0, RESAMPLES, step):
        swaps = rng.integers(0, 2, size=(min(step, RESAMPLES - start), groups.max() + 1))
        stays = swaps[:, groups].astype(np.float64)
        for key, figure in differences(stays, 1 - stays).items():
            extreme[key] += int((np.abs(figure) >= seen[key]).sum())
    return {key: count / (RESAMPLES + 1) for key, count in extreme.items()}


def _attribution(outcomes: Mapping[tuple[str, str], metrics.Outcome]) -> dict[str, files.Json]:
    """Return each metric by whose predictions (`model`) and which labels it was computed with."""
    once = {key: metrics.overall(outcome, np.ones((1, len(outcome.truth)))) for key, outcome in outcomes.items()}
    return {
        name: {
            whose: {when: _rounded(once[whose, when][(name,)][0]) for when in ("before", "after")}
            for whose in ("before", "after")
        }
        for name in ATTRIBUTED
    }


def _rounded(figure: float) -> float | None:
    return float(f"{figure:.6g}") if np.isfinite(figure) else None
