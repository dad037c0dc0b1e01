import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation import collapse

CLASSES = ("harmful", "safe")
LABELS = ["harmful"] * 60 + ["safe"] * 40
OWN = np.arange(100)  # each clip its own group


def scores(harmful: list[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    column = np.asarray(harmful, dtype=float)
    return np.stack([column, 1 - column], axis=1)


def noisy(labels: list[str], *, seed: int) -> NDArray[np.float64]:
    """Scores of a model that is right about nine clips in ten."""
    right = np.where(np.array(labels) == "harmful", 1.3, -1.3)
    return scores(1 / (1 + np.exp(-(right + np.random.default_rng(seed).normal(size=len(labels))))))


def test_a_model_that_always_says_the_majority_is_collapsed_though_its_f1_is_high() -> None:
    verdict = collapse.judge(LABELS, scores([0.6] * 100), CLASSES, OWN)
    assert verdict == collapse.Verdict(
        clips=100,
        commonest="harmful",
        commonest_share=1.0,
        label_share=0.6,
        swallowed_share=1.0,
        own_share=1.0,
        own_swallowed_share=1.0,
        precision=0.6,
        balanced_accuracy=0.5,
        mcc=0.0,
        roc_auc=0.5,
        chance_auc=collapse.CHANCE_AUC,  # no shuffle changes what constant scores are worth
        auc_low=pytest.approx(np.nan, nan_ok=True),
        score_std=pytest.approx(0, abs=1e-12),
    )
    assert (verdict.collapsed, verdict.at_chance, verdict.sound) == (True, True, False)
    assert verdict.words == (
        "says 'harmful' for 100 of 100 clips: precision 0.60 beside a share of 0.60, MCC 0.00; "
        "no better than chance: AUC 0.50, chance alone reaches 0.55; scores hardly differ: std 0.000"
    )


def test_a_model_that_always_says_the_minority_is_collapsed() -> None:
    verdict = collapse.judge(LABELS, scores([0.1] * 100), CLASSES, OWN)
    assert verdict.collapsed
    assert verdict.words.startswith("says 'safe' for 100 of 100 clips: precision 0.40 beside a share of 0.40")


def test_a_few_right_guesses_do_not_hide_a_collapse() -> None:
    verdict = collapse.judge(LABELS, scores([0.9] * 97 + [0.1] * 3), CLASSES, OWN)
    assert verdict.mcc > 0.2
    assert verdict.collapsed


def test_a_collapsed_model_whose_scores_still_order_the_clips_is_collapsed_but_not_at_chance() -> None:
    verdict = collapse.judge(LABELS, scores([0.9] * 60 + [0.6] * 40), CLASSES, OWN)
    assert (verdict.collapsed, verdict.at_chance, verdict.roc_auc) == (True, False, 1.0)
    assert "chance" not in verdict.words
    assert "hardly differ" not in verdict.words


def test_models_that_say_one_class_each_have_collapsed_though_together_they_say_both() -> None:
    fold = np.arange(100) % 5
    said = scores(np.where(fold < 3, 0.8, 0.3))
    assert not collapse.judge(LABELS, said, CLASSES, OWN).collapsed
    verdict = collapse.judge(LABELS, said, CLASSES, OWN, models=fold)
    assert (verdict.collapsed, verdict.commonest_share, verdict.own_share) == (True, 0.6, 1.0)
    assert verdict.words.startswith("says one class in each fold, not the same in all: ")


@pytest.mark.parametrize("folds", [5, 20, 50, 100])
def test_models_that_choose_have_not_collapsed_however_few_clips_a_fold_has(folds: int) -> None:
    verdicts = [
        collapse.judge(LABELS, noisy(LABELS, seed=seed), CLASSES, OWN, models=np.arange(100) % folds)
        for seed in range(20)
    ]
    assert not any(verdict.collapsed for verdict in verdicts)


def test_a_model_that_misses_a_rare_class_in_some_folds_alone_has_not_collapsed() -> None:
    labels = ["harmful"] * 95 + ["safe"] * 5  # one in each fold, found in two of five
    verdict = collapse.judge(labels, scores([0.9] * 95 + [0.1] * 2 + [0.9] * 3), CLASSES, OWN, models=OWN % 5)
    assert not verdict.collapsed


def test_random_scores_are_at_chance_but_not_collapsed() -> None:
    random = np.random.default_rng(0)
    verdicts = [collapse.judge(LABELS, scores(random.random(100)), CLASSES, OWN) for _ in range(40)]
    assert not any(verdict.collapsed for verdict in verdicts)
    assert sum(verdict.at_chance for verdict in verdicts) >= 38
    assert verdicts[0].words.startswith("no better than chance: AUC 0.")


@pytest.mark.parametrize(("groups", "copies"), [(40, 1), (20, 10)])
def test_copies_within_groups_make_chance_no_better(groups: int, copies: int) -> None:
    labels = np.repeat(["harmful", "safe"], [groups * 3 // 5, groups * 2 // 5])
    random = np.random.default_rng(0)
    verdicts = [
        collapse.judge(
            np.repeat(labels, copies).tolist(),
            scores(random.random(groups).repeat(copies)),
            CLASSES,
            np.arange(groups).repeat(copies),
        )
        for _ in range(200)
    ]
    better = sum(not verdict.at_chance for verdict in verdicts)
    assert 1 <= better <= 10  # of 200: chance exceeds what it may reach in 1 of 40


def test_what_a_group_knows_of_its_own_clips_is_no_luck() -> None:
    # both classes in each group, each group with an offset of its own: without the offsets the order is perfect
    labels = ["harmful", "safe"] * 20
    offset = np.random.default_rng(0).random(20).repeat(2) / 2
    verdict = collapse.judge(labels, scores(offset + np.tile([0.45, 0.2], 20)), CLASSES, np.arange(20).repeat(2))
    assert verdict.sound


def test_an_interval_that_holds_random_order_is_no_proof_of_a_better_one() -> None:
    def judge(auc_low: float) -> collapse.Verdict:
        return collapse.judge(LABELS, noisy(LABELS, seed=0), CLASSES, OWN, auc_low=auc_low)

    assert (judge(0.49).at_chance, judge(0.51).at_chance) == (True, False)
    assert judge(0.49).words.endswith("its interval begins at 0.49")


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_model_is_sound_and_nothing_is_said_against_it(seed: int) -> None:
    verdict = collapse.judge(LABELS, noisy(LABELS, seed=seed), CLASSES, OWN)
    assert verdict.sound
    assert verdict.words == ""


def test_a_healthy_model_of_a_rare_class_is_sound_though_it_says_one_class_for_nearly_everything() -> None:
    labels = ["harmful"] * 95 + ["safe"] * 5
    verdict = collapse.judge(labels, scores([0.9] * 93 + [0.2] * 2 + [0.1] * 4 + [0.8]), CLASSES, OWN)
    assert verdict.commonest_share == 0.94
    assert verdict.swallowed_share == 0.2
    assert verdict.sound


def test_a_model_that_never_finds_the_rare_class_is_collapsed() -> None:
    labels = ["harmful"] * 95 + ["safe"] * 5
    assert collapse.judge(labels, scores([0.9] * 95 + [0.8] * 5), CLASSES, OWN).collapsed


def test_a_model_that_orders_the_clips_well_is_sound_however_flat_its_scores() -> None:
    verdict = collapse.judge(LABELS, scores([0.51] * 60 + [0.49] * 40), CLASSES, OWN)
    assert verdict.score_std < collapse.FLAT_STD
    assert verdict.sound


@pytest.mark.parametrize(("n", "at_chance"), [(1, True), (2, True), (3, True), (4, False)])
def test_perfect_scores_of_a_handful_of_clips_are_not_above_chance(n: int, at_chance: bool) -> None:
    verdict = collapse.judge(["harmful"] * n + ["safe"] * n, scores([0.9] * n + [0.1] * n), CLASSES, OWN[: 2 * n])
    assert (verdict.roc_auc, verdict.at_chance) == (1.0, at_chance)


def test_a_proven_but_useless_order_counts_as_chance() -> None:
    labels = ["harmful", "safe"] * 20_000
    useless = scores(np.tile([0.6, 0.4, 0.6, 0.6, 0.4, 0.4] + [0.5, 0.5] * 17, 1000))
    verdict = collapse.judge(labels, useless, CLASSES, np.arange(40_000))
    assert 0.5 < verdict.roc_auc < 0.55
    assert verdict.at_chance


def test_three_classes_of_which_one_is_said_throughout_are_collapsed() -> None:
    labels = ["a", "b", "c"] * 20
    said_a = collapse.judge(labels, np.tile([0.5, 0.3, 0.2], (60, 1)), ("a", "b", "c"), OWN[:60])
    right = collapse.judge(labels, np.eye(3)[[0, 1, 2] * 20], ("a", "b", "c"), OWN[:60])
    assert (said_a.collapsed, said_a.commonest, said_a.balanced_accuracy) == (True, "a", pytest.approx(1 / 3))
    assert (right.sound, right.mcc, right.roc_auc) == (True, 1.0, 1.0)


def test_a_class_without_clips_is_left_out_of_the_means() -> None:
    verdict = collapse.judge(["a", "b"] * 20, np.eye(3)[[0, 1] * 20], ("a", "b", "c"), OWN[:40])
    assert (verdict.balanced_accuracy, verdict.roc_auc) == (1.0, 1.0)


@settings(max_examples=20)
@given(st.permutations(range(20)), st.booleans())
def test_neither_the_order_of_clips_nor_that_of_classes_changes_the_verdict(order: list[int], swapped: bool) -> None:
    labels = ["harmful"] * 12 + ["safe"] * 8
    probabilities = noisy(labels, seed=1)
    step = -1 if swapped else 1
    shuffled = collapse.judge([labels[i] for i in order], probabilities[order][:, ::step], CLASSES[::step], order)
    straight = collapse.judge(labels, probabilities, CLASSES, range(20))
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
        collapse.judge(labels, probabilities, CLASSES, np.arange(len(labels)))
