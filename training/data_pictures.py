"""Draw what the data are: how many clips each class has, and what fewer groups and worse labels cost."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from training import svg
from training.findings import Findings
from training.picture import Picture

BLOCKS = 100  # of a class that are drawn one by one


def pictures(found: Findings) -> Iterator[Picture]:
    """Yield the pictures of the data."""
    yield balance(found)
    yield amounts(found.ablations)
    yield spoilt(found.ablations)


def balance(found: Findings) -> Picture:
    """Return how many clips each class has, a block a group."""
    clips = found.labelled[found.labelled["label"] != ""]
    sizes = {
        label: clips.loc[clips["label"] == label, "group"].value_counts().sort_values(ascending=False).tolist()
        for label in found.classes
    }
    most = max(1, *(sum(groups) for groups in sizes.values()))
    x = svg.across("clips", 0, most, svg.counts(most))
    y = svg.rows("", list(sizes), named=False)
    marks = []
    for row, (label, groups) in enumerate(sizes.items()):
        edges = [0, *np.cumsum(groups[:BLOCKS]), *([sum(groups)] if len(groups) > BLOCKS else [])]
        marks += [svg.bar(x(a), x(b), y(row + 0.85), y(row + 0.35), row) for a, b in pairwise(edges)]
        marks.append(svg.text(svg.LEFT + 2, y(row + 0.3), f"{label}: {sum(groups)} clips", "start"))
    title = "Clips of each class, a block a group"
    rows = [[label, str(sum(groups)), str(len(groups)), str(max(groups, default=0))] for label, groups in sizes.items()]
    words = "A group is never split between training and test: a class has as many independent examples as groups."
    if max(map(len, sizes.values())) > BLOCKS:
        words += f" The groups after the {BLOCKS} largest are one block."
    return Picture(title, words, svg.chart(title, x, y, marks), ("class", "clips", "groups", "largest group"), rows)


def amounts(ablations: pd.DataFrame) -> Picture:
    """Return the learning curve: the scoring model with fewer groups."""
    rows = ablations[ablations["what"] == "groups"].sort_values("share")
    known = np.log2(rows["share"])
    x = svg.across(
        "share of the groups learned from",
        known.min(),
        0.0,
        [(np.log2(share), f"{share:.3g}") for share in rows["share"]],
    )
    title = "Learning curve of the scoring model"
    words = "A line that still rises at its end says that more data helps: each step to the right doubles the groups."
    return _ablation(title, words, x, known, rows)


def spoilt(ablations: pd.DataFrame) -> Picture:
    """Return the scoring model with more wrong labels."""
    whole = ablations[(ablations["what"] == "groups") & (ablations["share"] == 1)].assign(share=0.0)
    rows = pd.concat([whole, ablations[ablations["what"] == "labels"]]).sort_values("share")
    x = svg.across(
        "share of labels spoilt", 0, rows["share"].max(), [(share, f"{share:.2g}") for share in rows["share"]]
    )
    title = "What wrong labels cost the scoring model"
    words = (
        "A line that falls steeply says that correcting labels helps: to the left it would rise as steeply, or more."
    )
    return _ablation(title, words, x, rows["share"], rows)


def _ablation(title: str, words: str, x: svg.Scale, places: pd.Series, rows: pd.DataFrame) -> Picture:
    y = svg.upwards("balanced accuracy", 0, 1, svg.TENTHS)
    curves = {
        name: [(x(place), y(value)) for place, value in zip(places, rows[name], strict=True)]
        for name in ("balanced_accuracy", "low", "high")
    }
    known = rows["low"].notna().all() and rows["high"].notna().all()
    marks = [svg.band(curves["low"], curves["high"], 0)] if known else []
    marks += [svg.line(curves["balanced_accuracy"], 0), *(svg.dot(*point, 0) for point in curves["balanced_accuracy"])]
    header = ("share", "balanced accuracy", "lower end", "upper end")
    cells = [
        [f"{share:.3g}", *(f"{v:.2f}" for v in rest)]
        for share, *rest in rows[["share", "balanced_accuracy", "low", "high"]].to_numpy()
    ]
    return Picture(title, words, svg.chart(title, x, y, marks), header, cells)
