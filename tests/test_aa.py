"""The A/A test tells a comparison that takes luck for a difference."""

import itertools
from pathlib import Path

import aa
import joblib
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats


def test_a_better_model_is_called_better() -> None:
    label, number = np.array(["harmful", "safe"] * 30), np.arange(60)
    right = np.where(label == "harmful", 0.9, 0.1)
    half = np.where(number % 4 < 2, right, 1 - right)
    runs = [aa.Run(label, number.astype(str), 0 * number, said) for said in (half, right, right)]
    assert [aa.words(*runs[:2]), aa.words(*runs[1::-1]), aa.words(*runs[1:])] == [
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
    said = ["better", "worse", *["may be noise"] * 30, "the same", *["too few groups to tell"] * 7]
    found, *interval = aa.share(said, len(said))
    assert found == 0.05
    assert interval == pytest.approx([*stats.binomtest(2, 40).proportion_ci()])
    assert aa.share(["the same"] * 3, 3)[1:] == pytest.approx((0, stats.binomtest(0, 3).proportion_ci().high))


def test_pairs_that_share_runs_tell_less() -> None:
    said = ["better", *["may be noise"] * 27]  # of eight runs
    (_, low, high), (_, lower, higher) = aa.share(said, 28), aa.share(said, 4)
    assert lower < low < 1 / 28 < high < higher


def test_the_luck_of_runs_is_their_deviation() -> None:
    label, number = np.array(["harmful", "safe"] * 20), np.arange(40)
    right = np.where(label == "harmful", 0.9, 0.1)
    runs = [
        aa.Run(label, number.astype(str), 0 * number, np.where(number < wrong, 1 - right, right)) for wrong in (0, 4, 8)
    ]
    mean, deviation, half = aa.luck([*itertools.combinations(runs, 2)])
    assert (mean, deviation, half) == pytest.approx((0.9, 0.1, 0.0))


def test_a_set_is_of_whole_groups_and_even() -> None:
    group = np.repeat(np.arange(200), 2).astype(str)
    label = np.where(np.arange(400) < 240, "harmful", "safe")
    one, other = (aa.sample(label, group, seed) for seed in (0, 1))
    assert one.reshape(-1, 2).all(axis=1).sum() == one.sum() / 2
    assert [(one & (label == name)).sum() for name in ("harmful", "safe")] == [50, 50]
    assert (one != other).any()
