"""Draw what changes of the clips cost the models: a curve an axis, and the changes of one severity side by side."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from training import svg
from training.bootstrap import Estimate
from training.degrade import AXES, CLEAN, Condition
from training.findings import Findings
from training.picture import Picture
from training.robustness import WORDS

NAMES = {
    "gain_db": "gain (dB)",
    "snr_db": "ratio of sound to noise (dB)",
    "mp3_kbps": "MP3 (kbit/s)",
    "opus_kbps": "Opus (kbit/s)",
    "bandwidth_hz": "bandwidth (Hz)",
    "reverberation_s": "reverberation (s)",
    "crop_s": "length of the crop (s)",
}
RISING = ("reverberation_s",)  # of the other axes the smaller figure is the larger change; a gain has two sides
AS_IT_IS = "none"


def pictures(found: Findings) -> Iterator[Picture]:
    """Yield the pictures of the changed clips."""
    changed = found.shifts[found.shifts["axis"].isin([CLEAN[0], *AXES])]
    conditions = {axis: _conditions(axis, changed.loc[changed["axis"] == axis, "severity"]) for axis in AXES}
    yield from (curve(changed, axis, along) for axis, along in conditions.items() if len(along) > 2)
    if single := [along[1] for along in conditions.values() if len(along) == 2]:
        yield others(changed, single)


def _conditions(axis: str, severities: pd.Series) -> list[Condition]:
    """Return the conditions of an axis in the order in which they are drawn, the clean one among them."""
    along = sorted(severities.unique(), reverse=axis not in (*RISING, "gain_db"))
    place = sum(severity < 0 for severity in along) if axis == "gain_db" else 0
    conditions: list[Condition] = [(axis, float(severity)) for severity in along]
    return [*conditions[:place], CLEAN, *conditions[place:]]


def curve(changed: pd.DataFrame, axis: str, along: Sequence[Condition]) -> Picture:
    """Return the balanced accuracy of each model along one axis."""
    names = [AS_IT_IS if severity is None else f"{severity:g}" for _, severity in along]
    x = svg.across(NAMES[axis], 0, len(along) - 1, list(enumerate(names)))
    y = svg.upwards("balanced accuracy", 0, 1, svg.TENTHS)
    marks: list[Markup] = []
    known = _figures(changed, along)
    for series, figures in enumerate(known.values()):
        if all(figure.known for figure in figures):
            lower, upper = ([(x(n), y(end)) for n, end in enumerate(ends)] for ends in _ends(figures))
            marks.append(svg.band(lower, upper, series))
        points = [(x(n), y(figure.value)) for n, figure in enumerate(figures)]
        marks += [svg.line(points, series), *(svg.dot(*point, series) for point in points)]
    title = f"Changed clips: {NAMES[axis].partition(' (')[0]}"
    words = (
        f"{AS_IT_IS.capitalize()}: the clips as they are. Where a line falls from there, models will do worse on such "
        "sound than the evidence says. Bands: 95 % intervals."
    )
    rows = [[model, *(f"{figure:.2f}" for figure in figures)] for model, figures in known.items()]
    return Picture(title, words, svg.chart(title, x, y, marks, list(known)), ("model", *names), rows)


def others(changed: pd.DataFrame, single: Sequence[Condition]) -> Picture:
    """Return the balanced accuracy of each model under changes of which there is one severity each."""
    shown: list[Condition] = [CLEAN, *single]
    names = ["no change", *(WORDS[axis].format(severity) for axis, severity in single)]
    known = _figures(changed, shown)
    x = svg.across("balanced accuracy", 0, 1, svg.TENTHS)
    y = svg.rows("", names, named=False)
    marks: list[Markup] = []
    for row, name in enumerate(names):
        marks.append(svg.text(svg.LEFT + 2, y(row + 0.35), name, "start"))
        for series, figures in enumerate(known.values()):
            figure, middle = figures[row], y(row + 0.45 + 0.45 * (series + 0.5) / len(known))
            if figure.known:
                marks.append(svg.line([(x(figure.low), middle), (x(figure.high), middle)], series, dash=""))
            marks.append(svg.dot(x(figure.value), middle, series))
    title = "Changed clips: codecs, band, room, length"
    words = "Dots to the left of those of no change: models will do worse on such sound than the evidence says."
    rows = [[name, *(f"{figures[row]:.2f}" for figures in known.values())] for row, name in enumerate(names)]
    return Picture(title, words, svg.chart(title, x, y, marks, list(known)), ("change", *known), rows)


def _figures(changed: pd.DataFrame, along: Sequence[Condition]) -> dict[str, list[Estimate]]:
    """Return by model the balanced accuracy under each condition."""
    figures = changed[["balanced_accuracy", "low", "high"]].to_numpy(np.float64)
    keys = zip(changed["model"], changed["axis"], changed["severity"], strict=True)
    found = {
        (model, axis, None if axis == CLEAN[0] else severity): Estimate(*row)
        for (model, axis, severity), row in zip(keys, figures, strict=True)
    }
    return {model: [found[model, *condition] for condition in along] for model in sorted(set(changed["model"]))}


def _ends(figures: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    return [figure.low for figure in figures], [figure.high for figure in figures]
