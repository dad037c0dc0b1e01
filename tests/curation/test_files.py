import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from curation import files


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        files.write_text("half a line, then \ud800", path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("table.csv", "old")]


def test_success_replaces_the_file_whole_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    files.write_text("ä\n", path)
    assert path.read_bytes() == "ä\n".encode()
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]


def write_until_the_disk_is_full(path: str) -> None:
    """Write more than the process may: the kernel refuses as it does on a full disk, at the same call."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    files.write_text("x" * 5000, Path(path))


def test_a_full_disk_is_said_in_words_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    code = "import signal, test_files; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += f"test_files.write_until_the_disk_is_full({str(path)!r})"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "ClickException: " in result.stderr
    assert "table.csv: cannot be written (File too large). What stood there is unchanged" in result.stderr
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("table.csv", "old")]


def test_a_folder_that_may_not_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(click.ClickException, match=r"table\.csv: cannot be written \(.*\)"):
        files.write_text("", tmp_path / "file" / "table.csv")


def test_a_lock_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(click.ClickException, match=r"\.table\.csv\.lock: cannot be written \(.*\)"),
        files.locked(tmp_path / "file" / "table.csv"),
    ):
        raise AssertionError


def test_what_goes_wrong_under_the_lock_is_not_blamed_on_it_and_frees_it(tmp_path: Path) -> None:
    for fault in (OSError("of the block"), BlockingIOError("of the block")):
        with pytest.raises(OSError, match="of the block"), files.locked(tmp_path / "table.csv"):
            raise fault
    with (
        files.locked(tmp_path / "table.csv"),
        pytest.raises(click.ClickException, match=r"Another earmark is at work on .*table\.csv"),
        files.locked(tmp_path / "table.csv"),
    ):
        raise AssertionError


def test_json_has_six_digits_and_null_for_what_is_not_a_number(tmp_path: Path) -> None:
    files.write_json({"b": 1 / 3, "a": [float("nan"), 2, True, "ü"]}, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": 0.333333, "a": [None, 2, True, "ü"]}
    assert text.index('"b"') < text.index('"a"')
