from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rows
import tones
import torch
from click.testing import CliRunner

from curation import descriptors, params, tables, vectors
from training import clips, rounds
from training import svm as stage
from training.svm import SVM, Params, machines, predict, svm

CLASSES = ("harmful", "safe")
P = Params(penalty=2.5)
FILES = {"train": "train.csv", "folds": "folds.csv", "features": "features", "models": "models", "out": "said.csv"}
ARGUMENTS = [word for name, path in FILES.items() for word in (f"--{name}", path)]


def blobs(n: int = 36, classes: tuple[str, ...] = CLASSES) -> tuple[vectors.Vectors, pd.DataFrame]:
    """Return vectors that tell the classes apart, and the clips with their labels in three folds."""
    truth = np.arange(n) % len(classes)
    points = 4 * np.eye(len(classes), 8)[truth] + np.random.default_rng(0).normal(size=(n, 8))
    clip_ids = tuple(f"c{number:02}" for number in range(n))
    label, fold = np.array(classes)[truth], np.arange(n) // len(classes) % 3
    listed = pd.DataFrame({"clip_id": clip_ids, "label": label, "fold": fold, "times": 1, "weight": 1.0})
    return vectors.Vectors(clip_ids, {"one": points.astype(np.float32)}), listed


def varied(x: vectors.Vectors, *variations: np.ndarray) -> vectors.Vectors:
    """Return the vectors with variations of each clip, each of them of shape (clips, dimensions)."""
    return vectors.Vectors(x.clip_ids, x.blocks, {"one": np.stack(variations, axis=1).astype(np.float32)})


def said(x: vectors.Vectors, listed: pd.DataFrame, classes: tuple[str, ...] = CLASSES) -> np.ndarray:
    """Return what a machine says of all clips that learned from those listed."""
    return predict(svm(x, listed, P, classes=classes), x.rows(x.clip_ids))


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, x: vectors.Vectors, listed: pd.DataFrame) -> pd.DataFrame:
    """Run the stage and return a row a clip, a column a class."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    known = listed[listed["fold"] >= 0]
    tables.write(rows.table(tables.TRAIN, *known.to_dict("records")), Path("train.csv"), tables.TRAIN)
    tables.write(listed[["clip_id", "fold"]], Path("folds.csv"), tables.FOLDS)
    vectors.write(x, Path("features"))
    Path("params.yaml").write_bytes(rows.PARAMS.read_bytes())
    result = CliRunner().invoke(stage.main, ARGUMENTS, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    table = tables.read(Path("said.csv"), tables.PREDICTIONS)
    return table.pivot_table(index="clip_id", columns="label", values="probability")


@pytest.mark.parametrize("classes", [CLASSES, ("dog", "cat", "ape")])
def test_half_of_the_clips_teach_it_the_other_half(classes: tuple[str, ...]) -> None:
    x, listed = blobs(60, classes)
    found = said(x, listed.iloc[:30], classes)[30:]
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (np.array(classes)[found.argmax(axis=1)] == listed["label"].iloc[30:]).mean() > 0.9


def test_what_varies_a_clip_alone_tells_a_clip_that_is_like_it() -> None:
    x, listed = blobs()
    points = x.blocks["one"].copy()
    points[0, 7] += 20  # harmful, and like nothing else
    x = vectors.Vectors(x.clip_ids, {"one": points})
    others = points + 20 * np.eye(8)[7]
    others[listed["label"] == CLASSES[1]] = points[listed["label"] == CLASSES[1]]
    swapped = np.where(points == others, points + 20 * np.eye(8)[7], points)
    assert said(varied(x, others), listed.iloc[1:])[0, 0] > 0.8
    assert said(varied(x, swapped), listed.iloc[1:])[0, 0] < 0.5


def test_variations_of_a_clip_that_is_held_out_reach_no_machine_that_judges_it() -> None:
    x, listed = blobs()
    variation = x.blocks["one"] + np.random.default_rng(1).normal(size=(36, 8))
    poisoned = np.where(listed["fold"].to_numpy()[:, None] == 0, -9 * variation, variation)
    before, after = (stage.out_of_fold(varied(x, one), listed, P, classes=CLASSES) for one in (variation, poisoned))
    moved = (before != after).any(axis=1)
    assert not moved[listed["fold"] == 0].any()
    assert moved[listed["fold"] != 0].all()


def test_how_sure_it_is_is_told_by_clips_as_they_are() -> None:
    """One class alone is in fold 1, so that fold 0 judges it and is judged by nothing."""
    x, listed = blobs()
    listed["fold"] = ((listed.index > 17) & (listed["label"] == CLASSES[0])).astype(int)
    points = x.blocks["one"]
    plain = svm(varied(x, points), listed, P, classes=CLASSES).steepness
    steepness = [
        svm(
            varied(x, np.where(listed["fold"].to_numpy()[:, None] == fold, -points, points)), listed, P, classes=CLASSES
        )
        for fold in range(2)
    ]
    assert steepness[1].steepness == plain
    assert steepness[0].steepness != plain


def test_a_variation_counts_as_its_clip_does() -> None:
    x, listed = blobs()
    listed.loc[:3, "label"] = listed["label"][:4].to_numpy()[::-1]  # wrong: at their bound, which the weight moves
    twice, half = varied(x, x.blocks["one"]), P.model_copy(update={"penalty": P.penalty / 2**0.5})
    heavy = listed.assign(weight=np.where(listed.index < 4, 2.0, 1.0))
    found = predict(svm(twice, heavy, half, classes=CLASSES), x.rows(x.clip_ids))
    np.testing.assert_allclose(found, said(x, heavy), atol=0.01)
    assert np.abs(found - said(x, listed)).max() > 0.02


def test_a_clip_that_is_there_twice_is_one_of_weight_two() -> None:
    points = np.random.default_rng(1).normal(size=(12, 2))
    truth = np.arange(12) % 2
    similarity = np.exp(-np.abs(points[:, None] - points).sum(axis=2))
    twice = [*range(12), 0]
    weights = np.ones(12)
    light, _ = machines(similarity, truth, weights, 1.0)
    weights[0] = 2
    coefficients, intercept = machines(similarity, truth, weights, 1.0)
    doubled, same = machines(similarity[np.ix_(twice, twice)], truth[twice], np.ones(13), 1.0)
    doubled[0] += doubled[12]
    np.testing.assert_allclose(coefficients, doubled[:12], atol=0.01)
    np.testing.assert_allclose(intercept, same, atol=0.01)
    assert np.abs(light - coefficients).max() > 0.1


def test_clips_count_by_how_often_they_are_listed_and_by_their_weight() -> None:
    x, listed = blobs()
    listed.loc[:3, "label"] = listed["label"][:4].to_numpy()[::-1]  # wrong: at their bound, which the weight moves
    heavy = listed.assign(weight=np.where(listed.index < 4, 2.0, 1.0))
    often = listed.assign(times=np.where(listed.index < 4, 2, 1))
    np.testing.assert_array_equal(said(x, heavy), said(x, often))
    assert np.abs(said(x, heavy) - said(x, listed)).max() > 1e-4


def test_how_many_clips_a_class_has_does_not_move_what_lies_in_the_middle() -> None:
    points = np.array([[-1.0], [1.0], [0.0]] + 9 * [[1.0]], np.float32)
    x = vectors.Vectors(tuple(f"c{n:02}" for n in range(12)), {"one": points})
    label = ["harmful", "safe", "", *9 * ["safe"]]
    listed = pd.DataFrame({"clip_id": x.clip_ids, "label": label, "fold": 0, "times": 1, "weight": 1.0})
    model = svm(x, listed.drop(index=2), Params(penalty=0.1), classes=CLASSES)  # low, so that weights are bounds
    found = predict(model, x.rows(x.clip_ids))
    assert found[2] == pytest.approx([0.5, 0.5], abs=0.02)
    assert found[0, 0] > 0.6


def test_labels_that_nothing_tells_leave_it_unsure() -> None:
    x, listed = blobs(60)
    label = np.random.default_rng(3).permutation(listed["label"])
    found = said(x, listed.assign(label=label))
    assert np.abs(found - 0.5).max() < 0.2
    assert np.abs(said(x, listed) - 0.5).mean() > 0.4


def test_a_clip_is_predicted_by_what_other_folds_say_its_own_label_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, listed = blobs()
    before = run(tmp_path, monkeypatch, x, listed)
    flipped = listed.copy()
    flipped.loc[0, "label"] = CLASSES[1]
    after = run(tmp_path, monkeypatch, x, flipped)
    moved = (before != after).any(axis=1).to_numpy()
    assert not moved[listed["fold"] == 0].any()
    assert moved[listed["fold"] != 0].any()


def test_a_clip_that_is_left_out_is_predicted_and_teaches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, listed = blobs()
    listed.loc[[0, 1], "times"] = 0
    found = run(tmp_path, monkeypatch, x, listed)
    listed.loc[[0, 1], "label"] = CLASSES[::-1]
    pd.testing.assert_frame_equal(found, run(tmp_path, monkeypatch, x, listed))
    assert found.index.tolist() == listed["clip_id"].tolist()
    assert (found.idxmax(axis=1) == blobs()[1].set_index("clip_id")["label"]).mean() > 0.9


def test_what_is_stored_predicts_as_it_did_in_training_and_again_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, listed = blobs()
    run(tmp_path, monkeypatch, x, listed)
    files = [Path("said.csv"), *sorted(Path("models").iterdir())]
    assert [path.name for path in files[1:]] == [*(f"fold_{n}.safetensors" for n in range(3)), "model.json"]
    first = [path.read_bytes() for path in files]
    turns = rounds.rounds(
        rounds.listing(tables.read(Path("train.csv"), tables.TRAIN), tables.read(Path("folds.csv"), tables.FOLDS)),
        CLASSES,
        validate=False,
    )
    loaded = [
        rounds.table(
            listed["clip_id"],
            turn,
            predict(stage.load(Path("models"), turn.name), x.rows(listed["clip_id"].iloc[turn.held_out.numpy()])),
            CLASSES,
        )
        for turn in turns
    ]
    tables.write(pd.concat(loaded), Path("again.csv"), tables.PREDICTIONS)
    assert Path("again.csv").read_bytes() == first[0]
    run(tmp_path, monkeypatch, x, listed)
    assert [path.read_bytes() for path in files] == first


def test_a_test_fold_is_predicted_alone_by_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, listed = blobs(60)
    listed.loc[48:, ["fold", "times"]] = [-1, 0]
    given = run(tmp_path, monkeypatch, x, listed)
    assert given.index.tolist() == listed["clip_id"].tolist()[48:]
    assert sorted(path.name for path in Path("models").iterdir()) == ["model.json", "test.safetensors"]


def test_a_class_in_one_fold_alone_is_learned_though_no_fold_can_judge_it() -> None:
    x, listed = blobs(12)
    fold = np.where(listed["label"] == CLASSES[0], 0, 1)
    model = svm(x, listed.assign(fold=fold), P, classes=CLASSES)
    assert model.steepness == stage.UNCALIBRATED
    assert (predict(model, x.rows(x.clip_ids)).argmax(axis=1) == np.arange(12) % 2).all()


def test_a_clip_is_heard_as_the_stage_features_describes_it(tmp_path: Path) -> None:
    tones.write(tmp_path / "p", sections={}, clips=2)
    data = params.Data(**tones.DATA)
    p = descriptors.Params.load("features", rows.PARAMS)
    samples, lengths = clips.read(tmp_path / "p/clips", ["clip00", "clip01"], data)
    x, whole = stage.inputs(samples, lengths, p, rate_hz=data.rate_hz)
    for row, sound, length in zip(x.numpy(), samples.numpy(), lengths.tolist(), strict=True):
        blocks = descriptors.features(sound[:length].astype(np.float32) / 2**15, p, rate_hz=data.rate_hz)
        np.testing.assert_array_equal(row, np.concatenate(list(blocks.values())))
    assert whole.tolist() == 2 * [x.shape[1]]


def test_a_dimension_that_no_training_clip_varies_in_says_nothing_of_a_new_one() -> None:
    x, listed = blobs(12)
    flat = vectors.Vectors(x.clip_ids, {**x.blocks, "flat": np.zeros((12, 1), np.float32)})
    model = svm(flat, listed, P, classes=CLASSES)
    assert isinstance(model, SVM)
    there, gone = flat.rows(["c00"]), flat.rows(["c00"])
    there[0, -1] = 1e6
    assert torch.equal(model(torch.from_numpy(there)), model(torch.from_numpy(gone)))
