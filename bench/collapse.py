"""Reproduce models that say one class to everything, then show what each remedy alone does, and every recipe.

python bench/collapse.py [--data FOLDER] [--seeds N] [--only NAME ...] [--out FILE]

FOLDER is ESC-10, with small.csv and audio/.

A training is a cross-validation in five folds of whole recordings; another seed is another start and another split. The
settings of old are those of a first script: convolutions alone, Adam at a constant rate that is far too high, batches
of four, and classes that weigh by their shares instead of the inverse: then all is harmful. With RetinaNet's default of
.25 for the positive class all is safe. They were found by trying some twenty settings on two seeds until models
collapsed. A remedy changes the one thing that it names; its gain is the difference to the model as it was.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import click
import joblib
import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score
from sklearn.model_selection import StratifiedGroupKFold
from torch import nn
from tqdm import tqdm

from curation import balance, collapse, files, ingest, params, tables
from training import clips, encoders, fit, lite_cnn, mel, recipes, rounds, wav2vec2
from training.recipe import Recipe

Changes: TypeAlias = Mapping[str, Any]
ESC10 = Path(__file__).parents[2] / "shared/data/esc10"
CLASSES = ("harmful", "safe")
FOLDS = 5
AS_IT_WAS = " as it was"  # what others gain against
SHARES, PLAIN, ALPHA = ({"harmful": a, "safe": 2 - a} for a in (1.2, 1.0, 0.5))  # what a clip of each class weighs
SCRIPT: Changes = {"constant": True, "warmup_share": 0.01, "clip_norm": 1000.0, "mixup_alpha": 0.0, "batch_clips": 4}
OLD: Mapping[str, Changes] = {  # collapses; `constant`, `patterns`, `method` of balance and `clip_weights` are ours
    "lite_cnn": {
        **SCRIPT,
        "patterns": False,
        **{
            "peak_rate": 0.05,
            "weight_decay": 0.1,
            "epochs": 10,
            "min_steps": 1,
            "method": "none",
            "clip_weights": SHARES,
        },
        "augment": {"crop_s": 8.0, "speeds": [], "mask_bands": 0, "mask_s": 0.0},
    },
    "wav2vec2": {
        **SCRIPT,
        **{
            "peak_rate": 0.01,
            "weight_decay": 0.0,
            "epochs": 6,
            "min_steps": 1,
            "method": "none",
            "clip_weights": SHARES,
        },
        "augment": {"crop_s": 3.0, "speed": 0.0, "snr_db": None},
    },
}
REMEDIES: Mapping[str, Changes] = {  # beside OLD
    "oversampling": {"method": "oversample"},
    "undersampling": {"method": "undersample"},
    "class weights": {"method": "weights", "clip_weights": PLAIN},
    "all weigh the same": {"clip_weights": PLAIN},
    "focal loss": {"loss": {"kind": "focal"}},
    "logit adjustment": {"loss": {"prior_tau": 1.0}, "sampler": "once"},
    "balanced batches": {"sampler": "balanced"},
    "bias at the prior": {"prior_bias": True, "sampler": "once"},
    "lower rate, warm-up": {"peak_rate": 0.003, "warmup_share": 0.2, "constant": False},
    "less weight decay": {"weight_decay": 0.01},
    "larger batches": {"batch_clips": 16},
    "more epochs": {"epochs": 30},
    "augmentation": {"augment": {"crop_s": 4.0, "mask_bands": 8, "mask_s": 0.6}, "mixup_alpha": 0.3},
    "shorter gradients": {"clip_norm": 1.0},
    "patterns beside convolutions": {"patterns": True},
    "threshold moved": {"threshold": True},
}
WRONG = 0.2  # share of labels that are made wrong
MODELS = {"lite_cnn": lite_cnn, "wav2vec2": wav2vec2}


class Convolutions(lite_cnn.LiteCNN):
    """LiteCNN without its patterns."""

    def __init__(self, bands: int, channels: Sequence[int], classes: int, dropout: float) -> None:
        super().__init__(bands, channels, classes, dropout)
        del self.patterns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (clips, classes), of spectrograms in dB, shape (clips, bands, frames)."""
        logits: torch.Tensor = self.head(self.seen(x))
        return logits

    def heads(self) -> list[nn.Linear]:
        """Return the one layer that gives the logits."""
        return [self.head[-1]]


class Corpus:
    """Clips as the models read them, their labels and recordings."""

    def __init__(self, data: Path, work: Path) -> None:
        self.about = params.Data.load("data")
        listed = pd.read_csv(data / "small.csv", dtype=str).rename(columns={"recording": "group"})
        self.clips, _ = ingest.ingest(
            listed[["file", "label", "group"]],
            data / "audio",
            work,
            ingest.Params.load("ingest"),
            data=self.about,
            workers=joblib.cpu_count(),
        )
        self.samples, self.lengths = clips.read(work, self.clips["clip_id"].tolist(), self.about)
        self.resolution = mel.Params.load("mel")
        self.truth = self.clips["label"].to_numpy(str)
        self.encoder = work / "encoder"
        self._write_encoder()

    def inputs(self, p: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what a model with these settings reads."""
        if isinstance(p, lite_cnn.Params):
            rate_hz, speeds = self.about.rate_hz, p.augment.speeds
            return lite_cnn.inputs(self.samples, self.lengths, self.resolution, rate_hz=rate_hz, speeds=speeds)
        return wav2vec2.inputs(self.samples, self.lengths)

    def _write_encoder(self) -> None:
        """Write weights of which some can be frozen: random ones, for lack of others."""
        p = wav2vec2.Params.load("wav2vec2")
        encoder, arguments = encoders.scratch(p.scratch, self.resolution, rate_hz=self.about.rate_hz)
        self.encoder.mkdir()
        files.write_json(arguments, self.encoder / encoders.CONFIG)
        save_file(encoder.state_dict(), self.encoder / encoders.WEIGHTS)


def settings(model: str, changes: Changes) -> Recipe:
    """Return the section of `model` with these changes."""
    known = MODELS[model].Params.load(model).model_dump()
    kept = {key: value for key, value in changes.items() if key in known}
    found: Recipe = MODELS[model].Params.model_validate(recipes.changed(known, kept))
    return found


def listing(
    corpus: Corpus, label: NDArray[np.str_], method: str, weights: Mapping[str, float], seed: int
) -> pd.DataFrame:
    """Return what `rounds.listing` does: a training list by stage `balance` over folds of whole recordings."""
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    fold = np.empty(len(label), np.int64)
    for number, (_, held_out) in enumerate(splitter.split(label, label, corpus.clips["group"])):
        fold[held_out] = number
    ids = corpus.clips[["clip_id"]]
    folds = ids.assign(fold=fold)
    labels = ids.assign(label=label, origin="given", confidence=np.nan, answers=0)
    p = balance.Params.load("balance").model_copy(update={"method": method, "seed": seed})
    train = balance.balance(labels, folds, tables.FLAGS.empty(), p)
    train["weight"] *= train["label"].map(weights)
    return rounds.listing(train, folds)


def probabilities(
    corpus: Corpus, model: str, p: Recipe, rows: pd.DataFrame, folder: Path, changes: Changes
) -> NDArray[np.float64]:
    """Return the out-of-fold probability of each class, shape (clips, classes)."""
    held = clips.Clips(*corpus.inputs(p), *rounds.targets(rows, CLASSES))
    task = joblib.delayed(_round)
    turns = rounds.rounds(rows, CLASSES, validate="threshold" in changes)
    found = joblib.Parallel(min(len(turns), joblib.cpu_count()))(
        task(corpus.about, corpus.resolution, model, p, held, turn, folder, changes) for turn in turns
    )
    whole = np.empty((len(rows), len(CLASSES)))
    for turn, part in zip(turns, found, strict=True):
        whole[turn.held_out.numpy()] = part
    return whole


def _round(
    about: params.Data,
    resolution: mel.Params,
    model: str,
    p: Any,  # noqa: ANN401 - the section of either model
    held: clips.Clips,
    turn: rounds.Round,
    folder: Path,
    changes: Changes,
) -> NDArray[np.float64]:
    """Return the probabilities of the clips held out, the threshold moved where `changes` say so."""
    torch.set_num_threads(1)
    build, vary = _model(about, resolution, model, p, patterns=changes.get("patterns", True))
    rate = (lambda step, steps, p: p.peak_rate) if changes.get("constant") else fit.learning_rate
    with tempfile.TemporaryDirectory(dir=folder) as own, mock.patch.object(fit, "learning_rate", rate):
        trained = fit.fit(
            build,
            held,
            dataclasses.replace(turn, valid=turn.valid[:0]),  # the last epoch, whatever the threshold is chosen on
            p,
            vary=vary,
            live=Path(own) / "live",
            checkpoint=Path(own) / "checkpoint.pt",
            key="bench",
        )
    said = fit.predict(trained, held, turn.held_out, p).double().numpy()
    if not len(turn.valid):
        return said
    known = fit.predict(trained, held, turn.valid, p).double().numpy()
    return moved(said, known, held.targets[turn.valid, 0].numpy() == 1)


def _model(
    about: params.Data,
    resolution: mel.Params,
    model: str,
    p: Any,  # noqa: ANN401 - the section of either model
    *,
    patterns: bool,
) -> tuple[Callable[[], nn.Module], fit.Vary]:
    """Return what builds the model and what varies its clips."""
    if model == "lite_cnn":
        network = lite_cnn.LiteCNN if patterns else Convolutions
        return (
            lambda: network(resolution.bands, p.channels, len(CLASSES), p.dropout),
            lambda x, n, rng: lite_cnn.vary(x, n, rng, p.augment, resolution=resolution),
        )
    return (
        lambda: wav2vec2.build(p, resolution, about),
        lambda x, n, rng: wav2vec2.vary(x, n, rng, p.augment, rate_hz=about.rate_hz),
    )


def moved(said: NDArray[np.float64], known: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return probabilities with the threshold that is best on `known`, clips the model has not seen, moved to 0.5."""
    candidates = np.unique(known[:, 0])
    best = [balanced_accuracy_score(positive, known[:, 0] >= at) for at in candidates]
    score = (said[:, 0] + 0.5 - candidates[int(np.argmax(best))]).clip(0, 1)
    return np.column_stack([score, 1 - score])


def figures(truth: NDArray[np.str_], found: NDArray[np.float64], fold: NDArray[np.int64]) -> dict[str, float]:
    """Return what was said of a model then, and what tells that it has collapsed."""
    said = np.array(CLASSES)[found.argmax(axis=1)]
    verdict = collapse.judge(truth.tolist(), found, CLASSES, np.arange(len(truth)), models=fold)
    return {
        "accuracy": accuracy_score(truth, said),
        "balanced": balanced_accuracy_score(truth, said),
        "recall": recall_score(truth, said, pos_label=CLASSES[0], zero_division=0),
        "F1": f1_score(truth, said, pos_label=CLASSES[0], zero_division=0),
        "says harmful": float((said == CLASSES[0]).mean()),
        "collapsed": float(verdict.collapsed),
    }


def variants(encoder: Path) -> dict[str, tuple[str, Changes]]:
    """Return by name the model and what changes in its section."""
    named = yaml.safe_load(params.PATH.read_text(encoding="utf-8"))["recipes"]
    lite, wav = OLD["lite_cnn"], OLD["wav2vec2"]
    frozen = {"weights": str(encoder)}
    return {
        f"lite_cnn{AS_IT_WAS}": ("lite_cnn", lite),
        "- alpha .25": ("lite_cnn", lite | {"clip_weights": ALPHA}),
        **{f"- {name}": ("lite_cnn", recipes.changed(dict(lite), dict(changes))) for name, changes in REMEDIES.items()},
        "- labels wrong": ("lite_cnn", lite | {"wrong": True}),
        f"wav2vec2{AS_IT_WAS}": ("wav2vec2", wav),
        "+ alpha .25": ("wav2vec2", wav | {"clip_weights": ALPHA}),
        "+ no layer free": ("wav2vec2", wav | frozen | {"unfrozen_layers": 0}),
        "+ one layer free": ("wav2vec2", wav | frozen | {"unfrozen_layers": 1}),
        "+ lower rate, warm-up": ("wav2vec2", wav | REMEDIES["lower rate, warm-up"] | {"peak_rate": 0.001}),
        "lite_cnn": ("lite_cnn", {}),
        "lite_cnn, labels wrong": ("lite_cnn", {"wrong": True}),
        **{name: (changes["model"], changes) for name, changes in named.items()},
    }


def measure(corpus: Corpus, model: str, changes: Changes, seed: int, folder: Path) -> dict[str, float]:
    """Return the figures of one cross-validation, always against the right labels."""
    label = corpus.truth.copy()
    if changes.get("wrong"):
        turned = np.random.default_rng(seed).permutation(len(label))[: round(WRONG * len(label))]
        label[turned] = np.where(label[turned] == CLASSES[0], CLASSES[1], CLASSES[0])
    p = settings(model, {**changes, "seed": seed})
    rows = listing(corpus, label, changes.get("method", "oversample"), changes.get("clip_weights", PLAIN), seed)
    found = probabilities(corpus, model, p, rows, folder, changes)
    return figures(corpus.truth, found, rows["fold"].to_numpy())


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the means, and the gain of balanced accuracy over the model as it was, in words."""
    variants = measured.groupby("variant", sort=False)
    means = variants.mean(numeric_only=True).drop(columns="seed")
    means["collapsed"] = [f"{part.sum():.0f} of {len(part)}" for _, part in variants["collapsed"]]
    runs = measured.pivot_table(index="seed", columns="variant", values="balanced")
    old = {name: f"{model}{AS_IT_WAS}" for name, model in variants["model"].first().items()}
    gains = {name: _gain((runs[name] - runs[was]).dropna()) for name, was in old.items() if was in runs and name != was}
    return means.assign(gain=pd.Series(gains, dtype=str)).fillna({"gain": ""})


def _gain(gain: pd.Series) -> str:
    """Return the mean with its 95 % interval over the seeds and, where that is clear, whether it helps."""
    if len(gain) < 2:
        return f"{gain.mean():+.2f}, one run"
    half = stats.t.ppf(0.975, len(gain) - 1) * stats.sem(gain)
    low, high = gain.mean() - half, gain.mean() + half
    word = "helps" if low > 0 else "harms" if high < 0 else "does nothing that shows"
    return f"{gain.mean():+.2f} [{low:+.2f}, {high:+.2f}] {word}"


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=ESC10, show_default=True)
@click.option("--seeds", default=10, show_default=True)
@click.option("--only", multiple=True, help="Some of the rows.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go, as JSON.")
def main(data: Path, seeds: int, only: tuple[str, ...], out: Path | None) -> None:
    """Print what each remedy alone does to a collapsed model, and whether any recipe collapses."""
    if not data.exists():
        click.echo(f"skipped: {data} is not there, --data names the folder of ESC-10")
        return
    measured = []
    with tempfile.TemporaryDirectory() as work:
        corpus = Corpus(data, Path(work))
        chosen = {name: made for name, made in variants(corpus.encoder).items() if not only or name in only}
        runs = [(name, seed) for name in chosen for seed in range(seeds)]
        for name, seed in tqdm(runs, "train", unit="cross-validation", disable=None):
            found = measure(corpus, *chosen[name], seed, Path(work))
            measured.append({"variant": name, "model": chosen[name][0], "seed": seed, **found})
            if out is not None:
                files.write_json(measured, out)
    click.echo(f"{len(corpus.clips)} clips, {seeds} seeds\n")
    click.echo(summary(pd.DataFrame(measured)).to_string(float_format="{:.2f}".format))
    fallen = {
        row["variant"]
        for row in measured
        if row["collapsed"] and row["variant"] in recipes.Params.load("recipes").model_extra
    }
    assert not fallen, f"recipes that collapsed: {sorted(fallen)}"


if __name__ == "__main__":
    main()
