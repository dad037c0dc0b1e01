from typing import Any

import numpy as np
import pytest
from scipy import stats

from curation.judged import exchanged
from curation.snapshot import Snapshot, parse
from curation.verdict import verdict
from training.compare import compare


def revision(
    labels: dict[str, str],
    harmful: dict[str, float],
    folds: dict[str, int] | None = None,
    groups: dict[str, str] | None = None,
) -> Snapshot:
    """Return a revision with these labels and the probability of `harmful` that the model `cnn` gave."""
    folds = folds or dict.fromkeys(labels, 0)
    groups = groups or {clip: f"g{clip}" for clip in labels}
    texts = {
        "clips": ["clip_id,group", *(f"{clip},{groups[clip]}" for clip in labels)],
        "labels": ["clip_id,label", *(f"{clip},{label}" for clip, label in labels.items())],
        "folds": ["clip_id,fold", *(f"{clip},{fold}" for clip, fold in folds.items())],
        "predictions/cnn": [
            "clip_id,label,probability",
            *(f"{clip},harmful,{score}\n{clip},safe,{1 - score}" for clip, score in harmful.items()),
        ],
    }
    return parse({name: "\n".join(lines).encode() for name, lines in texts.items()})


LABELS = {f"{n:02}": "harmful" if n % 2 else "safe" for n in range(40)}
RIGHT = {clip: 0.9 if label == "harmful" else 0.1 for clip, label in LABELS.items()}
WRONG = {clip: 1 - score for clip, score in RIGHT.items()}
GUESSED = {clip: RIGHT[clip] if int(clip) % 4 < 2 else WRONG[clip] for clip in LABELS}


def accuracy(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    metrics: Any = compare(before, after)["cnn"]["metrics"]
    return dict(metrics["balanced_accuracy"])


def test_a_model_that_errs_less_on_the_same_clips_is_better_beyond_chance() -> None:
    found = accuracy(revision(LABELS, GUESSED), revision(LABELS, RIGHT))
    assert (found["before"], found["after"], found["difference"]) == (0.5, 1.0, 0.5)
    assert 0.25 < found["low"] < 0.5 < found["high"] < 0.75
    assert found["p"] < 0.01


def test_one_clip_more_right_may_be_chance() -> None:
    found = accuracy(revision(LABELS, RIGHT | {"00": 0.9}), revision(LABELS, RIGHT))
    assert (found["difference"], found["p"]) == (0.025, 1.0)


def test_what_changed_only_in_the_test_labels_is_attributed_to_the_labels_whole() -> None:
    labels = LABELS | {"00": "harmful", "02": "harmful"}
    found: Any = compare(revision(LABELS, RIGHT), revision(labels, RIGHT))["cnn"]
    assert found["attribution"]["accuracy"] == {
        "before": {"before": 1.0, "after": 0.95},
        "after": {"before": 1.0, "after": 0.95},
    }
    assert {(figures["difference"], figures["p"]) for figures in found["metrics"].values()} == {(0.0, 1.0)}


def test_what_changed_in_model_and_labels_is_told_apart_in_four_cells() -> None:
    labels = LABELS | dict.fromkeys(("00", "02", "04", "08"), "harmful")  # of these the old model heard 02 so
    found: Any = compare(revision(LABELS, GUESSED), revision(labels, RIGHT))["cnn"]
    assert found["relabelled"] == 4
    assert found["attribution"]["accuracy"] == {
        "before": {"before": 0.5, "after": 0.45},
        "after": {"before": 1.0, "after": 0.9},
    }
    differences = [found[labels]["accuracy"]["difference"] for labels in ("metrics", "by_old_labels")]
    assert differences == [0.45, 0.5]


def test_of_many_clips_those_of_blocks_and_of_like_scores_are_judged_together_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    clips = [f"{n:03}" for n in range(900)]
    label = {clip: "harmful" if int(clip) % 3 else "safe" for clip in clips}
    groups = {clip: f"g{int(clip) // 2}" for clip in clips}
    luck = [
        {clip: score(label[clip], noise) for clip, noise in zip(clips, rng.normal(0, 2, 900), strict=True)}
        for _ in range(2)
    ]
    better = {clip: (heard + RIGHT["01"] * (label[clip] == "harmful")) / 1.9 for clip, heard in luck[1].items()}
    sides = revision(label, luck[0], groups=groups), revision(turned(label, range(9), 3), better, groups=groups)
    exact: Any = compare(*sides)["cnn"]
    monkeypatch.setattr("training.compare.BLOCKS", 300)
    monkeypatch.setattr("training.compare.MANY", 900)
    found: Any = compare(*sides)["cnn"]
    for labels in ("metrics", "by_old_labels"):
        for name, figures in exact[labels].items():
            width = figures["high"] - figures["low"]
            for end in ("low", "high"):
                assert found[labels][name][end] == pytest.approx(figures[end], abs=width / 8)
            assert found[labels][name]["p"] == pytest.approx(figures["p"], abs=0.1)
            assert {**found[labels][name], "low": 0, "high": 0, "p": 0} == {**figures, "low": 0, "high": 0, "p": 0}
    assert found["attribution"] == exact["attribution"]
    assert found != exact


def turned(labels: dict[str, str], clips: range, digits: int = 2) -> dict[str, str]:
    other = {"safe": "harmful", "harmful": "safe"}
    return labels | {f"{n:0{digits}}": other[labels[f"{n:0{digits}}"]] for n in clips}


def said(before: tuple[dict[str, str], range], after: tuple[dict[str, str], range]) -> str:
    """Return the verdict on two revisions of 60 clips: the labels of each, and what its model has wrong by TRUTH."""
    sides = []
    for labels, errors in (before, after):
        heard = turned(TRUTH, errors)
        sides.append(revision(labels, {clip: 0.9 if label == "harmful" else 0.1 for clip, label in heard.items()}))
    return verdict({"comparison": compare(*sides), "judged": exchanged(*sides)})


TRUTH = {f"{n:02}": "harmful" if n % 2 else "safe" for n in range(60)}
FIRST_12, NEXT_12 = range(12), range(12, 24)


def test_who_relabels_the_errors_of_the_new_model_does_not_make_it_better() -> None:
    assert said((TRUTH, FIRST_12), (TRUTH, NEXT_12)) == "Balanced accuracy on the same clips: `cnn` may be noise."
    assert said((TRUTH, FIRST_12), (turned(TRUTH, NEXT_12), NEXT_12)) == (
        "Look twice: 12 judged clips relabelled. Balanced accuracy on the same clips: `cnn` better by the new labels "
        "only (-0.200 from the labels, +0.400 from the model, +0.000 from it by the old labels)."
    )
    half = turned(TRUTH, range(6))
    assert "`cnn` better by the old labels only (+0.100 from" in said((TRUTH, FIRST_12), (half, range(0)))
    all_of_them = turned(TRUTH, FIRST_12)
    assert "worse by the new labels, better by the old labels (" in said((TRUTH, FIRST_12), (all_of_them, range(0)))


def test_who_takes_out_the_errors_of_the_new_model_does_not_make_it_better() -> None:
    emptied = TRUTH | dict.fromkeys((f"{n:02}" for n in NEXT_12), "")
    assert said((TRUTH, FIRST_12), (emptied, NEXT_12)) == (
        "Look twice: models no longer judged by 12 clips (12 `no label`). Balanced accuracy on the same clips: `cnn` "
        "better by the new labels only (-0.050 from the labels, +0.250 from the model, +0.000 from it by the old "
        "labels)."
    )


def test_labels_put_right_and_a_model_that_learned_from_them_are_better_and_it_says_what_each_adds() -> None:
    wrong = turned(TRUTH, range(6))
    assert said((wrong, range(30)), (TRUTH, range(50, 53))) == (
        "Look twice: 6 judged clips relabelled. Balanced accuracy on the same clips: `cnn` better (-0.100 from the "
        "labels, +0.450 from the model, +0.250 from it by the old labels)."
    )


def test_the_same_models_and_labels_are_not_worth_a_word() -> None:
    assert compare(revision(LABELS, RIGHT), revision(LABELS, RIGHT)) == {}


def test_only_clips_of_both_test_folds_count() -> None:
    folds = {clip: -1 if int(clip) < 20 else 0 for clip in LABELS}
    moved = folds | {"00": 3}
    found = compare(revision(LABELS, WRONG, folds), revision(LABELS, RIGHT, moved))
    assert (found["cnn"]["clips"], found["cnn"]["groups"]) == (19, 19)


def test_other_classes_and_other_clips_are_not_compared() -> None:
    one = revision(LABELS, RIGHT)
    assert compare(one, revision({"x": "safe"}, {"x": 0.5})) == {}
    assert compare(one, revision(LABELS | {"00": "loud"}, RIGHT)) == {}


def test_with_few_groups_no_interval_is_claimed() -> None:
    few = dict(list(LABELS.items())[:8])
    found = accuracy(
        revision(few, {clip: WRONG[clip] for clip in few}), revision(few, {clip: RIGHT[clip] for clip in few})
    )
    assert (found["difference"], found["low"], found["high"], found["p"]) == (1.0, None, None, None)


def test_of_clips_in_other_folds_a_difference_must_be_clearer() -> None:
    nearly = {clip: RIGHT[clip] if int(clip) >= 8 else WRONG[clip] for clip in LABELS}
    placed = [{clip: (int(clip) + shift) % 5 for clip in LABELS} for shift in (0, 1)]
    few = placed[0] | {"00": 1, "01": 2}
    sides = [revision(LABELS, nearly, placed[0]), *(revision(LABELS, RIGHT, of) for of in (placed[0], few, placed[1]))]
    same, partly, other = (compare(sides[0], after)["cnn"] for after in sides[1:])
    assert [found.get("refolded") for found in (same, partly, other)] == [None, 2, 40]
    chances = [accuracy(sides[0], after)["p"] for after in sides[1:]]
    assert chances[0] < chances[1] < chances[2] < 0.05
    assert [accuracy(sides[0], after)["difference"] for after in sides[1:]] == [0.2] * 3
    assert accuracy(sides[3], sides[0])["p"] == chances[2]
    tested = revision(LABELS, RIGHT, dict.fromkeys(LABELS, -1))
    assert accuracy(sides[0], tested)["p"] > chances[0]
    assert accuracy(revision(LABELS, nearly, dict.fromkeys(LABELS, -1)), tested)["p"] == chances[0]


@pytest.mark.slow
def test_of_two_runs_on_other_folds_one_in_twenty_is_called_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.compare.RESAMPLES", 199)
    label = {f"{n:02}": "harmful" if n % 2 else "safe" for n in range(60)}
    tries, called = 250, 0
    for seed in range(tries):
        rng = np.random.default_rng(seed)
        heard = rng.normal(0, 2, len(label))
        runs = []
        for _ in range(2):
            fold = rng.permutation(len(label)) % 3
            luck = rng.normal(0, 0.5, 3)[fold]  # of what the model of a fold learned from
            toward = np.where(np.array([*label.values()]) == "harmful", 1, -1)
            noise = heard + rng.normal(size=len(label)) + toward * luck
            said = {clip: score(of, one) for (clip, of), one in zip(label.items(), noise, strict=True)}
            runs.append(revision(label, said, dict(zip(label, fold.tolist(), strict=True))))
        called += (accuracy(*runs) or {"p": 1})["p"] <= 0.05
    assert 0 < called <= stats.binom.ppf(0.999, tries, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 2])
def test_of_two_runs_of_one_model_one_in_twenty_is_called_different(
    copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.compare.RESAMPLES", 199)  # with the difference itself 200 swaps, of which 10 are 5 %
    groups = {clip: f"g{int(clip) // copies}" for clip in LABELS}
    tries, called = 250, 0
    for seed in range(tries):
        rng = np.random.default_rng(seed)
        heard = {group: rng.normal(0, 2) for group in sorted(set(groups.values()))}
        luck = [{group: rng.normal() for group in heard} for _ in range(2)]
        label = {clip: "harmful" if int(clip) // copies % 2 else "safe" for clip in LABELS}
        before, after = (
            revision(
                label,
                {clip: score(label[clip], heard[groups[clip]] + of[groups[clip]]) for clip in label},
                groups=groups,
            )
            for of in luck
        )
        called += (accuracy(before, after) or {"p": 1})["p"] <= 0.05
    assert 0 < called <= stats.binom.ppf(0.999, tries, 0.05)


def score(label: str, noise: float) -> float:
    return float(1 / (1 + np.exp(-noise - (1.5 if label == "harmful" else -1.5))))
