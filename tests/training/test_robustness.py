import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation import tables
from training.degrade import AXES, CLEAN, Condition
from training.metrics import Outcome
from training.robustness import (
    WORDS,
    by_new_source,
    by_source,
    loses_elsewhere,
    robustness,
    rows,
    sentences,
    summary,
    summary_of_new,
)

CLIPS = 40
GROUPS = np.arange(CLIPS) // 2


def outcome(wrong: int) -> Outcome:
    """Return what a model says of 20 clips of each class that errs on the first `wrong` of each."""
    truth = np.arange(CLIPS) % 2
    said = np.where(np.arange(CLIPS) < 2 * wrong, 1 - truth, truth)
    return Outcome(truth, np.eye(2)[said] * 0.8 + 0.1)


def found(wrong: dict[Condition, int]) -> dict:
    outcomes = {condition: outcome(count) for condition, count in wrong.items()}
    return robustness(outcomes, GROUPS, 200, seed=0)


def test_a_change_and_its_interval_are_those_of_the_same_clips() -> None:
    """Where all clips that are wrong are wrong anyhow, nothing changed, whatever is drawn."""
    measured = found({CLEAN: 4, ("gain_db", 6): 4, ("gain_db", 12): 14})
    same, worse = measured["change", ("gain_db", 6)], measured["change", ("gain_db", 12)]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert worse.value == pytest.approx(-0.5)
    assert -1 < worse.low < worse.value < worse.high < 0
    clean = measured["balanced_accuracy", CLEAN]
    assert clean.value == pytest.approx(0.8)
    assert clean.low < clean.value < clean.high


def test_a_slope_is_that_of_a_line_away_from_the_clean_clip() -> None:
    straight = found({CLEAN: 0, ("gain_db", -12): 6, ("gain_db", -6): 3, ("gain_db", 6): 3, ("gain_db", 12): 6})
    assert straight["slope", ("gain_db", None)].value == pytest.approx(-0.025)  # 6 of 20 in 12 dB
    noisy = found({CLEAN: 0, ("snr_db", 20): 0, ("snr_db", 10): 4, ("snr_db", 0): 8})
    assert noisy["slope", ("snr_db", None)].value == pytest.approx(-0.02)
    assert ("slope", ("gain_db", None)) not in noisy


def test_a_model_that_nothing_changes_has_the_slope_zero() -> None:
    flat = found({CLEAN: 3, ("gain_db", -12): 3, ("gain_db", 12): 3})["slope", ("gain_db", None)]
    assert (flat.value, flat.low, flat.high) == (0, 0, 0)


def test_one_severity_of_noise_has_no_slope() -> None:
    assert ("slope", ("snr_db", None)) not in found({CLEAN: 0, ("snr_db", 10): 4})


def test_the_summary_names_the_worst_case_among_the_changed() -> None:
    measured = found({CLEAN: 2, ("gain_db", 6): 3, ("crop_s", 1): 9, ("snr_db", 0): 8})
    said = summary(rows(measured, CLIPS), [], measured, classes=2)
    assert said["clean"] == {"value": 0.9, "low": pytest.approx(0.7, abs=0.2), "high": 1.0, "majority": 0.5}
    worst = said["worst"]
    assert (worst["axis"], worst["severity"], worst["value"]) == ("crop_s", 1, pytest.approx(0.55))
    assert worst["change"] == pytest.approx(-0.35)
    assert set(said["slope"]) == {"gain_db"}
    assert "worst_source" not in said


def sources(**places: range) -> pd.DataFrame:
    return pd.DataFrame([{"source": name, "place": place} for name, part in places.items() for place in part])


def test_each_source_is_judged_by_its_own_clips() -> None:
    """The model errs on the first 8 clips of each class, that is, on the first 16 clips."""
    judged = by_source(outcome(8), GROUPS, sources(bad=range(16), good=range(16, 40)), 200, seed=0)
    assert [(row["source"], row["clips"], row["balanced_accuracy"]) for row in judged] == [
        ("bad", 16, 0),
        ("good", 24, 1),
    ]
    said = summary(rows(found({CLEAN: 8, ("crop_s", 1): 9}), 40), judged, found({CLEAN: 8}), classes=2)
    assert said["worst_source"] == {"sources": 2, "source": "bad", "clips": 16, "value": 0, "low": 0, "high": 0}


def test_a_source_with_few_clips_of_a_class_is_not_judged() -> None:
    assert by_source(outcome(8), GROUPS, sources(few=range(9), enough=range(10)), 100, seed=0)[0]["source"] == "enough"
    assert by_source(outcome(8), GROUPS, sources(one_class=range(0, 40, 2)), 100, seed=0) == []


def test_the_rows_are_the_table() -> None:
    measured = found({CLEAN: 2, ("gain_db", 6): 3})
    judged = by_source(outcome(2), GROUPS, sources(here=range(40)), 100, seed=0)
    new = by_new_source(outcome(2), {"here": (np.arange(40), outcome(3).probabilities)}, GROUPS, 100, seed=0)
    table = pd.DataFrame([*rows(measured, CLIPS), *judged, *new]).assign(model="m")
    assert set(table.columns) == set(tables.SHIFTS.columns)
    assert list(table["axis"]) == ["clean", "gain_db", "source", "new_source"]
    assert set(tables.SHIFTS.columns["axis"].choices) == {CLEAN[0], *AXES, "source", "new_source"}


def test_what_a_new_source_costs_is_that_of_its_own_clips() -> None:
    """Known, the first 4 clips of each class are wrong; new, the first 14: of the 20 groups those from 4 on change."""
    known, new = outcome(4), outcome(14)
    told = {
        "whole": (np.arange(40), new.probabilities),
        "same": (np.arange(8), new.probabilities[:8]),
        "few": (np.arange(20, 28), new.probabilities[20:28]),
    }
    whole, same, few = by_new_source(known, told, GROUPS, 200, seed=0)
    paired = found({CLEAN: 4, ("gain_db", 6): 14})["change", ("gain_db", 6)]
    assert (whole["change"], whole["change_low"], whole["change_high"]) == (paired.value, paired.low, paired.high)
    assert (same["source"], same["clips"], same["balanced_accuracy"], same["change"]) == ("same", 8, 0, 0)
    assert few["change"] == -1
    assert all(np.isnan(few[end]) for end in ("low", "high", "change_low", "change_high"))  # of four groups

    case = summary_of_new([same, few, whole])["new_source"]
    assert (case["source"], case["sources"], case["clips"], case["value"]) == ("whole", 3, 40, pytest.approx(0.3))
    assert loses_elsewhere({"new_source": case})
    assert not loses_elsewhere(json.loads(json.dumps(summary_of_new([same]))))


def test_what_a_new_source_costs_is_said_where_it_is_no_luck() -> None:
    ends = {"low": 0.45, "high": 0.66, "change_low": -0.2}
    case = {
        "sources": 3,
        "source": "site-03/",
        "clips": 30,
        "value": 0.55,
        "change": -0.12,
        "change_high": -0.05,
    } | ends
    assert sentences({"svm": {"new_source": case}}) == [
        "`svm` trained without `site-03/` has a balanced accuracy of 0.55 [0.45, 0.66] there, -0.12 [-0.20, -0.05] to "
        "what it has when it knows other clips of it, the surest loss of 3 sources."
    ]
    assert sentences({"svm": {"new_source": case | {"change_high": 0.01}}}) == []
    assert sentences({"svm": {"new_source": case | {"change_low": None, "change_high": None}}}) == []


def said(**changes: Any) -> dict[str, Any]:
    base = {
        "clean": {"value": 0.86, "low": 0.79, "high": 0.92, "majority": 0.5},
        "worst": {"axis": "gain_db", "severity": 12, "value": 0.65, "low": 0.58, "high": 0.74, "change_high": -0.12},
        "slope": {
            "gain_db": {"value": -0.0122, "low": -0.017, "high": -0.007},
            "snr_db": {"value": 0, "low": -1, "high": 1},
        },
    }
    return json.loads(json.dumps(base | changes))


def test_the_sentences_name_the_worst_case_and_what_a_db_costs() -> None:
    assert sentences({"lite_cnn": said()}) == [
        "`lite_cnn` is worst with a gain of +12 dB: balanced accuracy 0.65 [0.58, 0.74], clean 0.86 [0.79, 0.92].",
        "`lite_cnn` loses balanced accuracy: 0.012 a dB of gain, up or down.",
    ]


def test_what_may_be_luck_is_called_so() -> None:
    worst = said()["worst"] | {"change_high": 0.01}
    assert sentences({"m": said(worst=worst, slope={})}) == [
        "`m` is worst with a gain of +12 dB: balanced accuracy 0.65 [0.58, 0.74], clean 0.86 [0.79, 0.92]; "
        "the difference may be noise."
    ]


@pytest.mark.parametrize("low", [0.5, None])
def test_of_a_model_at_chance_nothing_else_is_said(low: float | None) -> None:
    clean = {"value": 0.58, "low": low, "high": 0.7, "majority": 0.5}
    (sentence,) = sentences({"m": said(clean=clean)})
    assert sentence.startswith("`m` may be no better than chance on clean clips, balanced accuracy 0.58")


def test_the_worst_source_is_named_and_escaped() -> None:
    source = {"sources": 4, "source": "<b>`x`/", "clips": 12, "value": 0.4, "low": None, "high": None}
    assert sentences({"m": said(worst_source=source)})[-1] == (
        "`m` is worst on `` <b>`x`/ ``: balanced accuracy 0.40 (no interval) on 12 clips, the lowest of 4 sources."
    )


def test_every_axis_has_words() -> None:
    assert list(WORDS) == list(AXES)
