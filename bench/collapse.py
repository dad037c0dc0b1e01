"""Reproduce models that say one class to everything, then show what each remedy alone does, and every recipe.

python bench/collapse.py [--data FOLDER] [--seeds N] [--only NAME ...] [--out FILE]

FOLDER is ESC-10, with small.csv and audio/.

A training is a cross-validation in five folds of whole recordings; another seed is another start and another split. The
first rows collapse: their weight decay outweighs the gradient, so that the head learns the classes' shares and no more.
With the classes as they come it says the commoner one, with the weights that RetinaNet's focal loss has by default (.25
for the positive class) the other one. A remedy changes the one thing that it names in the first row's settings.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import click
import joblib
import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from curation import balance, collapse, files, ingest, params, tables
from training import clips, fit, lite_cnn, mel, recipes, rounds, wav2vec2

Changes: TypeAlias = Mapping[str, Any]
ESC10 = Path(__file__).parents[2] / "shared/data/esc10"
CLASSES = ("harmful", "safe")
FOLDS = 5
OLD: Changes = {  # settings of LiteCNN that collapse
    "peak_rate": 0.05,
    "warmup_share": 0.01,
    "weight_decay": 20.0,
    "clip_norm": 1000.0,
    "mixup_alpha": 0.0,
    "epochs": 10,
    "min_steps": 1,
    "augment": {"crop_s": 8.0, "speed": 0.0, "mask_bands": 0, "mask_s": 0.0},
}
PLAIN, FOCAL_ALPHA = {"harmful": 1.0, "safe": 1.0}, {"harmful": 0.25, "safe": 0.75}
REMEDIES: Mapping[str, Changes] = {  # beside OLD; `method` is that of `balance`
    "oversampling": {"method": "oversample"},
    "undersampling": {"method": "undersample"},
    "class weights": {"method": "weights"},
    "focal loss": {"loss": {"kind": "focal"}},
    "logit adjustment": {"loss": {"prior_tau": 1.0}},
    "balanced batches": {"sampler": "balanced"},
    "bias at the prior": {"prior_bias": True},
    "lower rate, warm-up": {"peak_rate": 0.003, "warmup_share": 0.2},
    "less weight decay": {"weight_decay": 0.01},
    "more epochs": {"epochs": 60},
    "augmentation": {"augment": {"crop_s": 4.0, "mask_bands": 8, "mask_s": 0.6}, "mixup_alpha": 0.3},
    "shorter gradients": {"clip_norm": 5.0},
    "threshold moved": {"threshold": True},
}
WRONG = 0.2  # share of labels that are made wrong
MODELS = {"lite_cnn": lite_cnn, "wav2vec2": wav2vec2}


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
        samples, lengths = clips.read(work, self.clips["clip_id"].tolist(), self.about)
        self.resolution = mel.Params.load("mel")
        self.inputs = {
            "lite_cnn": lite_cnn.inputs(samples, lengths, self.resolution, rate_hz=self.about.rate_hz),
            "wav2vec2": wav2vec2.inputs(samples, lengths),
        }
        self.truth = self.clips["label"].to_numpy(str)


def settings(model: str, changes: Changes) -> fit.Recipe:
    """Return the section of `model` with these changes."""
    known = MODELS[model].Params.load(model).model_dump()
    kept = {key: value for key, value in changes.items() if key in known}
    found: fit.Recipe = MODELS[model].Params.model_validate(recipes.changed(known, kept))
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


def probabilities(corpus: Corpus, model: str, p: fit.Recipe, rows: pd.DataFrame, folder: Path) -> NDArray[np.float64]:
    """Return the out-of-fold probability of each class, shape (clips, classes)."""
    held = clips.Clips(*corpus.inputs[model], *rounds.targets(rows, CLASSES))
    task = joblib.delayed(_round)
    turns = rounds.rounds(rows, CLASSES, validate=False)
    found = joblib.Parallel(min(len(turns), joblib.cpu_count()))(
        task(corpus.about, corpus.resolution, model, p, held, turn, folder) for turn in turns
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
) -> NDArray[np.float32]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        if model == "lite_cnn":
            trained = fit.fit(
                lambda: lite_cnn.LiteCNN(resolution.bands, p.channels, len(CLASSES), p.dropout),
                held,
                turn,
                p,
                vary=lambda x, n, rng: lite_cnn.vary(x, n, rng, p.augment, hop_s=resolution.hop_s),
                live=Path(own) / "live",
                checkpoint=Path(own) / "checkpoint.pt",
                key="bench",
            )
        else:
            trained = fit.fit(
                lambda: wav2vec2.build(p, resolution, about),
                held,
                turn,
                p,
                vary=lambda x, n, rng: wav2vec2.vary(x, n, rng, p.augment, rate_hz=about.rate_hz),
                live=Path(own) / "live",
                checkpoint=Path(own) / "checkpoint.pt",
                key="bench",
            )
        found: NDArray[np.float32] = fit.predict(trained, held, turn.held_out, p).numpy()
        return found


def moved(found: NDArray[np.float64], label: NDArray[np.str_], fold: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return probabilities of the first class with each fold's threshold, chosen on the other folds, moved to 0.5."""
    score = found[:, 0].copy()
    for number in np.unique(fold):
        others = fold != number
        candidates = np.unique(score[others])
        best = [balanced_accuracy_score(label[others] == CLASSES[0], found[others, 0] >= at) for at in candidates]
        score[~others] += 0.5 - candidates[int(np.argmax(best))]
    score = score.clip(0, 1)
    return np.column_stack([score, 1 - score])


def figures(truth: NDArray[np.str_], found: NDArray[np.float64]) -> dict[str, float]:
    """Return what was said of a model then, and what tells that it has collapsed."""
    said = np.array(CLASSES)[found.argmax(axis=1)]
    verdict = collapse.judge(truth.tolist(), found, CLASSES, np.arange(len(truth)))
    return {
        "accuracy": accuracy_score(truth, said),
        "balanced": balanced_accuracy_score(truth, said),
        "recall": recall_score(truth, said, pos_label=CLASSES[0], zero_division=0),
        "F1": f1_score(truth, said, pos_label=CLASSES[0], zero_division=0),
        "says harmful": float((said == CLASSES[0]).mean()),
        "collapsed": float(verdict.collapsed),
    }


def variants() -> dict[str, tuple[str, Changes]]:
    """Return by name the model and what changes in its section; `method`, `weights`, `threshold`, `wrong` are ours."""
    named = yaml.safe_load(params.PATH.read_text(encoding="utf-8"))["recipes"]
    old = {"method": "none", "weights": PLAIN}
    return {
        "as it was": ("lite_cnn", OLD | old),
        "as it was, alpha .25": ("lite_cnn", OLD | old | {"weights": FOCAL_ALPHA}),
        **{name: ("lite_cnn", OLD | old | dict(changes)) for name, changes in REMEDIES.items()},
        "lite_cnn": ("lite_cnn", {}),
        "lite_cnn, labels wrong": ("lite_cnn", {"wrong": True}),
        **{name: (changes["model"], changes) for name, changes in named.items()},
        "wav2vec2": ("wav2vec2", {}),
    }


def measure(corpus: Corpus, model: str, changes: Changes, seed: int, folder: Path) -> dict[str, float]:
    """Return the figures of one cross-validation, always against the right labels."""
    label = corpus.truth.copy()
    if changes.get("wrong"):
        turned = np.random.default_rng(seed).permutation(len(label))[: round(WRONG * len(label))]
        label[turned] = np.where(label[turned] == CLASSES[0], CLASSES[1], CLASSES[0])
    p = settings(model, {**changes, "seed": seed})
    rows = listing(corpus, label, changes.get("method", "oversample"), changes.get("weights", PLAIN), seed)
    found = probabilities(corpus, model, p, rows, folder)
    if changes.get("threshold"):
        found = moved(found, label, rows["fold"].to_numpy())
    return figures(corpus.truth, found)


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the means, and the difference in balanced accuracy to the first row with its 95 % interval, in words."""
    means = measured.groupby("variant", sort=False).mean().drop(columns="seed")
    runs = measured.pivot_table(index="seed", columns="variant", values="balanced", sort=False)
    told = {}
    for name in runs:
        gain = runs[name] - runs[means.index[0]]
        half = stats.t.ppf(0.975, len(gain) - 1) * stats.sem(gain) if len(gain) > 1 else np.nan
        low, high = gain.mean() - half, gain.mean() + half
        word = "helps" if low > 0 else "harms" if high < 0 else "does nothing that shows"
        told[name] = f"{gain.mean():+.2f} [{low:+.2f}, {high:+.2f}] {word}" if name != means.index[0] else ""
    means["collapsed"] = [
        f"{part.sum():.0f} of {len(part)}" for _, part in measured.groupby("variant", sort=False)["collapsed"]
    ]
    return means.assign(gain=pd.Series(told))


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
    chosen = {name: variant for name, variant in variants().items() if not only or name in only}
    measured = []
    with tempfile.TemporaryDirectory() as work:
        corpus = Corpus(data, Path(work))
        runs = [(name, seed) for name in chosen for seed in range(seeds)]
        for name, seed in tqdm(runs, "train", unit="cross-validation", disable=None):
            found = measure(corpus, *chosen[name], seed, Path(work))
            measured.append({"variant": name, "seed": seed, **found})
    click.echo(f"{len(corpus.clips)} clips, {seeds} seeds\n")
    click.echo(summary(pd.DataFrame(measured)).to_string(float_format="{:.2f}".format))
    if out is not None:
        files.write_json(measured, out)


if __name__ == "__main__":
    main()
