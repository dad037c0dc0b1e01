import numpy as np
import pandas as pd
import pytest
import rows
from scipy.stats import binom

from curation import label_noise, tables

GIVEN = pd.Series({"c1": "safe", "c2": "safe", "c3": "safe", "c4": "safe", "c5": ""})
QUEUES = (b"clip_id,rank,reason\nc1,1,audit\nc2,2,audit\nc3,3,audit\n", b"clip_id,rank,reason\nc3,1,suspect\n")


def labels(**labels: str) -> pd.DataFrame:
    decided = ({"clip_id": clip, "label": label, "origin": "review"} for clip, label in labels.items())
    return rows.table(tables.LABELS, *decided)


def test_the_newest_queue_that_holds_a_clip_says_why_it_was_asked() -> None:
    assert label_noise.reasons(QUEUES) == {"c1": "audit", "c2": "audit", "c3": "suspect"}


@pytest.mark.parametrize("content", [b"", b"id\n1\n", b"\xff\xfe", b"<<<<<<< HEAD\nclip_id,reason\n"])
def test_a_queue_of_another_layout_says_nothing(content: bytes) -> None:
    assert label_noise.reasons([content]) == {}


def test_given_labels_that_people_changed_or_took_away_are_counted_by_reason() -> None:
    found = label_noise.label_noise(
        labels(c1="safe", c2="harmful", c3="", c4="harmful"), GIVEN, label_noise.reasons(QUEUES)
    )
    assert [(part.reason, part.clips, part.wrong) for part in found] == [
        ("audit", 2, 1), ("suspect", 1, 1), ("unknown", 1, 1)
    ]  # fmt: skip


def test_clips_without_a_given_label_or_a_decision_tell_nothing() -> None:
    undecided = rows.table(tables.LABELS, {"clip_id": "c1", "label": "safe", "origin": "given"})
    assert label_noise.label_noise(undecided, GIVEN, {}) == []
    assert label_noise.label_noise(labels(c5="safe"), GIVEN, {}) == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_interval_holds_the_truth_in_95_of_100_samples(share: float) -> None:
    clips = 20
    given = pd.Series({f"c{i}": "safe" for i in range(clips)})
    covered = []
    for wrong in range(clips + 1):
        said = {f"c{i}": "harmful" if i < wrong else "safe" for i in range(clips)}
        [part] = label_noise.label_noise(labels(**said), given, {})
        covered.append(part.low <= share <= part.high)
    assert np.dot(binom.pmf(range(clips + 1), clips, share), covered) >= 0.95
