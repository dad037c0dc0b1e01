"""Weigh the likely causes of poor models, each by a figure that supports or clears it."""

from collections.abc import Iterable, Iterator

import pandas as pd

from curation.markdown import code
from training import learned, shifted, shortcut, wrong_labels
from training.bootstrap import Estimate
from training.cause import Cause
from training.findings import Findings

EVEN = 1.5  # times as many clips of one class as of another need no balancing
LITTLE = 0.02  # of balanced accuracy
FITTED = ("blend", "svm")  # in one go, by no learning rate and in no epochs
UNSURE = 0.2  # from end to end of the interval of a recall: the class has too few groups


def causes(found: Findings) -> list[Cause]:
    """Return the causes, first those that spoil the evidence itself."""
    return [
        leak(found),
        shifted.cause(found),
        wrong_labels.cause(found),
        shortcut.cause(found),
        imbalance(found),
        *_trainings(found),
        too_little(found),
        unheard(found),
    ]


def leak(found: Findings) -> Cause:
    """Return whether clips that belong together sit on both sides of a split."""
    name, folds = "leaking evaluation", found.labelled.groupby("group")["fold"].nunique()
    split, joined = int((folds > 1).sum()), int((found.groups["why"] != "given").sum())
    figure = f"{split} of {len(folds)} groups are in two folds; {joined} near-duplicates were joined with their twin."
    if split:
        return Cause(name, "supported", figure, "Run `dvc repro`: the folds are not those of these groups.", minutes=0)
    if (found.clips["group"] == found.clips["file"]).all():
        advice = "Import again with `--group-column`: the speaker, the site, whatever must not be split."
        return Cause(name, "not known", f"{figure} No groups were given: every recording counts as its own.", advice)
    return Cause(name, "cleared", figure, "")


def imbalance(found: Findings) -> Cause:
    """Return whether a training learns unevenly from the classes, and its model finds the rarest one less."""
    name, train = "class imbalance", found.train
    drawn = (train["times"] * train["weight"]).groupby(train["label"]).sum().reindex(found.classes, fill_value=0)
    if never := [code(label) for label in found.classes if not drawn[label]]:
        advice = "`why` in `data/train.csv` says what became of its clips: label some, or doubt fewer."
        return Cause(name, "supported", f"Training draws no clip of {' and of '.join(never)}.", advice)
    clips = found.labels["label"].value_counts()[list(found.classes)]
    most, least = str(clips.idxmax()), str(clips.idxmin())
    ratios = {model: learned.unevenness(train, training.recipe) for model, training in found.trainings.items()}
    made = ", ".join(f"{ratio:.1f} to 1 for {code(model)}" for model, ratio in ratios.items()) or "nobody knows what"
    figure = (
        f"{clips[most]} clips are {code(most)}, {clips[least]} {code(least)}: {clips[most] / clips[least]:.1f} to 1. "
        f"Draws, weights and loss make that {made}."
    )
    uneven = [model for model, ratio in ratios.items() if ratio >= EVEN]
    if ratios and not uneven:
        return Cause(name, "cleared", figure, "")
    lower = [*_found_less(found, uneven, least, most)]
    words = " ".join(lower) or f"No model finds clearly less of {code(least)} because of that."
    advice = "Try `dvc exp run -S balance.method=oversample`."
    return Cause(name, "supported" if lower else "not known", f"{figure} {words}", advice, minutes=0)


def _found_less(found: Findings, models: Iterable[str], least: str, most: str) -> Iterator[str]:
    """Yield which models find clearly less of one class than of another."""
    for model in models:
        one, other = (found.metrics[model]["recall"][label] for label in (least, most))
        if one["high"] is not None and other["low"] is not None and one["high"] < other["low"]:
            yield f"{code(model)} finds {one['value']:.0%} of {code(least)}, {other['value']:.0%} of {code(most)}."


def _trainings(found: Findings) -> Iterator[Cause]:
    one_class = found.train.loc[found.train["times"] > 0, "label"].nunique() < 2
    for model in (name for name in found.metrics if name not in FITTED):
        if one_class:
            yield Cause(f"training of {code(model)}", "not known", "There is nothing to learn from one class.", "")
            continue
        if model not in found.trainings:
            yield Cause(f"training of {code(model)}", "not known", "It left no training curve.", "")
            continue
        training = found.trainings[model]
        yield learned.rate_and_epochs(model, training, found.train)
        if training.recipe.unfrozen_layers is not None:
            yield learned.frozen_layers(model, training, found.train)


def too_little(found: Findings) -> Cause:
    """Return whether more data would help, by what the last doubling brought the scoring model."""
    cost = _ablation(found.ablations, 0.5, "cost", "cost_low", "cost_high")
    figure = f"The last doubling of the groups brought the scoring model {cost:+.2f} of balanced accuracy."
    if cost.high < LITTLE:
        return Cause("too little data", "cleared", f"{figure} More of the same will bring little.", "")
    minutes = found.labelled.loc[found.labelled["label"] != "", "duration_s"].sum() / 60
    advice = f"Record as much again from other groups: {minutes:.1f} minutes{_least_known(found)}."
    if cost.low > 0:
        gain = following(cost.value, _ablation(found.ablations, 1.0, "balanced_accuracy", "low", "high").value)
        words = f"If the error keeps falling by this factor, the next one brings {gain:+.2f}."
        return Cause("too little data", "supported", f"{figure} {words}", advice, gain, minutes)
    return Cause("too little data", "not known", figure, advice, minutes=minutes)


def following(gain: float, accuracy: float) -> float:
    """Return what the next doubling brings after one that brought `gain`, where errors are a power of the groups.

    Hestness et al. 2017, Deep Learning Scaling is Predictable, Empirically, arXiv:1712.00409.
    """
    error = 1 - accuracy
    return error * gain / (error + gain)


def _least_known(found: Findings) -> str:
    """Name the class whose recall is known least, by the model with the best MCC."""
    model = max(found.metrics, key=lambda name: found.metrics[name]["mcc"]["value"])
    known = {label: recall for label, recall in found.metrics[model]["recall"].items() if recall["low"] is not None}
    for label in sorted(known, key=lambda name: known[name]["low"] - known[name]["high"])[:1]:
        low, high = known[label]["low"], known[label]["high"]
        if high - low > UNSURE:
            return f", most of all of {code(label)}, of which {code(model)} finds {low:.0%} to {high:.0%}"
    return ""


def unheard(found: Findings) -> Cause:
    """Return whether the sound tells the labels at all, by the scoring model."""
    name, chance = "labels that the sound does not tell", 1 / len(found.classes)
    whole = _ablation(found.ablations, 1.0, "balanced_accuracy", "low", "high")
    figure = (
        "The scoring model (support vector machines on fixed features) reaches a balanced accuracy of "
        f"{whole:.2f}; chance is {chance:.2f}."
    )
    if whole.low > chance:
        return Cause(name, "cleared", figure, "")
    return Cause(name, "not known", figure, "Have two people label the same clips, and define anew what they confuse.")


def _ablation(ablations: pd.DataFrame, share: float, *columns: str) -> Estimate:
    """Return what so much of the groups gives."""
    row = ablations[(ablations["what"] == "groups") & (ablations["share"] == share)]
    return Estimate(*(row[column].item() for column in columns))
