"""Draw what the models say and how they learned it."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from curation.markdown import code
from training import evidence, learned, svg
from training.findings import Findings
from training.picture import Picture

BINS = 10  # of a score
POINTS = 1000  # of a curve, about as many as one can see
LOSSES = [(n / 4, f"{n / 4:.2f}") for n in range(41)]


def pictures(found: Findings) -> Iterator[Picture]:
    """Yield the pictures of the models."""
    yield intervals(found)
    for model in found.metrics:
        yield scores(found, model)
        yield confusion(found, model)
    yield precision_recall(found)
    yield reliability(found)
    for model in found.trainings:
        yield losses(found, model)


def intervals(found: Findings) -> Picture:
    """Return the balanced accuracy of each model with its interval, beside chance."""
    known = {model: evidence.estimate(measured["balanced_accuracy"]) for model, measured in found.metrics.items()}
    chance = 1 / len(found.classes)
    x = svg.across("balanced accuracy", 0, 1, svg.TENTHS)
    y = svg.rows("", list(known), named=False)
    marks = [svg.rule((x(chance), svg.BOTTOM), (x(chance), svg.TOP), "one class for all")]
    for row, (model, figure) in enumerate(known.items()):
        middle = y(row + 0.6)
        if figure.known:
            marks.append(svg.line([(x(figure.low), middle), (x(figure.high), middle)], row, dash=""))
        marks += [svg.dot(x(figure.value), middle, row, 6), svg.text(svg.LEFT + 2, y(row + 0.35), model, "start")]
    title = "Balanced accuracy with 95 % intervals"
    rows = [[model, f"{figure:.2f}"] for model, figure in known.items()]
    return Picture(
        title, evidence.resolution(found), svg.chart(title, x, y, marks), ("model", "balanced accuracy"), rows
    )


def scores(found: Findings, model: str) -> Picture:
    """Return the scores of the first class: of clips that are of it upwards, of others downwards."""
    first, *rest = found.classes
    names = (first, rest[0] if len(rest) == 1 else "others")
    truth = found.plots[model]["confusion"].set_index("clip_id")["actual"]
    table = found.predictions[model]
    score = table[table["label"] == first].set_index("clip_id")["probability"].loc[truth.index]
    edges = np.linspace(0, 1, BINS + 1)
    own, others = (np.histogram(score[mask], edges)[0] for mask in (truth == first, truth != first))
    most = max(1, own.max(), others.max())
    ticks = [(sign * count, name) for count, name in svg.counts(most) for sign in ((1, -1) if count else (1,))]
    x, y = svg.across(f"score of {first}", 0, 1, svg.TENTHS), svg.upwards("clips", -most, most, ticks)
    marks = [
        svg.bar(x(left), x(right), y(0), y(height), series)
        for series, heights in enumerate((own, -others))
        for (left, right), height in zip(pairwise(edges), heights, strict=True)
    ]
    marks.append(svg.rule((svg.LEFT, y(0)), (svg.RIGHT, y(0))))
    title = f"Scores of {model}: up {names[0]}, down {names[1]}"
    auc = found.verdicts[model].roc_auc
    words = f"A model that tells them apart has the upper bars right and the lower left. AUC {auc:.2f}."
    rows = [
        [f"{left:.1f} to {right:.1f}", str(up), str(down)]
        for (left, right), up, down in zip(pairwise(edges), own, others, strict=True)
    ]
    return Picture(title, words, svg.chart(title, x, y, marks, names), ("score", *names), rows)


def confusion(found: Findings, model: str) -> Picture:
    """Return how often each class is taken for each."""
    classes, said = list(found.classes), found.plots[model]["confusion"]
    table = pd.crosstab(said["actual"], said["predicted"]).reindex(index=classes, columns=classes, fill_value=0)
    longest = max(3, 56 // len(classes))  # characters that fit under a column
    ticks = [(column + 0.5, svg.shortened(label, longest)) for column, label in enumerate(classes)]
    x, y = svg.across("said", 0, len(classes), ticks, lines=False), svg.rows("label", classes)
    marks = []
    for row, counts in enumerate(table.to_numpy()):
        for column, clips in enumerate(counts):
            share = clips / max(1, counts.sum())
            shown = f"{clips} ({share:.0%})" if len(classes) < 5 else f"{clips}"
            marks.append(svg.cell(x(column), x(column + 1), y(row), y(row + 1), share, shown))
    title = f"What {model} takes each class for"
    rows = [[label, *map(str, counts)] for label, counts in zip(classes, table.to_numpy(), strict=True)]
    words = f"Read along a row. {code(found.verdicts[model].commonest)} is said most."
    return Picture(title, words, svg.chart(title, x, y, marks), ("label", *classes), rows)


def precision_recall(found: Findings) -> Picture:
    """Return the precision of each model at each recall of the first class."""
    first = found.classes[0]
    truth = next(iter(found.plots.values()))["confusion"]["actual"]
    share = float((truth == first).mean())
    x, y = svg.across(f"recall of {first}", 0, 1, svg.TENTHS), svg.upwards("precision", 0, 1, svg.TENTHS)
    marks = [svg.rule((svg.LEFT, y(share)), (svg.RIGHT, y(share)), f"always {first}")]
    rows = []
    for series, (model, tables) in enumerate(found.plots.items()):
        curve = tables["precision_recall"]
        points = curve[["recall", "precision"]].iloc[:: 1 + len(curve) // POINTS].to_numpy()
        marks.append(svg.line([(x(recall), y(precision)) for recall, precision in points], series))
        at = [curve.loc[curve["recall"] >= recall, "precision"].max() for recall in (0.5, 0.8, 0.95)]
        rows.append([model, *(f"{precision:.2f}" for precision in at)])
    title = f"Precision and recall of {first}"
    words = f"A curve near the thin line knows no more than that {share:.0%} are {code(first)}."
    header = ("model", *(f"precision at recall {recall}" for recall in ("0.50", "0.80", "0.95")))
    return Picture(title, words, svg.chart(title, x, y, marks, list(found.plots)), header, rows)


def reliability(found: Findings) -> Picture:
    """Return how often models are right that say they are so sure."""
    x, y = svg.across("confidence", 0, 1, svg.TENTHS), svg.upwards("share right", 0, 1, svg.TENTHS)
    marks, rows = [svg.rule((x(0), y(0)), (x(1), y(1)))], []
    for series, (model, tables) in enumerate(found.plots.items()):
        bins = tables["reliability"]
        points = [(x(one), y(other)) for one, other in bins[["confidence", "accuracy"]].to_numpy()]
        sizes = 3 + 6 * np.sqrt(bins["clips"] / bins["clips"].max())
        marks += [
            svg.line(points, series),
            *(svg.dot(*point, series, r) for point, r in zip(points, sizes, strict=True)),
        ]
        rows += [[model, f"{row.confidence:.2f}", f"{row.accuracy:.2f}", str(row.clips)] for row in bins.itertuples()]
    title = "Reliability: how sure models are, and how often right"
    words = (
        "On the diagonal a score can be taken at its word; below it a model is too sure. Larger marks are more clips."
    )
    header = ("model", "confidence", "share right", "clips")
    return Picture(title, words, svg.chart(title, x, y, marks, list(found.plots)), header, rows)


def losses(found: Findings, model: str) -> Picture:
    """Return the training loss of a model, a thin line a round."""
    training = found.trainings[model]
    guess = learned.guessing(found.train, training.recipe)
    floor = learned.fitting(found.train, training.recipe)
    most = max(guess, *(one.max() for one in training.losses)) * 1.1
    epochs = max(map(len, training.losses))
    x = svg.across("epoch", 1, max(2, epochs), [tick for tick in svg.counts(epochs) if tick[0]])
    y = svg.upwards("training loss", 0, most, [tick for tick in LOSSES if tick[0] <= most])
    marks = [svg.line([(x(n), y(v)) for n, v in enumerate(one, 1)], 0, dash="") for one in training.losses]
    marks += [
        svg.rule((svg.LEFT, y(guess)), (svg.RIGHT, y(guess)), "guessing"),
        svg.rule((svg.LEFT, y(floor)), (svg.RIGHT, y(floor)), "known by heart"),
    ]
    title = f"Training of {model}, a line a round"
    words = (
        "A line that stays at guessing never learned, one that still falls ended too early, one that rises diverged."
    )
    parts = learned.course(training.losses)
    rows = [[f"{number} of {learned.PARTS}", f"{loss:.3f}"] for number, loss in enumerate(parts, 1)]
    return Picture(title, words, svg.chart(title, x, y, marks), ("part of the training", "mean loss"), rows)
