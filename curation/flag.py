"""Flag clips that deserve doubt: labels that are probably wrong, outliers, look-alikes, and faults of the sound."""

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import pandas as pd
from cleanlab import Datalab
from cleanlab.rank import get_label_quality_scores
from pydantic import Field
from sklearn.neighbors import NearestNeighbors

from curation import collapse, files, params, tables, vectors


class Params(params.Section):
    """Section `flag` of params.yaml."""

    max_label_share: float = Field(gt=0, le=1)  # of the labelled clips; the worst come first
    neighbours: int = Field(ge=2)  # clips that outliers and look-alikes are judged against
    max_clipped_share: float = Field(gt=0, le=1)  # of samples in flat runs at the peak
    max_dc_offset: float = Field(gt=0, le=1)  # full scale 1
    max_silent_share: float = Field(gt=0, le=1)  # of the sound
    min_bandwidth_share: float = Field(gt=0, le=1)  # of what the sample rates of recording and clip allow
    min_snr_db: float


def flag(
    labels: pd.DataFrame,
    scores: pd.DataFrame,
    clips: pd.DataFrame,
    groups: pd.DataFrame,
    points: npt.NDArray[np.float32],
    p: Params,
    *,
    data: params.Data,
) -> tuple[pd.DataFrame, collapse.Verdict]:
    """Return `tables.FLAGS`, and the verdict on the scores that the label flags rest on.

    Confident learning with scores of a collapsed model flags the minority class wholesale. Where the verdict is not
    sound, no label is flagged.

    Args:
        labels: `tables.LABELS`.
        scores: `tables.SCORES`, out of sample.
        clips: `tables.CLIPS`, sorted by clip_id.
        groups: `tables.GROUPS`.
        points: one feature vector a clip of `clips`, shape (clips, dimensions).
        p: thresholds.
        data: the classes, and the sample rate of the clips.
    """
    classes = data.classes
    wide = scores.pivot_table(index="clip_id", columns="label", values="probability")[list(classes)]
    labelled = labels[labels["label"] != ""].set_index("clip_id")["label"]
    probabilities = wide.loc[labelled.index].to_numpy()
    group = groups.set_index("clip_id")["group"].loc[labelled.index]
    verdict = collapse.judge(labelled.tolist(), probabilities, classes, group)
    found = [look_alike(clips["clip_id"], points, p.neighbours), faulty_sound(clips, p, rate_hz=data.rate_hz)]
    if verdict.sound:
        found.append(mislabelled(labelled, probabilities, classes, p.max_label_share))
    flags = pd.concat(found, ignore_index=True)
    return flags.assign(label=flags["clip_id"].map(labelled).fillna("")), verdict


def mislabelled(
    labels: pd.Series, probabilities: npt.NDArray[np.float64], classes: tuple[str, ...], max_share: float
) -> pd.DataFrame:
    """Return the clips whose scores point to another class, the worst `max_share` of all.

    Ranked by cleanlab's normalized margin after subtracting each class's mean self-confidence, so that a class that
    is scored low as a whole (the minority, mostly) is not blamed as a whole: Northcutt et al. 2021, "Confident
    Learning", doi 10.1613/jair.1.12125. A margin below 0.5 means that another class is more likely.
    """
    truth = np.array([classes.index(name) for name in labels])
    quality = get_label_quality_scores(truth, probabilities, method="normalized_margin", adjust_pred_probs=True)
    own = np.eye(len(classes), dtype=bool)[truth]
    others = np.where(own, -np.inf, probabilities)
    suspects = pd.DataFrame(
        {
            "clip_id": labels.index,
            "reason": "label",
            "score": quality,
            "suggested": np.array(classes)[others.argmax(axis=1)],
        }
    )
    worst = suspects.sort_values(["score", "clip_id"]).head(int(max_share * len(suspects)))
    return worst[worst["score"] < 0.5]


def look_alike(clip_ids: pd.Series, points: npt.NDArray[np.float32], neighbours: int) -> pd.DataFrame:
    """Return outliers and near-duplicates by cleanlab's Datalab, with the Manhattan distance, as for the scores."""
    index = NearestNeighbors(n_neighbors=min(neighbours, len(points) - 1), metric="manhattan").fit(points)
    lab = Datalab(data={"clip_id": clip_ids.tolist()}, verbosity=0)
    lab.find_issues(
        knn_graph=index.kneighbors_graph(mode="distance"), issue_types={"outlier": {}, "near_duplicate": {}}
    )
    issues = lab.get_issues()
    found = [
        pd.DataFrame({"clip_id": clip_ids[flagged], "reason": reason, "score": issues.loc[flagged, f"{reason}_score"]})
        for reason in ("outlier", "near_duplicate")
        for flagged in [issues[f"is_{reason}_issue"].to_numpy()]
    ]
    return pd.concat(found).assign(suggested="")


def faulty_sound(clips: pd.DataFrame, p: Params, *, rate_hz: int) -> pd.DataFrame:
    """Return the clips beyond a limit; their score is the limit over the measure, or its inverse for a lower limit.

    Args:
        clips: `tables.CLIPS`.
        p: the limits.
        rate_hz: sample rate of the clips.
    """
    tiny = float(np.finfo(np.float64).tiny)
    possible_hz = clips["rate_hz"].clip(upper=rate_hz) / 2
    quality = {
        "clipped": p.max_clipped_share / clips["clipped_share"].clip(lower=tiny),
        "dc_offset": p.max_dc_offset / clips["dc_offset"].abs().clip(lower=tiny),
        "mostly_silent": p.max_silent_share / clips["silent_share"].clip(lower=tiny),
        "low_bandwidth": clips["bandwidth_hz"] / (p.min_bandwidth_share * possible_hz),
        "noisy": clips["snr_db"].clip(lower=0) / p.min_snr_db,
        "dead_channel": 1.0 - clips["dead_channels"].clip(upper=1),
        "inverted_channel": 1.0 - clips["inverted"],
    }
    rows = pd.DataFrame({"clip_id": clips["clip_id"]} | quality).melt("clip_id", var_name="reason", value_name="score")
    return rows[rows["score"] < 1].assign(suggested="")


@click.command()
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels.")
@click.option("--scores", type=click.Path(path_type=Path), required=True, help="Out-of-fold probabilities.")
@click.option("--clips", type=click.Path(path_type=Path), required=True, help="The clips with their measures.")
@click.option("--groups", type=click.Path(path_type=Path), required=True, help="What must not be split.")
@click.option("--features", type=click.Path(path_type=Path), required=True, help="The clips' vectors.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the flags go.")
@click.option("--verdict", type=click.Path(path_type=Path), required=True, help="Where the verdict on the scores goes.")
def main(labels: Path, scores: Path, clips: Path, groups: Path, features: Path, out: Path, verdict: Path) -> None:
    """Write the clips that deserve doubt, and whether the scores could be trusted to doubt labels."""
    measured = tables.read(clips, tables.CLIPS)
    flags, judged = flag(
        tables.read(labels, tables.LABELS),
        tables.read(scores, tables.SCORES),
        measured,
        tables.read(groups, tables.GROUPS),
        vectors.read(features).points(measured["clip_id"].tolist()),
        Params.load("flag"),
        data=params.Data.load("data"),
    )
    tables.write(flags, out, tables.FLAGS)
    files.write_json({"label_issues": "found" if judged.sound else "refused", "why": judged.words}, verdict)
    counts = ", ".join(f"{count} {reason}" for reason, count in flags["reason"].value_counts().items())
    click.echo(f"flag: {counts}" + f"; labels not judged, the scores are {judged.words}" * (not judged.sound))


if __name__ == "__main__":
    main()
