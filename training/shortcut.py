"""Whether the label can be told without listening, by which measure of the recording, and in which clips."""

from typing import Any

import pandas as pd

from curation import nuisances
from curation.markdown import code
from training.cause import Cause
from training.findings import Findings

ALL = "all"  # in `tables.SHORTCUTS`
NAMED = 3  # clips in the figure; the page for a browser lists all


def cause(found: Findings) -> Cause:
    """Return whether a measure of the recording tells the label better than luck."""
    best = _best(found)
    measure = code(best["measure"])
    figure = f"{measure} alone tells the label with an AUC of {best['auc']:.2f}; luck reaches {best['chance_auc']:.2f}."
    if best["auc"] <= best["chance_auc"]:
        return Cause("shortcuts", "cleared", figure, "")
    files = culprits(found)["file"].tolist()
    named = ", ".join(map(code, files[:NAMED])) + " ..." * (len(files) > NAMED)
    where = (
        f"Of {best['clips']} clips with {code(best['where'])} {best['share']:.0%} are {code(best['label'])}: {named}"
    )
    advice = f"If the recorder made {measure} tell the label, record the classes alike, or bring all files to one form."
    return Cause("shortcuts", "supported", f"{figure} {where}", advice)


def culprits(found: Findings) -> pd.DataFrame:
    """Return the clips that make the shortcut, by file, if it is no luck: those whose label its values tell right.

    They have the most telling values of the most telling measure, and the label that these speak for. Columns are
    clip_id, file, label and those of the measure.
    """
    best = _best(found)
    columns = list(nuisances.MEASURES[best["measure"]])
    measured = found.clips[["clip_id", "file", *columns]]
    labels = found.labels.loc[found.labels["label"] != "", ["clip_id", "label"]]
    rows = measured.merge(labels, on="clip_id", validate="one_to_one")[["clip_id", "file", "label", *columns]]
    if best["auc"] <= best["chance_auc"]:
        return rows.head(0)
    inside = nuisances.bins(rows, columns)[best["where"]].to_numpy()
    told: pd.DataFrame = rows[inside & (rows["label"] == best["label"])].sort_values("file", kind="stable")
    return told


def _best(found: Findings) -> dict[str, Any]:
    single = found.shortcuts[found.shortcuts["measure"] != ALL]
    return {str(name): value for name, value in single.nlargest(1, "auc").iloc[0].items()}
