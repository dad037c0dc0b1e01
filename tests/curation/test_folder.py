import os
from pathlib import Path

import pytest

from curation import folder
from curation.audio import UnusableError


def refusal(file: str, raw: Path) -> str:
    with pytest.raises(UnusableError) as caught:
        folder.locate(file, raw)
    return caught.value.reason


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw/sub").mkdir(parents=True)
    (tmp_path / "raw/sub/a.wav").write_bytes(b"sound")
    (tmp_path / "raw/sub/empty.wav").touch()
    (tmp_path / "secret.wav").touch()
    return tmp_path / "raw"


@pytest.mark.parametrize("file", ["sub/a.wav", "./sub//a.wav"])
def test_a_recording_in_the_folder_is_found(raw: Path, file: str) -> None:
    assert folder.locate(file, raw) == raw / "sub/a.wav"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("b.wav", "missing"),
        ("sub\\a.wav", "missing"),
        ("a" * 300, "missing"),
        ("sub", "unreadable"),
        ("sub/empty.wav", "empty"),
        ("", "unreadable"),
        ("../secret.wav", "outside"),
        ("sub/../../secret.wav", "outside"),
        ("/etc/passwd", "outside"),
    ],
)
def test_what_is_not_a_file_of_the_folder_is_refused(raw: Path, file: str, reason: str) -> None:
    assert refusal(file, raw) == reason


def test_a_link_may_stay_in_the_folder_and_not_leave_it(raw: Path) -> None:
    (raw / "inside.wav").symlink_to("sub/a.wav")
    (raw / "outside.wav").symlink_to("../secret.wav")
    (raw / "up").symlink_to("..")
    (raw / "dangling.wav").symlink_to("gone.wav")
    (raw / "loop.wav").symlink_to("loop.wav")
    assert folder.locate("inside.wav", raw) == raw / "inside.wav"
    assert refusal("outside.wav", raw) == "outside"
    assert refusal("up/secret.wav", raw) == "outside"
    assert refusal("dangling.wav", raw) == "unreadable"
    assert refusal("loop.wav", raw) == "unreadable"


def test_a_link_into_the_cache_of_dvc_is_a_recording_of_the_folder(raw: Path, tmp_path: Path) -> None:
    cached = tmp_path / "cache/files/md5/d4/1d8cd98f00b204e9800998ecf8427e"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"sound")
    (raw / "b.wav").symlink_to(cached)
    assert folder.locate("b.wav", raw) == raw / "b.wav"


def test_a_pipe_is_no_recording(raw: Path) -> None:
    os.mkfifo(raw / "pipe.wav")
    assert refusal("pipe.wav", raw) == "unreadable"


def test_the_folder_may_itself_be_a_link(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(raw)
    assert folder.locate("sub/a.wav", tmp_path / "elsewhere") == tmp_path / "elsewhere/sub/a.wav"


def test_what_the_table_does_not_name_is_listed_except_hidden_files(raw: Path) -> None:
    (raw / "b.wav").touch()
    (raw / ".DS_Store").touch()
    Path(os.fsdecode(os.fsencode(raw) + b"/\xff.wav")).touch()
    assert folder.unlisted(["./sub/a.wav", "sub/empty.wav", "gone.wav"], raw) == ["b.wav", "\\xff.wav"]
