"""Compare runs of one recipe that differ in their luck alone: how often does `earmark diff` call one of them better?

python bench/aa.py [--data FOLDER] [--runs N] [--refold] [--out FILE]      FOLDER: ESC-10, with the tables and audio/

Pairs of runs are compared by `training.compare`, and the words are those of the verdict. Runs may be called apart in
5 % of the pairs; where the binomial interval lies above that, this fails. So that nobody buys this by calling all the
same, one of two machines learns from wrong labels too: how often that is seen has no limit.

Simulated runs have luck of their own in every group. Those of the support vector machines learn from other folds; each
pair has its own hundred clips, for on some sets luck is called a difference more often than on others. LiteCNN's runs
have other seeds on the same clips, with --refold other folds as well: repeated cross-validation. There every run is in
several pairs, and the interval is that of as many pairs as share no run: what holds for their mean holds for the mean
of all (Hoeffding 1963, section 5b, doi:10.1080/01621459.1963.10500830).

Beside it stands the luck of a run: the deviation of balanced accuracy between runs on the same clips, and half of the
first one's 95 % interval, which knows of other clips and of no other run.
"""

import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias
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
from curation.vectors import Vectors
from training import bootstrap, clips, compare, lite_cnn, mel, metrics, rounds, svm

FOLDS = 3  # of LiteCNN: a few minutes on two cores
MOST = 0.05  # of the pairs may be called apart
RESAMPLES = 199  # with the difference itself 200 swaps, of which 10 are 5 %
PAIRS, MACHINES = 400, 100  # of simulated runs; of support vector machines, for each number of folds
OF_MACHINES = (3, 5)  # folds: the fewest there may be, and as params.yaml comes
WRONG = 0.2  # of the labels that a worse machine learns from
SAMPLE = 50  # clips of each class in the set of a pair
GROUPS, SKILL, LUCK = 60, 1.5, 1.0  # of a simulated set; in logits, with what all runs have in common
LITE = "lite_cnn"


class Run(NamedTuple):
    """What a model said of the clips, and what the clips are."""

    label: NDArray[np.str_]
    group: NDArray[np.str_]
    fold: NDArray[np.int64]
    first: metrics.Floats  # probability of the first class


Pair: TypeAlias = tuple[Run, Run]


def revision(run: Run) -> Snapshot:
    """Return a revision in which a model said so."""
    ids = [f"{number:04}" for number in range(len(run.label))]
    both = [(name, one) for p in run.first for name, one in zip(labels.CLASSES, (p, 1 - p), strict=True)]
    parts = {
        "clips": pd.DataFrame({"clip_id": ids, "group": run.group}),
        "labels": pd.DataFrame({"clip_id": ids, "label": run.label}),
        "folds": pd.DataFrame({"clip_id": ids, "fold": run.fold}),
        "predictions/model": pd.DataFrame(both, columns=["label", "probability"]).assign(clip_id=np.repeat(ids, 2)),
    }
    return parse({name: table.to_csv(index=False).encode() for name, table in parts.items()})


def words(before: Run, after: Run) -> str:
    """Return what the verdict says of the second, balanced accuracy of the same clips compared."""
    with mock.patch.object(compare, "RESAMPLES", RESAMPLES):
        found = compare.compare(revision(before), revision(after))
    return verdict.effect(verdict.HEADLINE, found["model"]) if found else "the same"


def simulated(seed: int, luck: float = LUCK) -> Pair:
    """Return two runs of one model on the same clips, one or two a group."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), rng.integers(1, 3, GROUPS))
    label = np.array(labels.CLASSES)[group % 2]
    common = rng.normal(size=GROUPS) + SKILL * np.where(np.arange(GROUPS) % 2, -1, 1)
    one, other = (
        Run(label, group.astype(str), 0 * group, 1 / (1 + np.exp(-(common + rng.normal(0, luck, GROUPS))[group])))
        for _ in range(2)
    )
    return one, other


def share(said: Sequence[str], independent: int) -> tuple[float, float, float]:
    """Return the share of pairs called better or worse, and the exact 95 % interval of so many pairs."""
    called = sum(one in ("better", "worse") for one in said) / len(said)
    count = called * independent  # not always whole: the interval by the beta distribution needs no whole number
    low = stats.beta.ppf(0.025, count, independent - count + 1) if count else 0
    high = stats.beta.ppf(0.975, count + 1, independent - count) if called < 1 else 1
    return called, float(low), float(high)


def sample(label: NDArray[np.str_], group: NDArray[np.str_], seed: int) -> NDArray[np.bool_]:
    """Return which clips are in a set of whole groups, `SAMPLE` clips of each class or few more."""
    chosen = np.zeros(len(label), bool)
    for one in np.random.default_rng(seed).permutation(np.unique(group)):
        own = group == one
        chosen |= own & (sum(chosen & (label == label[own][0])) < SAMPLE)
    return chosen


def machines(vectors: Vectors, cut: pd.DataFrame, seed: int, folds: int, wrong: float) -> Pair:
    """Return two runs of the support vector machines on the same clips in other folds, one from some wrong labels."""
    ids, label, group = (cut[name].to_numpy(str) for name in ("clip_id", "label", "group"))
    own = sample(label, group, seed)
    p = svm.Params.load("svm")

    def run(number: int, wrong: float) -> Run:
        rows = reach.listing(pd.Series(ids[own]), label[own], group[own], number, folds=folds)
        flipped = np.random.default_rng(number).random(len(rows)) < wrong
        rows["label"] = rows["label"].mask(flipped, np.where(rows["label"] == labels.CLASSES[0], *labels.CLASSES[::-1]))
        return Run(label[own], group[own], rows["fold"].to_numpy(), reach.machine(vectors, rows, p))

    return run(2 * seed, wrong), run(2 * seed + 1, 0)


def networks(folder: Path, cut: pd.DataFrame, runs: int, *, refold: bool) -> list[Run]:
    """Return runs of LiteCNN with other seeds on the same clips, those in `folder`."""
    ids, label, group = (cut[name].to_numpy(str) for name in ("clip_id", "label", "group"))
    about, p, resolution = params.Data.load("data"), lite_cnn.Params.load(LITE), mel.Params.load("mel")
    heard = lite_cnn.inputs(
        *clips.read(folder, ids.tolist(), about), resolution, rate_hz=about.rate_hz, speeds=p.augment.speeds
    )
    listed = [reach.listing(pd.Series(ids), label, group, seed if refold else 0, folds=FOLDS) for seed in range(runs)]
    tasks = [
        (held, turn, p.model_copy(update={"seed": seed}), resolution)
        for seed, rows in enumerate(listed)
        for held in [clips.Clips(*heard, *rounds.targets(rows, labels.CLASSES))]
        for turn in rounds.rounds(rows, labels.CLASSES, validate=False)
    ]
    found = joblib.Parallel(joblib.cpu_count())(joblib.delayed(reach.held_out)(*task) for task in tasks)
    said = np.empty((runs, len(label)))
    for number, (task, part) in enumerate(zip(tasks, found, strict=True)):
        said[number // FOLDS, task[1].held_out.numpy()] = part[:, 0]
    return [Run(label, group, rows["fold"].to_numpy(), one) for rows, one in zip(listed, said, strict=True)]


def real(data: Path, runs: int, *, refold: bool) -> Iterator[tuple[str, list[Pair], int, bool]]:
    """Yield of each recipe its name, pairs of runs, how many of them share no run, and whether they are alike."""
    with tempfile.TemporaryDirectory() as work:
        cut, vectors, _, _ = labels.read(data, Path(work))
        for folds, wrong in itertools.product(OF_MACHINES, (0, WRONG)):
            task = joblib.delayed(machines)
            pairs = joblib.Parallel(joblib.cpu_count())(
                task(vectors, cut, seed, folds, wrong) for seed in range(MACHINES)
            )
            yield f"svm, {folds} folds" + ", one worse" * (wrong > 0), pairs, MACHINES, not wrong
        small = cut[cut["file"].isin(pd.read_csv(data / "small.csv")["file"])]
        pairs = [*itertools.combinations(networks(Path(work), small, runs, refold=refold), 2)]
        yield LITE + ", other folds" * refold, pairs, runs // 2, True


def luck(pairs: Sequence[Pair]) -> tuple[float, float, float]:
    """Return balanced accuracy: its mean, its deviation from run to run, and half of the first one's 95 % interval."""
    figures = np.array(
        [[metrics.balanced_accuracy(outcome(run), np.ones((1, len(run.label))))[0] for run in pair] for pair in pairs]
    )
    first = pairs[0][0]
    interval = bootstrap.estimate(
        lambda weights: {"": metrics.balanced_accuracy(outcome(first), weights)},
        pd.factorize(first.group)[0],
        1000,
        seed=0,
    )[""]
    between = np.sqrt((np.diff(figures) ** 2).mean() / 2)
    return float(figures.mean()), float(between), (interval.high - interval.low) / 2


def outcome(run: Run) -> metrics.Outcome:
    """Return the same for `metrics`."""
    truth = np.array([labels.CLASSES.index(name) for name in run.label])
    return metrics.Outcome(truth, np.column_stack([run.first, 1 - run.first]))


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=labels.ESC10, show_default=True)
@click.option("--runs", type=click.IntRange(min=2), default=8, show_default=True, help="Of LiteCNN.")
@click.option("--refold", is_flag=True, help="Other folds in each run of LiteCNN.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go, as JSON.")
def main(data: Path, runs: int, refold: bool, out: Path | None) -> None:
    """Print how often runs of one recipe are called apart, and fail where that is too often."""
    parallel = joblib.Parallel(joblib.cpu_count())
    said = parallel(joblib.delayed(lambda seed: words(*simulated(seed)))(seed) for seed in range(PAIRS))
    rows = [("simulated", len(said), *share(said, len(said)), np.nan, np.nan, np.nan)]
    if not data.is_dir():
        click.echo(f"skipped, what is real: {data} does not exist; --data names a folder of ESC-10")
    free = []
    for name, pairs, independent, alike in real(data, runs, refold=refold) if data.is_dir() else ():
        said = parallel(joblib.delayed(words)(*pair) for pair in pairs)
        rows.append((name, len(said), *share(said, independent), *luck(pairs)))
        free += [] if alike else [name]
    columns = ["runs of", "pairs", "called apart", "low", "high", "balanced accuracy", "sd of runs", "half interval"]
    table = pd.DataFrame(rows, columns=columns)
    click.echo(table.to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    if out is not None:
        files.write_json(table.to_dict("records"), out)
    if too_many := table.loc[(table["low"] > MOST) & ~table["runs of"].isin(free), "runs of"].tolist():
        sys.exit(f"called apart in more than {MOST:.0%} of the pairs: {', '.join(too_many)}")


if __name__ == "__main__":
    main()
