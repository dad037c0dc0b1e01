import dataclasses
from typing import Any

import pytest
import stand

from training import shifted
from training.degrade import CLEAN, Condition
from training.findings import Findings

RIGHT = stand.right()


def heard(found: Findings, conditions: dict[Condition, dict[str, float]]) -> Findings:
    """Return the findings of a model that says so under each condition."""
    shifts, robustness = stand.shifted({"m": {CLEAN: RIGHT} | conditions})
    return dataclasses.replace(found, shifts=shifts, robustness=robustness)


def said(found: Findings, **changes: Any) -> Findings:
    return dataclasses.replace(found, robustness={"m": found.robustness["m"] | changes})


def test_what_surely_costs_a_model_is_the_cause_with_its_figure_and_its_advice(found: Findings) -> None:
    deaf = shifted.cause(heard(found, {stand.LOUD: stand.deafened(RIGHT), ("crop_s", 1.0): RIGHT}))
    assert deaf.verdict == "supported"
    assert deaf.figure.startswith("`m` is worst with a gain of +6 dB: balanced accuracy 0.46 [")
    assert "`m` loses balanced accuracy: 0.073 a dB of gain, up or down." in deaf.figure
    assert deaf.advice.startswith("If the models are to hear a gain of +6 dB, record such clips")
    assert "count on a balanced accuracy of 0.46 [" in deaf.advice


def test_a_model_that_no_change_moves_clears_it(found: Findings) -> None:
    cause = shifted.cause(heard(found, {stand.LOUD: RIGHT, ("crop_s", 1.0): RIGHT}))
    assert (cause.verdict, cause.advice) == ("cleared", "")
    assert "the difference may be noise" in cause.figure


def test_what_may_cost_much_or_be_luck_is_not_known(found: Findings) -> None:
    one_more = RIGHT | {"s0": 0.9}
    assert shifted.cause(heard(found, {stand.LOUD: one_more})).verdict == "not known"


def test_a_model_at_chance_can_lose_nothing(found: Findings) -> None:
    flat = dict.fromkeys(stand.LABELS, 0.6)
    cause = shifted.cause(heard(found, {CLEAN: flat, stand.LOUD: flat}))
    assert cause.verdict == "not known"
    assert "cannot be told" in cause.figure


@pytest.mark.parametrize(("high", "verdict"), [(0.6, "supported"), (0.9, "cleared"), (None, "cleared")])
def test_a_source_that_is_surely_below_the_rest_is_named(found: Findings, high: float | None, verdict: str) -> None:
    source = {"sources": 3, "source": "pier/", "clips": 10, "value": 0.4, "low": 0.3, "high": high}
    cause = shifted.cause(said(heard(found, {stand.LOUD: RIGHT}), worst_source=source))
    assert cause.verdict == verdict
    assert "`m` is worst on `pier/`" in cause.figure
    assert ("Record more at `pier/`" in cause.advice) == (verdict == "supported")


@pytest.mark.parametrize(("high", "verdict"), [(-0.05, "supported"), (-0.01, "cleared"), (None, "cleared")])
def test_what_it_costs_that_a_source_is_new_is_the_cause_where_it_is_no_luck(
    found: Findings, high: float | None, verdict: str
) -> None:
    source = {"sources": 3, "source": "pier/", "clips": 30, "value": 0.55, "low": 0.4, "high": 0.7}
    costs = {"change": -0.2, "change_low": -0.3, "change_high": high}
    one = heard(found, {stand.LOUD: RIGHT})
    cause = shifted.cause(
        dataclasses.replace(one, robustness={**one.robustness, "svm": {"new_source": source | costs}})
    )
    assert cause.verdict == verdict
    assert ("`svm` trained without `pier/` has a balanced accuracy of 0.55 [0.40, 0.70]" in cause.figure) == bool(
        cause.advice
    )
    assert cause.advice in (
        "",
        "Record at more places than `pier/` and the others; until then count on 0.55 [0.40, 0.70] at one that is new.",
    )
    assert bool(cause.advice) == (verdict == "supported")


def test_a_project_may_have_nothing_but_new_sources(found: Findings) -> None:
    source = {"sources": 1, "source": "pier/", "clips": 30, "value": 0.55, "low": 0.4, "high": 0.7, "change": -0.2}
    alone = {"svm": {"new_source": source | {"change_low": -0.3, "change_high": -0.1}}}
    assert shifted.cause(dataclasses.replace(found, robustness=alone)).verdict == "supported"
