from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rows
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from curation import tables, vectors
from training import ablate as stage
from training.ablate import Params, ablate, balanced_accuracy, spoil, thin

CLASSES = np.array(["harmful", "safe"])
P = Params(halvings=2, spoilt=(0.1,), folds=4, repeats=3, penalty=2.5, max_clips=1000, resamples=200, seed=0)


def kinds(n: int, kinds_a_class: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return n clips, two a group, of so many kinds of sound a class: who has not heard a kind cannot place it."""
    group = np.arange(n) // 2
    kind = group % (2 * kinds_a_class)
    points = 6 * np.eye(2 * kinds_a_class)[kind] + np.random.default_rng(0).normal(size=(n, 2 * kinds_a_class))
    clips = pd.DataFrame(
        {
            "clip_id": [f"c{i:03}" for i in range(n)],
            "label": CLASSES[kind % 2],
            "group": [f"g{number}" for number in group],
            "fold": 0,
        }
    )
    return clips, points.astype(np.float32)


def row(found: pd.DataFrame, what: str, share: float) -> pd.Series:
    return found[(found["what"] == what) & (found["share"] == share)].iloc[0]


def test_less_data_costs_where_every_group_teaches_something_and_nothing_where_all_are_alike() -> None:
    many, few = ablate(*kinds(80, 12), P), ablate(*kinds(80, 1), P)
    assert row(many, "groups", 0.5)["cost_low"] > 0
    assert row(many, "groups", 0.25)["cost"] > row(many, "groups", 0.5)["cost"]
    assert row(few, "groups", 0.5)["cost"] == pytest.approx(0, abs=0.01)
    assert row(few, "groups", 1)["balanced_accuracy"] == pytest.approx(1, abs=0.02)


def test_a_tenth_of_wrong_labels_costs_at_least_what_it_takes_from_a_model_that_is_right() -> None:
    found = row(ablate(*kinds(80, 1), P), "labels", 0.1)
    assert 0.08 < found["cost"] < 0.2
    assert found["cost_low"] < found["cost"] < found["cost_high"]


def test_labels_that_mean_nothing_are_at_chance_whatever_is_taken_away() -> None:
    clips, points = kinds(80, 1)
    found = ablate(clips.assign(label=np.random.default_rng(1).permutation(clips["label"])), points, P)
    assert ((found["low"] < 0.5) & (found["high"] > 0.5)).all()


def test_what_is_held_out_is_so_with_its_variations() -> None:
    """Each clip is a point far from all others: its label, drawn, can be told by who heard a variation of it alone."""
    clips, _ = kinds(80, 1)
    points = np.random.default_rng(0).normal(size=(80, 30)).astype(np.float32)
    drawn = np.random.default_rng(1).permutation(clips["label"])
    found = ablate(clips.assign(label=drawn), np.concatenate([points, points, points]), P)
    assert ((found["low"] < 0.5) & (found["high"] > 0.5)).all()


@pytest.mark.parametrize("max_clips", [41, 1000])
def test_a_clip_and_one_variation_like_it_are_the_clip_at_the_root_of_two_of_the_penalty(max_clips: int) -> None:
    clips, points = kinds(80, 6)
    p = P.model_copy(update={"max_clips": max_clips})
    half = p.model_copy(update={"penalty": p.penalty / 2**0.5})
    found = ablate(clips, np.concatenate([points, points]), half)
    pd.testing.assert_frame_equal(found, ablate(clips, points, p), atol=0.01)
    assert 0.5 < found["balanced_accuracy"].max() < 1


def test_the_test_fold_and_clips_without_label_have_no_part_in_it() -> None:
    clips, points = kinds(80, 1)
    fold = np.where(np.arange(80) < 8, -1, 0)
    one = ablate(clips.assign(fold=fold), points, P)
    other = clips["label"].where(fold == 0, "safe")
    pd.testing.assert_frame_equal(ablate(clips.assign(fold=fold, label=other), points, P), one)
    unlabelled = ablate(clips.assign(label=clips["label"].where(fold == 0, "")), points, P)
    assert one["clips"].tolist() == unlabelled["clips"].tolist() == [72] * 4


def test_of_a_large_set_some_whole_groups_are_drawn() -> None:
    found = ablate(*kinds(400, 1), P.model_copy(update={"max_clips": 41}))
    assert (found["clips"].iloc[0], found["groups"].iloc[0]) == (40, 20)


@given(st.integers(0, 99), st.floats(0.01, 0.99), st.integers(1, 30))
def test_what_stays_is_whole_groups_of_every_class_and_part_of_what_stays_of_more(
    seed: int, share: float, groups: int
) -> None:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(2 * groups), 2)
    label = CLASSES[group % 2]
    order = rng.permutation(2 * groups)
    kept = thin(label, group, share, order)
    assert set(label[kept]) == set(CLASSES)
    assert set(group[kept]) & set(group[~kept]) == set()
    assert len(set(group[kept])) == 2 * max(1, round(share * groups))
    assert (thin(label, group, min(1.0, 2 * share), order) | ~kept).all()


@given(st.integers(0, 99), st.floats(0, 1), st.integers(1, 30))
def test_so_many_labels_are_spoilt_and_no_others(seed: int, share: float, n: int) -> None:
    names = np.array(["a", "b", "c"])
    label = names[np.arange(n) % 3]
    spoilt = spoil(label, names, share, np.random.default_rng(seed))
    assert (spoilt != label).sum() == round(share * n)
    assert set(spoilt) <= set(names)


def test_the_balanced_accuracy_is_the_mean_of_the_shares_found() -> None:
    truth, hits = np.array([["a"], ["a"], ["b"], ["b"]]), np.array([[True], [True], [True], [False]])
    weights = np.array([[1.0, 1, 1, 1], [1, 1, 1, 3], [1, 1, 0, 0]])
    assert balanced_accuracy(truth, hits, weights) == pytest.approx([0.75, 0.625, np.nan], nan_ok=True)


def test_the_stage_writes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(rows.PARAMS.read_text())
    clips, points = kinds(40, 2)
    for table in (tables.LABELS, tables.FOLDS, tables.GROUPS):
        columns = [name for name in ("label", "group", "fold") if name in table.columns]
        listed = [dict(one) for one in clips[["clip_id", *columns]].to_dict("records")]
        tables.write(rows.table(table, *listed), Path(table.name), table)
    vectors.write(vectors.Vectors(tuple(clips["clip_id"]), {"points": points}), Path("features"))
    arguments = ["--labels", "labels.csv", "--folds", "folds.csv", "--groups", "groups.csv", "--features", "features"]
    for name in ("a.csv", "b.csv"):
        result = CliRunner().invoke(stage.main, [*arguments, "--out", name], catch_exceptions=False)
        assert result.output.startswith("ablate: 7 variants")
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
