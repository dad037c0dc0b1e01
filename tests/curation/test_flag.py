import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rows
from click.testing import CliRunner

from curation import flag, params, tables, vectors

CLASSES = ("harmful", "safe")
DATA = params.Data(classes=CLASSES, clip_s=8, rate_hz=16_000)
PARAMS = flag.Params(
    max_label_share=0.2,
    neighbours=5,
    max_clipped_share=0.01,
    max_dc_offset=0.05,
    max_silent_share=0.9,
    min_bandwidth_share=0.5,
    min_snr_db=5,
)
CLEAN = {
    "clipped_share": 0.0,
    "dc_offset": 0.0,
    "silent_share": 0.1,
    "bandwidth_hz": 7900.0,
    "rate_hz": 44_100,
    "snr_db": 30.0,
}


def clips(**measures: dict[str, object]) -> pd.DataFrame:
    return rows.table(tables.CLIPS, *(CLEAN | {"clip_id": clip_id} | found for clip_id, found in measures.items()))


def two_classes(n: int, flipped: list[int]) -> tuple[pd.Series, np.ndarray]:
    """Return labels, those at `flipped` wrong, and probabilities of a good model that knows the truth."""
    truth = np.arange(n) % 5 < 2  # 40 % safe
    harmful = np.where(truth, 0.2, 0.8) + np.random.default_rng(0).uniform(-0.15, 0.15, n)
    given = truth ^ np.isin(np.arange(n), flipped)
    names = [f"c{i:03}" for i in range(n)]
    return pd.Series(np.where(given, "safe", "harmful"), names), np.column_stack([harmful, 1 - harmful])


def score_table(labels: pd.Series, probabilities: np.ndarray) -> pd.DataFrame:
    wide = pd.DataFrame(probabilities, index=labels.index.rename("clip_id"), columns=list(CLASSES)).reset_index()
    return wide.melt("clip_id", var_name="label", value_name="probability")


def own_groups(labels: pd.Series) -> pd.DataFrame:
    return rows.table(tables.GROUPS, *({"clip_id": name, "group": name} for name in labels.index))


def test_planted_flips_are_flagged_with_the_right_suggestion_and_nothing_else_is() -> None:
    labels, probabilities = two_classes(100, flipped=[0, 3, 41, 78])
    found = flag.mislabelled(labels, probabilities, CLASSES, 1.0).set_index("clip_id")
    assert sorted(found.index) == ["c000", "c003", "c041", "c078"]
    assert found["suggested"].to_dict() == {"c000": "safe", "c003": "harmful", "c041": "safe", "c078": "harmful"}


def test_the_worst_share_is_flagged_when_there_are_more() -> None:
    labels, probabilities = two_classes(100, flipped=list(range(30)))
    probabilities[5] = [0.001, 0.999]  # labelled `harmful`
    found = flag.mislabelled(labels, probabilities, CLASSES, 0.05)
    assert len(found) == 5
    assert found["clip_id"].iloc[0] == "c005"


def test_a_class_that_is_scored_low_as_a_whole_is_not_blamed_as_a_whole() -> None:
    harmful = np.concatenate([np.linspace(0.75, 0.85, 60), np.linspace(0.52, 0.62, 39), [0.84]])
    labels = pd.Series(["harmful"] * 60 + ["safe"] * 40, [f"c{i:03}" for i in range(100)])
    found = flag.mislabelled(labels, np.column_stack([harmful, 1 - harmful]), CLASSES, 1.0)
    assert found["clip_id"].tolist()[0] == "c099"
    assert (found["clip_id"] >= "c060").sum() < 5  # all forty are predicted `harmful`


def test_scores_of_a_collapsed_model_flag_no_label_and_the_verdict_says_why() -> None:
    labels, _ = two_classes(100, flipped=[])
    rng = np.random.default_rng(0)
    harmful = 0.6 + rng.normal(0, 0.01, 100)
    points = rng.normal(size=(100, 8)).astype(np.float32)
    flags, verdict = flag.flag(
        labels.rename_axis("clip_id").rename("label").reset_index(),
        score_table(labels, np.column_stack([harmful, 1 - harmful])),
        clips(**{str(name): {} for name in labels.index}),
        own_groups(labels),
        points,
        PARAMS,
        data=DATA,
    )
    assert "label" not in set(flags["reason"])
    assert not verdict.sound
    assert "'harmful' for 100 of 100 clips" in verdict.words


@pytest.mark.parametrize(("collapsed", "said"), [(True, "refused"), (False, "found")])
def test_the_stage_writes_whether_it_judged_the_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collapsed: bool, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, tmp_path)
    labels, good = two_classes(100, flipped=[0, 3])
    scores = score_table(labels, np.full((100, 2), [0.6, 0.4]) if collapsed else good)
    names = tuple(map(str, labels.index))
    points = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    tables.write(rows.labelled(tables.LABELS, **labels.to_dict()), Path("labels.csv"), tables.LABELS)
    tables.write(scores, Path("scores.csv"), tables.SCORES)
    tables.write(clips(**{name: {} for name in names}), Path("clips.csv"), tables.CLIPS)
    vectors.write(vectors.Vectors(names, {"block": points}), Path("features"))
    tables.write(own_groups(labels), Path("groups.csv"), tables.GROUPS)
    inputs = ["--labels", "labels.csv", "--scores", "scores.csv", "--clips", "clips.csv", "--features", "features"]
    result = CliRunner().invoke(
        flag.main, [*inputs, "--groups", "groups.csv", "--out", "flags.csv", "--verdict", "flags.json"]
    )
    assert result.exit_code == 0, result.output
    verdict = json.loads(Path("flags.json").read_text())
    assert verdict["label_issues"] == said
    assert ("'harmful' for 100 of 100 clips" in verdict["why"]) == collapsed
    assert ("label" in set(tables.read(Path("flags.csv"), tables.FLAGS)["reason"])) != collapsed


def test_flags_carry_the_label_they_doubt_and_unlabelled_clips_are_not_doubted() -> None:
    labels, probabilities = two_classes(100, flipped=[0, 3])
    table = labels.rename_axis("clip_id").rename("label").reset_index()
    table.loc[table["clip_id"] == "c003", "label"] = ""
    points = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    flags, verdict = flag.flag(
        table,
        score_table(labels, probabilities),
        clips(**{str(name): {} for name in labels.index}),
        own_groups(labels),
        points,
        PARAMS,
        data=DATA,
    )
    doubted = flags[flags["reason"] == "label"]
    assert verdict.sound
    assert doubted[["clip_id", "label", "suggested"]].to_numpy().tolist() == [["c000", "harmful", "safe"]]


def test_copies_look_alike_and_a_stranger_is_an_outlier() -> None:
    rng = np.random.default_rng(1)
    points = (rng.normal(size=(60, 30)) + 3).astype(np.float32)
    points[11] = points[10]
    points[59] = -points[59]
    names = pd.Series([f"c{i:02}" for i in range(60)])
    found = flag.look_alike(names, points, 10)
    assert set(found.loc[found["reason"] == "near_duplicate", "clip_id"]) == {"c10", "c11"}
    assert found.loc[found["reason"] == "outlier", "clip_id"].tolist() == ["c59"]


@pytest.mark.parametrize(
    ("reason", "measure", "score"),
    [
        ("clipped", {"clipped_share": 0.04}, 0.25),
        ("dc_offset", {"dc_offset": -0.1}, 0.5),
        ("mostly_silent", {"silent_share": 0.95}, 0.9 / 0.95),
        ("low_bandwidth", {"bandwidth_hz": 3000.0}, 0.75),
        ("noisy", {"snr_db": 2.0}, 0.4),
        ("noisy", {"snr_db": -3.0}, 0.0),
        ("dead_channel", {"dead_channels": 1}, 0.0),
        ("inverted_channel", {"inverted": True}, 0.0),
    ],
)
def test_each_fault_of_the_sound_is_flagged_by_its_name(reason: str, measure: dict[str, object], score: float) -> None:
    found = flag.faulty_sound(clips(good={}, bad=measure), PARAMS, rate_hz=16_000)
    assert found[["clip_id", "reason"]].to_numpy().tolist() == [["bad", reason]]
    assert found["score"].item() == pytest.approx(score)


def test_a_recording_made_at_a_low_rate_is_not_taken_for_one_that_lost_its_bandwidth() -> None:
    honest = {"rate_hz": 8000, "bandwidth_hz": 3900.0}
    upsampled = {"rate_hz": 44_100, "bandwidth_hz": 3900.0}
    found = flag.faulty_sound(clips(honest=honest, upsampled=upsampled), PARAMS, rate_hz=16_000)
    assert found["clip_id"].tolist() == ["upsampled"]
