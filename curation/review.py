"""What people's answers to a clip come to: which of them stand, and how long they took."""

import pandas as pd

NO_ANSWER = ("skipped", "deleted")


def latest(reviews: pd.DataFrame) -> pd.DataFrame:
    """Return the newest version of each answer of each annotator, oldest first.

    Args:
        reviews: `tables.REVIEWS`, its times in ISO 8601.
    """
    when = pd.to_datetime(reviews["reviewed_utc"], utc=True, format="ISO8601")
    ordered = reviews.iloc[when.argsort(kind="stable").to_numpy()]
    return ordered.drop_duplicates(["clip_id", "annotator", "annotation_id", "annotation_utc"], keep="last")


def standing(reviews: pd.DataFrame) -> pd.DataFrame:
    """Return the newest answer of each annotator to each clip, of those that were neither taken back nor are skips."""
    newest = latest(reviews)
    return newest[~newest["answer"].isin(NO_ANSWER)].drop_duplicates(["clip_id", "annotator"], keep="last")


def skipped(reviews: pd.DataFrame) -> set[str]:
    """Return the clips that somebody has skipped and nobody has answered; a skip that was taken back is none."""
    newest = latest(reviews)
    return set(newest.loc[newest["answer"] == "skipped", "clip_id"]) - set(standing(reviews)["clip_id"])


def answered_tasks(reviews: pd.DataFrame) -> set[tuple[str, str]]:
    """Return the tasks, by number and time, with an answer or a skip that nobody is known to have taken back."""
    identity = pd.MultiIndex.from_frame(reviews[["annotation_id", "annotation_utc"]])
    kept = reviews[~identity.isin(identity[reviews["answer"] == "deleted"])]
    return set(zip(kept["task_id"], kept["task_utc"], strict=True))


def minutes(reviews: pd.DataFrame) -> float:
    """Return how long people listened, also for skips and for what they took back.

    The labelling server adds up the seconds of an answer from version to version, so of each answer the most count.
    """
    by_hand = reviews["annotation_id"] == ""
    answers = reviews[~by_hand].groupby(["clip_id", "annotation_id", "annotation_utc"])["seconds"].max()
    return float(answers.sum() + reviews.loc[by_hand, "seconds"].sum()) / 60
