import dataclasses

import numpy as np
import pandas as pd
import pytest
import stand

from training import causes
from training.cause import Cause
from training.findings import Findings


def named(found: Findings, name: str) -> Cause:
    return next(cause for cause in causes.causes(found) if cause.name == name)


def test_a_flat_training_curve_and_little_data_are_found_in_the_project_that_has_both(found: Findings) -> None:
    verdicts = {cause.name: cause.verdict for cause in causes.causes(found)}
    assert verdicts == {
        "leaking evaluation": "cleared",
        "too similar evaluation": "supported",
        "wrong labels": "not known",
        "shortcuts": "cleared",
        "class imbalance": "cleared",
        "learning rate and epochs of `lite_cnn`": "cleared",
        "learning rate and epochs of `wav2vec2`": "supported",
        "frozen layers of `wav2vec2`": "cleared",
        "too little data": "supported",
        "labels that the sound does not tell": "cleared",
    }


def test_whatever_is_not_cleared_says_what_to_do(found: Findings) -> None:
    assert all(bool(cause.advice) == (cause.verdict != "cleared") for cause in causes.causes(found))


def test_a_group_in_two_folds_is_a_leak_and_counted(found: Findings) -> None:
    folds = found.folds.assign(fold=found.folds["fold"].where(found.folds["clip_id"] != "h0", 2))
    leak = causes.leak(dataclasses.replace(found, folds=folds))
    assert (leak.verdict, leak.figure[:35]) == ("supported", "1 of 11 groups are in two folds; 0 ")


def test_without_given_groups_a_leak_cannot_be_cleared(found: Findings) -> None:
    own = dataclasses.replace(found, clips=found.clips.assign(group=found.clips["file"]))
    assert causes.leak(own).verdict == "not known"
    assert "every recording counts as its own" in causes.leak(own).figure


def uneven(found: Findings, *, clearly: bool = True, **recipe: object) -> Findings:
    """Return the findings of a model that learns from 12 harmful clips and 2 safe ones, its recipe changed."""
    train = found.train.assign(
        times=[1 if clip in (*stand.HARMFUL, "s0", "s1") else 0 for clip in found.train["clip_id"]]
    )
    recall = {"harmful": {"value": 1.0, "low": 0.9, "high": 1.0}, "safe": {"value": 0.2, "low": 0.1, "high": 0.4}}
    if not clearly:
        recall["safe"] |= {"high": 0.95}
    training = found.trainings["lite_cnn"]
    changed = dataclasses.replace(training, recipe=training.recipe.model_copy(update=recipe))
    metrics = {"m": {**found.metrics["lite_cnn"], "recall": recall}}
    return dataclasses.replace(found, train=train, metrics=metrics, trainings={"m": changed})


def loss(found: Findings, **changed: float) -> object:
    return found.trainings["lite_cnn"].recipe.loss.model_copy(update=changed)


def test_uneven_draws_are_to_blame_where_the_rarer_class_is_clearly_found_less(found: Findings) -> None:
    blamed = causes.imbalance(uneven(found))
    assert (blamed.verdict, blamed.minutes) == ("supported", 0)
    assert blamed.figure == (
        "12 clips are `harmful`, 8 `safe`: 1.5 to 1. Draws, weights and loss make that 6.0 to 1 for `m`. "
        "`m` finds 20% of `safe`, 100% of `harmful`."
    )
    assert causes.imbalance(uneven(found, clearly=False)).verdict == "not known"


def test_weights_samplers_and_losses_even_classes_out_as_repetitions_do(found: Findings) -> None:
    listed = uneven(found)
    weighed = listed.train.assign(weight=np.where(listed.train["label"] == "safe", 6.0, 1.0))
    even = [
        dataclasses.replace(listed, train=weighed),
        uneven(found, sampler="weighted"),
        uneven(found, sampler="balanced"),
        uneven(found, loss=loss(found, class_beta=0.9999)),
        uneven(found, loss=loss(found, prior_tau=1.0)),
    ]
    assert {causes.imbalance(one).verdict for one in even} == {"cleared"}
    assert all(causes.imbalance(one).figure.endswith(" make that 1.0 to 1 for `m`.") for one in even)


def test_each_model_is_judged_by_what_its_own_training_makes_of_the_classes(found: Findings) -> None:
    listed, sampled = uneven(found), uneven(found, sampler="balanced")
    trainings = {"a": listed.trainings["m"], "b": sampled.trainings["m"]}
    both = dataclasses.replace(listed, metrics=dict.fromkeys("ab", listed.metrics["m"]), trainings=trainings)
    figure = causes.imbalance(both).figure
    assert "make that 6.0 to 1 for `a`, 1.0 to 1 for `b`. `a` finds 20%" in figure
    assert "`b` finds" not in figure


@pytest.mark.parametrize("left", [{"times": 0}, {"weight": 0.0}], ids=["no draw", "no weight"])
def test_a_class_that_training_never_draws_is_the_cause(found: Findings, left: dict[str, float]) -> None:
    one_class = found.train["label"] == "harmful"
    train = found.train.assign(**{name: found.train[name].where(one_class, value) for name, value in left.items()})
    cause = causes.imbalance(dataclasses.replace(found, train=train))
    assert (cause.verdict, cause.figure) == ("supported", "Training draws no clip of `safe`.")


def test_of_one_class_no_training_curve_is_judged(found: Findings) -> None:
    train = found.train.assign(times=(found.train["label"] == "harmful").astype(int))
    cause = named(dataclasses.replace(found, train=train), "training of `lite_cnn`")
    assert (cause.verdict, cause.figure) == ("not known", "There is nothing to learn from one class.")


def test_what_is_fitted_in_one_go_has_no_rate_and_no_epochs_to_doubt(found: Findings) -> None:
    metrics = dict(found.metrics) | dict.fromkeys(("blend", "svm", "other"), found.metrics["lite_cnn"])
    names = [cause.name for cause in causes.causes(dataclasses.replace(found, metrics=metrics))]
    assert [name for name in names if name.startswith("training of")] == ["training of `other`"]


@pytest.mark.parametrize(
    ("doubling", "verdict", "gain"),
    [
        ((0.08, 0.02, 0.14), "supported", 0.0522),
        ((0.03, -0.02, 0.08), "not known", None),
        ((0.0, -0.01, 0.01), "cleared", None),
        ((0.03, np.nan, np.nan), "not known", None),
    ],
)
def test_the_last_doubling_tells_whether_more_data_helps(
    found: Findings, doubling: tuple[float, ...], verdict: str, gain: float | None
) -> None:
    cause = causes.too_little(dataclasses.replace(found, ablations=stand.ablations(doubling=doubling)))
    assert cause.verdict == verdict
    assert cause.gain == pytest.approx(gain, abs=1e-4)


@pytest.mark.parametrize("power", [0.2, 0.5, 1.0])
def test_the_next_doubling_is_foretold_exactly_where_errors_are_a_power_of_the_groups(power: float) -> None:
    accuracy = [1 - 0.4 * groups**-power for groups in (1, 2, 4)]
    assert causes.following(accuracy[1] - accuracy[0], accuracy[1]) == pytest.approx(accuracy[2] - accuracy[1])


def test_as_much_again_takes_the_minutes_of_what_there_is_and_names_the_class_known_least(found: Findings) -> None:
    cause = causes.too_little(found)
    assert cause.minutes == len(stand.LABELS) * 30 / 60
    assert cause.advice.endswith("10.0 minutes, most of all of `safe`, of which `lite_cnn` finds 60% to 100%.")


def test_labels_that_the_scoring_model_cannot_tell_are_not_cleared(found: Findings) -> None:
    chance = stand.ablations(whole=(0.52, 0.4, 0.6))
    cause = named(dataclasses.replace(found, ablations=chance), "labels that the sound does not tell")
    assert cause.verdict == "not known"
    assert "0.52 [0.40, 0.60]; chance is 0.50" in cause.figure


def test_a_model_of_somebody_else_has_no_curve_and_that_is_said(found: Findings) -> None:
    cause = named(dataclasses.replace(found, trainings={}), "training of `wav2vec2`")
    assert (cause.verdict, cause.figure) == ("not known", "It left no training curve.")


def test_names_from_the_data_stay_in_code(found: Findings) -> None:
    evil = "<b>*safe*</b>`"

    def renamed(value: object) -> object:
        if isinstance(value, pd.DataFrame):
            return value.replace("safe", evil)
        if isinstance(value, dict):
            return {evil if key == "safe" else key: renamed(inner) for key, inner in value.items()}
        return value

    fields = {field.name: renamed(getattr(found, field.name)) for field in dataclasses.fields(found)}
    hostile = Findings(**fields | {"classes": ("harmful", evil)})
    texts = [text for cause in causes.causes(hostile) for text in (cause.figure, cause.advice)]
    assert any(evil in text for text in texts)
    assert all(text.count(evil) == text.count(f"`` {evil} ``") for text in texts)
