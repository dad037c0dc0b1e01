from pathlib import Path

import pytest

from curation.faults import file_fault, row_faults
from curation.listing import Entry


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("a.wav", None),
        ("to_a.wav", None),
        ("to_nothing.wav", "special"),
        ("loop.wav", "special"),
        ("folder.wav", "special"),
        ("to_folder", "link"),
        ("out.wav", "link"),
        ("elsewhere/a.wav", "missing"),
        ("a.wav/b.wav", "missing"),
        ("x" * 300, "missing"),
        ("folder.wav/../a.wav", "outside"),
        ("a\x00.wav", "name"),
        ("a\udcff.wav", "name"),
    ],
)
def test_each_file_has_at_most_one_fault(tmp_path: Path, file: str, fault: str | None) -> None:
    source = tmp_path / "source"
    (source / "folder.wav").mkdir(parents=True)
    (source / "a.wav").write_bytes(b"")
    links = {"to_a.wav": "a.wav", "to_nothing.wav": "b.wav", "loop.wav": "loop.wav", "to_folder": "folder.wav"}
    for name, target in (links | {"out.wav": "../out.wav"}).items():
        (source / name).symlink_to(target)
    assert file_fault(file, source) == fault


def test_rows_contradict_each_other_by_file() -> None:
    rows = [
        Entry("a", "x", "1"),
        Entry("a", "y", "1"),
        Entry("b", "x", "1"),
        Entry("b", "x", "2"),
        Entry("b", "x", "2"),
    ]
    assert list(row_faults([*rows, Entry("", "x", "")])) == [
        ("nameless", "row 6"),
        ("twice", "b"),
        ("labels", "a"),
        ("groups", "b"),
    ]
