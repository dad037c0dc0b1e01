import dataclasses

import numpy as np
import pandas as pd
import pytest
import rows
import stand

from curation import tables
from training import wrong_labels
from training.findings import Findings


def answered(found: Findings, wrong: int, right: int, asked: str, *, shown: str = "blind") -> Findings:
    """Return the findings after so many wrong and right labels were heard, and corrected."""
    reviews, said = stand.answers(wrong, right, asked, shown=shown)
    heard = found.labels["clip_id"].isin(said)
    labels = found.labels.assign(
        label=found.labels["clip_id"].map(said).fillna(found.labels["label"]),
        origin=np.where(heard, "review", found.labels["origin"]),
        answers=heard.astype(int),
    )
    return dataclasses.replace(found, reviews=reviews, labels=labels)


def test_flipped_audit_answers_are_counted_with_an_interval_that_holds_their_share(found: Findings) -> None:
    heard = answered(found, 5, 5, "audit")
    share = wrong_labels.heard_share(heard, "audit")
    assert share.value == 0.5
    assert (share.low, share.high) == pytest.approx((0.187, 0.813), abs=1e-3)  # Clopper and Pearson's table
    cause = wrong_labels.cause(heard)
    assert cause.verdict == "supported"
    assert cause.figure.startswith("Of 10 clips heard at random 5 had a wrong label: 50% [19%, 81%].")


def test_only_people_can_clear_labels_and_they_must_have_heard_enough(found: Findings) -> None:
    few = answered(found, 0, 20, "audit")
    assert wrong_labels.heard_share(few, "audit").high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert wrong_labels.cause(few).verdict == "not known"
    many = many_clips(100)
    assert wrong_labels.cause(many).verdict == "cleared"
    unheard = dataclasses.replace(many, reviews=many.reviews.head(0))
    assert wrong_labels.cause(unheard).verdict == "not known"


def many_clips(count: int) -> Findings:
    """Return findings of clips that were all heard at random, with the given label right."""
    names = [f"c{n:03}" for n in range(count)]
    label = {name: stand.CLASSES[n % 2] for n, name in enumerate(names)}
    base = [{"clip_id": name, "label": label[name]} for name in names]
    sure = {name: 0.95 if label[name] == "harmful" else 0.05 for name in names}
    review = {"annotator": "ann", "reviewed_utc": "2026-01-01T00:00:00Z", "shown": "blind", "asked": "audit"}
    empty = {
        table.name.removesuffix(".csv"): table.empty()
        for table in (tables.REJECTS, tables.FLAGS, tables.SHORTCUTS, tables.REPEATS)
    }
    return Findings(
        clips=rows.table(tables.CLIPS, *base),
        reviews=rows.table(tables.REVIEWS, *(one | {"answer": one["label"]} | review for one in base)),
        labels=rows.table(tables.LABELS, *(one | {"origin": "review", "answers": 1} for one in base)),
        groups=rows.table(tables.GROUPS, *({"clip_id": name, "group": name} for name in names)),
        folds=rows.table(tables.FOLDS, *({"clip_id": name} for name in names)),
        scores=stand.probabilities(sure, tables.SCORES),
        ablations=stand.ablations(),
        queue=tables.QUEUE.empty(),
        train=rows.table(tables.TRAIN, *base),
        flagging={"label_issues": "found", "why": ""},
        **empty,
        shifts=tables.SHIFTS.empty(), robustness={},
        metrics={}, predictions={}, plots={}, trainings={}, classes=stand.CLASSES,
    )  # fmt: skip


def test_nobody_heard_leaves_it_to_the_scores_and_says_so(found: Findings) -> None:
    cause = wrong_labels.cause(found)
    assert cause.figure.startswith("Nobody has heard a random sample. Confident learning supposes 10% [")
    assert wrong_labels.heard_share(found, "audit").high == 1


@pytest.mark.parametrize(("asked", "shown"), [("suspect", "blind"), ("", "blind"), ("audit", "hinted")])
def test_answers_to_picked_clips_and_to_shown_guesses_say_nothing_of_the_rest(
    found: Findings, asked: str, shown: str
) -> None:
    heard = answered(found, 5, 5, asked, shown=shown)
    assert "Nobody has heard a random sample." in wrong_labels.cause(heard).figure
    assert ("Of 10 suspects heard 5 had one." in wrong_labels.cause(heard).figure) == (asked == "suspect")


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_confident_learning_with_good_scores_brackets_the_share_that_was_flipped(share: float) -> None:
    many, rng = many_clips(100), np.random.default_rng(0)
    flipped = set(rng.permutation(many.labels["clip_id"])[: round(share * 100)])
    labels = many.labels.assign(
        label=[
            stand.CLASSES[1 - stand.CLASSES.index(label)] if clip in flipped else label
            for clip, label in many.labels[["clip_id", "label"]].to_numpy()
        ]
    )
    supposed = wrong_labels.confident_learning(dataclasses.replace(many, labels=labels))
    assert supposed.value == pytest.approx(share, abs=0.02)
    assert supposed.low < share < supposed.high


def test_classes_of_one_group_each_leave_no_interval() -> None:
    many = many_clips(30)
    names = [f"class {n // 10}" for n in range(30)]
    pairs = [(clip, label) for clip in many.labels["clip_id"] for label in sorted(set(names))]
    even = rows.table(
        tables.SCORES, *({"clip_id": clip, "label": label, "probability": 1 / 3} for clip, label in pairs)
    )
    lone = dataclasses.replace(
        many,
        reviews=many.reviews.head(0),
        labels=many.labels.assign(label=names),
        groups=many.groups.assign(group=names),
        scores=even,
    )
    assert not wrong_labels.confident_learning(lone).known
    assert wrong_labels.cause(lone).verdict == "not known"


def test_scores_that_were_refused_suppose_nothing(found: Findings) -> None:
    refused = dataclasses.replace(found, flagging={"label_issues": "refused", "why": "says 'safe' <b>"})
    cause = wrong_labels.cause(refused)
    assert cause.verdict == "not known"
    assert "The scores are too weak to doubt labels: `says 'safe' <b>`." in cause.figure


def test_what_suspects_turned_out_to_be_says_what_the_next_ones_will(found: Findings) -> None:
    assert wrong_labels.expected_in_queue(found) == pytest.approx(2 * 0.9)  # by the scores
    heard = answered(found, 3, 3, "suspect")
    assert wrong_labels.expected_in_queue(heard) == pytest.approx(2 * 0.5)


def test_correcting_brings_what_spoiling_as_many_costs() -> None:
    at = {share: wrong_labels.correcting(stand.ablations(), share) for share in (0.0, 0.05, 0.1, 0.15, 0.5)}
    assert at == pytest.approx({0.0: 0.0, 0.05: 0.03, 0.1: 0.06, 0.15: 0.08, 0.5: 0.1})
    better = stand.ablations().assign(cost=lambda table: -table["cost"])
    assert wrong_labels.correcting(better, 0.1) == 0


def test_the_cause_takes_the_minutes_of_the_queue(found: Findings) -> None:
    cause = wrong_labels.cause(found)
    assert cause.minutes == pytest.approx(3 * 31 / 60)
    assert cause.advice.startswith(
        "Listen: `earmark annotate` plays the 3 clips of the queue; of its 2 suspects about 2 should"
    )
    audit = dataclasses.replace(found, queue=found.queue.assign(reason="audit"))
    assert wrong_labels.cause(audit).advice == "Listen: `earmark annotate` plays the 3 clips of the queue."
    assert wrong_labels.cause(audit).gain is None
    empty = dataclasses.replace(found, queue=pd.DataFrame(found.queue.head(0)))
    assert wrong_labels.cause(empty).minutes is None
