import re
import shutil
from pathlib import Path

import click
import pandas as pd
import pytest
import rows
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from curation import split, tables

CLASSES = ("harmful", "safe")
PARAMS = split.Params(folds=3, test_share=0.25, test_from_clips=50, salt="s")


def corpus(n: int, *, per_group: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = [f"c{i:03}" for i in range(n)]
    clips = rows.labelled(tables.CLIPS, **{name: CLASSES[i // per_group % 2] for i, name in enumerate(names)})
    groups = ({"clip_id": name, "group": f"g{i // per_group}"} for i, name in enumerate(names))
    return clips, rows.table(tables.GROUPS, *groups)


def folds(n: int, p: split.Params = PARAMS) -> dict[str, int]:
    return split.split(*corpus(n), p, classes=CLASSES).set_index("clip_id")["fold"].to_dict()


def test_a_group_is_never_split() -> None:
    clips, groups = corpus(120, per_group=4)
    placed = split.split(clips, groups, PARAMS, classes=CLASSES).merge(groups, on="clip_id")
    assert len(placed[["group", "fold"]].drop_duplicates()) == 30


def test_the_test_fold_gets_its_share_and_the_folds_are_alike() -> None:
    counts = pd.Series(folds(4000)).value_counts(normalize=True)
    assert counts.to_dict() == pytest.approx({-1: 0.25, 0: 0.25, 1: 0.25, 2: 0.25}, abs=0.03)


def test_a_small_set_has_no_test_fold() -> None:
    assert set(folds(48).values()) == {0, 1, 2}
    assert set(folds(100).values()) == {-1, 0, 1, 2}


@given(n=st.integers(60, 200), more=st.integers(1, 200))
def test_new_clips_move_no_old_one(n: int, more: int) -> None:
    old, new = folds(n), folds(n + more)
    assert {clip_id: new[clip_id] for clip_id in old} == old


def test_labels_move_no_clip() -> None:
    clips, groups = corpus(120)
    other = clips.assign(label=clips["label"].map({"harmful": "safe", "safe": "harmful"}))
    assert split.split(clips, groups, PARAMS, classes=CLASSES).equals(
        split.split(other, groups, PARAMS, classes=CLASSES)
    )


def test_a_class_that_misses_a_fold_is_refused_with_a_salt_that_works() -> None:
    names = [f"c{i}" for i in range(40)]
    clips = rows.labelled(tables.CLIPS, **{name: "safe" if i < 3 else "harmful" for i, name in enumerate(names)})
    groups = rows.table(tables.GROUPS, *({"clip_id": name, "group": name} for name in names))
    with pytest.raises(
        click.ClickException, match=r"Class 'safe' has no clip in fold . with `split.salt: s`"
    ) as refused:
        split.split(clips, groups, PARAMS, classes=CLASSES)
    salt = re.search(r"With `split.salt: (\S+)`", refused.value.message).group(1)
    placed = split.split(clips, groups, PARAMS.model_copy(update={"salt": salt}), classes=CLASSES)
    assert set(placed.merge(clips, on="clip_id").query("label == 'safe'")["fold"]) == {0, 1, 2}


def test_a_class_with_fewer_groups_than_folds_is_refused_with_its_count() -> None:
    clips, groups = corpus(40)
    one_group = groups.assign(group=groups["group"].mask(clips["label"] == "safe", "one"))
    with pytest.raises(click.ClickException, match="'safe' has labelled clips in 1 groups, but 3 folds need one each"):
        split.split(clips, one_group, PARAMS, classes=CLASSES)


def test_a_single_class_is_refused() -> None:
    clips, groups = corpus(40)
    with pytest.raises(click.ClickException, match="'safe' has labelled clips in 0 groups"):
        split.split(clips.assign(label="harmful"), groups, PARAMS, classes=CLASSES)


def test_unlabelled_clips_get_a_fold_too() -> None:
    clips, groups = corpus(120)
    clips.loc[:20, "label"] = ""
    assert len(split.split(clips, groups, PARAMS, classes=CLASSES)) == 120


def test_the_stage_reads_and_writes_tables(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, "params.yaml")
    clips, groups = corpus(60)
    tables.write(clips, Path("clips.csv"), tables.CLIPS)
    tables.write(groups, Path("groups.csv"), tables.GROUPS)
    result = CliRunner().invoke(split.main, ["--clips", "clips.csv", "--groups", "groups.csv", "--out", "folds.csv"])
    assert result.exit_code == 0, result.output
    placed = tables.read(Path("folds.csv"), tables.FOLDS)
    counts = ", ".join(f"{fold}: {n} clips" for fold, n in placed["fold"].value_counts().sort_index().items())
    assert result.output == f"split: {counts}\n"
    assert placed["clip_id"].tolist() == clips["clip_id"].tolist()
