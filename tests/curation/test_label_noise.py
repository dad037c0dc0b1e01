import numpy as np
import pandas as pd
import pytest
import rows
from scipy.stats import binom

from curation import label_noise, tables

GIVEN = pd.Series({"c1": "safe", "c2": "safe", "c3": "safe", "c4": "safe", "c5": ""})


def labels(**labels: str) -> pd.DataFrame:
    decided = ({"clip_id": clip, "label": label, "origin": "review"} for clip, label in labels.items())
    return rows.table(tables.LABELS, *decided)


def answered(*clips: str, shown: str = "blind", asked: str = "audit") -> pd.DataFrame:
    return rows.table(tables.REVIEWS, *({"clip_id": clip, "shown": shown, "asked": asked} for clip in clips))


def test_given_labels_that_people_changed_or_took_away_are_counted_by_reason() -> None:
    reviews = pd.concat([answered("c1", "c2"), answered("c3", asked="suspect"), answered("c4", asked="")])
    decided = label_noise.heard(labels(c1="safe", c2="harmful", c3="", c4="harmful"), GIVEN, reviews)
    assert [(part.reason, part.clips, part.wrong) for part in label_noise.label_noise(decided)] == [
        ("audit", 2, 1), ("suspect", 1, 1), ("unknown", 1, 1)
    ]  # fmt: skip


def test_whoever_was_shown_a_guess_does_not_judge_the_given_label() -> None:
    reviews = pd.concat([answered("c1"), answered("c2", shown="hinted")])
    assert label_noise.heard(labels(c1="harmful", c2="harmful"), GIVEN, reviews)["clip_id"].tolist() == ["c1"]


def test_clips_without_a_given_label_or_a_decision_tell_nothing() -> None:
    undecided = rows.table(tables.LABELS, {"clip_id": "c1", "label": "safe", "origin": "given"})
    assert label_noise.heard(undecided, GIVEN, answered("c1")).empty
    assert label_noise.heard(labels(c5="safe"), GIVEN, answered("c5")).empty
    assert label_noise.heard(labels(c1="safe"), GIVEN, answered()).empty


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_interval_holds_the_truth_in_95_of_100_samples(share: float) -> None:
    clips = 20
    given = pd.Series({f"c{i}": "safe" for i in range(clips)})
    covered = []
    for wrong in range(clips + 1):
        said = {f"c{i}": "harmful" if i < wrong else "safe" for i in range(clips)}
        [part] = label_noise.label_noise(label_noise.heard(labels(**said), given, answered(*said)))
        covered.append(part.low <= share <= part.high)
    assert np.dot(binom.pmf(range(clips + 1), clips, share), covered) >= 0.95
