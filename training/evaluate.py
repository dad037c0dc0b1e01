"""Evaluate every model from tables: metrics with intervals, the constant baselines, and collapse."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from curation import collapse, files, params, tables
from training import bootstrap, calibration, curves, metrics, power

TEST = -1
ENDS = ("value", "low", "high", "majority", "nuisance", "detectable")
WEIGHTS = {"weights": "weights", "weights_sha256": "sha256"}  # keys of the evidence and of a model's model.json
SHOWN = 3  # clips that an error message names
BEYOND = ("beyond_nuisance",)  # key of a figure that stands within another one
SUM_TOLERANCE = 1e-3  # of the probabilities of a clip, which are rounded in the table


class Params(params.Section):
    """Section `evaluate` of params.yaml."""

    resamples: int = Field(ge=100)  # bootstrap resamples of the groups
    seed: int = Field(ge=0)


def evaluate(
    outcomes: Mapping[str, metrics.Outcome],
    nuisance: metrics.Outcome,
    groups: NDArray[np.int64],
    folds: NDArray[np.int64],
    p: Params,
    *,
    classes: tuple[str, ...],
) -> dict[str, dict[str, files.Json]]:
    """Return the evidence on each model.

    Each metric has its `value`, the ends `low` and `high` of its 95 % interval (see `bootstrap`; errors of calibration
    have none), and beside it what is to be had without listening: by saying the commonest class of every clip, with its
    share as probability (`majority`), by saying the rarest (`minority`), and by the measures of the recordings
    (`nuisance`). Where there are several folds, figures after calibration by other folds have names of their own.

    Args:
        outcomes: out-of-sample predictions of each model, of the same clips.
        nuisance: what the measures of the recordings say of them.
        groups: number of each clip's group, shape (clips,).
        folds: of each clip, shape (clips,).
        p: the bootstrap.
        classes: names of the columns of the outcomes.
    """
    truth = nuisance.truth
    known = {"majority": metrics.majority(truth), "minority": metrics.minority(truth), "nuisance": nuisance}
    apart = power.detectable([*outcomes.values()], groups, p.resamples, seed=p.seed)
    found = {}
    for (model, outcome), difference in zip(outcomes.items(), apart, strict=True):
        calibrated = calibration.by_other_folds(outcome, folds)
        figures = _figures(outcome, calibrated, known, groups, p, classes)
        figures["balanced_accuracy"]["detectable"] = difference
        auc_low = figures["roc_auc"]["low"]
        counts = {"clips": len(groups), "groups": len(np.unique(groups))}
        verdict = _verdict(outcome, groups, folds, auc_low, classes)
        found[model] = counts | figures | _fitted(outcome, calibrated) | verdict
    return found


def _figures(
    outcome: metrics.Outcome,
    calibrated: calibration.Calibrated | None,
    known: Mapping[str, metrics.Outcome],
    groups: NDArray[np.int64],
    p: Params,
    classes: tuple[str, ...],
) -> dict[str, dict[str, Any]]:
    """Return each metric, of a class by its name, with interval and baselines."""

    def plain(said: metrics.Outcome, weights: metrics.Floats) -> dict[tuple[str, ...], metrics.Floats]:
        whole = metrics.overall(said, weights) | metrics.by_confidence(said, weights)
        return whole | metrics.by_class(said, weights, classes)

    def figures(weights: metrics.Floats) -> dict[tuple[str, ...], metrics.Floats]:
        unheard = metrics.balanced_accuracy(known["nuisance"], weights)
        beyond = {BEYOND: metrics.balanced_accuracy(outcome, weights) - unheard}
        return plain(outcome, weights) | beyond | (calibrated.figures(weights) if calibrated else {})

    ones = np.ones((1, len(groups)))
    beside = {who: plain(said, ones) for who, said in known.items()}
    nested: dict[str, dict[str, Any]] = {}
    estimates = bootstrap.estimate(figures, groups, p.resamples, seed=p.seed)
    beyond = estimates.pop(BEYOND)
    for key, estimate in estimates.items():
        base = (calibration.PLAIN.get(key[0], key[0]), *key[1:])
        leaf = asdict(estimate) | {who: float(of[base][0]) for who, of in beside.items()}
        nested.setdefault(key[0], {}).update(leaf if len(key) == 1 else {key[1]: leaf})
    nested["balanced_accuracy"]["beyond_nuisance"] = [beyond.value, beyond.low, beyond.high]
    errors = {who: metrics.calibration_error(said) for who, said in known.items()}
    nested["ece"] = {"value": metrics.calibration_error(outcome)} | errors
    if calibrated:
        nested["ece_calibrated"] = {"value": metrics.calibration_error(calibrated.tempered)} | errors
    return nested


def _fitted(outcome: metrics.Outcome, calibrated: calibration.Calibrated | None) -> dict[str, files.Json]:
    """Return temperature and threshold by all clips, for whoever uses the model: no figure here rests on them."""
    if calibrated is None:
        return {}
    cut: dict[str, files.Json] = {"threshold": calibration.threshold(outcome)} if calibrated.cut else {}
    return {"temperature": calibration.temperature(outcome)} | cut


def summary(evidence: Mapping[str, Any]) -> dict[str, files.Json]:
    """Return the figures of a model that a line of `dvc metrics show` has room for."""
    accuracy = {f"balanced_accuracy_{end}".removesuffix("_value"): evidence["balanced_accuracy"][end] for end in ENDS}
    others = {name: evidence[name]["value"] for name in ("roc_auc", "mcc", "ece", "log_loss", "aurc")}
    return accuracy | others | {name: evidence[name] for name in ("clips", "groups", "collapsed", "at_chance")}


def judged(labels: pd.DataFrame, folds: pd.DataFrame, predictions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return clip_id, label and fold of the clips that the models are judged by, sorted.

    These are the labelled clips of the test fold. Without a test fold they are the labelled clips that any of the
    models predicted: predictions are out of fold then, and this is cross-validation.
    """
    rows = labels[labels["label"] != ""].merge(folds, on="clip_id", validate="one_to_one")
    predicted = {clip for table in predictions.values() for clip in table["clip_id"]}
    tested = (folds["fold"] == TEST).any()
    chosen = rows["fold"] == TEST if tested else rows["clip_id"].isin(predicted)
    return rows.loc[chosen, ["clip_id", "label", "fold"]].sort_values("clip_id", ignore_index=True)


def outcome(
    clips: pd.DataFrame, predictions: pd.DataFrame, *, source: Path | str, classes: tuple[str, ...]
) -> metrics.Outcome:
    """Return what `predictions` say of `clips` (see `judged`), in their order.

    Raises:
        click.ClickException: no clip has one of the classes, or a clip has no prediction, or not one that sums to 1.
    """
    if lacking := [label for label in classes if label not in set(clips["label"])]:
        raise click.ClickException(
            f"{source}: of the {len(clips)} labelled clips to judge the model by none is {lacking[0]!r}, so there is "
            "no telling how well it is found. Label some clips of this class and run `dvc repro`."
        )
    tables.check_labels(predictions["label"], classes, source)
    wide = predictions.pivot_table(index="clip_id", columns="label", values="probability").reindex(columns=classes)
    if missing := sorted(set(clips["clip_id"]) - set(wide.index)):
        raise click.ClickException(
            f"{source}: {len(missing)} of the {len(clips)} clips to judge the model by are not predicted: "
            f"{_few(missing)}. `dvc repro` predicts them."
        )
    wide = wide.loc[clips["clip_id"]]
    sound = wide.ge(0).all(axis=1) & (wide.sum(axis=1) - 1).abs().le(SUM_TOLERANCE)
    if odd := wide.index[~sound].tolist():
        raise click.ClickException(
            f"{source}: the probabilities of a clip must be at least 0 and sum to 1 over {list(classes)}, unlike those "
            f"of {_few(odd)}. Train the model again."
        )
    return metrics.Outcome(np.array([classes.index(label) for label in clips["label"]]), wide.to_numpy())


def _few(clips: list[str]) -> str:
    return ", ".join(clips[:SHOWN]) + (f" and {len(clips) - SHOWN} more" if len(clips) > SHOWN else "")


def _verdict(
    outcome: metrics.Outcome,
    groups: NDArray[np.int64],
    folds: NDArray[np.int64],
    auc_low: float,
    classes: tuple[str, ...],
) -> dict[str, files.Json]:
    labels = [classes[column] for column in outcome.truth]
    verdict = collapse.judge(labels, outcome.probabilities, classes, groups, models=folds, auc_low=auc_low)
    return {
        "commonest_share": verdict.commonest_share,
        "score_std": verdict.score_std,
        "collapsed": int(verdict.collapsed),
        "at_chance": int(verdict.at_chance),
        "faults": verdict.faults,
    }


def pretrained(folder: Path) -> dict[str, files.Json]:
    """Return which weights the model in `folder` began with, by name and hash; nothing where it has no choice."""
    path = folder / "model.json"
    built = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {key: built[name] for key, name in WEIGHTS.items() if name in built}


def _read_predictions(folder: Path) -> dict[str, pd.DataFrame]:
    found = {path.stem: tables.read(path, tables.PREDICTIONS) for path in sorted(folder.glob("*.csv"))}
    if not found:
        raise click.ClickException(f"{folder} holds no predictions (*.csv). `dvc repro` trains the models first.")
    return found


@click.command()
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels.")
@click.option("--folds", type=click.Path(path_type=Path), required=True, help="The fold of every clip.")
@click.option("--groups", type=click.Path(path_type=Path), required=True, help="What is resampled together.")
@click.option("--nuisance", type=click.Path(path_type=Path), required=True, help="What the recorder alone tells.")
@click.option("--predictions", type=click.Path(path_type=Path), required=True, help="Folder with a table a model.")
@click.option("--models", type=click.Path(path_type=Path), required=True, help="Folder with a folder a model.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the metrics go.")
@click.option("--summary", "short", type=click.Path(path_type=Path), required=True, help="Folder for the main metrics.")
@click.option("--plots", type=click.Path(path_type=Path), required=True, help="Folder for the plots, one a model.")
def main(
    labels: Path,
    folds: Path,
    groups: Path,
    nuisance: Path,
    predictions: Path,
    models: Path,
    out: Path,
    short: Path,
    plots: Path,
) -> None:
    """Write the metrics of every model, and the tables to plot."""
    p, classes = Params.load("evaluate"), params.Data.load("data").classes
    predicted = _read_predictions(predictions)
    clips = judged(tables.read(labels, tables.LABELS), tables.read(folds, tables.FOLDS), predicted)
    grouped = clips.merge(tables.read(groups, tables.GROUPS), on="clip_id", validate="one_to_one")
    outcomes = {
        model: outcome(clips, table, source=predictions / f"{model}.csv", classes=classes)
        for model, table in predicted.items()
    }
    unheard = outcome(clips, tables.read(nuisance, tables.NUISANCE), source=nuisance, classes=classes)
    codes, fold = grouped["group"].factorize()[0], grouped["fold"].to_numpy()
    evidence = evaluate(outcomes, unheard, codes, fold, p, classes=classes)
    files.write_json({model: found | pretrained(models / model) for model, found in evidence.items()}, out)
    for model, found in outcomes.items():
        files.write_json(summary(evidence[model]), short / f"{model}.json")
        for table, rows in curves.tables(clips["clip_id"], found, classes):
            tables.write(rows, plots / model / table.name, table)
    click.echo(f"evaluate: {len(clips)} clips in {grouped['group'].nunique()} groups, models {', '.join(outcomes)}")


if __name__ == "__main__":
    main()
