"""The whole pipeline, by `dvc repro` in a real git and DVC repository, in a folder with a space in its path."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import corpus
import pandas as pd
import psutil
import pytest
import torch
import yaml
from project import ROOT, begin, commit, environment, run, set_params

from curation import tables

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SMALL = {  # little to learn, little to wait for; what the stages do to each other is the same
    "data": {"clip_s": 1},
    "ingest": {"min_duration_s": 0.1},
    "split": {"folds": 3, "test_from_clips": 1000},
    "ablate": {"halvings": 1, "repeats": 1, "resamples": 100},
    "evaluate": {"resamples": 100},
    "shift": {"mp3_kbps": [32], "snr_db": [10, 0], "crop_s": [0.5], "resamples": 100},
    "lite_cnn": {"channels": [4, 8], "epochs": 1, "min_steps": 4, "batch_clips": 8},
    "wav2vec2": {"epochs": 1, "min_steps": 4, "batch_clips": 8},
}
MODELS = {"train@lite_cnn": "lite_cnn", "train@wav2vec2": "wav2vec2", "svm": "svm", "blend": "blend"}  # by stage


def contents(project: Path) -> dict[str, bytes]:
    """Return every file that git or DVC answers for, by name."""
    folders = ("data", "models", "reports")
    files = [path for folder in folders for path in (project / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(project)): path.read_bytes() for path in [*files, project / "dvc.lock"]}


def change_of(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def answer(project: Path, clip_id: str, label: str) -> None:
    reviews = tables.read(project / "data/reviews.csv", tables.REVIEWS)
    row = dict.fromkeys(reviews.columns, "") | {
        "clip_id": clip_id, "annotator": "ann", "reviewed_utc": "2026-01-01T00:00:00Z", "answer": label,
        "seconds": 4.0, "shown": "blind",
    }  # fmt: skip
    tables.write(pd.concat([reviews, pd.DataFrame([row])]), project / "data/reviews.csv", tables.REVIEWS)


def other(label: str) -> str:
    return {"harmful": "safe", "safe": "harmful"}[label]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a corpus, after its first `dvc repro`, committed."""
    project = tmp_path_factory.mktemp("a project") / "with space"
    begin(project)
    set_params(project, SMALL)
    corpus.make(project)
    run(project, "dvc", "add", "data/raw")
    run(project, "dvc", "remote", "add", "--default", "shared", str(tmp_path_factory.mktemp("remote")))
    commit(project, "Begin")
    run(project, "dvc", "repro")
    commit(project, "Import")
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of the made project, for a test to change."""
    return Path(shutil.copytree(made, tmp_path / "a copy", symlinks=True))


def test_every_recording_ends_as_clips_or_with_a_reason(made: Path) -> None:
    raw = tables.read(made / "data/raw.csv", tables.RAW)
    clips = tables.read(made / "data/clips.csv", tables.CLIPS)
    rejects = tables.read(made / "data/rejects.csv", tables.REJECTS)
    assert set(raw["file"]) <= set(clips["file"]) | set(rejects["file"])
    assert {path.stem for path in (made / "data/clips").iterdir()} == set(clips["clip_id"])


def test_every_clip_is_predicted_once_by_each_model_and_accounted_for_in_training(made: Path) -> None:
    clips = set(tables.read(made / "data/clips.csv", tables.CLIPS)["clip_id"])
    for model in MODELS.values():
        predictions = tables.read(made / f"data/predictions/{model}.csv", tables.PREDICTIONS)
        assert set(predictions["clip_id"]) == clips
        assert predictions.groupby("clip_id")["probability"].sum().to_numpy() == pytest.approx(1, abs=1e-4)
    assert set(tables.read(made / "data/train.csv", tables.TRAIN)["clip_id"]) == clips


def test_a_second_repro_does_nothing(project: Path) -> None:
    before = contents(project)
    assert "Data and pipelines are up to date." in run(project, "dvc", "repro")
    assert change_of(before, contents(project)) == set()
    assert run(project, "git", "status", "--porcelain") == ""


def test_a_forced_repro_gives_the_same_bytes(project: Path) -> None:
    before = contents(project)
    run(project, "dvc", "repro", "--force")
    assert change_of(before, contents(project)) == set()


def test_three_commits_come_back_byte_for_byte_also_from_a_remote(project: Path, tmp_path: Path) -> None:
    versions = {"main~2": contents(project)}
    queued = tables.read(project / "data/queue.csv", tables.QUEUE)["clip_id"].iloc[0]
    label = tables.read(project / "data/labels.csv", tables.LABELS).set_index("clip_id")["label"]
    answer(project, queued, other(label[queued]) if label[queued] else "safe")
    run(project, "dvc", "repro")
    commit(project, "Relabel a clip")
    versions["main~1"] = contents(project)
    set_params(project, {"balance": {"method": "undersample"}})
    run(project, "dvc", "repro")
    commit(project, "Undersample")
    versions["main"] = contents(project)
    assert "data/labels.csv" in change_of(versions["main~2"], versions["main~1"])
    assert "models/lite_cnn/fold_0.safetensors" in change_of(versions["main~1"], versions["main"])
    run(project, "dvc", "push", "--all-commits")
    clone = tmp_path / "a clone"
    run(project, "git", "clone", "--quiet", str(project), str(clone))
    (clone / ".venv").symlink_to(sys.prefix)
    run(clone, "dvc", "pull", "--all-commits")
    run(clone, "dvc", "checkout")
    assert change_of(versions["main"], contents(clone)) == set()
    for revision, version in versions.items():
        for place in (project, clone):
            run(place, "git", "checkout", "--quiet", revision if place == project else f"origin/{revision}")
            run(place, "dvc", "checkout")
            assert change_of(version, contents(place)) == set()


def test_a_corrected_test_label_reruns_the_evaluation_and_trains_nothing(project: Path) -> None:
    set_params(project, {"split": {"test_from_clips": 1, "test_share": 0.3, "folds": 3, "salt": "earmark-1"}})
    run(project, "dvc", "repro")
    before = contents(project)
    folds = tables.read(project / "data/folds.csv", tables.FOLDS).merge(
        tables.read(project / "data/labels.csv", tables.LABELS), on="clip_id"
    )
    tested = folds[(folds["fold"] == -1) & (folds["label"] != "")].iloc[0]
    answer(project, tested["clip_id"], other(tested["label"]))
    said = run(project, "dvc", "repro")
    changed = change_of(before, contents(project))
    assert "reports/metrics.json" in changed
    assert {f"Running stage '{stage}':" for stage in MODELS} & set(said.splitlines()) == set()
    assert {name for name in changed if name.startswith(("models", "data/predictions", "data/train"))} == set()


def stages() -> dict[str, str]:
    """Return the module of every stage, by its name in DVC."""
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    models = {f"train@{model}": f"training.{model}" for model in declared.pop("train")["matrix"]["model"]}
    return {name: stage["cmd"].split()[1] for name, stage in declared.items()} | models


def stop(project: Path, stage: str, sent: signal.Signals, *, when: Callable[[psutil.Process], bool]) -> None:
    """Force a stage to run, and send its process and DVC's a signal as soon as one of the processes is so far."""
    words = [str(project / ".venv/bin/dvc"), "repro", "--force", "--single-item", stage]
    process = subprocess.Popen(
        words, cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    while not any(when(one) for one in psutil.Process(process.pid).children(recursive=True)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, sent)
    said, _ = process.communicate(timeout=60)
    assert process.returncode != 0, said


def test_an_interrupted_stage_is_made_good_by_the_next_repro(project: Path) -> None:
    before = contents(project)
    shutil.rmtree(project / ".dvc/cache")  # from which DVC would fetch what an earlier run made
    for stage, module in stages().items():
        stop(project, stage, signal.SIGINT, when=lambda one, module=module: module in one.cmdline())
        assert change_of(before, contents(project)), stage
        assert f"Running stage '{stage}'" in run(project, "dvc", "repro", "--single-item", stage)
        assert change_of(before, contents(project)) == set(), stage


def test_a_killed_training_goes_on_from_its_last_save(project: Path) -> None:
    set_params(project, {"lite_cnn": {"epochs": 30, "checkpoint_s": 0}})
    run(project, "dvc", "repro", "train@lite_cnn")
    expected = contents(project)
    shutil.rmtree(project / ".dvc/cache")
    saves = project / ".checkpoints/lite_cnn"
    stop(project, "train@lite_cnn", signal.SIGKILL, when=lambda _: any(saves.glob("fold_*.pt")))
    save = next(saves.glob("fold_*.pt"))
    saved = torch.load(save, weights_only=True)
    assert len(saved["state"]["history"]) < 30
    saved["state"]["history"][0]["train_loss"] = 42.0  # a mark of what is taken from the save
    torch.save(saved, save)
    run(project, "dvc", "repro", "--single-item", "train@lite_cnn")
    marked = f"reports/live/lite_cnn/{save.stem}/plots/metrics/train_loss.tsv"
    assert {"0", "42.0"} <= set((project / marked).read_text().split())
    assert change_of(expected, contents(project)) == {marked, "dvc.lock"}


def test_experiments_metrics_and_plots_work_as_dvc_users_expect(project: Path) -> None:
    assert json.loads((project / "reports/metrics.json").read_text())["wav2vec2"]["weights"] == "scratch"
    files = json.loads(run(project, "dvc", "metrics", "show", "--json"))[""]["data"]
    assert set(files) == {"reports/shifts.json", *(f"reports/summary/{model}.json" for model in MODELS.values())}
    assert 0 < files["reports/summary/lite_cnn.json"]["data"]["balanced_accuracy"] <= 1
    assert set(files["reports/shifts.json"]["data"]) == {"lite_cnn", "wav2vec2"}
    run(project, "dvc", "plots", "show", "--out", "plots")
    page = (project / "plots/index.html").read_text()
    for name in ("abstention", "confusion", "roc", "precision_recall", "reliability"):
        for model in MODELS.values():
            assert f"{model}/{name}.csv" in page
    assert "Balanced accuracy of the changed clips" in page
    run(project, "dvc", "exp", "run", "--set-param", "balance.method=undersample", "balance")
    listed = tables.read(project / "data/train.csv", tables.TRAIN)
    assert "undersampled" in set(listed["why"])
    assert "balance.method" in run(project, "dvc", "params", "diff")


def test_a_queued_grid_is_run_elsewhere_compared_and_applied(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def activated() -> dict[str, str]:
        known = environment()
        return known | {"PATH": f"{project / '.venv/bin'}:{known['PATH']}"}

    monkeypatch.setattr("project.environment", activated)
    before = contents(project)
    run(project, "dvc", "exp", "run", "--queue", "--set-param", "lite_cnn.peak_rate=0.001,0.01", "evaluate")
    run(project, "dvc", "exp", "run", "--run-all")
    assert change_of(before, contents(project)) == set()
    rows = list(csv.DictReader(run(project, "dvc", "exp", "show", "--csv").splitlines()))
    tried = {row["lite_cnn.peak_rate"]: row for row in rows if row["Experiment"]}
    assert {row["State"] for row in tried.values()} == {"Success"}
    losses = [row["reports/summary/lite_cnn.json:log_loss"] for row in (rows[0], *tried.values())]
    assert (set(tried), len(set(losses))) == ({"0.001", "0.01"}, 3)
    run(project, "dvc", "exp", "apply", tried["0.01"]["Experiment"])
    assert yaml.safe_load((project / "params.yaml").read_text())["lite_cnn"]["peak_rate"] == 0.01
    changed = json.loads(run(project, "dvc", "metrics", "diff", "--json"))["reports/summary/lite_cnn.json"]
    assert f"{changed['log_loss']['new']:.6g}" == tried["0.01"]["reports/summary/lite_cnn.json:log_loss"]
    assert "evaluate:" not in run(project, "dvc", "status")


def test_the_cards_of_a_run_name_its_commit_and_its_lines_predict_as_it_did(project: Path) -> None:
    run(project, "earmark", "card")
    head = run(project, "git", "rev-parse", "HEAD").strip()
    assert "Predict with `lite_cnn` and `svm` as" in (project / "reports/cards/MODEL_CARD_blend.md").read_text()
    for model in ("lite_cnn", "svm", "wav2vec2"):
        card = (project / f"reports/cards/MODEL_CARD_{model}.md").read_text()
        assert f"- commit: `{head}`," in card
        lines = card.partition("```python\n")[2].partition("```")[0]
        clip_id = lines.partition('clips"), ["')[2].partition('"]')[0]
        (project / "predict.py").write_text(lines)
        said = json.loads(run(project, str(project / ".venv/bin/python"), "predict.py").replace("'", '"'))
        table = tables.read(project / f"data/predictions/{model}.csv", tables.PREDICTIONS)
        expected = table[table["clip_id"] == clip_id].set_index("label")["probability"].to_dict()
        assert said == pytest.approx(expected, abs=1e-5)
    answer(project, clip_id, "safe")
    words = [str(project / ".venv/bin/earmark"), "card"]
    done = subprocess.run(words, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "Error")
    assert "data/reviews.csv: not as dvc.lock says" in done.stderr
