import numpy as np
import pandas as pd

from training import curves, metrics

# labels: a a b b; the third is taken for an a
FOUR = metrics.Outcome(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.64, 0.36], [0.72, 0.28], [0.06, 0.94]]))


def test_the_confusion_names_label_and_prediction_of_each_clip() -> None:
    found = curves.confusion(pd.Series(["w", "x", "y", "z"]), FOUR, ("a", "b"))
    assert found.to_dict("list") == {
        "clip_id": ["w", "x", "y", "z"],
        "actual": ["a", "a", "b", "b"],
        "predicted": ["a", "a", "a", "b"],
    }


def test_the_roc_curve_starts_at_the_origin_and_steps_at_each_score() -> None:
    assert curves.roc(FOUR).to_numpy().tolist() == [[0, 0, 0], [1, 0, 0.5], [2, 0.5, 0.5], [3, 0.5, 1], [4, 1, 1]]


def test_the_precision_recall_curve_runs_from_no_recall_to_full_recall() -> None:
    found = curves.precision_recall(FOUR)
    assert found["recall"].tolist() == [0, 0.5, 0.5, 1, 1]
    assert found["precision"].round(3).tolist() == [1, 1, 0.5, 0.667, 0.5]


def test_reliability_sets_accuracy_beside_confidence_and_leaves_out_empty_bins() -> None:
    found = curves.reliability(FOUR)
    assert found["confidence"].round(6).tolist() == [0.64, 0.72, 0.92]
    assert found["accuracy"].tolist() == [1, 0, 1]
    assert found["clips"].tolist() == [1, 1, 2]
    gap = (found["clips"] * (found["accuracy"] - found["confidence"]).abs()).sum() / 4
    assert np.isclose(gap, metrics.calibration_error(FOUR))


def test_who_answers_fewer_clips_errs_on_those_that_are_left() -> None:
    found = curves.abstention(FOUR)  # by falling confidence: right, right, wrong, right
    assert found["answered"].tolist() == [1, 0.75, 0.5, 0.25]
    assert found["confidence"].tolist() == [0.64, 0.72, 0.9, 0.94]
    assert found["risk"].tolist() == [0.25, 1 / 3, 0, 0]
    assert found["balanced_accuracy"].tolist()[:3] == [0.75, 0.75, 1]
    assert np.isnan(found["balanced_accuracy"].iloc[3])  # one class is left
    assert found["risk"].mean() == metrics.by_confidence(FOUR, np.ones((1, 4)))["aurc",][0]


def test_clips_of_equal_confidence_are_answered_together_and_points_stay_few() -> None:
    many = metrics.majority(np.arange(1000) % 3)
    assert curves.abstention(many)[["answered", "risk"]].to_numpy().tolist() == [[1, 666 / 1000]]
    first = np.random.default_rng(0).random(1000)
    found = curves.abstention(metrics.Outcome(np.arange(1000) % 2, np.column_stack([first, 1 - first])))
    assert (len(found), found["answered"].is_monotonic_decreasing) == (curves.POINTS, True)
