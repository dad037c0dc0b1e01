import shutil
from pathlib import Path

import pandas as pd
import pytest
import rows
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from curation import balance, tables

# Two folds of 3 harmful and 1 safe, and a test fold.
FOLDS = {"h1": 0, "h2": 0, "h3": 0, "s1": 0, "h4": 1, "h5": 1, "h6": 1, "s2": 1, "h7": -1, "s3": -1}
LABELS = {clip_id: "harmful" if clip_id.startswith("h") else "safe" for clip_id in FOLDS}
PARAMS = balance.Params(method="none", undecided="keep", downweight=0.25, max_drop_share=0.5, seed=0)


def folds(fold: dict[str, int]) -> pd.DataFrame:
    return rows.table(tables.FOLDS, *({"clip_id": clip_id, "fold": number} for clip_id, number in fold.items()))


def suspects(**scores: float) -> pd.DataFrame:
    found = ({"clip_id": clip_id, "reason": "label", "score": score} for clip_id, score in scores.items())
    return rows.table(tables.FLAGS, *found)


def train(labels: pd.DataFrame | None = None, flags: pd.DataFrame | None = None, **changes: object) -> pd.DataFrame:
    p = balance.Params(**(PARAMS.model_dump() | changes))
    given_labels = rows.labelled(tables.LABELS, **LABELS) if labels is None else labels
    return balance.balance(given_labels, folds(FOLDS), suspects() if flags is None else flags, p).set_index("clip_id")


def draws(listed: pd.DataFrame) -> dict[tuple[int, str], int]:
    return listed.groupby(["fold", "label"])["times"].sum().to_dict()


def test_the_test_fold_is_not_listed() -> None:
    assert set(train().index) == set(FOLDS) - {"h7", "s3"}


def test_none_draws_every_clip_once() -> None:
    listed = train()
    assert set(listed["times"]) == {1}
    assert set(listed["weight"]) == {1.0}
    assert set(listed["why"]) == {"kept"}


def test_oversampling_evens_out_every_fold_by_repeating_only_the_smaller_class() -> None:
    listed = train(method="oversample")
    assert draws(listed) == {(0, "harmful"): 3, (0, "safe"): 3, (1, "harmful"): 3, (1, "safe"): 3}
    assert listed.loc[["s1", "s2"], "why"].tolist() == ["repeated", "repeated"]
    assert set(listed.loc[listed["label"] == "harmful", "times"]) == {1}


def test_undersampling_leaves_out_only_the_larger_class_and_says_so() -> None:
    listed = train(method="undersample", max_drop_share=0.9)
    assert draws(listed) == {(0, "harmful"): 1, (0, "safe"): 1, (1, "harmful"): 1, (1, "safe"): 1}
    assert set(listed.loc[listed["times"] == 0, "why"]) == {"undersampled"}


def test_undersampling_stops_at_max_drop_share() -> None:
    listed = train(method="undersample", max_drop_share=0.5)
    assert (listed.loc[listed["label"] == "harmful", "times"] == 0).sum() == 3  # of 6


def test_weights_give_every_class_the_same_weight_and_keep_the_mean_at_one() -> None:
    listed = train(method="weights")
    assert listed.groupby("label")["weight"].sum().to_dict() == pytest.approx({"harmful": 4, "safe": 4})
    assert set(listed["times"]) == {1}


def test_suspects_are_kept_by_default() -> None:
    assert train(flags=suspects(h1=0.1)).loc["h1", "why"] == "kept"


def test_suspects_are_weighted_down_when_params_say_so() -> None:
    listed = train(flags=suspects(h1=0.1), undecided="downweight")
    assert listed.loc["h1", ["times", "weight", "why"]].tolist() == [1, 0.25, "weighted down: suspect"]


def test_suspects_are_dropped_worst_first_and_never_more_than_max_drop_share_of_a_class() -> None:
    flags = suspects(h1=0.3, h2=0.2, h3=0.1, h4=0.4, s1=0.0)
    listed = train(flags=flags, undecided="drop", max_drop_share=0.5)
    dropped = listed[listed["times"] == 0]
    assert sorted(dropped.index) == ["h1", "h2", "h3", "s1"]  # 3 of 6 harmful, 1 of 2 safe
    assert set(dropped["why"]) == {"suspect"}


def test_dropping_and_undersampling_share_one_budget() -> None:
    listed = train(flags=suspects(h1=0.1, h2=0.1), undecided="drop", method="undersample", max_drop_share=0.5)
    harmful = listed[listed["label"] == "harmful"]
    assert harmful["why"].value_counts().to_dict() == {"kept": 3, "suspect": 2, "undersampled": 1}


def test_a_suspect_that_somebody_has_answered_is_decided() -> None:
    labels = rows.labelled(tables.LABELS, **LABELS).assign(answers=1)
    assert (train(labels, suspects(h1=0.1), undecided="drop")["times"] == 1).all()


def test_a_doubt_about_the_sound_is_no_doubt_about_the_label() -> None:
    flags = suspects(h1=0.1).assign(reason="clipped")
    assert (train(flags=flags, undecided="drop")["times"] == 1).all()


def test_clips_without_a_label_are_left_out_with_the_reason() -> None:
    labels = rows.labelled(tables.LABELS, **(LABELS | {"h1": "", "h2": ""}))
    labels.loc[labels["clip_id"] == "h1", "origin"] = "none"
    labels.loc[labels["clip_id"] == "h2", "origin"] = "review"
    listed = train(labels, method="oversample")
    assert listed.loc[["h1", "h2"], "times"].tolist() == [0, 0]
    assert listed.loc[["h1", "h2"], "why"].tolist() == ["unlabelled", "reviewed as none of the classes or bad audio"]


@given(
    labels=st.lists(st.sampled_from(["harmful", "safe", ""]), min_size=1, max_size=40),
    method=st.sampled_from(["oversample", "undersample", "weights", "none"]),
    undecided=st.sampled_from(["keep", "downweight", "drop"]),
    data=st.data(),
)
def test_nothing_vanishes_and_no_class_loses_more_than_its_share(labels, method, undecided, data) -> None:
    fold = {f"c{n:02}": data.draw(st.integers(-1, 2)) for n in range(len(labels))}
    table = rows.labelled(tables.LABELS, **dict(zip(fold, labels, strict=True)))
    flags = suspects(**{clip_id: 0.5 for clip_id in fold if data.draw(st.booleans())})
    p = balance.Params(**(PARAMS.model_dump() | {"method": method, "undecided": undecided}))
    listed = balance.balance(table, folds(fold), flags, p)
    assert sorted(listed["clip_id"]) == sorted(clip_id for clip_id, number in fold.items() if number >= 0)
    labelled = listed[listed["label"] != ""]
    assert (labelled.groupby("label")["times"].agg(lambda times: (times == 0).mean()) <= p.max_drop_share).all()
    assert (listed.loc[listed["label"] == "", "times"] == 0).all()


def test_the_stage_reads_and_writes_tables(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, "params.yaml")
    tables.write(rows.labelled(tables.LABELS, **LABELS), Path("labels.csv"), tables.LABELS)
    tables.write(folds(FOLDS), Path("folds.csv"), tables.FOLDS)
    tables.write(suspects(), Path("flags.csv"), tables.FLAGS)
    options = ["--labels", "labels.csv", "--folds", "folds.csv", "--flags", "flags.csv", "--out", "train.csv"]
    result = CliRunner().invoke(balance.main, options)
    assert (result.exit_code, result.output) == (0, "balance: harmful: 6 draws an epoch, safe: 6 draws an epoch\n")
    assert len(tables.read(Path("train.csv"), tables.TRAIN)) == 8
