"""What the other stages found, read for the pages of stage `report`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from curation import collapse, label_noise, tables
from training import curves, losses, sampling

TEST = -1  # in `tables.FOLDS`
PLOTS = (curves.CONFUSION, curves.RELIABILITY, curves.PRECISION_RECALL)
TABLES = (
    *(tables.CLIPS, tables.REJECTS, tables.REVIEWS, tables.LABELS, tables.GROUPS, tables.FOLDS, tables.SCORES),
    *(tables.FLAGS, tables.SHORTCUTS, tables.ABLATIONS, tables.QUEUE, tables.TRAIN, tables.REPEATS, tables.SHIFTS),
)


class Recipe(BaseModel):
    """What stage `train` did by, as far as the causes need it: some keys of the model's section of params.yaml."""

    model_config = ConfigDict(frozen=True)

    epochs: int
    min_steps: int
    peak_rate: float
    loss: losses.Params
    sampler: sampling.Sampler
    mixup_alpha: float
    weights: str = ""
    unfrozen_layers: int | Literal["all"] | None = None  # None: no layer of this model can be frozen


@dataclass(frozen=True)
class Training:
    """How the training of a model went."""

    losses: tuple[NDArray[np.float64], ...]  # mean loss of each epoch on what is learned from, a row a round
    recipe: Recipe


@dataclass(frozen=True)
class Findings:
    """Tables as in `tables`, and what is known of each model."""

    clips: pd.DataFrame
    rejects: pd.DataFrame
    reviews: pd.DataFrame
    labels: pd.DataFrame
    groups: pd.DataFrame
    folds: pd.DataFrame
    scores: pd.DataFrame
    flags: pd.DataFrame
    shortcuts: pd.DataFrame
    ablations: pd.DataFrame
    queue: pd.DataFrame
    train: pd.DataFrame
    repeats: pd.DataFrame
    shifts: pd.DataFrame
    flagging: Mapping[str, Any]  # `label_issues`: "found" or "refused", and `why`
    metrics: Mapping[str, Mapping[str, Any]]  # by model, as stage `evaluate` wrote them
    robustness: Mapping[str, Mapping[str, Any]]  # by model, as stage `shift` wrote it
    predictions: Mapping[str, pd.DataFrame]
    plots: Mapping[str, Mapping[str, pd.DataFrame]]  # by model and name of the table, see `PLOTS`
    trainings: Mapping[str, Training]  # of the models that stage `train` made
    classes: tuple[str, ...]  # the first one is the positive class

    @cached_property
    def labelled(self) -> pd.DataFrame:
        """Every clip: clip_id, label, origin, answers, given (label), file, duration_s, padded_s, group, fold."""
        clips = self.clips.rename(columns={"label": "given"})[["clip_id", "given", "file", "duration_s", "padded_s"]]
        rows = self.labels.merge(clips, on="clip_id", validate="one_to_one")
        return rows.merge(self.groups, on="clip_id", validate="one_to_one").merge(self.folds, on="clip_id")

    @cached_property
    def queued(self) -> pd.DataFrame:
        """The clips of the queue, with reason and rank."""
        return self.queue.merge(self.labelled, on="clip_id", validate="one_to_one").sort_values("rank")

    @property
    def listening_min(self) -> float:
        """How long the queue takes to hear once."""
        return float((self.queued["duration_s"] + self.queued["padded_s"]).sum() / 60)

    @cached_property
    def doubted(self) -> pd.DataFrame:
        """The clips whose label is doubted, the worst first, with score and suggested class."""
        flags = self.flags.loc[self.flags["reason"] == "label", ["clip_id", "score", "suggested"]]
        return flags.merge(self.labelled, on="clip_id").sort_values(["score", "clip_id"], ignore_index=True)

    @cached_property
    def heard(self) -> pd.DataFrame:
        """What people decided unhinted, as `label_noise.heard` says."""
        return label_noise.heard(self.labels, self.clips.set_index("clip_id")["label"], self.reviews)

    @cached_property
    def verdicts(self) -> dict[str, collapse.Verdict]:
        """What the predictions of each model are worth."""
        return {model: self._judge(model) for model in self.metrics}

    def _judge(self, model: str) -> collapse.Verdict:
        truth = self.plots[model]["confusion"].set_index("clip_id")["actual"]
        wide = self.predictions[model].pivot_table(index="clip_id", columns="label", values="probability")
        scores = wide.loc[truth.index, list(self.classes)].to_numpy()
        group = self.groups.set_index("clip_id")["group"].loc[truth.index]
        fold = self.folds.set_index("clip_id")["fold"].loc[truth.index]
        auc_low = self.metrics[model]["roc_auc"]["low"]
        return collapse.judge(truth.tolist(), scores, self.classes, group, models=fold, auc_low=auc_low)

    @property
    def tested(self) -> bool:
        """Whether there is a test fold; if not, the models are judged by cross-validation."""
        return bool((self.folds["fold"] == TEST).any())


def read(paths: Mapping[str, Path], classes: tuple[str, ...]) -> Findings:
    """Return what lies at `paths`: tables by name without ending, and what else `Findings` holds.

    Raises:
        click.ClickException: something is missing, or is not what its stage writes.
    """
    known = {table.name.removesuffix(".csv"): table for table in TABLES}
    metrics = _json(paths["metrics"], set())
    return Findings(
        **{name: tables.read(paths[name], table) for name, table in known.items()},
        flagging=_json(paths["flagging"], {"label_issues", "why"}),
        metrics=metrics,
        robustness=_json(paths["robustness"], set()),
        predictions={
            model: tables.read(paths["predictions"] / f"{model}.csv", tables.PREDICTIONS) for model in metrics
        },
        plots={
            model: {
                table.name.removesuffix(".csv"): tables.read(paths["plots"] / model / table.name, table)
                for table in PLOTS
            }
            for model in metrics
        },
        trainings={model: _training(folder) for model in metrics if (folder := paths["live"] / model).exists()},
        classes=classes,
    )


def _training(folder: Path) -> Training:
    rounds = sorted(folder.glob("*/plots/metrics/train_loss.tsv"))
    recipes = sorted(folder.glob("*/params.yaml"))
    if not rounds or not recipes:
        raise click.ClickException(f"{folder} holds no training curves. `dvc repro train` draws them anew.")
    try:
        losses = [pd.read_csv(path, sep="\t")["train_loss"].to_numpy(np.float64) for path in rounds]
        recipe = Recipe.model_validate(yaml.safe_load(recipes[0].read_text(encoding="utf-8")))
    except (KeyError, ValueError, yaml.YAMLError) as error:
        what = type(error).__name__
        raise click.ClickException(
            f"{folder} holds no training curves ({what}). `dvc repro train` draws them anew."
        ) from error
    return Training(tuple(losses), recipe)


def _json(path: Path, keys: set[str]) -> dict[str, Any]:
    """Read an object that has `keys`, and is not empty."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise click.ClickException(f"{path} does not exist. `dvc repro` makes it.") from error
    except ValueError as error:
        raise click.ClickException(f"{path} is not JSON in UTF-8: {error}. `dvc repro` makes it anew.") from error
    if not isinstance(value, dict) or not value or not keys <= set(value):
        raise click.ClickException(f"{path} must hold an object with {sorted(keys)}. `dvc repro` makes it anew.")
    return value
