"""The A/A test tells a comparison that takes luck for a difference."""

from pathlib import Path

import aa
import joblib
import numpy as np
import pytest
from click.testing import CliRunner, Result


def test_a_better_model_is_called_better() -> None:
    label, number = np.array(["harmful", "safe"] * 30), np.arange(60)
    right = np.where(label == "harmful", 0.9, 0.1)
    half = np.where(number % 4 < 2, right, 1 - right)
    revisions = [aa.revision(label, number.astype(str), said) for said in (half, right, right)]
    assert [aa.words(*revisions[:2]), aa.words(*revisions[1::-1]), aa.words(*revisions[1:])] == [
        "better",
        "worse",
        "the same",
    ]


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr(aa, "PAIRS", 60)
    with joblib.parallel_config("sequential"):
        return CliRunner().invoke(aa.main, ["--data", str(tmp_path / "none")])


def test_the_comparison_calls_no_more_pairs_of_runs_apart_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(tmp_path, monkeypatch)
    assert result.exit_code == 0, result.output
    assert "simulated" in result.output


def test_a_careless_comparison_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.verdict.NOISE", 0.5)
    result = run(tmp_path, monkeypatch)
    assert (result.exit_code, "more than 5% of the pairs: simulated" in result.output) == (1, True)


def test_the_share_is_that_of_pairs_called_better_or_worse() -> None:
    found, low, high = aa.share(
        ["better", "worse", *["may be noise"] * 30, "the same", *["too few groups to tell"] * 7]
    )
    assert found == 0.05
    assert 0 < low < 0.05 < high < 0.2


def test_the_luck_of_runs_is_their_deviation() -> None:
    label = np.array(["harmful", "safe"] * 20)
    right = np.where(label == "harmful", 0.9, 0.1)
    runs = [np.where(np.arange(40) < wrong, 1 - right, right) for wrong in (0, 4, 8)]
    mean, deviation, half = aa.luck(label, np.arange(40).astype(str), runs)
    assert (mean, deviation, half) == pytest.approx((0.9, 0.1, 0.0))
