"""What people's answers to a clip come to: which of them stand."""

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
