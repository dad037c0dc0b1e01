from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import rows
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import tables

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
DRAWS = {
    "text": TEXT,
    "int": st.integers(-(2**40), 2**40),
    "float": st.floats(allow_infinity=False, width=32).map(lambda x: float(f"{x:.6g}")),
    "bool": st.booleans(),
}
ALL = [value for value in vars(tables).values() if isinstance(value, tables.Table)]


def drawn(data: st.DataObject, kind: tables.Table) -> pd.DataFrame:
    keys = [name for name in kind.key if kind.columns[name].kind == "text"]
    columns = {
        name: st.sampled_from(column.choices) if column.choices else DRAWS[column.kind]
        for name, column in kind.columns.items()
    }
    row = st.fixed_dictionaries(columns)
    listed = data.draw(st.lists(row, max_size=4, unique_by=lambda cells: tuple(cells[name] for name in keys)))
    return pd.DataFrame(listed, columns=list(kind.columns)) if listed else kind.empty()


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
@settings(max_examples=25)
@given(data=st.data())
def test_what_is_written_is_read_again_and_the_same_table_is_the_same_bytes(kind, tmp_path_factory, data) -> None:
    folder = tmp_path_factory.mktemp("tables")
    table = drawn(data, kind)
    tables.write(table, folder / "a.csv", kind)
    again = tables.read(folder / "a.csv", kind)
    expected = table.astype(kind.empty().dtypes.to_dict()).sort_values(list(kind.key), ignore_index=True)
    pd.testing.assert_frame_equal(again, expected)
    shuffled = table.iloc[np.random.default_rng(0).permutation(len(table))][list(kind.columns)[::-1]]
    tables.write(shuffled, folder / "b.csv", kind)
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()


def test_words_that_pandas_takes_for_missing_stay_words(tmp_path: Path) -> None:
    table = rows.table(tables.RAW, {"file": "NA", "label": "null", "group": "007"})
    tables.write(table, tmp_path / "raw.csv", tables.RAW)
    assert (tmp_path / "raw.csv").read_bytes() == b"file,label,group\nNA,null,007\n"
    assert tables.read(tmp_path / "raw.csv", tables.RAW).to_numpy().tolist() == [["NA", "null", "007"]]


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_bytes(b"\xef\xbb\xbffile,label,group\na.wav,safe,\n")
    assert tables.read(tmp_path / "raw.csv", tables.RAW)["file"].tolist() == ["a.wav"]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    table = rows.table(tables.RAW, {"file": "a" * 200_000})
    tables.write(table, tmp_path / "raw.csv", tables.RAW)
    pd.testing.assert_frame_equal(tables.read(tmp_path / "raw.csv", tables.RAW), table)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a CSV table"),
        ("file,label,group\n".encode("utf-16"), "is not UTF-8 .* Save it as CSV in UTF-8"),
        (b"file;label;group\na;b;c\n", r"missing \['file', 'label', 'group'\].*separated by ';'"),
        (b"file,label\na,b\n", r"missing \['group'\], not expected \[\]"),
        (b"file,label,group,x\na,b,c,d\n", r"missing \[\], not expected \['x'\]"),
        (b"file,label,group\na,b,c\na,b,d\n", "file must be unique, but 'a' stands twice"),
        (b'file,label,group\n"a,b,c\n', "is not a CSV table"),
        (b"file,label,group\na,b,c,d\n", "is not a CSV table"),
        (b"file,label,group\na,b,\n\nc,d\n", r"raw\.csv: line 4 has 2 cells, the header 3\. Is the file cut off\?"),
        (b'file,label,group\n"a\nb",,\nc', "line 4 has 1 cells"),
    ],
)
def test_a_broken_table_is_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "raw.csv").write_bytes(content)
    with pytest.raises(click.ClickException, match=message):
        tables.read(tmp_path / "raw.csv", tables.RAW)


def test_a_missing_table_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"raw\.csv does not exist. `dvc repro` makes"):
        tables.read(tmp_path / "raw.csv", tables.RAW)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,x", "`fold` must be int, not 'x'"),
        ("a,1.5", "`fold` must be int, not '1.5'"),
        ("a,", "`fold` must be int, not ''"),
        ("a,inf", "`fold` must be int, not 'inf'"),
    ],
)
def test_a_cell_of_the_wrong_type_is_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "folds.csv").write_text(f"clip_id,fold\n{row}\n")
    with pytest.raises(click.ClickException, match=message):
        tables.read(tmp_path / "folds.csv", tables.FOLDS)


def test_a_value_that_is_not_among_the_choices_is_refused_when_written(tmp_path: Path) -> None:
    table = rows.table(tables.QUEUE, {"clip_id": "a", "reason": "mood"})
    with pytest.raises(click.ClickException, match=r"`reason` must be one of \['suspect', .*\], not 'mood'"):
        tables.write(table, tmp_path / "queue.csv", tables.QUEUE)
    assert list(tmp_path.iterdir()) == []


def test_a_label_that_is_no_class_is_named_with_the_next_step() -> None:
    labels = pd.Series(["safe", "dog", "", "cat", "dog"])
    with pytest.raises(click.ClickException, match=r"raw.csv: 'dog', 'cat' not in `data.classes` .* add the class"):
        tables.check_labels(labels, ("harmful", "safe"), "raw.csv")


def test_long_lists_of_faults_are_cut(tmp_path: Path) -> None:
    twice = "".join(f"{name},,\n{name},,\n" for name in "abcde")
    (tmp_path / "raw.csv").write_text("file,label,group\n" + twice)
    with pytest.raises(click.ClickException, match="'a', 'b', 'c' and 2 more stands twice"):
        tables.read(tmp_path / "raw.csv", tables.RAW)
