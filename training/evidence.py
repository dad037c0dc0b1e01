"""What the models are worth, in figures beside those of constant models, and in words."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from curation import collapse
from curation.markdown import code
from training.bootstrap import Estimate
from training.findings import Findings

WIDE = 0.2  # from end to end; an interval as wide tells a good model from a poor one no more
COLLAPSED, BENT = "collapsed", "collapsed, though its order is of use"
CHANCE, ORDER, BETTER = "at chance", "better than chance in its order alone", "better than chance"
MISSED = 0.05  # how often a share of wrong groups goes unseen that one must still reckon with
WHOLE = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "mcc": "MCC", "roc_auc": "AUC"}
OF_CLASS = {"precision": "precision", "recall": "recall", "f1": "F1"}


def headline(found: Findings) -> str:
    """Return in one sentence whether any model has collapsed, and whether any is better than chance."""
    names: dict[str, list[str]] = {}
    for model in found.metrics:
        names.setdefault(state(found, model), []).append(code(model))
    collapsed = [*names.get(COLLAPSED, []), *names.get(BENT, [])]
    parts = [
        _say(collapsed, "has collapsed", "have collapsed") or "No model has collapsed",
        _say(names.get(CHANCE), "is no better than chance", "are no better than chance"),
        _say(
            names.get(ORDER),
            *(f"{orders} clips better than chance, decisions perhaps not" for orders in ("orders", "order")),
        ),
        _say(names.get(BETTER), "is better than chance", "are better than chance"),
    ]
    return "; ".join(filter(None, parts)) + "."


def _say(names: list[str] | None, one: str, several: str) -> str:
    *others, last = names or [""]
    return f"{', '.join(others)}{' and ' * bool(others)}{last} {several if others else one}" if last else ""


def state(found: Findings, model: str) -> str:
    """Return in a word what a model is worth; nothing is called better than chance whose interval holds chance."""
    verdict, accuracy = found.verdicts[model], found.metrics[model]["balanced_accuracy"]
    if verdict.collapsed:
        return COLLAPSED if verdict.at_chance else BENT
    if verdict.at_chance:
        return CHANCE
    return BETTER if accuracy["low"] is not None and accuracy["low"] > accuracy["majority"] else ORDER


def diagnosis(found: Findings, model: str) -> str:
    """Return how one sees what a model is worth: what it says most, MCC, AUC and the spread of its scores."""
    verdict = found.verdicts[model]
    return (
        f"{code(model)}: {state(found, model)}. It says {said_most(verdict)} of the clips "
        f"(collapsed: from {collapse.COMMONEST_SHARE:.0%}), MCC {verdict.mcc:.2f} (nothing learned: 0), "
        f"AUC {estimate(found.metrics[model]['roc_auc']):.2f} (luck: up to {verdict.chance_auc:.2f}), "
        f"scores spread by {verdict.score_std:.2f} (all alike: below {collapse.FLAT_STD})."
    )


def said_most(verdict: collapse.Verdict) -> str:
    """Return what a model says most often, and of what share."""
    if verdict.divided:
        return f"one class in each fold, not the same in all, for {verdict.own_share:.0%}"
    return f"{code(verdict.commonest)} for {verdict.commonest_share:.0%}"


def resolution(found: Findings) -> str:
    """Return in words what so many groups can tell, by the model with the best balanced accuracy."""
    model = best(found)
    judged, accuracy = found.metrics[model], estimate(found.metrics[model]["balanced_accuracy"])
    counted = f"{judged['clips']} clips in {judged['groups']} groups"
    if not accuracy.known:
        return f"{counted} are too few for an interval: no figure here says how good a model is."
    if accuracy.value == 1:
        unseen = 1 - MISSED ** (1 / judged["groups"])
        return f"{code(model)} makes no error in {counted}, as may one that is wrong in {unseen:.0%} of all groups."
    ends = f"{accuracy.low:.2f} from one of {accuracy.high:.2f}"
    if accuracy.high - accuracy.low <= WIDE:
        return f"{counted} tell a balanced accuracy of {ends}: {code(model)} lies between."
    return (
        f"{counted} cannot tell a balanced accuracy of {ends}: that is the interval of {code(model)}. "
        "Four times as many groups would halve it."
    )


def notes(found: Findings) -> Iterator[str]:
    """Yield in words what the table does not tell, above all of the best model: beside whom, how fine, how sure."""
    model = best(found)
    measured = found.metrics[model]
    accuracy = measured["balanced_accuracy"]
    beyond = estimate(dict(zip(("value", "low", "high"), accuracy["beyond_nuisance"], strict=True)))
    yield (
        "A classifier that hears only the recorder (level, bandwidth, length, codec ...) has a balanced accuracy "
        f"of {accuracy['nuisance']:.2f}; {code(model)} differs by {beyond:+.2f}"
        f"{'' if beyond.low > 0 else ' and may know no more'}."
    )
    if accuracy["detectable"] is not None:
        yield (
            f"A change must move the balanced accuracy of {code(model)} by {accuracy['detectable']:.2f} to be told "
            "from noise in four of five cases."
        )
    if len(found.repeats) > 1:
        repeated = found.repeats["balanced_accuracy"]
        yield (
            f"In {len(repeated)} divisions into folds the balanced accuracy of `svm` is {repeated.mean():.2f} on "
            f"average, with a standard deviation of {repeated.std():.2f}: no interval here knows of that luck."
        )
    yield _corrected(model, measured)


def _corrected(model: str, measured: Mapping[str, Any]) -> str:
    """Return how far confidence is off, and what correction by other folds makes of it and of the threshold."""
    off = f"The confidence of {code(model)} is off by {measured['ece']['value']:.2f} (ECE)"
    if "temperature" not in measured:
        return f"{off}. To correct it, and to choose a threshold, takes predictions of other folds than the test fold."
    moved = f"{off}, with a temperature of {measured['temperature']:.1f} by {measured['ece_calibrated']['value']:.2f}"
    if "threshold" not in measured:
        return f"{moved}, chosen on other folds."
    at = estimate(measured["balanced_accuracy_at_threshold"])
    return (
        f"{moved}; with a threshold of {measured['threshold']:.2f} its balanced accuracy is {at:.2f}; both chosen on "
        "other folds."
    )


def best(found: Findings) -> str:
    """Return the model with the highest balanced accuracy."""
    return max(found.metrics, key=lambda model: found.metrics[model]["balanced_accuracy"]["value"])


def rows(found: Findings) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each model, then those that do not listen, with its figures as text by metric, or by metric and class."""
    for model, measured in found.metrics.items():
        figures = {name: f"{estimate(measured[name]):.2f}" for name in WHOLE}
        yield (
            code(model),
            figures | {f"{name} {label}": f"{estimate(value):.2f}" for name, label, value in _of_classes(measured)},
        )
    any_model = next(iter(found.metrics.values()))  # all are judged by the same clips
    for baseline in ("majority", "minority", "nuisance"):
        said = [label for label, recall in any_model["recall"].items() if recall[baseline] == 1]
        figures = {name: f"{any_model[name][baseline]:.2f}" for name in WHOLE}
        yield (
            "recorder alone" if baseline == "nuisance" else f"always {code(said[0])}",
            figures | {f"{name} {label}": f"{value[baseline]:.2f}" for name, label, value in _of_classes(any_model)},
        )


def _of_classes(measured: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    return ((name, label, value) for name in OF_CLASS for label, value in measured[name].items())


def estimate(figure: Mapping[str, float | None]) -> Estimate:
    """Return a figure of reports/metrics.json; JSON has null where an end of the interval is not known."""
    value, low, high = (figure[end] for end in ("value", "low", "high"))
    return Estimate(*(np.nan if end is None else end for end in (value, low, high)))


def judged_by(found: Findings) -> str:
    """Return what the models are judged by."""
    how = "the test fold" if found.tested else f"cross-validation in {found.folds['fold'].nunique()} folds"
    return f"Judged by {how}; in brackets: 95 % intervals from resampled groups, without the luck of a training run"
