"""Judge the support vector machines by other divisions into folds: how far the luck of the folds moves a figure."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import click
import joblib
import numpy as np
import pandas as pd
from pydantic import Field
from tqdm import tqdm

from curation import params, tables, vectors
from curation.folds import SALTS_TRIED, fold_of, gaps
from training import metrics, rounds, svm


class Params(params.Section):
    """Section `repeats` of params.yaml."""

    count: int = Field(ge=0)  # other divisions into folds; 0: none


def repeats(
    x: vectors.Vectors,
    rows: pd.DataFrame,
    p: Params,
    machine: svm.Params,
    *,
    classes: tuple[str, ...],
    workers: int,
) -> pd.DataFrame:
    """Return `tables.REPEATS`: a cross-validation for each division of whole groups into as many folds.

    The training list stays as it is, as do its repetitions, and so do the clips that judge: all that have a label.

    Args:
        x: vectors of the clips.
        rows: what `rounds.listing` returns, with the `group` of each clip; no clip is in the test fold.
        p: how many divisions.
        machine: parameters of the machines.
        classes: names of the classes.
        workers: processes, each of which judges a division at a time.
    """
    divisions = [rows["fold"], *islice(_others(rows, classes), p.count)]
    shown = tqdm(divisions, "repeats", unit="cross-validation", disable=None)
    task = joblib.delayed(_figures)
    found = joblib.Parallel(n_jobs=workers)(task(x, rows.assign(fold=fold), machine, classes) for fold in shown)
    return pd.DataFrame(found).rename_axis("repeat").reset_index()[list(tables.REPEATS.columns)]


def _others(rows: pd.DataFrame, classes: Sequence[str]) -> Iterator[pd.Series]:
    """Yield the fold of each clip in other divisions, in which every fold has something to learn of every class."""
    numbers = range(rows["fold"].nunique())
    learned = (rows["label"] != "") & (rows["times"] > 0)
    for n in range(1, SALTS_TRIED):
        fold = fold_of(rows["group"], f"repeat {n}", 0.0, len(numbers))
        if not gaps(rows.loc[learned, "label"], fold[learned], classes, numbers):
            yield fold


def _figures(x: vectors.Vectors, rows: pd.DataFrame, p: svm.Params, classes: tuple[str, ...]) -> dict[str, float]:
    """Return the figures of one cross-validation."""
    said = svm.out_of_fold(x, rows, p, classes=classes)
    known = (rows["label"] != "").to_numpy()
    truth = pd.Index(classes).get_indexer(pd.Index(rows.loc[known, "label"]))
    figures = metrics.overall(metrics.Outcome(truth, said[known]), np.ones((1, len(truth))))
    return {"clips": len(truth)} | {name: float(values[0]) for (name,), values in figures.items()}


@click.command()
@click.option("--train", type=click.Path(path_type=Path), required=True, help="The training list.")
@click.option("--folds", type=click.Path(path_type=Path), required=True, help="The fold of each clip.")
@click.option("--groups", type=click.Path(path_type=Path), required=True, help="What must not be split.")
@click.option("--features", "described", type=click.Path(path_type=Path), required=True, help="The clips' vectors.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the figures go.")
@click.option("--workers", type=click.IntRange(min=1), default=joblib.cpu_count, help="Processes.  [default: all CPUs]")
def main(train: Path, folds: Path, groups: Path, described: Path, out: Path, workers: int) -> None:
    """Write how well the machines do on each division into folds; with a test fold, which judges alone, nothing."""
    classes = params.Data.load("data").classes
    rows = rounds.listing(tables.read(train, tables.TRAIN), tables.read(folds, tables.FOLDS))
    tables.check_labels(rows["label"], classes, train)
    if (rows["fold"] == rounds.TEST).any():
        tables.write(tables.REPEATS.empty(), out, tables.REPEATS)
        click.echo("repeats: none, the test fold judges")
        return
    grouped = rows.merge(tables.read(groups, tables.GROUPS)[["clip_id", "group"]], on="clip_id", validate="one_to_one")
    p, machine = Params.load("repeats"), svm.Params.load("svm")
    found = repeats(vectors.read(described), grouped, p, machine, classes=classes, workers=workers)
    tables.write(found, out, tables.REPEATS)
    accuracy = found["balanced_accuracy"]
    click.echo(f"repeats: balanced accuracy {accuracy.min():.2f} to {accuracy.max():.2f} in {len(found)} divisions")


if __name__ == "__main__":
    main()
