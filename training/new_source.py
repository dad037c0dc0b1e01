"""Train the support vector machines without one source at a time, and hear what they say of it."""

import pandas as pd

from curation import vectors
from training import robustness, svm

MOST = 10  # sources that are left out in turn, those with the most clips: each takes as long as a round of stage `svm`


def new_sources(
    x: vectors.Vectors,
    rows: pd.DataFrame,
    judged: pd.DataFrame,
    sources: pd.DataFrame,
    p: svm.Params,
    *,
    classes: tuple[str, ...],
) -> dict[str, robustness.Anew]:
    """Return by source what machines say of its judged clips that learned from none of it, nor of any group in it.

    Left out is a source that too few clips judge, one whose clips were predicted without knowing others of it anyhow,
    such as a single group, and one without which a class has no clip to learn from.

    Args:
        x: vectors of all clips.
        rows: of all clips `clip_id`, `group` and, as listed for training, `label`, `fold`, `times` and `weight`.
        judged: `clip_id`, `label` and `fold` of the clips to judge by.
        sources: the `source` of a clip and its `place` in `rows`; a clip may have several.
        p: of the machines.
        classes: their names, in the order of the probabilities.
    """
    truth = pd.Index(classes).get_indexer(pd.Index(judged["label"]))
    place = pd.Index(judged["clip_id"]).get_indexer(pd.Index(rows["clip_id"]))[sources["place"]]
    listed = (rows["label"] != "") & (rows["times"] > 0)
    found: dict[str, robustness.Anew] = {}
    judgeable = robustness.judged(truth, sources.assign(place=place)[place >= 0], classes=len(classes))
    for source, places in sorted(judgeable, key=lambda one: -len(one[1])):
        groups = rows["group"].iloc[sources.loc[sources["source"] == source, "place"]]
        left_out = listed & rows["group"].isin(groups)
        kept, folds = rows[listed & ~left_out], {*rows.loc[left_out, "fold"], *judged["fold"].iloc[places]}
        if len(found) < MOST and left_out.any() and len(folds) > 1 and set(kept["label"]) >= set(classes):
            machine = svm.svm(x, kept, p, classes=classes)
            found[source] = places, svm.predict(machine, x.rows(judged["clip_id"].iloc[places]))
    return found
