"""What shifts cost a model: figures with intervals, the worst case, the slopes, and all of it in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curation import files
from curation.markdown import code, interval
from training import bootstrap, metrics
from training.bootstrap import Estimate
from training.degrade import CLEAN, Condition

Codes: TypeAlias = NDArray[np.int64]  # number of each clip's group, from 0
Figures: TypeAlias = dict[tuple[str, Condition], metrics.Floats]
Estimates: TypeAlias = dict[tuple[str, Condition], Estimate]  # by figure and condition
Rows: TypeAlias = list[dict[str, Any]]  # of `tables.SHIFTS`, without the model
Anew: TypeAlias = tuple[NDArray[np.int64], metrics.Floats]  # places of clips, and the probabilities of their classes

SOURCE = "source"  # the axis of `by_source`
NEW_SOURCE = "new_source"  # the axis of `by_new_source`
NONE = Estimate(np.nan, np.nan, np.nan)
ENDS = ("low", "high", "change_low", "change_high")
LEAST = 0.02  # of balanced accuracy, what the worst of a dozen changes must cost at the better end of its interval
FEWEST = 5  # clips of each class that a source must have to be judged, and groups for an interval of what it costs
SLOPES = {"gain_db": "a dB of gain, up or down", "snr_db": "a dB of noise"}
WORDS = {
    "gain_db": "a gain of {:+g} dB",
    "snr_db": "pink noise at an SNR of {:g} dB",
    "mp3_kbps": "MP3 at {:g} kbit/s",
    "opus_kbps": "Opus at {:g} kbit/s",
    "bandwidth_hz": "a bandwidth of {:g} Hz",
    "reverberation_s": "a reverberation of {:g} s",
    "crop_s": "a crop to {:g} s",
}


def robustness(outcomes: Mapping[Condition, metrics.Outcome], groups: Codes, resamples: int, *, seed: int) -> Estimates:
    """Return for each condition `balanced_accuracy`, `roc_auc` and `change`, and for each axis in dB its `slope`.

    A change is that of the balanced accuracy against the clean clips in the same resamples, so that clips which are
    hard anyhow do not widen its interval. A slope is that of the least squares line through the balanced accuracies, a
    dB of distance from the clean clip: below 0 they fall.

    Args:
        outcomes: what the model says of the same clips under each condition, `CLEAN` among them.
        groups: number of each clip's group, shape (clips,).
        resamples: how many, of the groups.
        seed: of the resamples.
    """

    def figures(weights: metrics.Floats) -> Figures:
        found = {condition: metrics.overall(outcome, weights) for condition, outcome in outcomes.items()}
        accuracy = {condition: overall["balanced_accuracy",] for condition, overall in found.items()}
        return {
            **{("balanced_accuracy", condition): value for condition, value in accuracy.items()},
            **{("roc_auc", condition): overall["roc_auc",] for condition, overall in found.items()},
            **{("change", condition): value - accuracy[CLEAN] for condition, value in accuracy.items()},
            **{("slope", (axis, None)): slope for axis in SLOPES for slope in _slope(axis, accuracy)},
        }

    return bootstrap.estimate(figures, groups, resamples, seed=seed)


def _slope(axis: str, accuracy: Mapping[Condition, metrics.Floats]) -> Iterator[metrics.Floats]:
    """Yield the slope in each resample; nothing where all clips are at one distance."""
    on_axis = [condition for condition in accuracy if condition[0] == axis or (axis, condition) == ("gain_db", CLEAN)]
    away_db = np.array([(abs if axis == "gain_db" else np.negative)(severity or 0.0) for _, severity in on_axis])
    if len(set(away_db)) > 1:
        x, y = away_db - away_db.mean(), np.stack([accuracy[condition] for condition in on_axis])
        yield x @ (y - y[0]) / (x @ x)


def rows(found: Estimates, clips: int) -> Rows:
    """Return the rows of `tables.SHIFTS` on `clips` clips under each condition."""
    names = ("balanced_accuracy", "roc_auc", "change")
    conditions = [condition for name, condition in found if name == "change"]
    return [
        _row(*(found[name, (axis, severity)] for name in names))
        | {"axis": axis, "severity": severity, "source": "", "clips": clips}
        for axis, severity in conditions
    ]


def by_source(outcome: metrics.Outcome, groups: Codes, sources: pd.DataFrame, resamples: int, *, seed: int) -> Rows:
    """Return the rows of `tables.SHIFTS` on each source with at least `FEWEST` clips of each class.

    Args:
        outcome: what the model says of all judged clips, as they are.
        groups: number of each clip's group, shape (clips,).
        sources: the `source` of a clip and its `place` in `outcome`; a clip may have several.
        resamples: how many, of the groups of a source.
        seed: of the resamples.
    """
    found: Rows = []
    for source, places in judged(outcome.truth, sources, classes=outcome.probabilities.shape[1]):
        here = metrics.Outcome(outcome.truth[places], outcome.probabilities[places])
        measured = robustness({CLEAN: here}, pd.factorize(groups[places])[0], resamples, seed=seed)
        figures = _row(measured["balanced_accuracy", CLEAN], measured["roc_auc", CLEAN], NONE)
        found.append(figures | {"axis": SOURCE, "severity": None, "source": source, "clips": len(places)})
    return found


def judged(truth: NDArray[np.int64], sources: pd.DataFrame, *, classes: int) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield each source with at least `FEWEST` clips of each class, and the places of its clips."""
    for source, places in sources.groupby("source")["place"]:
        if np.bincount(truth[places], minlength=classes).min() >= FEWEST:
            yield str(source), places.to_numpy()


def by_new_source(
    outcome: metrics.Outcome, anew: Mapping[str, Anew], groups: Codes, resamples: int, *, seed: int
) -> Rows:
    """Return the rows of `tables.SHIFTS` on each source by a model that has learned from no clip of it.

    A change is that against what the model says that knows other clips of the source. Of less than `FEWEST` groups the
    resamples are too alike to be an interval.

    Args:
        outcome: what the model says of all judged clips that has left out nothing but their groups.
        anew: by source, what the other one says.
        groups: number of each clip's group, shape (clips,).
        resamples: how many, of the groups of a source.
        seed: of the resamples.
    """
    found: Rows = []
    for source, (places, probabilities) in anew.items():
        truth, own = outcome.truth[places], pd.factorize(groups[places])[0]
        known, new = metrics.Outcome(truth, outcome.probabilities[places]), metrics.Outcome(truth, probabilities)
        measured = robustness({CLEAN: known, (NEW_SOURCE, None): new}, own, resamples, seed=seed)
        few = dict.fromkeys(ENDS, np.nan) if own.max() + 1 < FEWEST else {}
        found.append(rows(measured, len(places))[1] | few | {"source": source})
    return found


def _row(accuracy: Estimate, auc: Estimate, change: Estimate) -> dict[str, Any]:
    return {
        "balanced_accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "roc_auc": auc.value,
        "change": change.value,
        "change_low": change.low,
        "change_high": change.high,
    }


def summary(shifted: Rows, sources: Rows, found: Estimates, *, classes: int) -> dict[str, files.Json]:
    """Return the worst case, the slopes and, of two sources or more, the worst one, as `dvc metrics` wants them.

    Args:
        shifted: `rows` of a model.
        sources: its rows `by_source`.
        found: its estimates.
        classes: how many there are.
    """
    changed = [row for row in shifted if row["axis"] != CLEAN[0]]
    said: dict[str, files.Json] = {
        "clips": shifted[0]["clips"],
        "clean": asdict(found["balanced_accuracy", CLEAN]) | {"majority": 1 / classes},
        "worst": _worst(changed, ("axis", "severity", "change", "change_low", "change_high")),
        "slope": {axis: asdict(slope) for (name, (axis, _)), slope in found.items() if name == "slope"},
    }
    if len(sources) > 1:
        said["worst_source"] = {"sources": len(sources), **_worst(sources, ("source", "clips"))}
    return said


def summary_of_new(sources: Rows) -> dict[str, files.Json]:
    """Return of the rows `by_new_source`, one or more, the one that most surely costs something."""
    row = min(sources, key=lambda row: (np.nan_to_num(row["change_high"], nan=np.inf), row["change"]))
    columns = ("source", "clips", "change", "change_low", "change_high")
    return {"new_source": {"sources": len(sources), **_case(row, columns)}}


def _worst(rows: Rows, columns: Sequence[str]) -> dict[str, files.Json]:
    return _case(min(rows, key=lambda row: row["balanced_accuracy"]), columns)


def _case(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, files.Json]:
    return {name: row[name] for name in columns} | {
        "value": row["balanced_accuracy"],
        "low": row["low"],
        "high": row["high"],
    }


def sentences(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return in Markdown what a reader must know of `summary` or `summary_of_new` by model: a few sentences each."""
    return [sentence for model, said in found.items() for sentence in _sentences(code(model), said)]


def beyond_chance(said: Mapping[str, Any]) -> bool:
    """Return whether a model is better than chance on clean clips: only then can it lose something."""
    if "clean" not in said:
        return False
    low, majority = said["clean"]["low"], said["clean"]["majority"]
    return low is not None and low > majority


def loses(said: Mapping[str, Any]) -> bool:
    """Return whether the worst case costs something, beyond noise."""
    return _costs(said["worst"])


def loses_elsewhere(said: Mapping[str, Any]) -> bool:
    """Return whether it costs something, beyond noise, that a source is new."""
    return "new_source" in said and _costs(said["new_source"])


def _costs(case: Mapping[str, Any]) -> bool:
    high = case["change_high"]
    return high is not None and high < -LEAST


def worst_case(said: Mapping[str, Any]) -> str:
    """Return what was done to the clips in the worst case."""
    return WORDS[said["worst"]["axis"]].format(said["worst"]["severity"])


def _sentences(model: str, said: Mapping[str, Any]) -> Iterator[str]:
    if "clean" in said:
        yield from _of_changes(model, said)
    if loses_elsewhere(said):
        source = said["new_source"]
        change = {"value": source["change"], "low": source["change_low"], "high": source["change_high"]}
        yield (
            f"{model} trained without {code(source['source'])} has a balanced accuracy of {interval(source)} there, "
            f"{interval(change)} to what it has when it knows other clips of it, the surest loss of "
            f"{source['sources']} sources."
        )


def _of_changes(model: str, said: Mapping[str, Any]) -> Iterator[str]:
    clean = said["clean"]
    if not beyond_chance(said):
        yield (
            f"{model} may be no better than chance on clean clips, balanced accuracy {interval(clean)}: what noise, "
            "codecs or level would cost it cannot be told."
        )
        return
    figures = f"balanced accuracy {interval(said['worst'])}, clean {interval(clean)}"
    luck = "" if loses(said) else "; the difference may be noise"
    yield f"{model} is worst with {worst_case(said)}: {figures}{luck}."
    falls = {axis: slope for axis, slope in said["slope"].items() if slope["high"] is not None and slope["high"] < 0}
    if falls:
        losses = (f"{-slope['value']:.3f} {SLOPES[axis]}" for axis, slope in falls.items())
        yield f"{model} loses balanced accuracy: {', '.join(losses)}."
    if source := said.get("worst_source"):
        yield (
            f"{model} is worst on {code(source['source'])}: balanced accuracy {interval(source)} on "
            f"{source['clips']} clips, the lowest of {source['sources']} sources."
        )
