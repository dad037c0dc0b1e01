"""Compare runs of one recipe that differ in their luck alone: how often does `earmark diff` call one of them better?

python bench/aa.py [--data FOLDER] [--runs N] [--refold] [--out FILE]      FOLDER: ESC-10, with small.csv and audio/

Every pair of runs is compared by `training.compare`, and the words are those of the verdict. LiteCNN's runs have other
seeds on the same folds, with --refold other folds as well: repeated cross-validation. The support vector machines have
no seed but its folds. Simulated runs have luck of their own in every group. Runs may be called apart in 5 % of the
pairs; where the binomial interval lies above that, this fails. It takes pairs for independent; those that share a run
are not quite.

Beside it stands the luck of a run: the deviation of balanced accuracy over the runs, and half of the first one's 95 %
interval, which knows of other clips and of no other run.
"""

import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import click
import joblib
import labels
import numpy as np
import pandas as pd
import reach
from numpy.typing import NDArray
from scipy import stats

from curation import files, params, verdict
from curation.snapshot import Snapshot, parse
from training import bootstrap, clips, compare, lite_cnn, mel, metrics, rounds, svm

FOLDS = 3  # a few minutes on two cores
MOST = 0.05  # of the pairs may be called apart
RESAMPLES = 199  # with the difference itself 200 swaps, of which 10 are 5 %
MACHINES, PAIRS = 16, 400  # runs of the support vector machines; pairs of simulated runs
GROUPS, SKILL, LUCK = 60, 1.5, 1.0  # of a simulated set; in logits, with what all runs have in common
LITE = "lite_cnn"


def revision(label: NDArray[np.str_], group: NDArray[np.str_], first: metrics.Floats) -> Snapshot:
    """Return a revision in which a model gave these probabilities of the first class."""
    ids = [f"{number:04}" for number in range(len(label))]
    both = [(name, one) for one in first for name, one in zip(labels.CLASSES, (one, 1 - one), strict=True)]
    parts = {
        "clips": pd.DataFrame({"clip_id": ids, "group": group}),
        "labels": pd.DataFrame({"clip_id": ids, "label": label}),
        "folds": pd.DataFrame({"clip_id": ids, "fold": 0}),
        "predictions/model": pd.DataFrame(both, columns=["label", "probability"]).assign(clip_id=np.repeat(ids, 2)),
    }
    return parse({name: table.to_csv(index=False).encode() for name, table in parts.items()})


def words(before: Snapshot, after: Snapshot) -> str:
    """Return what the verdict says of the second, balanced accuracy of the same clips compared."""
    with mock.patch.object(compare, "RESAMPLES", RESAMPLES):
        found = compare.compare(before, after)
    return verdict.effect(verdict.HEADLINE, found["model"]) if found else "the same"


def simulated(seed: int, luck: float = LUCK) -> tuple[Snapshot, Snapshot]:
    """Return two runs of one model on the same clips, one or two a group."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), rng.integers(1, 3, GROUPS))
    label = np.array(labels.CLASSES)[group % 2]
    common = rng.normal(size=GROUPS) + SKILL * np.where(np.arange(GROUPS) % 2, -1, 1)
    runs = [1 / (1 + np.exp(-(common + rng.normal(0, luck, GROUPS))[group])) for _ in range(2)]
    one, other = (revision(label, group.astype(str), run) for run in runs)
    return one, other


def share(said: Sequence[str]) -> tuple[float, float, float]:
    """Return the share of pairs called better or worse, and the exact 95 % interval."""
    called = sum(one in ("better", "worse") for one in said)
    interval = stats.binomtest(called, len(said)).proportion_ci()
    return called / len(said), float(interval.low), float(interval.high)


def real(
    data: Path, runs: int, *, refold: bool
) -> Iterator[tuple[str, NDArray[np.str_], NDArray[np.str_], list[metrics.Floats]]]:
    """Yield a model, the labels and groups of the clips, and the probability of the first class in each run."""
    about, resolution, p = params.Data.load("data"), mel.Params.load("mel"), lite_cnn.Params.load(LITE)
    with tempfile.TemporaryDirectory() as work:
        cut, vectors, mels, _ = labels.read(data, Path(work), "small.csv")
        samples, sounds = clips.read(Path(work), cut["clip_id"].tolist(), about)
    corpus = labels.corpus_of(np.ones(len(cut), bool), cut, vectors, mels)
    label = np.array(labels.CLASSES)[corpus.truth]
    listed = [reach.listing(cut["clip_id"], label, corpus.group, seed, folds=FOLDS) for seed in range(MACHINES)]
    yield "svm", label, corpus.group, [reach.machine(vectors, rows, svm.Params.load("svm")) for rows in listed]
    x, lengths = lite_cnn.inputs(samples, sounds, resolution, rate_hz=about.rate_hz)
    tasks = []
    for seed in range(runs):
        rows = listed[seed if refold else 0]
        held = clips.Clips(x, lengths, *rounds.targets(rows, labels.CLASSES))
        turns = rounds.rounds(rows, labels.CLASSES, validate=False)
        tasks += [(held, turn, p.model_copy(update={"seed": seed}), resolution) for turn in turns]
    found = joblib.Parallel(joblib.cpu_count())(joblib.delayed(reach.held_out)(*task) for task in tasks)
    said = np.empty((runs, len(label)))
    for number, (task, part) in enumerate(zip(tasks, found, strict=True)):
        said[number // FOLDS, task[1].held_out.numpy()] = part[:, 0]
    yield LITE, label, corpus.group, [*said]


def luck(
    label: NDArray[np.str_], group: NDArray[np.str_], runs: Sequence[metrics.Floats]
) -> tuple[float, float, float]:
    """Return balanced accuracy: the mean of the runs, their deviation, and half of the first run's 95 % interval."""
    truth = np.array([labels.CLASSES.index(name) for name in label])
    outcomes = [metrics.Outcome(truth, np.column_stack([run, 1 - run])) for run in runs]
    once = np.ones((1, len(truth)))
    figures = [metrics.balanced_accuracy(outcome, once)[0] for outcome in outcomes]
    first = bootstrap.estimate(
        lambda weights: {"": metrics.balanced_accuracy(outcomes[0], weights)}, pd.factorize(group)[0], 1000, seed=0
    )[""]
    return float(np.mean(figures)), float(np.std(figures, ddof=1)), (first.high - first.low) / 2


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=labels.ESC10, show_default=True)
@click.option("--runs", type=click.IntRange(2, MACHINES), default=8, show_default=True, help="Of LiteCNN.")
@click.option("--refold", is_flag=True, help="Other folds in each run of LiteCNN.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go, as JSON.")
def main(data: Path, runs: int, refold: bool, out: Path | None) -> None:
    """Print how often runs of one recipe are called apart, and fail where that is too often."""
    parallel = joblib.Parallel(joblib.cpu_count())
    said = parallel(joblib.delayed(lambda seed: words(*simulated(seed)))(seed) for seed in range(PAIRS))
    rows = [("simulated", len(said), *share(said), np.nan, np.nan, np.nan)]
    if not data.is_dir():
        click.echo(f"skipped, what is real: {data} does not exist; --data names a folder of ESC-10")
    for model, label, group, found in real(data, runs, refold=refold) if data.is_dir() else ():
        pairs = itertools.combinations([revision(label, group, run) for run in found], 2)
        said = parallel(joblib.delayed(words)(*pair) for pair in pairs)
        rows.append((model, len(said), *share(said), *luck(label, group, found)))
    columns = ["runs of", "pairs", "called apart", "low", "high", "balanced accuracy", "sd of runs", "half interval"]
    table = pd.DataFrame(rows, columns=columns)
    click.echo(table.to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    if out is not None:
        files.write_json(table.to_dict("records"), out)
    if too_many := table.loc[table["low"] > MOST, "runs of"].tolist():
        sys.exit(f"called apart in more than {MOST:.0%} of the pairs: {', '.join(too_many)}")


if __name__ == "__main__":
    main()
