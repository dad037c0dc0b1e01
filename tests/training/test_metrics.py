import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from training import metrics

CLASSES = ("harmful", "safe")
ONES = np.ones((1, 6))


def outcome(truth: list[int], harmful: list[float]) -> metrics.Outcome:
    return metrics.Outcome(np.array(truth), np.stack([np.array(harmful), 1 - np.array(harmful)], axis=1))


def plain(figures: dict[tuple[str, ...], metrics.Floats]) -> dict[str, float]:
    return {".".join(key): float(figure[0]) for key, figure in figures.items()}


# harmful three times: found twice; safe three times: found twice
SIX = outcome([0, 0, 0, 1, 1, 1], [0.9, 0.8, 0.3, 0.7, 0.2, 0.1])


def test_the_metrics_of_six_clips_are_those_computed_by_hand() -> None:
    assert plain(metrics.overall(SIX, ONES)) == {
        "accuracy": pytest.approx(4 / 6),
        "balanced_accuracy": pytest.approx(2 / 3),
        "mcc": pytest.approx((2 * 2 - 1 * 1) / 9),
        "roc_auc": pytest.approx(8 / 9),  # of nine pairs only (0.3, 0.7) is in the wrong order
        "average_precision": pytest.approx((1 + 1 + 3 / 4) / 3),
        "brier": pytest.approx(2 * (0.01 + 0.04 + 0.49 + 0.49 + 0.04 + 0.01) / 6),
    }
    assert plain(metrics.by_class(SIX, ONES, CLASSES)) == pytest.approx(
        dict.fromkeys([f"{name}.{label}" for name in ("precision", "recall", "f1") for label in CLASSES], 2 / 3)
    )


def test_the_confusion_has_labels_in_rows_and_predictions_in_columns() -> None:
    two = outcome([0, 0, 1], [0.9, 0.1, 0.2])
    assert metrics.confusion(two, np.array([[1.0, 2.0, 3.0]])).tolist() == [[[1.0, 2.0], [0.0, 3.0]]]


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    # the bin of 0.9 holds four clips, half of them right; that of 0.6 holds one, which is wrong
    found = metrics.calibration_error(outcome([0, 0, 1, 1, 1], [0.9, 0.9, 0.9, 0.9, 0.6]))
    assert found == pytest.approx((4 * abs(0.9 - 0.5) + 1 * 0.6) / 5)


def test_a_sure_and_right_model_is_calibrated() -> None:
    assert metrics.calibration_error(outcome([0, 1], [1.0, 0.0])) == 0


@st.composite
def weighted(draw: st.DrawFn) -> tuple[metrics.Outcome, metrics.Floats]:
    classes = draw(st.integers(2, 4))
    extra = draw(st.lists(st.integers(0, classes - 1), max_size=20))
    truth = np.array([*range(classes), *extra])
    cells = st.lists(st.integers(0, 3), min_size=classes, max_size=classes)
    raw = np.array([draw(cells) for _ in truth]) + 0.25  # few distinct scores, hence many ties
    weights = np.array([draw(st.integers(1, 3)) for _ in truth], dtype=float)
    return metrics.Outcome(truth, raw / raw.sum(axis=1, keepdims=True)), weights


@settings(max_examples=30)
@given(weighted())
def test_every_metric_is_that_of_scikit_learn_under_any_weights(case: tuple[metrics.Outcome, metrics.Floats]) -> None:
    found, weights = case
    truth, said, scores = found.truth, found.predicted, found.probabilities
    classes = scores.shape[1]
    kind = {"sample_weight": weights}
    precisions = [reference.average_precision_score(truth == i, scores[:, i], **kind) for i in range(classes)]
    areas = [reference.roc_auc_score(truth == i, scores[:, i], **kind) for i in range(classes)]
    assert plain(metrics.overall(found, weights[None])) == pytest.approx(
        {
            "accuracy": reference.accuracy_score(truth, said, **kind),
            "balanced_accuracy": reference.balanced_accuracy_score(truth, said, **kind),
            "mcc": reference.matthews_corrcoef(truth, said, **kind),
            "roc_auc": np.mean(areas),
            "average_precision": precisions[0] if classes == 2 else np.mean(precisions),
            "brier": np.average(((np.eye(classes)[truth] - scores) ** 2).sum(axis=1), weights=weights),
        },
        abs=1e-9,
    )
    names = [str(i) for i in range(classes)]
    rows = reference.precision_recall_fscore_support(truth, said, labels=range(classes), zero_division=0, **kind)
    expected = {
        f"{name}.{i}": rows[row][i] for row, name in enumerate(("precision", "recall", "f1")) for i in range(classes)
    }
    assert plain(metrics.by_class(found, weights[None], names)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30)
@given(weighted())
def test_a_weight_of_two_is_the_clip_twice(case: tuple[metrics.Outcome, metrics.Floats]) -> None:
    found, weights = case
    times = weights.astype(int)
    repeated = metrics.Outcome(found.truth.repeat(times), found.probabilities.repeat(times, axis=0))
    ones = np.ones((1, times.sum()))
    assert plain(metrics.overall(found, weights[None])) == pytest.approx(
        plain(metrics.overall(repeated, ones)), abs=1e-9
    )


def test_a_resample_without_a_class_leaves_undefined_what_needs_the_class() -> None:
    only_harmful = np.array([[1.0, 1, 1, 0, 0, 0]])
    found = plain(metrics.overall(SIX, only_harmful)) | plain(metrics.by_class(SIX, only_harmful, CLASSES))
    undefined = {name for name, figure in found.items() if np.isnan(figure)}
    assert undefined == {
        "balanced_accuracy", "mcc", "roc_auc", "average_precision", "precision.safe", "recall.safe", "f1.safe",
    }  # fmt: skip
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["recall.harmful"] == pytest.approx(2 / 3)


def test_the_baselines_say_one_class_and_the_majority_is_calibrated() -> None:
    truth = np.array([0, 0, 0, 1, 1])
    assert metrics.majority(truth).predicted.tolist() == [0] * 5
    assert metrics.minority(truth).predicted.tolist() == [1] * 5
    assert metrics.calibration_error(metrics.majority(truth)) == 0


def test_among_equally_common_classes_the_baselines_say_different_ones() -> None:
    truth = np.array([0, 1, 2, 0, 1, 2])
    assert metrics.majority(truth).predicted.tolist() == [0] * 6
    assert metrics.minority(truth).predicted.tolist() == [2] * 6


def test_the_area_under_risk_and_coverage_is_the_mean_risk_of_the_most_confident_clips() -> None:
    # right, wrong, right, wrong, by falling confidence: risks 0, 1/2, 1/3, 2/4
    found = plain(metrics.by_confidence(outcome([0, 1, 1, 0], [0.95, 0.9, 0.2, 0.3]), np.ones((1, 4))))
    assert found["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_a_confidence_that_tells_nothing_has_the_error_rate_as_area() -> None:
    found = plain(metrics.by_confidence(outcome([0, 1, 1, 0, 0], [0.7] * 5), np.ones((1, 5))))
    assert found["aurc"] == pytest.approx(2 / 5)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_weights_of_confidence_count_as_copies_do_and_the_log_loss_is_bounded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said, times = (
        outcome(rng.permutation([0, 0, 0, 1, 1, 1]).tolist(), rng.random(6).round(1).tolist()),
        [1, 2, 0, 3, 1, 1],
    )
    copies = metrics.Outcome(said.truth.repeat(times), said.probabilities.repeat(times, axis=0))
    weighted = plain(metrics.by_confidence(said, np.array([times], np.float64)))
    assert weighted == pytest.approx(plain(metrics.by_confidence(copies, np.ones((1, 8)))))
    floored = np.clip(copies.probabilities, metrics.FLOOR, 1)
    expected = -np.log(floored[np.arange(8), copies.truth]).mean()
    assert weighted["log_loss"] == pytest.approx(expected)
