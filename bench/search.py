"""Choose a recipe of LiteCNN by cross-validation, and judge the choice by recordings that had no say in it.

python bench/search.py [--data FOLDER | --project FOLDER] [--only NAME ...] [--write] [--out FILE]

FOLDER is ESC-10, with small.csv and audio/, or a project after `dvc repro`. The candidates are the section `lite_cnn`
and every recipe of LiteCNN in `recipes` of params.yaml: write there what you want to try.

The best of several figures of the same clips is too good: it was chosen for its luck too. So each fold is also
predicted by the recipe that is best on the other folds, by models that learned from neither (nested cross-validation,
Varma and Simon 2006, doi 10.1186/1471-2105-7-91). What holds folds a and b out judges candidates for both: k folds and
c candidates are c * k * (k + 1) / 2 trainings.
"""

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click
import collapse
import joblib
import numpy as np
import pandas as pd
import reach
import torch
import yaml
from numpy.typing import NDArray

from curation import files, params, tables
from training import bootstrap, clips, lite_cnn, mel, metrics, recipes, rounds

FOLDS = 3  # of ESC-10: a few minutes on two cores
RESAMPLES = 1000
PLAIN = "as it is"  # the first of equals
Held: TypeAlias = frozenset[int]  # folds that nothing is learned from
Hear: TypeAlias = Callable[[lite_cnn.Params], clips.Clips]  # what LiteCNN reads of the clips
Learn: TypeAlias = Callable[[str, Held], metrics.Floats]  # of a candidate: what it says of the clips held out, in order


@dataclass(frozen=True)
class Choice:
    """What was chosen, and what it is worth."""

    best: str  # of all folds
    figures: Mapping[str, float]  # balanced accuracy of each candidate, all folds
    by_fold: Sequence[str]  # what the others chose for each fold
    naive: metrics.Outcome  # of the best
    nested: metrics.Outcome  # each fold by what the others chose


def choose(names: Sequence[str], truth: NDArray[np.int64], fold: NDArray[np.int64], learn: Learn) -> Choice:
    """Return the candidate with the highest balanced accuracy, and how good whoever chooses so is.

    Args:
        names: of the candidates.
        truth: column of the label of each clip.
        fold: of each clip.
        learn: gives the probabilities of both classes for the clips of the folds held out.
    """
    numbers = np.unique(fold).tolist()
    held = [frozenset(some) for count in (1, 2) for some in itertools.combinations(numbers, count)]
    tasks = list(itertools.product(names, held))
    found = joblib.Parallel(joblib.cpu_count())(joblib.delayed(learn)(*task) for task in tasks)
    said = dict(zip(tasks, found, strict=True))

    def alone(name: str, number: int, beside: int | None = None) -> metrics.Floats:
        out = frozenset({number} if beside is None else {number, beside})
        part: metrics.Floats = said[name, out][fold[np.isin(fold, [*out])] == number]
        return part

    def together(by: Mapping[int, str], beside: int | None = None) -> metrics.Outcome:
        where = np.concatenate([np.flatnonzero(fold == number) for number in by])
        order = np.argsort(where)
        parts = [alone(name, number, beside) for number, name in by.items()]
        return metrics.Outcome(truth[where][order], np.concatenate(parts)[order])

    def best(beside: int | None = None) -> tuple[str, dict[str, float]]:
        others = [number for number in numbers if number != beside]
        figures = {name: accuracy(together(dict.fromkeys(others, name), beside)) for name in names}
        return max(figures, key=figures.__getitem__), figures

    name, figures = best()
    by_fold = {number: best(number)[0] for number in numbers}
    return Choice(name, figures, [*by_fold.values()], together(dict.fromkeys(numbers, name)), together(by_fold))


def accuracy(outcome: metrics.Outcome) -> float:
    """Return the balanced accuracy."""
    return float(metrics.balanced_accuracy(outcome, np.ones((1, len(outcome.truth))))[0])


def turn(rows: pd.DataFrame, held: Held) -> rounds.Round:
    """Return the round that learns from no clip of the folds `held`."""
    out = rows["fold"].isin(held)
    learned = np.flatnonzero(~out & (rows["label"] != ""))
    draws = np.repeat(learned, rows["times"].to_numpy()[learned])
    return rounds.Round(min(held), *map(torch.from_numpy, (draws, draws[:0], np.flatnonzero(out))))


def candidates(path: Path) -> dict[str, lite_cnn.Params]:
    """Return the section `lite_cnn` of the file `path` and its recipes, by name."""
    plain = lite_cnn.Params.load("lite_cnn", path).model_dump()
    named = (recipes.Params.load("recipes", path).model_extra or {}).items()
    changes = {PLAIN: {}} | {name: of for name, of in named if of["model"] == "lite_cnn"}
    return {
        name: lite_cnn.Params.model_validate(
            recipes.changed(plain, {key: value for key, value in of.items() if key != "model"})
        )
        for name, of in changes.items()
    }


def sample(data: Path, work: Path) -> tuple[pd.DataFrame, Hear]:
    """Return the clips of ESC-10's small set, as `rounds.listing` does with their `group`, and what LiteCNN hears."""
    corpus = collapse.Corpus(data, work)
    group = corpus.clips["group"].to_numpy(str)
    rows = reach.listing(corpus.clips["clip_id"], corpus.truth, group, 0, folds=FOLDS).assign(group=group)
    targets = rounds.targets(rows, collapse.CLASSES)
    return rows, lambda p: clips.Clips(*corpus.inputs(p), *targets)


def project(folder: Path) -> tuple[pd.DataFrame, Hear]:
    """Return the same of a project, without its test fold and what is not labelled."""
    path, data = folder / "params.yaml", folder / "data"
    about, resolution = params.Data.load("data", path), mel.Params.load("mel", path)
    train, folds, groups = (
        tables.read(data / table.name, table) for table in (tables.TRAIN, tables.FOLDS, tables.GROUPS)
    )
    rows = rounds.listing(train, folds).merge(groups[["clip_id", "group"]], on="clip_id")
    rows = rows[(rows["fold"] != rounds.TEST) & (rows["label"] != "")].reset_index(drop=True)
    samples, lengths = clips.read(data / "clips", rows["clip_id"].tolist(), about)
    targets = rounds.targets(rows, about.classes)

    def hear(p: lite_cnn.Params) -> clips.Clips:
        read = lite_cnn.inputs(samples, lengths, resolution, rate_hz=about.rate_hz, speeds=p.augment.speeds)
        return clips.Clips(*read, *targets)

    return rows, hear


def told(choice: Choice, groups: NDArray[np.int64]) -> pd.DataFrame:
    """Return balanced accuracy with its 95 % interval: of each candidate, of the best of them, and of choosing it."""
    both = bootstrap.estimate(
        lambda weights: {
            name: metrics.balanced_accuracy(outcome, weights)
            for name, outcome in (("the best of them", choice.naive), ("choosing it, nested", choice.nested))
        },
        groups,
        RESAMPLES,
        seed=0,
    )
    rows = {name: (figure, np.nan, np.nan) for name, figure in choice.figures.items()}
    rows |= {name: (found.value, found.low, found.high) for name, found in both.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["balanced accuracy", "low", "high"])


def write(path: Path, name: str) -> None:
    """Set `lite_cnn.recipe` in the file `path` and leave every other character as it is."""
    text = path.read_text(encoding="utf-8")
    node = yaml.compose(text)
    for key in ("lite_cnn", "recipe"):
        node = next(value for known, value in node.value if known.value == key)
    recipe = "null" if name == PLAIN else name
    path.write_text(text[: node.start_mark.index] + recipe + text[node.end_mark.index :], encoding="utf-8")


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=collapse.ESC10, show_default=True)
@click.option("--project", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Instead.")
@click.option("--only", multiple=True, help="Some of the candidates.")
@click.option("--write", "chosen", is_flag=True, help="Set `lite_cnn.recipe` in params.yaml.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go, as JSON.")
def main(data: Path, folder: Path | None, only: tuple[str, ...], chosen: bool, out: Path | None) -> None:
    """Print the balanced accuracy of every candidate, of the best, and of choosing the best."""
    if folder is None and not data.is_dir():
        click.echo(f"skipped: {data} does not exist; --data names a folder of ESC-10")
        return
    path = (folder or Path()) / "params.yaml"
    known, resolution = candidates(path), mel.Params.load("mel", path)
    if wrong := [name for name in only if name not in known]:
        raise click.BadParameter(f"{wrong[0]!r} is no candidate; there are {[*known]}.", param_hint="--only")
    names = [name for name in known if not only or name in only]
    with tempfile.TemporaryDirectory() as work:
        rows, hear = project(folder) if folder else sample(data, Path(work))

    def learn(name: str, out: Held) -> metrics.Floats:
        return reach.held_out(hear(known[name]), turn(rows, out), known[name], resolution).astype(np.float64)

    truth, fold = hear(known[names[0]]).targets.argmax(dim=1).numpy(), rows["fold"].to_numpy()
    choice = choose(names, truth, fold, learn)
    table = told(choice, rows["group"].factorize()[0])
    click.echo(f"{len(rows)} clips in {rows['group'].nunique()} groups, {len(np.unique(fold))} folds\n")
    click.echo(table.to_string(float_format="{:.3f}".format, na_rep=""))
    click.echo(f"\nthe best: {choice.best}; chosen without one fold each: {', '.join(choice.by_fold)}")
    if chosen:
        write(path, choice.best)
    if out is not None:
        files.write_json(table.reset_index(names="candidate").to_dict("records"), out)


if __name__ == "__main__":
    main()
