import re
from pathlib import Path

import click
import pandas as pd
import pytest

from curation import listing
from curation.listing import Columns, Entry

CLASSES = ("harmful", "safe")
ALL = Columns(None, "label", None)


def source(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / "audio" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "audio" / file).write_bytes(b"")
    return folder / "audio"


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_a_folder_per_class_gives_its_files_that_label(tmp_path: Path) -> None:
    root = source(tmp_path, "safe/a.wav", "harmful/b.FLAC", "train/safe/c.ogg", "rain/deep/d.mp3", "e.wav")
    assert listing.listing(root, None, ALL, CLASSES).recordings == [
        Entry("e.wav", "", ""),
        Entry("harmful/b.FLAC", "harmful", ""),
        Entry("rain/deep/d.mp3", "rain", ""),
        Entry("safe/a.wav", "safe", ""),
        Entry("train/safe/c.ogg", "safe", ""),
    ]


def test_a_file_beneath_two_classes_is_listed_with_both() -> None:
    assert listing.by_folder(["safe/harmful/a.wav"], CLASSES) == [
        Entry("safe/harmful/a.wav", "safe", ""),
        Entry("safe/harmful/a.wav", "harmful", ""),
    ]


def test_what_is_no_audio_or_hidden_is_told_apart_and_a_link_to_a_folder_is_not_lost(tmp_path: Path) -> None:
    root = source(tmp_path, "safe/a.wav", "safe/._a.wav", "safe/a.txt", ".git/b.wav")
    (root / "harmful").symlink_to(tmp_path)
    assert listing.walk(root) == (["harmful", "safe/a.wav"], [".git", "safe/._a.wav", "safe/a.txt"])


TABLES = {
    "comma.csv": "name,what\r\na.wav,safe\r\n007.wav,007\r\n",
    "mark.csv": "\ufeffname,what\na.wav,safe\n007.wav,007\n",
    "semicolon.csv": "name;what;\na.wav;safe;\n007.wav;007;\n",
    "tab.tsv": "name\twhat\na.wav\tsafe\n\n007.wav\t007\n",
    "bar.txt": 'name|what\na.wav|"safe"\n"007.wav"|007\n',
    "lines.jsonl": '{"name": "a.wav", "what": "safe", "more": null}\n\n{"what": "007", "name": "007.wav"}\n',
    "lines.ndjson": '\ufeff{"name": "a.wav", "what": "safe"}\n{"name": "007.wav", "what": "007"}',
}


@pytest.mark.parametrize("name", TABLES)
def test_any_delimiter_and_json_lines_are_read_as_the_same_text(tmp_path: Path, name: str) -> None:
    table = written(tmp_path / name, TABLES[name])
    found = listing.listing(source(tmp_path, "a.wav", "007.wav"), table, Columns(None, "what", None), CLASSES)
    assert found == listing.Listing([Entry("a.wav", "safe", ""), Entry("007.wav", "007", "")], [], [])


def test_parquet_keeps_text_whole_numbers_and_what_is_missing(tmp_path: Path) -> None:
    columns = {"name": ["a.wav", "b.wav"], "code": ["007", None], "speaker": [7, None], "gain": [0.5, 2.0]}
    pd.DataFrame(columns).to_parquet(tmp_path / "t.parquet")
    assert listing.read_table(tmp_path / "t.parquet") == [
        {"name": "a.wav", "code": "007", "speaker": "7", "gain": "0.5"},
        {"name": "b.wav", "code": "", "speaker": "", "gain": "2.0"},
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "", "has no row"),
        ("t.csv", "name,label\n", "has no row"),
        ("t.jsonl", "\n", "has no row"),
        ("t.csv", "name,label\na.wav\n", "cannot be read as .csv: line 2 has 1 cells, the header 2. Mend it"),
        ("t.csv", "name,name\na.wav,b\n", "its header ['name', 'name'] names a column twice"),
        ("t.csv", 'name,label\n"a"b,c\n', "cannot be read as .csv"),
        ("t.jsonl", '{"name": "a.wav"}\n[1]\n', "line 2 is no JSON object"),
        ("t.jsonl", '{"name": "a.wav"\n', "line 1 is no JSON object"),
        ("t.parquet", "PAR", "cannot be read as .parquet"),
    ],
)
def test_a_broken_table_is_refused_with_the_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(click.ClickException, match=re.escape(said)):
        listing.read_table(written(tmp_path / name, text))


def test_a_table_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("name\ngrün.wav\n".encode("utf-16"))
    with pytest.raises(click.ClickException, match=r"t.csv is not UTF-8 .* Save it as CSV in UTF-8"):
        listing.read_table(tmp_path / "t.csv")


def test_an_audio_folder_names_files_from_where_each_metadata_file_lies(tmp_path: Path) -> None:
    root = source(tmp_path, "train/a.wav", "train/left.wav", "test/deep/b.wav")
    written(root / "train/metadata.csv", "file_name,label,who\na.wav,safe,7\n")
    written(root / "test/metadata.jsonl", '{"file_name": "deep/b.wav", "label": "harmful", "who": 8}\n')
    assert listing.listing(root, None, Columns(None, "label", "who"), CLASSES) == listing.Listing(
        [Entry("test/deep/b.wav", "harmful", "8"), Entry("train/a.wav", "safe", "7")], ["train/left.wav"], []
    )


def test_names_may_have_backslashes_dots_or_be_absolute_within_the_folder(tmp_path: Path) -> None:
    root = source(tmp_path, "x/a.wav", "x/b.wav", "x/c.wav")
    names = [r"x\a.wav", "./x//b.wav", str(root / "x/c.wav"), "/etc/d.wav", "../e.wav", ""]
    table = written(tmp_path / "t.csv", "name,label\n" + "".join(f"{name},safe\n" for name in names))
    found = listing.listing(root, table, ALL, CLASSES).recordings
    assert [entry.file for entry in found] == ["x/a.wav", "x/b.wav", "x/c.wav", "/etc/d.wav", "../e.wav", ""]


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("one,two,label\na.wav,b.wav,safe\n", ALL, "the columns ['one', 'two'] all name files of"),
        ("one,two,label\na.wav,b.wav,safe\n", ALL, "for instance `--file-column one`"),
        ("one,label\nz.wav,safe\n", ALL, "no column names files of"),
        ("one,label\nz.wav,safe\n", ALL, "Its first row is one='z.wav', label='safe'; the folder holds 'a.wav'"),
        ("one,what\na.wav,safe\n", ALL, "has no column 'label'. Choose by `--label-column` from ['one', 'what']"),
        ("one\na.wav\n", Columns("two", None, None), "has no column 'two'. Choose by `--file-column` from ['one']"),
        ("one\na.wav\n", Columns(None, None, "who"), "has no column 'who'. Choose by `--group-column` from ['one']"),
    ],
)
def test_a_column_that_cannot_be_told_is_asked_for(tmp_path: Path, text: str, columns: Columns, said: str) -> None:
    table = written(tmp_path / "t.csv", text)
    with pytest.raises(click.ClickException, match=re.escape(said)):
        listing.listing(source(tmp_path, "a.wav", "b.wav"), table, columns, CLASSES)


def test_a_folder_without_audio_and_columns_without_a_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"audio holds no audio file. Known by their ends: .3gp .aac"):
        listing.listing(source(tmp_path, "a.txt"), None, ALL, CLASSES)
    with pytest.raises(click.ClickException, match=r"holds no metadata.csv: name the table of these columns"):
        listing.listing(source(tmp_path, "a.wav"), None, Columns(None, "event", None), CLASSES)
