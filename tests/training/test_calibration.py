import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import calibration, metrics

FOLDS = np.arange(600) % 5


def drawn(*, temperature: float = 1.0, shift: float = 0.0, seed: int = 0) -> metrics.Outcome:
    """Return clips whose label comes up as often as the logit says, and a model that is too sure and leans to one side.

    Args:
        temperature: what the logits must be divided by.
        shift: what the model adds to every logit of the first class.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, len(FOLDS))
    truth = (rng.random(len(FOLDS)) > 1 / (1 + np.exp(-logit))).astype(np.int64)
    first = 1 / (1 + np.exp(-temperature * logit - shift))
    return metrics.Outcome(truth, np.column_stack([first, 1 - first]))


def accuracy(outcome: metrics.Outcome) -> float:
    return float(metrics.balanced_accuracy(outcome, np.ones((1, len(outcome.truth))))[0])


def log_loss(outcome: metrics.Outcome) -> float:
    return float(metrics.by_confidence(outcome, np.ones((1, len(outcome.truth))))["log_loss",][0])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 4.0])
def test_the_temperature_of_scores_that_are_too_sure_or_not_sure_enough_is_found(temperature: float) -> None:
    assert calibration.temperature(drawn(temperature=temperature)) == pytest.approx(temperature, rel=0.2)


def test_over_confident_scores_become_calibrated() -> None:
    sure = drawn(temperature=4.0)
    found = calibration.by_other_folds(sure, FOLDS).tempered
    assert metrics.calibration_error(sure) > 0.12
    assert metrics.calibration_error(found) < 0.06
    assert log_loss(found) == pytest.approx(log_loss(drawn()), abs=0.01)  # that of the chances the labels came from
    assert (found.predicted == sure.predicted).all()


def test_a_threshold_that_has_moved_is_found() -> None:
    leaning = drawn(shift=3.0)
    found = calibration.by_other_folds(leaning, FOLDS).cut
    assert calibration.threshold(leaning) == pytest.approx(1 / (1 + np.exp(-3)), abs=0.03)
    assert accuracy(leaning) < 0.65
    assert accuracy(found) == pytest.approx(accuracy(drawn()), abs=0.03)


def test_the_threshold_next_to_one_half_is_taken_of_equals() -> None:
    outcome = metrics.Outcome(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]))
    assert calibration.threshold(outcome) == 0.5
    assert calibration.threshold(metrics.Outcome(np.zeros(4, np.int64), outcome.probabilities)) == 0.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 59))
def test_the_label_of_a_clip_has_no_say_in_its_own_correction(clip: int) -> None:
    whole = drawn(temperature=3.0, shift=1.0)
    folds = FOLDS[:60]
    before = metrics.Outcome(whole.truth[:60], whole.probabilities[:60])
    flipped = before.truth.copy()
    flipped[clip] = 1 - flipped[clip]
    was, now = (
        calibration.by_other_folds(metrics.Outcome(truth, before.probabilities), folds)
        for truth in (before.truth, flipped)
    )
    own = folds == folds[clip]
    assert (was.tempered.probabilities[own] == now.tempered.probabilities[own]).all()
    assert (was.cut.probabilities[own] == now.cut.probabilities[own]).all()
    assert (was.tempered.probabilities[~own] != now.tempered.probabilities[~own]).any()


def test_one_fold_has_no_other_to_learn_from() -> None:
    assert calibration.by_other_folds(drawn(), np.full(len(FOLDS), -1)) is None


def test_three_classes_have_a_temperature_and_no_threshold() -> None:
    truth = np.arange(60) % 3
    said = np.full((60, 3), 0.1) + 0.7 * np.eye(3)[np.where(np.arange(60) % 4 == 0, (truth + 1) % 3, truth)]
    found = calibration.by_other_folds(metrics.Outcome(truth, said), np.arange(60) % 5)
    assert found.cut is None
    assert found.tempered.confidence == pytest.approx(0.75, abs=0.03)  # three of four are right
    assert list(found.figures(np.ones((1, 60)))) == [("log_loss_calibrated",)]
