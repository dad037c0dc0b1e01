import subprocess
from pathlib import Path

import click
import pandas as pd
import pytest
import rows
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from curation import merge, tables


def answers(**said: str) -> pd.DataFrame:
    return rows.table(tables.REVIEWS, *({"clip_id": clip, "annotator": "ann", "answer": said[clip]} for clip in said))


def told(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["clip_id"], table["answer"], strict=True))


def test_new_rows_of_both_sides_stay_and_what_both_brought_stands_once() -> None:
    base = answers(c1="safe")
    merged = merge.merge(base, answers(c1="safe", c3="safe", c4="safe"), answers(c1="safe", c2="none", c4="safe"))
    assert told(merged) == {"c1": "safe", "c2": "none", "c3": "safe", "c4": "safe"}


def test_a_row_that_one_side_altered_is_as_that_side_has_it_and_none_is_taken_away() -> None:
    base = answers(c1="safe", c2="safe")
    assert told(merge.merge(base, answers(c1="none"), answers(c1="safe", c2="unsure"))) == {
        "c1": "none",
        "c2": "unsure",
    }


def test_a_row_that_both_altered_is_refused() -> None:
    with pytest.raises(click.ClickException, match=r"must be unique, but .*'c1'.* stands twice"):
        merge.merge(answers(c1="safe"), answers(c1="none"), answers(c1="unsure"))


grown = st.dictionaries(st.sampled_from(["c1", "c2", "c3", "c4"]), st.just("safe"))


@given(grown, grown, grown)
def test_either_order_is_the_same_and_every_answer_is_kept(
    base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]
) -> None:
    tables_of = [answers(**said) for said in (base, base | ours, base | theirs)]
    merged = merge.merge(*tables_of)
    assert told(merged) == dict(sorted((base | ours | theirs).items()))
    pd.testing.assert_frame_equal(merged, merge.merge(tables_of[0], tables_of[2], tables_of[1]))


def test_a_conflict_is_marked_so_that_neither_side_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, table in (("o", answers(c1="safe")), ("a", answers(c1="none")), ("b", answers(c1="unsure"))):
        tables.write(table, Path(name), tables.REVIEWS)
    result = CliRunner().invoke(merge.main, ["o", "a", "b"])
    assert result.exit_code == 1
    text = Path("a").read_text()
    assert all(mark in text for mark in ("<<<<<<<", "none", "=======", "unsure", ">>>>>>>"))


def test_the_attributes_name_the_driver_that_make_sets_up() -> None:
    root = Path(__file__).parents[2]
    command = ["git", "check-attr", "merge", "data/reviews.csv"]
    named = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split()[-1]
    assert f'merge.{named}.driver "$(BIN)/earmark merge %O %A %B"' in (root / "Makefile").read_text()
