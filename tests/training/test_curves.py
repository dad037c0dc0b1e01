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
