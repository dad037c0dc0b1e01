"""Flip labels of ESC-10 and see how well they are found, beside what people use instead.

python bench/labels.py [--data FOLDER] [--quick] [--out FILE]      FOLDER: ESC-10, with clips.csv, small.csv and audio/
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click
import joblib
import librosa
import numpy as np
import pandas as pd
from cleanlab import Datalab
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score
from sklearn.metrics.pairwise import cosine_distances
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from curation import descriptors, features, files, ingest, params
from curation.clips import read_clip
from curation.vectors import Vectors
from training import score

CLASSES = ("harmful", "safe")
NOISE = {"s10": 0.1, "s20": 0.2, "s30": 0.3, "a30": 0.3}  # s: of all labels; a: of the first class's
SEEDS = 5
NEIGHBOURS = 10
FOLDS = 10
ESC10 = Path(__file__).parents[2] / "shared/data/esc10"

Array: TypeAlias = np.ndarray
Figure: TypeAlias = dict[str, str | int | float]


@dataclass(frozen=True)
class Corpus:
    """Clips: true class by number, recording, vectors, those and their variations', mean and deviation of mel bands."""

    truth: Array
    group: Array
    points: Array
    varied: Array
    mels: Array


Judge: TypeAlias = Callable[[Corpus, Array, int], tuple[Array, Array | None]]


def earmark(corpus: Corpus, label: Array, seed: int) -> tuple[Array, Array | None]:
    """Return the quality of each label and the probabilities behind it: stage `score`, then cleanlab's ranking."""
    clips = pd.DataFrame(
        {
            "clip_id": [f"{number:06}" for number in range(len(label))],
            "label": np.array(CLASSES)[label],
            "group": corpus.group,
            "fold": 0,
        }
    )
    p = score.Params.load("score").model_copy(update={"seed": 1000 * seed})
    scores = score.score(clips, corpus.varied, p, classes=CLASSES)
    wide = scores.pivot_table(index="clip_id", columns="label", values="probability")[list(CLASSES)].to_numpy()
    return get_label_quality_scores(label, wide, method="normalized_margin", adjust_pred_probs=True), wide


def unadjusted(corpus: Corpus, label: Array, seed: int) -> tuple[Array, Array | None]:
    """Return the same without cleanlab's adjustment for the classes' mean self-confidence."""
    _, wide = earmark(corpus, label, seed)
    return get_label_quality_scores(label, wide), None


def logistic(corpus: Corpus, label: Array, seed: int) -> tuple[Array, Array | None]:
    """Return what a tutorial would: logistic regression on mel statistics, out of fold, and cleanlab's ranking."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    found = cross_val_predict(model, corpus.mels, label, groups=corpus.group, cv=folds, method="predict_proba")
    return get_label_quality_scores(label, found), found


def logistic_on_vectors(corpus: Corpus, label: Array, seed: int) -> tuple[Array, Array | None]:
    """Return the same on earmark's vectors."""
    return logistic(Corpus(corpus.truth, corpus.group, corpus.points, corpus.varied, corpus.points), label, seed)


def datalab(corpus: Corpus, label: Array, seed: int) -> tuple[Array, Array | None]:
    """Return the label scores of cleanlab's Datalab on earmark's vectors, every dimension with the same deviation."""
    lab = Datalab({"label": label}, label_name="label", verbosity=0)
    lab.find_issues(features=StandardScaler().fit_transform(corpus.points), issue_types={"label": {}})
    return lab.get_issues("label")["label_score"].to_numpy(), None


def neighbours(corpus: Corpus, label: Array, seed: int) -> tuple[Array, Array | None]:
    """Return the share of the nearest clips, none of the own recording, that have the same label, on the same."""
    distances = cosine_distances(StandardScaler().fit_transform(corpus.points))
    distances[corpus.group[:, None] == corpus.group] = np.inf
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    second = label[nearest].mean(axis=1)
    found = np.column_stack([1 - second, second])
    return found[np.arange(len(label)), label], found


JUDGES: dict[str, Judge] = {
    "earmark": earmark,
    "unadjusted": unadjusted,
    "neighbours": neighbours,
    "Datalab": datalab,
    "logistic": logistic,
    "logistic, our vectors": logistic_on_vectors,
}


def read(data: Path, work: Path, table: str = "clips.csv") -> tuple[pd.DataFrame, Vectors, Array, float]:
    """Return clips of ESC-10, cut by stage `ingest`, their vectors, mel statistics, and ms of features a clip.

    The milliseconds are those of a clip and its variations.
    """
    about = params.Data.load("data")
    listed = pd.read_csv(data / table, dtype=str).rename(columns={"recording": "group"})
    cut, _ = ingest.ingest(
        listed[["file", "label", "group"]],
        data / "audio",
        work,
        ingest.Params.load("ingest"),
        data=about,
        workers=joblib.cpu_count(),
    )
    frames = dict(zip(cut["clip_id"], (cut["duration_s"] * about.rate_hz).round().astype(int), strict=True))
    p = descriptors.Params.load("features")
    first = {clip_id: frames[clip_id] for clip_id in cut["clip_id"][:1]}
    features.describe(first, work, p, rate_hz=about.rate_hz, workers=1)  # loads and compiles what it needs
    start = time.process_time()
    found, _ = features.describe(frames, work, p, rate_hz=about.rate_hz, workers=1)
    spent_ms = (time.process_time() - start) / len(frames) * 1000
    mels = [
        librosa.power_to_db(librosa.feature.melspectrogram(y=sound, sr=about.rate_hz, n_mels=64))
        for sound in (read_clip(clip_id, work, frames=n) for clip_id, n in frames.items())
    ]
    return cut, found, np.array([[*mel.mean(axis=1), *mel.std(axis=1)] for mel in mels]), spent_ms


def corpus_of(chosen: Array, cut: pd.DataFrame, found: Vectors, mels: Array) -> Corpus:
    """Return the chosen clips; their vectors are standardised among themselves."""
    blocks, varied = ({name: block[chosen] for name, block in of.items()} for of in (found.blocks, found.varied))
    part = Vectors(tuple(cut["clip_id"][chosen]), blocks, varied)
    truth = cut["label"][chosen].map(CLASSES.index).to_numpy()
    group, points = cut["group"][chosen].to_numpy(str), part.points(part.clip_ids, varied=True)
    return Corpus(truth, group, points[: len(truth)], points, mels[chosen])


def flipped(truth: Array, noise: str, seed: int) -> Array:
    """Return which labels are made wrong."""
    candidates = np.arange(len(truth)) if noise.startswith("s") else np.flatnonzero(truth == 0)
    count = round(len(candidates) * NOISE[noise])
    return np.isin(np.arange(len(truth)), np.random.default_rng(seed).choice(candidates, count, replace=False))


def measure(corpus: Corpus, seeds: int) -> list[Figure]:
    """Return the figures of every judge: average precision of the flipped labels, and accuracy on right labels."""
    rows: list[Figure] = []
    for name, judge in JUDGES.items():
        for seed in range(seeds):
            _, found = judge(corpus, corpus.truth, seed)
            if found is not None:
                said = found.argmax(axis=1)
                rows.append(
                    {"judge": name, "task": "accuracy", "seed": seed, "value": accuracy_score(corpus.truth, said)}
                )
                value = balanced_accuracy_score(corpus.truth, said)
                rows.append({"judge": name, "task": "balanced", "seed": seed, "value": value})
            for noise in NOISE:
                wrong = flipped(corpus.truth, noise, seed)
                quality, _ = judge(corpus, np.where(wrong, 1 - corpus.truth, corpus.truth), seed)
                value = average_precision_score(wrong, -quality)
                rows.append({"judge": name, "task": noise, "seed": seed, "value": value})
    return rows


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=ESC10, show_default=True)
@click.option("--quick", is_flag=True, help="One seed instead of five.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go, as JSON.")
def main(data: Path, quick: bool, out: Path | None) -> None:
    """Print how well wrong labels are found and right ones predicted, by earmark and by its peers."""
    if not data.exists():
        click.echo(f"skipped: {data} is not there, --data names the folder of ESC-10")
        return
    seeds = 1 if quick else SEEDS
    with tempfile.TemporaryDirectory() as work:
        cut, found, mels, spent_ms = read(data, Path(work))
    small = cut["file"].isin(pd.read_csv(data / "small.csv")["file"]).to_numpy()
    click.echo(f"features: {spent_ms:.0f} ms of one CPU a clip and its variations")
    figures = {}
    for chosen in (np.ones(len(cut), bool), small):
        measured = measure(corpus_of(chosen, cut, found, mels), seeds)
        table = pd.DataFrame(measured).pivot_table(index="judge", columns="task", values="value", sort=False)
        table = table.reindex(index=list(JUDGES), columns=[*NOISE, "accuracy", "balanced"])
        click.echo(
            f"\n{chosen.sum()} clips, mean of {seeds} seeds: average precision of the flipped labels; accuracy\n"
        )
        click.echo(table.to_string(float_format="{:.3f}".format, na_rep=""))
        figures[str(chosen.sum())] = measured
    if out is not None:
        files.write_json({"features_ms": spent_ms, "figures": figures}, out)


if __name__ == "__main__":
    main()
