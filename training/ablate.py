"""Take training data away and spoil labels, to see what more data and better labels would bring."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from curation import params, tables, vectors
from training import bootstrap
from training.scoring import Floats, Integers, Names, heard, joined, kernel, machine, per_point, training_parts

Share: TypeAlias = tuple[str, float]  # what is left of the groups, or spoilt of the labels

TEST = -1  # in `tables.FOLDS`
WHOLE: Share = ("groups", 1.0)


class Params(params.Section):
    """Section `ablate` of params.yaml."""

    halvings: int = Field(ge=1, le=6)  # of the groups that a model learns from
    spoilt: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        min_length=1
    )  # shares of the labels that another class takes the place of
    folds: int = Field(ge=2, le=20)
    repeats: int = Field(ge=1, le=50)  # each with other folds, other groups taken away, other labels spoilt
    penalty: float = Field(gt=0, le=1000)  # C of the support vector machine, see `scoring.per_point`
    max_clips: int = Field(ge=20)  # of larger sets some groups are drawn
    resamples: int = Field(ge=100)  # bootstrap resamples of the groups, for the intervals
    seed: int = Field(ge=0, lt=2**31)

    @property
    def shares(self) -> list[Share]:
        """What is tried, the whole first."""
        kept: list[Share] = [("groups", 2.0**-halving) for halving in range(self.halvings + 1)]
        return kept + [("labels", share) for share in self.spoilt]


def ablate(clips: pd.DataFrame, points: NDArray[np.float32], p: Params) -> pd.DataFrame:
    """Return `tables.ABLATIONS`: the balanced accuracy of the scoring model with less data and with worse labels.

    Clips are judged by models that have seen no clip of their group. What halving the groups costs is what the last
    doubling brought. Spoilt labels are judged by as they are learned from: such is the figure that wrong labels leave.
    A clip that is left out is so with its variations.

    Args:
        clips: `clip_id`, `label`, `group`, `fold`; clips without label and the test fold are left out.
        points: standardised features of these clips, and of their variations if there are any, as `Vectors.points` has
            them.
        p: parameters.

    Raises:
        click.ClickException: a class has labelled clips in too few groups.
    """
    chosen = _chosen(clips, p)
    label, group = clips["label"].to_numpy(str)[chosen], pd.factorize(clips["group"].iloc[chosen])[0]
    similarity, _ = kernel(points[heard(chosen, len(clips), len(points))], len(chosen))
    names = np.unique(label)
    runs = [
        _repeat(similarity, label, group, names, p, seed=seed)
        for seed in tqdm(range(p.seed, p.seed + p.repeats), "ablate", unit="repeat", disable=None)
    ]
    truth = {share: np.column_stack([said[share] for said, _ in runs]) for share in p.shares}
    hits = {share: np.column_stack([right[share] for _, right in runs]) for share in p.shares}

    def figures(weights: Floats) -> Mapping[tuple[str, Share], Floats]:
        found = {share: balanced_accuracy(truth[share], hits[share], weights) for share in p.shares}
        costs = {("cost", share): found[WHOLE] - accuracy for share, accuracy in found.items()}
        return costs | {("accuracy", share): accuracy for share, accuracy in found.items()}

    estimates = bootstrap.estimate(figures, group, p.resamples, seed=p.seed)
    counts = {"clips": len(chosen), "groups": len(np.unique(group))}
    return pd.DataFrame([_row(share, estimates, counts) for share in p.shares])


def _chosen(clips: pd.DataFrame, p: Params) -> Integers:
    """Return the rows of the labelled clips outside the test fold, of many those of some groups drawn at random."""
    rows = np.flatnonzero((clips["label"] != "") & (clips["fold"] != TEST))
    group = pd.factorize(clips["group"].iloc[rows])[0]
    size = np.bincount(group)
    order = np.random.default_rng(p.seed).permutation(len(size))
    drawn = order[: max(1, int(np.searchsorted(size[order].cumsum(), p.max_clips, side="right")))]
    return rows[np.isin(group, drawn)]


def _repeat(
    similarity: Floats, label: Names, group: Integers, names: Names, p: Params, *, seed: int
) -> tuple[dict[Share, Names], dict[Share, NDArray[np.bool_]]]:
    """Return the labels that each share is judged by, and who is right, in one cross-validation."""
    rng = np.random.default_rng(seed)
    spoilt = {share: spoil(label, names, share[1], rng) for share in p.shares if share[0] == "labels"}
    said = {share: spoilt.get(share, label) for share in p.shares}
    right = {share: np.zeros(label.shape, np.bool_) for share in p.shares}
    for part in training_parts(label, group, names, folds=p.folds, seed=seed):
        held_out = np.setdiff1d(np.arange(len(label)), part)
        order = rng.permutation(group.max() + 1)
        for share in p.shares:
            kept = part if share in spoilt else part[thin(label[part], group[part], share[1], order)]
            known = heard(kept, len(label), len(similarity))
            fresh = machine(per_point(p.penalty, len(label), len(similarity)))
            model = fresh.fit(similarity[np.ix_(known, known)], said[share][known % len(label)])
            right[share][held_out] = model.predict(similarity[np.ix_(held_out, known)]) == said[share][held_out]
    return said, right


def spoil(label: Names, names: Names, share: float, rng: np.random.Generator) -> Names:
    """Return the labels with another of `names` in so many randomly chosen places."""
    spoilt = label.copy()
    for place in rng.permutation(len(label))[: round(share * len(label))]:
        spoilt[place] = rng.choice(names[names != label[place]])
    return spoilt


def thin(label: Names, group: Integers, share: float, order: Integers) -> NDArray[np.bool_]:
    """Return which clips stay when of the groups of each class the first `share` in `order` stay, at least one."""
    place = np.argsort(order)[group]
    kept = []
    for name in np.unique(label):
        places = np.unique(place[label == name])
        kept.append(places[: max(1, round(share * len(places)))])
    return np.isin(place, np.concatenate(kept))


def balanced_accuracy(truth: Names, hits: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the mean over the repeats, shape (resamples,), NaN where a class has no weight.

    Args:
        truth: label of each clip, shape (clips, repeats).
        hits: who is right, of this shape.
        weights: how often each clip counts, shape (resamples, clips).
    """
    with np.errstate(invalid="ignore"):
        recalls = [
            (weights @ (hits & (truth == name))) / (weights @ (truth == name).astype(float))
            for name in np.unique(truth)
        ]
    mean: Floats = np.mean(recalls, axis=(0, 2))
    return mean


def _row(
    share: Share, estimates: Mapping[tuple[str, Share], bootstrap.Estimate], counts: Mapping[str, int]
) -> dict[str, str | int | float]:
    accuracy, cost = estimates["accuracy", share], estimates["cost", share]
    return {
        "what": share[0],
        "share": share[1],
        **counts,
        "balanced_accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "cost": cost.value,
        "cost_low": cost.low,
        "cost_high": cost.high,
    }


@click.command()
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels.")
@click.option("--folds", type=click.Path(path_type=Path), required=True, help="Which clips are in the test fold.")
@click.option("--groups", type=click.Path(path_type=Path), required=True, help="What must not be split.")
@click.option("--features", type=click.Path(file_okay=False, path_type=Path), required=True, help="The clips' vectors.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the ablations go.")
def main(labels: Path, folds: Path, groups: Path, features: Path, out: Path) -> None:
    """Write what less data and worse labels do to the scoring model."""
    clips = joined(
        tables.read(labels, tables.LABELS), tables.read(folds, tables.FOLDS), tables.read(groups, tables.GROUPS)
    )
    points = vectors.read(features).points(clips["clip_id"].tolist(), varied=True)
    found = ablate(clips, points, Params.load("ablate"))
    tables.write(found, out, tables.ABLATIONS)
    whole = found.loc[found["share"] == 1, "balanced_accuracy"].item()
    click.echo(f"ablate: {len(found)} variants; balanced accuracy of the whole {whole:.2f}")


if __name__ == "__main__":
    main()
