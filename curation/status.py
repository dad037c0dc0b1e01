"""Say how far people are with the queue: asked, answered, open, how well they agree, how long it took."""

from pathlib import Path

import click
import pandas as pd

from curation import review, tables
from curation.annotation import OTHERS


def status(queue: pd.DataFrame, sent: pd.DataFrame, reviews: pd.DataFrame) -> list[str]:
    """Return the lines of the report.

    Args:
        queue: `tables.QUEUE`, what the round asks.
        sent: `tables.SENT`, what is on the server, of this round and of those before.
        reviews: `tables.REVIEWS`.
    """
    newest, standing = review.latest(reviews), review.standing(reviews)
    answered, skipped = set(standing["clip_id"]), review.skipped(reviews)
    on_server = set(sent["clip_id"])
    waiting = queue[~queue["clip_id"].isin(answered | skipped)]
    reasons = ", ".join(f"{count} {reason}" for reason, count in waiting["reason"].value_counts(sort=False).items())
    done, passed = len(on_server & answered), len(on_server & skipped)
    return [
        f"asked     {len(on_server)} clips on the server, {done} answered, {passed} skipped, "
        f"{len(on_server) - done - passed} open",
        f"answers   {len(standing)} standing to {len(answered)} clips, {len(newest) - len(standing)} skipped, "
        "taken back or replaced",
        "          " + ", ".join(f"{(standing['answer'] == one).sum()} {one}" for one in OTHERS),
        f"people    {standing['annotator'].nunique()} annotators, {review.minutes(reviews):.0f} minutes",
        f"agreement {_agreement(standing)}",
        f"queue     {len(waiting)} of {len(queue)} clips to hear" + (f": {reasons}" if reasons else ""),
        f"          {len(set(waiting['clip_id']) - on_server)} of them are not on the server: `earmark push`",
    ]


def _agreement(standing: pd.DataFrame) -> str:
    """Return the share of pairs of answers to the same clip that are the same."""
    same = pairs = 0
    for _, answers in standing.groupby("clip_id")["answer"]:
        counts = answers.value_counts()
        same += int((counts * (counts - 1)).sum()) // 2
        pairs += len(answers) * (len(answers) - 1) // 2
    return f"{same / pairs:.0%} of {pairs} pairs of answers to the same clip" if pairs else "nobody has heard the same"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default="data", help="Folder of the tables.")
def main(data: Path) -> None:
    """Say how far people are, from the tables as they are here; `earmark pull` brings the newest answers first."""
    queue = tables.read(data / "queue.csv", tables.QUEUE)
    sent = tables.read_or_empty(data / "sent.csv", tables.SENT)
    for line in status(queue, sent, tables.read_or_empty(data / "reviews.csv", tables.REVIEWS)):
        click.echo(line)


if __name__ == "__main__":
    main()
