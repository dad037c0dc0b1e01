import dataclasses
from typing import Any

import numpy as np
import pytest
import stand

from curation import collapse
from training import evidence
from training.findings import Findings


def judged(harmful: np.ndarray) -> collapse.Verdict:
    """Return the verdict on scores of clips of which the first half is harmful."""
    half = len(harmful) // 2
    labels = ["harmful"] * half + ["safe"] * (len(harmful) - half)
    return collapse.judge(labels, np.column_stack([harmful, 1 - harmful]), stand.CLASSES, np.arange(2 * half))


GOOD = judged(np.r_[np.full(30, 0.9), np.full(30, 0.1)])
CHANCE = judged(np.tile([0.9, 0.1], 30))
DEAD = judged(np.full(60, 0.6))
BENT = judged(np.r_[np.full(30, 0.95), np.full(30, 0.8)])  # says harmful of all, in a useful order


DIVIDED = collapse.judge(
    ["harmful", "safe"] * 30,
    np.eye(2)[np.arange(60) // 30],
    stand.CLASSES,
    np.arange(60),
    models=np.arange(60) // 30,
)


def with_verdicts(found: Findings, low: float = 0.6, **verdicts: collapse.Verdict) -> Findings:
    """Return findings of models with these verdicts, whose balanced accuracy has an interval that begins at `low`."""
    accuracy = {"value": 0.8, "low": low, "high": 0.9, "majority": 0.5}
    one = found.metrics["lite_cnn"] | {"balanced_accuracy": accuracy}
    other = dataclasses.replace(found, metrics=dict.fromkeys(verdicts, one))
    other.__dict__["verdicts"] = verdicts  # what `cached_property` would keep
    return other


def test_what_is_said_most_is_told_by_fold_where_each_fold_has_another(found: Findings) -> None:
    known = with_verdicts(found, dead=DEAD, divided=DIVIDED)
    assert "It says `harmful` for 100% of the clips" in evidence.diagnosis(known, "dead")
    said = evidence.diagnosis(known, "divided")
    assert "collapsed. It says one class in each fold, not the same in all, for 100% of the clips" in said


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({"a": GOOD}, "No model has collapsed; `a` is better than chance."),
        ({"a": CHANCE, "b": CHANCE}, "No model has collapsed; `a` and `b` are no better than chance."),
        ({"a": DEAD, "b": BENT, "c": GOOD}, "`a` and `b` have collapsed; `c` is better than chance."),
        ({"a": DEAD}, "`a` has collapsed."),
    ],
)
def test_the_headline_names_every_model_once(found: Findings, verdicts: dict[str, collapse.Verdict], said: str) -> None:
    assert evidence.headline(with_verdicts(found, **verdicts)) == said


def test_a_collapse_with_a_useful_order_is_told_from_a_dead_model(found: Findings) -> None:
    known = with_verdicts(found, a=GOOD, b=CHANCE, c=DEAD, d=BENT)
    assert [evidence.state(known, model) for model in "abcd"] == [
        "better than chance",
        "at chance",
        "collapsed",
        "collapsed, though its order is of use",
    ]


def test_no_model_is_called_better_than_chance_whose_interval_holds_chance(found: Findings) -> None:
    known = with_verdicts(found, low=0.5, a=GOOD, b=CHANCE)
    assert evidence.headline(known) == (
        "No model has collapsed; `b` is no better than chance; "
        "`a` orders clips better than chance, decisions perhaps not."
    )


def test_the_diagnosis_holds_the_signs_of_a_collapse(found: Findings) -> None:
    said = evidence.diagnosis(found, "wav2vec2")
    for sign in ("`harmful` for 100% of the clips", "MCC 0.00", "AUC 0.50", "scores spread by 0.00"):
        assert sign in said


def measured(found: Findings, **accuracy: float | None) -> Findings:
    metrics: dict[str, Any] = {
        "m": found.metrics["lite_cnn"] | {"balanced_accuracy": accuracy, "clips": 20, "groups": 8}
    }
    return dataclasses.replace(found, metrics=metrics)


def test_what_few_clips_cannot_tell_is_said_by_their_interval(found: Findings) -> None:
    wide = evidence.resolution(measured(found, value=0.88, low=0.7, high=0.95))
    assert wide.startswith("20 clips in 8 groups cannot tell a balanced accuracy of 0.70 from one of 0.95")
    narrow = evidence.resolution(measured(found, value=0.88, low=0.85, high=0.91))
    assert narrow == "20 clips in 8 groups tell a balanced accuracy of 0.85 from one of 0.91: `m` lies between."
    assert "too few for an interval" in evidence.resolution(measured(found, value=0.88, low=None, high=None))


def test_no_error_in_few_groups_is_no_proof(found: Findings) -> None:
    said = evidence.resolution(measured(found, value=1.0, low=1.0, high=1.0))
    assert said == "`m` makes no error in 20 clips in 8 groups, as may one that is wrong in 31% of all groups."
    passes = (1 - 0.31) ** 8  # how often such a model makes no error in 8 groups
    assert passes == pytest.approx(0.05, abs=0.002)


def test_constant_models_stand_beside_the_others_with_their_own_figures(found: Findings) -> None:
    rows = dict(evidence.rows(found))
    assert list(rows) == ["`lite_cnn`", "`wav2vec2`", "always `harmful`", "always `safe`", "recorder alone"]
    accuracy = [figures["accuracy"] for figures in rows.values()]
    assert accuracy[0].startswith("0.90 [")
    assert accuracy[2:] == ["0.60", "0.40", "0.55"]  # 12 of 20 clips, 8, and 11 that `stand` has the recorder tell
    assert [rows[name]["recall safe"] for name in ("always `harmful`", "always `safe`")] == ["0.00", "1.00"]
    assert [rows[name]["precision safe"] for name in ("always `harmful`", "always `safe`")] == ["0.00", "0.40"]
    assert {figures["mcc"] for figures in list(rows.values())[2:4]} == {"0.00"}


def test_the_test_fold_is_the_judge_where_there_is_one(found: Findings) -> None:
    assert evidence.judged_by(found).startswith("Judged by cross-validation in 3 folds;")
    tested = dataclasses.replace(found, folds=found.folds.assign(fold=-1))
    assert evidence.judged_by(tested).startswith("Judged by the test fold;")


def test_the_notes_say_what_the_recorder_gives_away_what_can_be_told_apart_and_how_sure_the_model_is(
    found: Findings,
) -> None:
    unheard, apart, repeated, sure = evidence.notes(found)
    assert "hears only the recorder" in unheard
    assert "accuracy of 0.50; `lite_cnn` differs by +0.40 [" in unheard
    assert not unheard.endswith("may know no more.")
    detectable = found.metrics["lite_cnn"]["balanced_accuracy"]["detectable"]
    assert f"must move the balanced accuracy of `lite_cnn` by {detectable:.2f} to be told from noise" in apart
    assert "In 2 divisions into folds the balanced accuracy of `svm` is 0.85 on average, with a standard" in repeated
    assert "deviation of 0.07:" in repeated
    assert "`lite_cnn` is off by 0.00 (ECE), with a temperature of 1.0 by 0." in sure
    assert "with a threshold of 0.50 its balanced accuracy is 0.90 [" in sure


def test_a_model_whose_lead_on_the_recorder_may_be_nothing_may_know_no_more(found: Findings) -> None:
    accuracy = found.metrics["lite_cnn"]["balanced_accuracy"] | {
        "beyond_nuisance": [0.1, -0.05, 0.2],
        "detectable": None,
    }
    one = found.metrics["lite_cnn"] | {"balanced_accuracy": accuracy}
    tested = {name: figure for name, figure in one.items() if name not in {"temperature", "threshold"}}
    untried = dataclasses.replace(found, metrics={"m": tested}, repeats=found.repeats[:0])
    unheard, sure = evidence.notes(untried)
    assert unheard.endswith("`m` differs by +0.10 [-0.05, +0.20] and may know no more.")
    assert sure.endswith("takes predictions of other folds than the test fold.")
