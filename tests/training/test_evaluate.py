import json
import shutil
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
import rows
from click.testing import CliRunner

from curation import files, tables
from training import evaluate, metrics

CLASSES = ("harmful", "safe")
P = evaluate.Params(resamples=200, seed=0)
LABELS = {f"clip{i}": "harmful" if i < 6 else "safe" for i in range(10)}


def labels(**changed: str) -> pd.DataFrame:
    return rows.labelled(tables.LABELS, **(LABELS | changed))


def folds(**fold: int) -> pd.DataFrame:
    return rows.table(
        tables.FOLDS, *({"clip_id": clip, "fold": fold.get(clip, i % 3)} for i, clip in enumerate(LABELS))
    )


def predictions(harmful: dict[str, float]) -> pd.DataFrame:
    pairs = [(clip, label, p if label == "harmful" else 1 - p) for clip, p in harmful.items() for label in CLASSES]
    return pd.DataFrame(pairs, columns=list(tables.PREDICTIONS.columns))


RIGHT = {clip: 0.9 if label == "harmful" else 0.2 for clip, label in LABELS.items()}


def test_the_clips_of_the_test_fold_judge_where_there_is_one() -> None:
    found = evaluate.judged(labels(clip9=""), folds(clip2=-1, clip8=-1, clip9=-1), {"m": predictions(RIGHT)})
    assert found.to_dict("list") == {"clip_id": ["clip2", "clip8"], "label": ["harmful", "safe"], "fold": [-1, -1]}


def test_without_a_test_fold_all_labelled_clips_that_some_model_predicts_judge() -> None:
    first = predictions({clip: 0.5 for clip in ("clip0", "clip9")})
    second = predictions({clip: 0.5 for clip in ("clip1", "clip9")})
    found = evaluate.judged(labels(clip0=""), folds(), {"first": first, "second": second})
    assert found["clip_id"].tolist() == ["clip1", "clip9"]


def test_probabilities_are_brought_into_the_order_of_the_clips() -> None:
    clips = pd.DataFrame({"clip_id": ["b", "a"], "label": ["safe", "harmful"]})
    found = evaluate.outcome(clips, predictions({"a": 0.75, "b": 0.25, "c": 0.5}), source="m.csv", classes=CLASSES)
    assert found.truth.tolist() == [1, 0]
    assert found.probabilities.tolist() == [[0.25, 0.75], [0.75, 0.25]]


def broken(change: str) -> pd.DataFrame:
    table = predictions(RIGHT)
    if change == "missing":
        return table[~table["clip_id"].isin(["clip1", "clip3", "clip4", "clip5"])]
    if change == "half":
        return table.drop(index=1)
    if change == "alien":
        return table.assign(label=table["label"].replace("safe", "loud"))
    return table.assign(
        probability=table["probability"].where(table.index != 0, {"sum": 0.95, "negative": -0.1}[change])
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("missing", r"m.csv: 4 of the 10 clips to judge .* not predicted: clip1, clip3, clip4 and 1 more"),
        ("half", r"m.csv: .* sum to 1 over \['harmful', 'safe'\], unlike those of clip0\."),
        ("sum", "sum to 1 .* unlike those of clip0"),
        ("negative", "at least 0 .* unlike those of clip0"),
        ("alien", "m.csv: 'loud' not in `data.classes`"),
    ],
)
def test_predictions_that_cannot_be_judged_are_refused_by_name(change: str, match: str) -> None:
    clips = labels()[["clip_id", "label"]]
    with pytest.raises(click.ClickException, match=match):
        evaluate.outcome(clips, broken(change), source="m.csv", classes=CLASSES)


@pytest.mark.parametrize(("kept", "count"), [("safe", 4), ("", 0)])
def test_clips_that_lack_a_class_cannot_judge(kept: str, count: int) -> None:
    clips = labels().loc[lambda table: table["label"] == kept, ["clip_id", "label"]]
    with pytest.raises(click.ClickException, match=f"of the {count} labelled clips .* none is 'harmful'"):
        evaluate.outcome(clips, predictions(RIGHT), source="m.csv", classes=CLASSES)


def evidence_on(outcome: metrics.Outcome, groups: np.ndarray, folds: np.ndarray | None = None) -> dict[str, Any]:
    """Return the evidence on a model beside measures of the recording that are right about all clips but the first."""
    nuisance = metrics.Outcome(outcome.truth, np.eye(2)[np.r_[1 - outcome.truth[0], outcome.truth[1:]]])
    folds = np.zeros(len(groups), np.int64) if folds is None else folds
    return evaluate.evaluate({"m": outcome}, nuisance, groups, folds, P, classes=CLASSES)["m"]


def leaves(evidence: dict[str, object]) -> list[dict[str, float]]:
    nested = [value for value in evidence.values() if isinstance(value, dict)]
    return ([evidence] if "value" in evidence else []) + [leaf for value in nested for leaf in leaves(value)]


def test_a_model_that_only_knows_the_shares_gains_nothing_over_the_majority_on_any_metric() -> None:
    truth = np.array([0] * 6 + [1] * 4)
    evidence = evidence_on(metrics.majority(truth), np.arange(10))
    found = leaves(evidence)
    assert len(found) == 6 + 2 + 6 + 1
    assert [leaf["value"] - leaf["majority"] for leaf in found] == [0.0] * len(found)
    assert (evidence["collapsed"], evidence["at_chance"], evidence["commonest_share"]) == (1, 1, 1.0)


def test_a_perfect_model_leaves_both_baselines_behind() -> None:
    truth = np.array([0] * 6 + [1] * 4)
    evidence = evidence_on(metrics.Outcome(truth, np.eye(2)[truth]), np.arange(10))
    whole = {"value": 1.0, "low": 1.0, "high": 1.0}
    beside = {"majority": 0.5, "minority": 0.5, "nuisance": pytest.approx(11 / 12)}
    beyond = evidence["balanced_accuracy"].pop("beyond_nuisance")
    assert beyond[0] == pytest.approx(1 / 12)
    assert beyond[1] == 0 < 1 / 12 < beyond[2]  # the one clip that the recorder gets wrong may not be drawn
    assert evidence["balanced_accuracy"] == whole | beside | {"detectable": pytest.approx(np.nan, nan_ok=True)}
    nuisance = {"harmful": pytest.approx(10 / 11), "safe": pytest.approx(8 / 9)}
    assert evidence["f1"] == {
        "harmful": whole | {"majority": pytest.approx(0.75), "minority": 0.0, "nuisance": nuisance["harmful"]},
        "safe": whole | {"majority": 0.0, "minority": pytest.approx(4 / 7), "nuisance": nuisance["safe"]},
    }
    assert evidence["brier"]["majority"] == pytest.approx(0.48)
    assert (evidence["clips"], evidence["groups"], evidence["faults"]) == (10, 10, [])


def leaning(clips: int) -> metrics.Outcome:
    """Return what a model says that orders clips well, leans to the first class, and is too sure."""
    truth, rng = np.arange(clips) % 2, np.random.default_rng(0)
    first = 1 / (1 + np.exp(-(np.where(truth == 0, 4, -4) + 4 + rng.normal(0, 3, clips))))
    return metrics.Outcome(truth, np.column_stack([first, 1 - first]))


def test_figures_after_calibration_by_other_folds_stand_beside_those_before_it() -> None:
    found = evidence_on(leaning(200), np.arange(200), np.arange(200) % 5)
    for plain, better in (("ece", "ece_calibrated"), ("log_loss", "log_loss_calibrated")):
        assert found[better]["value"] < found[plain]["value"] - 0.01
        assert found[better]["majority"] == found[plain]["majority"]
    before, after = found["balanced_accuracy"], found["balanced_accuracy_at_threshold"]
    assert before["value"] < 0.75 < 0.85 < after["low"] < after["value"] < after["high"]
    assert found["threshold"] > 0.9
    assert found["temperature"] > 1


def test_a_test_fold_leaves_nothing_to_calibrate_by() -> None:
    found = evidence_on(leaning(40), np.arange(40), np.full(40, -1))
    assert [name for name in found if "calibrated" in name or "threshold" in name or name == "temperature"] == []


def test_the_same_project_with_more_groups_shows_smaller_differences() -> None:
    few, many = (
        evidence_on(leaning(clips), np.arange(clips))["balanced_accuracy"]["detectable"] for clips in (50, 800)
    )
    assert 0 < many < 0.5 * few


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, "params.yaml")
    tables.write(labels(), Path("labels.csv"), tables.LABELS)
    tables.write(folds(), Path("folds.csv"), tables.FOLDS)
    grouped = ({"clip_id": clip, "group": f"g{i // 2}", "why": "given"} for i, clip in enumerate(LABELS))
    tables.write(rows.table(tables.GROUPS, *grouped), Path("groups.csv"), tables.GROUPS)
    tables.write(predictions(RIGHT), Path("predictions/good.csv"), tables.PREDICTIONS)
    tables.write(predictions(dict.fromkeys(LABELS, 0.5)), Path("nuisance.csv"), tables.NUISANCE)
    tables.write(predictions(dict.fromkeys(LABELS, 0.6)), Path("predictions/dead.csv"), tables.PREDICTIONS)
    return tmp_path


ARGUMENTS = [
    *("--labels", "labels.csv", "--folds", "folds.csv", "--groups", "groups.csv", "--predictions", "predictions"),
    *("--nuisance", "nuisance.csv", "--models", "models", "--out", "reports/metrics.json"),
    *("--summary", "reports/summary", "--plots", "reports/plots"),
]


def run() -> dict[str, dict[str, object]]:
    result = CliRunner().invoke(evaluate.main, ARGUMENTS, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert result.output == "evaluate: 10 clips in 5 groups, models dead, good\n"
    return json.loads(Path("reports/metrics.json").read_text())


def test_the_stage_writes_metrics_and_plots_of_every_model_the_same_each_time(project: Path) -> None:
    evidence = run()
    assert {(found["clips"], found["groups"]) for found in evidence.values()} == {(10, 5)}
    assert [evidence[model]["collapsed"] for model in ("dead", "good")] == [1, 0]
    written = {path: path.read_bytes() for path in sorted(Path("reports").rglob("*")) if path.is_file()}
    names = ("abstention", "confusion", "precision_recall", "reliability", "roc")
    plots = [f"reports/plots/{model}/{name}.csv" for model in ("dead", "good") for name in names]
    summaries = ["reports/summary/dead.json", "reports/summary/good.json"]
    assert [str(path) for path in written] == ["reports/metrics.json", *plots, *summaries]
    shown = json.loads(Path("reports/summary/dead.json").read_text())
    assert shown["balanced_accuracy"] == evidence["dead"]["balanced_accuracy"]["value"] == 0.5
    assert shown["balanced_accuracy_nuisance"] == 0.5
    assert shown["collapsed"] == 1
    run()
    assert {path: path.read_bytes() for path in written} == written


def test_the_evidence_names_the_weights_that_a_model_began_with(project: Path) -> None:
    files.write_json({"weights": "WAV2VEC2_BASE", "sha256": "12ab", "rate_hz": 16000}, Path("models/good/model.json"))
    evidence = run()
    assert {key: evidence["good"][key] for key in evidence["good"] if key not in evidence["dead"]} == {
        "weights": "WAV2VEC2_BASE",
        "weights_sha256": "12ab",
    }


def test_one_corrected_label_changes_the_evidence_without_new_predictions(project: Path) -> None:
    before = run()["good"]["accuracy"]["value"]
    tables.write(labels(clip0="safe"), Path("labels.csv"), tables.LABELS)
    assert before - run()["good"]["accuracy"]["value"] == pytest.approx(0.1)


def test_a_folder_without_predictions_is_refused(project: Path) -> None:
    shutil.rmtree("predictions")
    result = CliRunner().invoke(evaluate.main, ARGUMENTS)
    assert result.exit_code == 1
    assert "predictions holds no predictions (*.csv)" in result.output
