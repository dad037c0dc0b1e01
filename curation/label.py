"""Decide today's label of every clip: what people answered, else the given label."""

from pathlib import Path

import click
import numpy as np
import pandas as pd

from curation import params, review, tables

NO_LABEL = ("none", "bad_audio")  # answers that take a clip out of every class
ABSTAINS = "unsure"


def label(clips: pd.DataFrame, reviews: pd.DataFrame, *, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return `tables.LABELS`.

    The newest answer of each annotator counts, unless they took it back; `skipped` is no answer, `unsure` abstains, and
    the answer given most often wins. A tie decides nothing: the given label stays. Where `none` or `bad_audio` wins,
    the clip has no label and its origin is `review`.
    """
    newest = _newest(reviews, classes)
    clip_ids = pd.Index(clips["clip_id"])
    answers = newest.groupby("clip_id").size().reindex(clip_ids, fill_value=0)
    votes = newest[newest["answer"] != ABSTAINS].replace({"answer": dict.fromkeys(NO_LABEL, "")})
    counts = pd.crosstab(votes["clip_id"], votes["answer"]).reindex(
        index=clip_ids, columns=["", *classes], fill_value=0
    )
    most = counts.max(axis=1)
    decided = (counts.eq(most, axis=0).sum(axis=1) == 1) & (most > 0)
    given = clips.set_index("clip_id")["label"]
    today = given.mask(decided, counts.idxmax(axis=1))
    column = counts.columns.get_indexer(pd.Index(today))
    agreeing = pd.Series(counts.to_numpy()[np.arange(len(counts)), column], clip_ids)
    return pd.DataFrame(
        {
            "label": today,
            "origin": given.where(given == "", "given").replace("", "none").mask(decided, "review"),
            "confidence": (agreeing / answers).where(answers > 0),
            "answers": answers,
        }
    ).reset_index()


def _newest(reviews: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return the newest answer of each annotator to each clip that was neither taken back nor is a skip."""
    allowed = [*classes, *NO_LABEL, ABSTAINS, *review.NO_ANSWER]
    odd = reviews[~reviews["answer"].isin(allowed)]
    if len(odd):
        answer, clip_id, annotator = odd.iloc[0][["answer", "clip_id", "annotator"]]
        raise click.ClickException(
            f"reviews.csv: {len(odd)} answers are none of {allowed}, the first is {answer!r} by {annotator!r} to clip "
            f"{clip_id}. If a class was renamed in `data.classes` of params.yaml, rename it in the answers too."
        )
    when = pd.to_datetime(reviews["reviewed_utc"], utc=True, format="ISO8601", errors="coerce")
    if when.isna().any():
        odd_time = reviews.loc[when.isna(), "reviewed_utc"].iloc[0]
        raise click.ClickException(
            f"reviews.csv: `reviewed_utc` must be a time like 2026-11-22T15:00:00Z, not {odd_time!r}."
        )
    return review.standing(reviews)


@click.command()
@click.option("--clips", type=click.Path(path_type=Path), required=True, help="The clips with their given labels.")
@click.option("--reviews", type=click.Path(path_type=Path), required=True, help="People's answers.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the labels go.")
def main(clips: Path, reviews: Path, out: Path) -> None:
    """Write today's label of every clip."""
    classes = params.Data.load("data").classes
    labels = label(tables.read(clips, tables.CLIPS), tables.read(reviews, tables.REVIEWS), classes=classes)
    tables.write(labels, out, tables.LABELS)
    counts = labels["origin"].value_counts()
    click.echo("label: " + ", ".join(f"{counts.get(origin, 0)} {origin}" for origin in ("given", "review", "none")))


if __name__ == "__main__":
    main()
