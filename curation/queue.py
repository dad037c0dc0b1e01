"""Choose what people should hear next, within a budget: suspects, uncertain and minority-class clips, and an audit."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal, get_args

import click
import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from curation import params, review, tables

Reason = Literal["suspect", "uncertain", "minority", "unlabelled", "audit"]


class Params(params.Section):
    """Section `queue` of params.yaml."""

    budget: int = Field(ge=1)  # clips in one round of listening
    shares: dict[Reason, float]  # of the budget; what a reason cannot fill goes to the audit
    seed: int = Field(ge=0)

    @field_validator("shares")
    @classmethod
    def _whole(cls, shares: dict[Reason, float]) -> dict[Reason, float]:
        if set(shares) != set(get_args(Reason)) or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"{', '.join(get_args(Reason))} each need a share of 0 or more, together 1")
        return shares


def queue(
    labels: pd.DataFrame,
    scores: pd.DataFrame,
    flags: pd.DataFrame,
    p: Params,
    *,
    trusted: bool,
    skipped: Collection[str] = (),
) -> pd.DataFrame:
    """Return `tables.QUEUE`: the clips nobody has answered or `skipped` yet that are most worth an answer.

    The audit is a random sample, stratified by label, of the clips that no other reason chose: answers to it tell how
    many wrong labels the flags miss. The reasons are spread evenly over the ranks, so that whoever stops early has
    heard each of them. Without `trusted` scores (the guard of stage `flag` refused them) everything is audit.
    """
    rows = _candidates(labels[~labels["clip_id"].isin(skipped)], scores, flags)
    rng = np.random.default_rng(p.seed)
    order: dict[Reason, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "suspect": _suspects,
        "uncertain": lambda left: left.sort_values(["margin", "clip_id"]),
        "minority": lambda left: _minority(left, labels),
        "unlabelled": lambda left: _shuffled(left[left["label"] == ""], rng),
        "audit": lambda left: _stratified(left, rng),
    }
    quotas = _quotas(p) if trusted else dict.fromkeys(order, 0)
    quotas["audit"] = p.budget
    chosen = pd.DataFrame({"clip_id": [], "reason": [], "place": []}, dtype=object)
    for reason, ranked in order.items():
        left = rows[~rows["clip_id"].isin(chosen["clip_id"])]
        found = ranked(left)["clip_id"].head(min(quotas[reason], p.budget - len(chosen)))
        place = (np.arange(len(found)) + 0.5) / max(len(found), 1)
        chosen = pd.concat([chosen, pd.DataFrame({"clip_id": found, "reason": reason, "place": place})])
    spread = chosen.sort_values("place", kind="stable", ignore_index=True)
    return spread.assign(rank=spread.index + 1)[list(tables.QUEUE.columns)]


def _candidates(labels: pd.DataFrame, scores: pd.DataFrame, flags: pd.DataFrame) -> pd.DataFrame:
    """Return the unanswered clips with their probabilities, a column a class, their margin and their doubt."""
    wide = scores.pivot_table(index="clip_id", columns="label", values="probability").reset_index()
    top_two = np.sort(wide.drop(columns="clip_id").to_numpy(), axis=1)[:, -2:]
    doubt = flags.loc[flags["reason"] == "label", ["clip_id", "score"]].rename(columns={"score": "doubt"})
    asked = labels.loc[labels["answers"] == 0, ["clip_id", "label"]]
    wide = wide.rename(columns=lambda name: name if name == "clip_id" else f"p {name}")
    rows = asked.merge(wide.assign(margin=top_two[:, 1] - top_two[:, 0]), on="clip_id")
    return rows.merge(doubt, on="clip_id", how="left").sort_values("clip_id", ignore_index=True)


def _quotas(p: Params) -> dict[Reason, int]:
    """Return the budget divided by share, the largest remainders rounded up."""
    exact = {reason: p.shares[reason] * p.budget for reason in get_args(Reason)}
    quotas = {reason: int(share) for reason, share in exact.items()}
    left = p.budget - sum(quotas.values())
    for reason in sorted(exact, key=lambda name: quotas[name] - exact[name])[:left]:
        quotas[reason] += 1
    return quotas


def _suspects(left: pd.DataFrame) -> pd.DataFrame:
    return left[left["doubt"].notna()].sort_values(["doubt", "clip_id"])


def _minority(left: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Rank, of the class with the fewest clips, first likely new members, then present ones that fit it least."""
    counts = labels.loc[labels["label"] != "", "label"].value_counts()
    smallest = min(counts.index, key=lambda name: (counts[name], name))
    probability = f"p {smallest}"
    likely = left[(left["label"] == "") & (left[probability] >= 0.5)]
    new = likely.sort_values([probability, "clip_id"], ascending=[False, True])
    present = left[left["label"] == smallest].sort_values([probability, "clip_id"])
    ranked: pd.DataFrame = pd.concat([new, present])
    return ranked


def _shuffled(left: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return left.iloc[rng.permutation(len(left))]


def _stratified(left: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Shuffle within each label, then deal the labels out in proportion to their clips."""
    shuffled = _shuffled(left, rng)
    of_its_label = shuffled.groupby("label")["clip_id"]
    place = (of_its_label.cumcount() + rng.random(len(shuffled))) / of_its_label.transform("size").astype("float64")
    dealt: pd.DataFrame = shuffled.assign(place=place).sort_values("place", kind="stable")
    return dealt


@click.command()
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels.")
@click.option("--scores", type=click.Path(path_type=Path), required=True, help="Out-of-fold probabilities.")
@click.option("--flags", type=click.Path(path_type=Path), required=True, help="The doubts.")
@click.option("--flagging", type=click.Path(path_type=Path), required=True, help="Whether the scores were trusted.")
@click.option("--reviews", type=click.Path(path_type=Path), required=True, help="People's answers, for the skips.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the queue goes.")
def main(labels: Path, scores: Path, flags: Path, flagging: Path, reviews: Path, out: Path) -> None:
    """Write the queue of clips to hear next."""
    queued = queue(
        tables.read(labels, tables.LABELS),
        tables.read(scores, tables.SCORES),
        tables.read(flags, tables.FLAGS),
        Params.load("queue"),
        trusted=json.loads(flagging.read_text(encoding="utf-8"))["label_issues"] == "found",
        skipped=review.skipped(tables.read(reviews, tables.REVIEWS)),
    )
    tables.write(queued, out, tables.QUEUE)
    click.echo("queue: " + ", ".join(f"{count} {reason}" for reason, count in queued["reason"].value_counts().items()))


if __name__ == "__main__":
    main()
