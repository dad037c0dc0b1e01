import json
import shutil
from pathlib import Path

import click
import pytest
import rows
from click.testing import CliRunner

from curation import gate

HEALTHY = {
    "balanced_accuracy": {"value": 0.8, "low": 0.7, "high": 0.9, "majority": 0.5},
    "roc_auc": {"value": 0.9, "low": None, "high": None, "majority": 0.5},
    "recall": {"safe": {"value": 0.75, "low": 0.4, "high": 0.9, "majority": 0.0}},
    "ece": {"value": 0.1, "majority": 0.0},
    "collapsed": 0,
    "at_chance": 0,
    "faults": [],
}


def bounds(
    at_least: dict[str, float] | None = None,
    low_at_least: dict[str, float] | None = None,
    at_most: dict[str, float] | None = None,
) -> gate.Params:
    return gate.Params(at_least=at_least or {}, low_at_least=low_at_least or {}, at_most=at_most or {})


def test_every_bound_of_every_model_is_a_check_with_figure_interval_and_bound() -> None:
    evidence = {"a": HEALTHY, "b": HEALTHY | {"collapsed": 1, "faults": ["says 'safe' for 9 of 9 clips"]}}
    checks = gate.gate(evidence, bounds({"balanced_accuracy": 0.85}, {"recall.safe": 0.4}, {"ece": 0.1}))
    assert [(check.model, check.passed, check.words) for check in checks] == [
        ("a", True, "sound"),
        ("a", False, "balanced_accuracy 0.800 [0.700, 0.900], at least 0.85"),
        ("a", True, "recall.safe 0.750 [0.400, 0.900], lower end at least 0.4"),
        ("a", True, "ece 0.100 no interval, at most 0.1"),
        ("b", False, "says 'safe' for 9 of 9 clips"),
        ("b", False, "balanced_accuracy 0.800 [0.700, 0.900], at least 0.85"),
        ("b", True, "recall.safe 0.750 [0.400, 0.900], lower end at least 0.4"),
        ("b", True, "ece 0.100 no interval, at most 0.1"),
    ]


def test_a_model_at_chance_fails() -> None:
    assert not gate.gate({"a": HEALTHY | {"at_chance": 1}}, bounds())[0].passed


def test_a_calibration_error_above_its_bound_fails() -> None:
    assert not gate.gate({"a": HEALTHY}, bounds(at_most={"ece": 0.09}))[1].passed


def test_a_figure_without_interval_cannot_prove_its_lower_end() -> None:
    assert not gate.gate({"a": HEALTHY}, bounds(low_at_least={"roc_auc": 0.0}))[1].passed


@pytest.mark.parametrize("name", ["acuracy", "recall", "recall.loud", "balanced_accuracy.safe", "collapsed"])
def test_a_bound_on_what_was_not_measured_is_refused(name: str) -> None:
    with pytest.raises(
        click.ClickException, match=f"'{name}', which 'a' has no figure for.*balanced_accuracy, roc_auc"
    ):
        gate.gate({"a": HEALTHY}, bounds({name: 0.5}))


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, "params.yaml")
    Path("reports").mkdir()
    return Path("reports/metrics.json")


@pytest.mark.parametrize(("collapsed", "status"), [(0, 0), (1, 1)])
def test_the_exit_status_tells_whether_all_models_pass(metrics: Path, collapsed: int, status: int) -> None:
    proven = {"roc_auc": {"value": 0.9, "low": 0.8, "high": 1.0, "majority": 0.5}}
    metrics.write_text(json.dumps({"m": HEALTHY | proven | {"collapsed": collapsed}}))
    result = CliRunner().invoke(gate.main)
    assert result.exit_code == status
    assert result.output.splitlines()[0] == ("FAIL  m: sound" if collapsed else "pass  m: sound")
    assert len(result.output.splitlines()) > 1


def test_a_sound_model_below_a_bound_fails(metrics: Path) -> None:
    below = {"balanced_accuracy": {"value": 0.59, "low": 0.5, "high": 0.7, "majority": 0.5}}
    proven = {"roc_auc": {"value": 0.9, "low": 0.8, "high": 1.0, "majority": 0.5}}
    metrics.write_text(json.dumps({"m": HEALTHY | proven | below}))
    result = CliRunner().invoke(gate.main)
    assert result.exit_code == 1
    assert result.output.splitlines()[:2] == [
        "pass  m: sound",
        "FAIL  m: balanced_accuracy 0.590 [0.500, 0.700], at least 0.6",
    ]


def test_a_missing_file_is_no_verdict(metrics: Path) -> None:
    assert CliRunner().invoke(gate.main).exit_code == 2


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"m": 1}', '{"m": {"collapsed": 0}}'])
def test_a_file_that_is_no_evidence_is_refused(metrics: Path, text: str) -> None:
    metrics.write_text(text)
    result = CliRunner().invoke(gate.main)
    assert result.exit_code == 1
    assert "`dvc repro evaluate` writes it" in result.output
