import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation import collapse

CLASSES = ("harmful", "safe")
LABELS = ["harmful"] * 60 + ["safe"] * 40


def scores(harmful: list[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    column = np.asarray(harmful, dtype=float)
    return np.stack([column, 1 - column], axis=1)


def noisy(labels: list[str], *, seed: int) -> NDArray[np.float64]:
    """Scores of a model that is right about nine clips in ten."""
    right = np.where(np.array(labels) == "harmful", 1.3, -1.3)
    return scores(1 / (1 + np.exp(-(right + np.random.default_rng(seed).normal(size=len(labels))))))


def test_a_model_that_always_says_the_majority_is_collapsed_though_its_f1_is_high() -> None:
    verdict = collapse.judge(LABELS, scores([0.6] * 100), CLASSES)
    assert verdict == collapse.Verdict(
        clips=100,
        commonest="harmful",
        commonest_share=1.0,
        label_share=0.6,
        swallowed_share=1.0,
        precision=0.6,
        balanced_accuracy=0.5,
        mcc=0.0,
        roc_auc=0.5,
        chance_auc=pytest.approx(0.5 + 1.96 * np.sqrt(101 / (12 * 60 * 40))),
        score_std=pytest.approx(0, abs=1e-12),
    )
    assert (verdict.collapsed, verdict.at_chance, verdict.sound) == (True, True, False)
    assert verdict.words == (
        "says 'harmful' for 100 of 100 clips: precision 0.60 beside a share of 0.60, MCC 0.00; "
        "no better than chance: AUC 0.50, chance alone reaches 0.62; scores hardly differ: std 0.000"
    )


def test_a_model_that_always_says_the_minority_is_collapsed() -> None:
    verdict = collapse.judge(LABELS, scores([0.1] * 100), CLASSES)
    assert verdict.collapsed
    assert verdict.words.startswith("says 'safe' for 100 of 100 clips: precision 0.40 beside a share of 0.40")


def test_a_few_right_guesses_do_not_hide_a_collapse() -> None:
    verdict = collapse.judge(LABELS, scores([0.9] * 97 + [0.1] * 3), CLASSES)
    assert verdict.mcc > 0.2
    assert verdict.collapsed


def test_a_collapsed_model_whose_scores_still_order_the_clips_is_collapsed_but_not_at_chance() -> None:
    verdict = collapse.judge(LABELS, scores([0.9] * 60 + [0.6] * 40), CLASSES)
    assert (verdict.collapsed, verdict.at_chance, verdict.roc_auc) == (True, False, 1.0)
    assert "chance" not in verdict.words
    assert "hardly differ" not in verdict.words


def test_random_scores_are_at_chance_but_not_collapsed() -> None:
    random = np.random.default_rng(0)
    verdicts = [collapse.judge(LABELS, scores(random.random(100)), CLASSES) for _ in range(40)]
    assert not any(verdict.collapsed for verdict in verdicts)
    assert sum(verdict.at_chance for verdict in verdicts) >= 38
    assert verdicts[0].words.startswith("no better than chance: AUC 0.")


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_model_is_sound_and_nothing_is_said_against_it(seed: int) -> None:
    verdict = collapse.judge(LABELS, noisy(LABELS, seed=seed), CLASSES)
    assert verdict.sound
    assert verdict.words == ""


def test_a_healthy_model_of_a_rare_class_is_sound_though_it_says_one_class_for_nearly_everything() -> None:
    labels = ["harmful"] * 95 + ["safe"] * 5
    verdict = collapse.judge(labels, scores([0.9] * 93 + [0.2] * 2 + [0.1] * 4 + [0.8]), CLASSES)
    assert verdict.commonest_share == 0.94
    assert verdict.swallowed_share == 0.2
    assert verdict.sound


def test_a_model_that_never_finds_the_rare_class_is_collapsed() -> None:
    labels = ["harmful"] * 95 + ["safe"] * 5
    assert collapse.judge(labels, scores([0.9] * 95 + [0.8] * 5), CLASSES).collapsed


def test_a_model_that_orders_the_clips_well_is_sound_however_flat_its_scores() -> None:
    verdict = collapse.judge(LABELS, scores([0.51] * 60 + [0.49] * 40), CLASSES)
    assert verdict.score_std < collapse.FLAT_STD
    assert verdict.sound


@pytest.mark.parametrize(("n", "at_chance"), [(1, True), (2, True), (3, False)])
def test_perfect_scores_of_a_handful_of_clips_are_not_above_chance(n: int, at_chance: bool) -> None:
    verdict = collapse.judge(["harmful"] * n + ["safe"] * n, scores([0.9] * n + [0.1] * n), CLASSES)
    assert (verdict.roc_auc, verdict.at_chance) == (1.0, at_chance)


def test_a_proven_but_useless_order_counts_as_chance() -> None:
    labels = ["harmful", "safe"] * 20_000
    verdict = collapse.judge(labels, scores(np.tile([0.6, 0.4, 0.6, 0.6, 0.4, 0.4] + [0.5, 0.5] * 17, 1000)), CLASSES)
    assert 0.5 < verdict.roc_auc < 0.55
    assert verdict.at_chance


def test_three_classes_of_which_one_is_said_throughout_are_collapsed() -> None:
    labels = ["a", "b", "c"] * 20
    said_a = collapse.judge(labels, np.tile([0.5, 0.3, 0.2], (60, 1)), ("a", "b", "c"))
    right = collapse.judge(labels, np.eye(3)[[0, 1, 2] * 20], ("a", "b", "c"))
    assert (said_a.collapsed, said_a.commonest, said_a.balanced_accuracy) == (True, "a", pytest.approx(1 / 3))
    assert (right.sound, right.mcc, right.roc_auc) == (True, 1.0, 1.0)


def test_a_class_without_clips_is_left_out_of_the_means() -> None:
    verdict = collapse.judge(["a", "b"] * 20, np.eye(3)[[0, 1] * 20], ("a", "b", "c"))
    assert (verdict.balanced_accuracy, verdict.roc_auc) == (1.0, 1.0)


@settings(max_examples=20)
@given(st.permutations(range(20)), st.booleans())
def test_neither_the_order_of_clips_nor_that_of_classes_changes_the_verdict(order: list[int], swapped: bool) -> None:
    labels = ["harmful"] * 12 + ["safe"] * 8
    probabilities = noisy(labels, seed=1)
    step = -1 if swapped else 1
    shuffled = collapse.judge([labels[i] for i in order], probabilities[order][:, ::step], CLASSES[::step])
    straight = collapse.judge(labels, probabilities, CLASSES)
    assert shuffled.words == straight.words
    for name in ("commonest", "commonest_share", "label_share", "swallowed_share", "mcc", "roc_auc", "chance_auc"):
        assert getattr(shuffled, name) == pytest.approx(getattr(straight, name)), name


@pytest.mark.parametrize(
    ("labels", "probabilities", "match"),
    [
        (["harmful", "safe"], [[0.5, 0.5], [float("nan"), 0.5]], "must be finite"),
        (["harmful"], [[0.5, 0.5], [0.5, 0.5]], r"shape \(2, 2\), expected \(1, 2\)"),
        (["harmful", "loud"], [[0.5, 0.5], [0.5, 0.5]], r"\['loud'\] are not among"),
        (["safe", "safe"], [[0.5, 0.5], [0.5, 0.5]], r"at least two classes, not \['safe'\]"),
        ([], np.empty((0, 2)), "at least two classes"),
    ],
)
def test_what_cannot_be_judged_is_refused(labels: list[str], probabilities: list[list[float]], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        collapse.judge(labels, probabilities, CLASSES)
