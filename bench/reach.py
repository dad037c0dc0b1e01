"""Learn harmful and safe from ESC-10's right labels, and see how often whole recordings that were held out are told.

python bench/reach.py [--data FOLDER] [--seeds N] [--out FILE]      FOLDER: ESC-10, with clips.csv, small.csv and audio/
"""

import tempfile
import time
from pathlib import Path

import click
import joblib
import labels
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold

from curation import balance, files, params, tables
from curation.vectors import Vectors
from training import blend, clips, fit, lite_cnn, mel, rounds, svm

FOLDS = 5
TIMED = 50  # clips predicted one by one
LIMIT_S = 180  # for all folds of 400 clips, on two cores


def listing(
    clip_ids: pd.Series, label: NDArray[np.str_], group: NDArray[np.str_], seed: int, *, folds: int = FOLDS
) -> pd.DataFrame:
    """Return what `rounds.listing` does: a training list by stage `balance` over folds of whole recordings."""
    fold = np.empty(len(label), np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(label, label, group)):
        fold[held_out] = number
    ids = pd.DataFrame({"clip_id": clip_ids.to_numpy()})
    placed = ids.assign(fold=fold)
    given = ids.assign(label=label, origin="given", confidence=np.nan, answers=0)
    return rounds.listing(balance.balance(given, placed, tables.FLAGS.empty(), balance.Params.load("balance")), placed)


def network(held: clips.Clips, rows: pd.DataFrame, p: lite_cnn.Params, resolution: mel.Params) -> NDArray[np.float64]:
    """Return LiteCNN's probability of the first class for every clip, out of fold."""
    turns = rounds.rounds(rows, labels.CLASSES, validate=False)
    task = joblib.delayed(held_out)
    found = joblib.Parallel(joblib.cpu_count())(task(held, turn, p, resolution) for turn in turns)
    whole = np.empty(len(rows))
    for turn, part in zip(turns, found, strict=True):
        whole[turn.held_out.numpy()] = part[:, 0]
    return whole


def held_out(held: clips.Clips, turn: rounds.Round, p: lite_cnn.Params, resolution: mel.Params) -> NDArray[np.float32]:
    """Return LiteCNN's probability of each class for the clips that one round holds out."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as own:
        model = fit.fit(
            lambda: lite_cnn.LiteCNN(resolution.bands, p.channels, held.targets.shape[1], p.dropout),
            held,
            turn,
            p,
            vary=lambda x, lengths, rng: lite_cnn.vary(x, lengths, rng, p.augment, resolution=resolution),
            live=Path(own) / "live",
            checkpoint=Path(own) / "checkpoint.pt",
            key="bench",
        )
        found: NDArray[np.float32] = fit.predict(model, held, turn.held_out, p).numpy()
        return found


def machine(described: Vectors, rows: pd.DataFrame, p: svm.Params) -> NDArray[np.float64]:
    """Return the same of the support vector machines."""
    return svm.out_of_fold(described, rows, p, classes=labels.CLASSES)[:, 0]


def blended(clip_ids: pd.Series, said: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the same of the blend of models."""
    wide = {name: pd.DataFrame({"clip_id": clip_ids, "label": "", "probability": p}) for name, p in said.items()}
    found: NDArray[np.float64] = blend.blend(wide).set_index("clip_id")["probability"].loc[clip_ids].to_numpy()
    return found


def milliseconds(x: torch.Tensor, p: lite_cnn.Params, bands: int) -> float:
    """Return the time that one core takes to predict one clip from its spectrogram."""
    torch.set_num_threads(1)
    model = lite_cnn.LiteCNN(bands, p.channels, len(labels.CLASSES), p.dropout).eval()
    with torch.inference_mode():
        model(x[:1])
        start = time.process_time()
        for clip in x[:TIMED]:
            model(clip[None])
    return 1000 * (time.process_time() - start) / len(x[:TIMED])


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=labels.ESC10, show_default=True)
@click.option("--seeds", default=5, show_default=True, help="Each with other folds and other first weights.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go, as JSON.")
def main(data: Path, seeds: int, out: Path | None) -> None:
    """Print how often LiteCNN, the support vector machines and their blend are right, by 5-fold cross-validation."""
    if not data.is_dir():
        click.echo(f"skipped: {data} does not exist; --data names a folder of ESC-10")
        return
    about, resolution = params.Data.load("data"), mel.Params.load("mel")
    base = lite_cnn.Params.load("lite_cnn")
    with tempfile.TemporaryDirectory() as work:
        cut, vectors, _, _ = labels.read(data, Path(work))
        samples, sounds = clips.read(Path(work), cut["clip_id"].tolist(), about)
    x, lengths = lite_cnn.inputs(samples, sounds, resolution, rate_hz=about.rate_hz, speeds=base.augment.speeds)
    weights = sum(one.numel() for one in lite_cnn.LiteCNN(resolution.bands, base.channels, 2, 0).parameters())
    click.echo(f"LiteCNN: {weights} weights, {milliseconds(x, base, resolution.bands):.1f} ms of one CPU a clip")

    measured = []
    small = cut["file"].isin(pd.read_csv(data / "small.csv")["file"]).to_numpy()
    for chosen in (small, np.ones(len(cut), bool)):
        clip_ids, truth, group = (cut.loc[chosen, name].to_numpy(str) for name in ("clip_id", "label", "group"))
        for seed in range(seeds):
            rows = listing(pd.Series(clip_ids), truth, group, seed)
            versions = np.tile(chosen, len(x) // len(chosen))
            held = clips.Clips(x[versions], lengths[versions], *rounds.targets(rows, labels.CLASSES))
            start = time.perf_counter()
            said = {"lite_cnn": network(held, rows, base.model_copy(update={"seed": seed}), resolution)}
            spent_s = time.perf_counter() - start
            said["svm"] = machine(vectors, rows, svm.Params.load("svm"))
            said["blend"] = blended(rows["clip_id"], said)
            for name, found in said.items():
                right = np.where(found > 0.5, *labels.CLASSES)
                measured.append(
                    {
                        "clips": int(chosen.sum()),
                        "model": name,
                        "seed": seed,
                        "accuracy": accuracy_score(truth, right),
                        "balanced_accuracy": balanced_accuracy_score(truth, right),
                        "train_s": spent_s if name == "lite_cnn" else np.nan,
                    }
                )
    figures = pd.DataFrame(measured)
    table = figures.groupby(["clips", "model"], sort=False)[["accuracy", "balanced_accuracy", "train_s"]].mean()
    click.echo(f"\nMean of {seeds} seeds, {FOLDS} folds of whole recordings; train_s: all folds, by the clock")
    click.echo(f"Bound of train_s with 400 clips, on two idle cores: {LIMIT_S}\n")
    click.echo(table.to_string(float_format="{:.3f}".format, na_rep=""))
    if out is not None:
        files.write_json(figures.to_dict("records"), out)


if __name__ == "__main__":
    main()
