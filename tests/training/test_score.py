from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import rows
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curation import tables, vectors
from training import score as stage
from training.score import Params, decisions, rounded, score
from training.scoring import calibrate, kernel, training_parts

CLASSES = ("harmful", "safe")
P = Params(folds=5, repeats=2, penalty=2.5, seed=0)


def blobs(
    n: int, *, classes: Sequence[str] = CLASSES, per_group: int = 2, seed: int = 0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return n clips with the right labels, in groups of one class, and points that tell the classes apart."""
    truth = np.arange(n) // per_group % len(classes)
    centres = 5 * np.eye(len(classes), 8)
    points = centres[truth] + np.random.default_rng(seed).normal(size=(n, 8))
    clips = pd.DataFrame(
        {
            "clip_id": [f"c{i:03}" for i in range(n)],
            "label": np.array(classes)[truth],
            "group": [f"g{i // per_group}" for i in range(n)],
            "fold": 0,
        }
    )
    return clips, points.astype(np.float32)


def relabelled(clips: pd.DataFrame, places: Sequence[int], label: str | None = None) -> pd.DataFrame:
    """Return the clips with other labels at `places`: the other class, or `label`."""
    other = dict(zip(CLASSES, CLASSES[::-1], strict=True))
    labels = clips["label"].to_numpy(object)
    labels[list(places)] = [other[labels[i]] if label is None else label for i in places]
    return clips.assign(label=labels)


def probabilities(
    clips: pd.DataFrame, points: np.ndarray, p: Params = P, classes: tuple[str, ...] = CLASSES
) -> pd.DataFrame:
    """Return the scores with one row a clip, in order, and one column a class."""
    scores = score(clips, points, p, classes=classes)
    return scores.pivot_table(index="clip_id", columns="label", values="probability").loc[clips["clip_id"]]


def test_planted_wrong_labels_are_the_least_likely_of_all() -> None:
    clips, points = blobs(60)
    planted = [4, 17, 30, 43, 59]
    given_labels = relabelled(clips, planted)
    wide = probabilities(given_labels, points)
    own = [wide.loc[clip.clip_id, clip.label] for clip in given_labels.itertuples()]
    assert sorted(np.argsort(own)[: len(planted)].tolist()) == planted


def test_three_classes_are_told_apart_and_every_clip_has_a_probability_of_each() -> None:
    classes = ("dog", "cat", "ape")
    clips, points = blobs(60, classes=classes)
    wide = probabilities(clips, points, classes=classes)
    assert list(wide.columns) == ["ape", "cat", "dog"]
    assert (wide.idxmax(axis=1).to_numpy() == clips["label"]).mean() > 0.9


def test_labels_of_a_group_do_not_move_the_decisions_on_its_clips_but_those_on_others() -> None:
    clips, points = blobs(40, per_group=4)
    group = pd.factorize(clips["group"])[0]
    label = clips["label"].to_numpy(str)
    parts = training_parts(label, group, np.sort(CLASSES), folds=5, seed=0)
    before = decisions(kernel(points, 40)[0], label, group, parts, 2.5)
    flipped = relabelled(clips, range(8, 12))["label"].to_numpy(str)
    after = decisions(kernel(points, 40)[0], flipped, group, parts, 2.5)
    moved = np.flatnonzero((before != after).any(axis=1))
    fold = next(set(range(40)) - set(part) for part in parts if 8 not in part)
    assert {8, 9, 10, 11} <= fold
    assert set(moved) == set(range(40)) - fold


def test_a_clip_whose_group_gives_it_away_is_no_better_known_for_that() -> None:
    """Each group is a point far from all others: its class can be told by a model only that saw the group."""
    clips, _ = blobs(80, per_group=2)
    group = pd.factorize(clips["group"])[0]
    points = np.random.default_rng(0).normal(size=(40, 30))[group].astype(np.float32)
    leaked = probabilities(clips.assign(group=clips["clip_id"]), points)
    honest = probabilities(clips, points)
    right = clips["label"].to_numpy()
    assert (leaked.idxmax(axis=1) == right).mean() > 0.95
    assert (honest.idxmax(axis=1) == right).mean() < 0.7


def test_a_label_of_the_test_fold_changes_no_score() -> None:
    clips, points = blobs(60)
    test = range(40, 60)
    clips.loc[list(test), "fold"] = stage.TEST
    before = score(clips, points, P, classes=CLASSES)
    pd.testing.assert_frame_equal(before, score(relabelled(clips, test), points, P, classes=CLASSES))
    pd.testing.assert_frame_equal(before, score(relabelled(clips, test, ""), points, P, classes=CLASSES))
    assert not before.equals(score(relabelled(clips, [0]), points, P, classes=CLASSES))


def test_clips_of_the_test_fold_and_clips_without_label_are_told_apart_too() -> None:
    clips, points = blobs(60)
    right = clips["label"].to_numpy()
    clips.loc[range(40, 50), "fold"] = stage.TEST
    wide = probabilities(relabelled(clips, range(50, 60), ""), points)
    assert (wide.idxmax(axis=1).to_numpy() == right)[40:].mean() > 0.8


def test_a_clip_without_label_is_not_scored_by_a_model_that_saw_its_group() -> None:
    clips, points = blobs(40)
    clips = relabelled(clips, [8], "")
    group = pd.factorize(clips["group"])[0]
    label = clips["label"].to_numpy(str)
    learnable = np.flatnonzero(label != "")
    found = training_parts(label[learnable], group[learnable], np.sort(CLASSES), folds=5, seed=0)
    parts = [learnable[part] for part in found]
    before = decisions(kernel(points, 40)[0], label, group, parts, 2.5)
    label[9] = CLASSES[0] if label[9] == CLASSES[1] else CLASSES[1]
    after = decisions(kernel(points, 40)[0], label, group, parts, 2.5)
    assert before[8:10].tolist() == after[8:10].tolist()


def test_variations_of_a_group_do_not_move_the_decisions_on_its_clips_but_those_on_others() -> None:
    clips, points = blobs(40, per_group=4)
    group, label = pd.factorize(clips["group"])[0], clips["label"].to_numpy(str)
    parts = training_parts(label, group, np.sort(CLASSES), folds=5, seed=0)
    found = []
    for poison in (1, -9):
        variation = points + 1
        variation[8:12] *= poison
        similarity, _ = kernel(np.concatenate([points, variation]), 40)
        found.append(decisions(similarity, label, group, parts, 2.5))
    moved = np.flatnonzero((found[0] != found[1]).any(axis=1))
    fold = next(set(range(40)) - set(part) for part in parts if 8 not in part)
    assert {8, 9, 10, 11} <= fold
    assert set(moved) == set(range(40)) - fold


def test_a_clip_that_only_variations_of_others_are_like_is_told_by_them() -> None:
    """Clip 0 lies where variations of its class do, or of the other one."""
    clips, points = blobs(40)
    far = np.eye(8, dtype=np.float32)[7] * 20
    points[0] += far
    for number, label in enumerate(CLASSES):
        variation = np.where((clips["label"] == label).to_numpy()[:, None], points + far, points)
        variation[0] = points[0]
        own = probabilities(clips, np.concatenate([points, variation])).loc["c000", "harmful"]
        assert (own > 0.6, own < 0.4) == (number == 0, number == 1)


@given(
    arrays(
        np.float64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.floats(1e-12, 1, allow_subnormal=False)
    )
)
def test_rounded_probabilities_sum_to_1_as_they_stand_in_the_table(values: np.ndarray) -> None:
    given_rows = values / values.sum(axis=1, keepdims=True)
    printed = np.array([[float(f"{value:.6g}") for value in row] for row in rounded(given_rows)])
    np.testing.assert_allclose(printed.sum(axis=1), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(printed, given_rows, rtol=0, atol=5e-6)
    assert (printed >= 0).all()


def test_probabilities_are_as_often_right_as_they_say() -> None:
    """Decisions drawn so that softmax(4 * decisions) is the truth: the factor is found again."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(20_000, 1)) * [-1, 1]
    truth = (rng.random(20_000) < 1 / (1 + np.exp(-8 * found[:, 1]))).astype(int)
    assert calibrate(found, truth) == pytest.approx(4, rel=0.1)


def test_decisions_that_say_nothing_become_even_probabilities() -> None:
    found = np.random.default_rng(0).normal(size=(20_000, 1)) * [-1, 1]
    assert calibrate(-found, (found[:, 1] > 0).astype(int)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("safe_groups", "count"), [(0, 0), (1, 1)])
def test_a_class_in_fewer_than_two_groups_is_refused_by_name(safe_groups: int, count: int) -> None:
    clips, points = blobs(40)
    safe = np.flatnonzero(clips["label"] == "safe")
    few = relabelled(clips, safe[2 * safe_groups :].tolist(), "")
    with pytest.raises(click.ClickException, match=rf"Class 'safe' has labelled clips in {count} of the \d+ groups"):
        score(few, points, P, classes=CLASSES)


def test_groups_in_the_test_fold_do_not_count() -> None:
    clips, points = blobs(40)
    clips.loc[(clips["label"] == "safe") & (clips["group"] != "g1"), "fold"] = stage.TEST
    with pytest.raises(click.ClickException, match="in 1 of the 11 groups outside the test fold"):
        score(clips, points, P, classes=CLASSES)


def write_inputs(folder: Path, clips: pd.DataFrame, points: np.ndarray) -> list[str]:
    records = clips.to_dict("records")
    for table in (tables.LABELS, tables.FOLDS, tables.GROUPS):
        known = [{name: row[name] for name in table.columns if name in row} for row in records]
        tables.write(rows.table(table, *known), folder / table.name, table)
    vectors.write(vectors.Vectors(tuple(clips["clip_id"]), {"one": points}), folder / "features")
    (folder / "params.yaml").write_bytes(rows.PARAMS.read_bytes())
    options = [word for name in ("labels", "folds", "groups") for word in (f"--{name}", f"{name}.csv")]
    return [*options, "--features", "features", "--out", "scores.csv"]


def test_the_stage_writes_the_same_bytes_twice_whatever_the_test_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clips, points = blobs(40)
    clips.loc[range(30, 40), "fold"] = stage.TEST
    written = []
    for given_labels in (clips, clips, relabelled(clips, [33])):
        options = write_inputs(tmp_path, given_labels, points)
        outcome = CliRunner().invoke(stage.main, options, catch_exceptions=False)
        assert outcome.exit_code == 0
        assert "score: 40 clips, 40 of them labelled" in outcome.output
        written.append((tmp_path / "scores.csv").read_bytes())
    assert written[0] == written[1] == written[2]
    scores = tables.read(tmp_path / "scores.csv", tables.SCORES)
    assert len(scores) == 80
    np.testing.assert_allclose(scores.groupby("clip_id")["probability"].sum(), 1, atol=1e-12)


def test_tables_of_other_clips_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clips, points = blobs(40)
    options = write_inputs(tmp_path, clips, points)
    folds = tables.read(tmp_path / "folds.csv", tables.FOLDS)
    tables.write(folds.iloc[1:], tmp_path / "folds.csv", tables.FOLDS)
    outcome = CliRunner().invoke(stage.main, options)
    assert outcome.exit_code == 1
    assert "folds and labels differ by 1 clips, 'c000' first" in outcome.output


def test_a_label_that_is_no_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clips, points = blobs(40)
    outcome = CliRunner().invoke(stage.main, write_inputs(tmp_path, relabelled(clips, [3], "danger"), points))
    assert outcome.exit_code == 1
    assert "'danger' not in `data.classes`" in outcome.output
