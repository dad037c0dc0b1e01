from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rows
from click.testing import CliRunner

from curation import tables, vectors
from curation.folds import fold_of
from training import evaluate, metrics, repeats, svm

CLASSES = ("harmful", "safe")
FOLDS = 3
MACHINE = svm.Params(penalty=2.5)


def listed(apart: float, *, seed: int = 0) -> tuple[vectors.Vectors, pd.DataFrame]:
    """Return vectors whose classes lie so far apart, in deviations, and the clips, two a group, the last unlabelled."""
    group = np.arange(60) // 2
    label = np.array(CLASSES)[group % 2]
    points = apart * np.eye(2, 4)[group % 2] + np.random.default_rng(seed).normal(size=(60, 4))
    clip_ids = tuple(f"c{number:02}" for number in range(60))
    clips = pd.DataFrame({"clip_id": clip_ids, "label": label, "group": [f"g{one:02}" for one in group]})
    clips["fold"] = fold_of(clips["group"], "salt", 0.0, FOLDS)
    clips.loc[58:, "label"] = ""
    clips["times"], clips["weight"] = (clips["label"] != "").astype(int), 1.0
    return vectors.Vectors(clip_ids, {"one": points.astype(np.float32)}), clips


def repeated(apart: float, count: int = 5, *, workers: int = 1) -> pd.DataFrame:
    return repeats.repeats(*listed(apart), repeats.Params(count=count), MACHINE, classes=CLASSES, workers=workers)


def test_other_folds_move_the_figure_where_classes_overlap_and_not_where_they_are_far_apart() -> None:
    overlapping, clear = repeated(1.5)["balanced_accuracy"], repeated(20)["balanced_accuracy"]
    assert 0.5 < overlapping.min() < overlapping.max() < 1
    assert clear.tolist() == [1.0] * 6


def test_several_workers_find_the_same() -> None:
    pd.testing.assert_frame_equal(repeated(1.5), repeated(1.5, workers=2))


def test_every_division_keeps_groups_whole_and_learns_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[pd.DataFrame] = []
    plain = svm.svm
    monkeypatch.setattr(
        svm, "svm", lambda x, rows, *rest, **more: learned.append(rows) or plain(x, rows, *rest, **more)
    )
    _, clips = listed(1.5)
    assert repeated(1.5)["clips"].tolist() == [58] * 6
    assert len({tuple(part["clip_id"]) for part in learned}) == len(learned) == 6 * FOLDS
    for part in learned:
        held_out = clips[~clips["clip_id"].isin(part["clip_id"])]
        assert set(part["label"]) == set(CLASSES)
        assert not set(part["group"]) & set(held_out["group"])


def test_the_first_division_is_that_of_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, clips = listed(1.5)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes(rows.PARAMS.read_bytes())
    write(x, clips)
    run(svm.main, "--models", "models", "--out", "said.csv")
    run(repeats.main, "--groups", "groups.csv", "--out", "repeats.csv")
    labelled = clips[clips["label"] != ""].reset_index()
    outcome = evaluate.outcome(labelled, tables.read(Path("said.csv"), tables.PREDICTIONS), source="", classes=CLASSES)
    found = tables.read(Path("repeats.csv"), tables.REPEATS)
    expected = metrics.overall(outcome, np.ones((1, len(labelled))))
    for name in ("accuracy", "balanced_accuracy", "mcc", "roc_auc"):
        assert found.loc[0, name] == pytest.approx(expected[(name,)][0], abs=1e-5)
    assert len(found) == 10


def test_where_a_test_fold_judges_nothing_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, clips = listed(1.5)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes(rows.PARAMS.read_bytes())
    write(x, clips.assign(fold=clips["fold"].where(clips["fold"] > 0, -1)))
    run(repeats.main, "--groups", "groups.csv", "--out", "repeats.csv")
    assert tables.read(Path("repeats.csv"), tables.REPEATS).empty


def write(x: vectors.Vectors, clips: pd.DataFrame) -> None:
    """Write what the stages read."""
    known = clips[clips["fold"] >= 0]
    tables.write(
        rows.table(tables.TRAIN, *known.drop(columns="group").to_dict("records")), Path("train.csv"), tables.TRAIN
    )
    tables.write(clips[["clip_id", "fold"]], Path("folds.csv"), tables.FOLDS)
    tables.write(
        rows.table(tables.GROUPS, *clips[["clip_id", "group"]].to_dict("records")), Path("groups.csv"), tables.GROUPS
    )
    vectors.write(x, Path("features"))


def run(stage: object, *arguments: str) -> None:
    """Run a stage on what is written."""
    inputs = ["--train", "train.csv", "--folds", "folds.csv", "--features", "features"]
    result = CliRunner().invoke(stage, [*inputs, *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
