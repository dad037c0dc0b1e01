import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import rows
from click.testing import CliRunner, Result

from curation import importer, tables
from curation.faults import FAULTS

ESC10 = Path(__file__).parents[2] / ".." / "shared/data/esc10"
TABLE = ["--labels", "clips.csv", "--group-column", "speaker"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project without git that has three recordings and their table, and go there."""
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(rows.PARAMS, root)
    monkeypatch.chdir(root)
    given(root)
    return root


def given(root: Path) -> None:
    (root / "audio/deep").mkdir(parents=True)
    for file in ("a.wav", "b.wav", "deep/c.wav"):
        (root / "audio" / file).write_bytes(file.encode())
    (root / "clips.csv").write_text("name,label,speaker\na.wav,safe,007\nb.wav,harmful,8\ndeep/c.wav,,\n")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(importer.main, [*arguments], catch_exceptions=False)


def untracked(*arguments: str) -> Result:
    return run("--no-dvc", *arguments)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return all that is in a folder: the mode and the content of everything, by path."""
    paths = sorted(root.rglob("*"))
    return {str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"") for path in paths}


def test_files_and_rows_are_brought_in_and_said(project: Path) -> None:
    result = untracked("audio", *TABLE)
    assert (project / "data/raw.csv").read_text() == "file,label,group\na.wav,safe,007\nb.wav,harmful,8\ndeep/c.wav,,\n"
    assert {path: (project / "data/raw" / path).read_bytes() for path in ("a.wav", "b.wav", "deep/c.wav")} == {
        "a.wav": b"a.wav",
        "b.wav": b"b.wav",
        "deep/c.wav": b"deep/c.wav",
    }
    assert sorted(path.name for path in (project / "data").iterdir()) == ["raw", "raw.csv"]
    assert result.output == ("import: 3 files (0.0 MB) into data/raw: harmful 1, not labelled 1, safe 1; 2 groups.\n")


def test_only_what_the_table_lists_is_taken_and_the_rest_is_counted(project: Path) -> None:
    (project / "clips.csv").write_text("name,label\nb.wav,safe\n")
    (project / "audio/notes.txt").write_text("")
    assert untracked("audio", "--labels", "clips.csv").output == (
        "import: 1 file (0.0 MB) into data/raw: safe 1; no groups, each file is its own.\n"
        "Left in audio: 2 audio files that the table does not list.\n"
        "Left in audio: 1 other file, hidden or no audio, such as 'notes.txt'.\n"
    )
    assert sorted(path.name for path in (project / "data/raw").iterdir()) == ["b.wav"]


def test_a_second_import_adds_to_the_first_and_the_same_again_adds_nothing(project: Path) -> None:
    untracked("audio", *TABLE)
    (project / "more").mkdir()
    (project / "more/d.wav").write_bytes(b"d")
    assert untracked("more").exit_code == 0
    assert (project / "data/raw.csv").read_text().splitlines()[-2:] == ["d.wav,,", "deep/c.wav,,"]
    before = tree(project)
    again = untracked("audio", *TABLE)
    assert again.output == "import: nothing new, 3 files are in data/raw and data/raw.csv already.\n"
    assert tree(project) == before


def test_folders_name_the_labels_unless_they_are_not_to(project: Path) -> None:
    for file in ("safe/a.wav", "Rain/b.wav"):
        (project / "folders" / file).parent.mkdir(parents=True)
        (project / "folders" / file).write_bytes(file.encode())
    untracked("folders", "--map", "Rain=harmful")
    assert tables.read(Path("data/raw.csv"), tables.RAW)["label"].tolist() == ["harmful", "safe"]
    untracked("folders", "--unlabelled", "--into", "2026/may")
    assert tables.read(Path("data/raw.csv"), tables.RAW).to_numpy().tolist()[:2] == [
        ["2026/may/Rain/b.wav", "", ""],
        ["2026/may/safe/a.wav", "", ""],
    ]


def test_links_share_the_file_and_copies_do_not(project: Path) -> None:
    untracked("audio", *TABLE, "--link")
    untracked("audio", *TABLE, "--copy", "--into", "copies")
    assert (project / "data/raw/a.wav").samefile(project / "audio/a.wav")
    assert not (project / "data/raw/copies/a.wav").samefile(project / "audio/a.wav")


def test_files_that_lie_in_the_folder_of_recordings_already_get_their_rows(project: Path) -> None:
    shutil.copytree(project / "audio", project / "data/raw")
    assert untracked("data/raw", *TABLE).output.startswith("import: 3 files (0.0 MB) into data/raw:")
    assert len(tables.read(Path("data/raw.csv"), tables.RAW)) == 3


def listed(*lines: str) -> Callable[[Path], None]:
    """Return what replaces the table of the project by these lines."""
    return lambda root: root.joinpath("clips.csv").write_text("\n".join(["name,label,speaker", *lines]))


def link_out(root: Path) -> None:
    (root / "audio/b.wav").unlink()
    (root / "audio/b.wav").symlink_to(root / "params.yaml")


def pipe(root: Path) -> None:
    (root / "audio/b.wav").unlink()
    os.mkfifo(root / "audio/b.wav")


def no_audio(root: Path) -> None:
    (root / "audio/b.doc").write_bytes(b"")
    listed("a.wav,safe,1", "b.doc,safe,2")(root)


def other_content(root: Path) -> None:
    (root / "data/raw").mkdir(parents=True)
    (root / "data/raw/a.wav").write_bytes(b"other")


def other_label(root: Path) -> None:
    shutil.copytree(root / "audio", root / "data/raw")
    (root / "data/raw.csv").write_text("file,label,group\na.wav,harmful,007\n")


def not_pulled(root: Path) -> None:
    (root / "data").mkdir()
    (root / "data/raw.csv").write_text("file,label,group\nx.wav,safe,\n")


FAULTY: dict[str, tuple[Callable[[Path], None], str]] = {
    "nameless": (listed("a.wav,safe,1", ",safe,2"), "1 without a file name: 'row 2'."),
    "name": (
        listed("a.wav,safe,1", '"b\n.wav",safe,2'),
        r"1 with a line break or the like in its name, or a name that is not UTF-8: 'b\n.wav'.",
    ),
    "outside": (listed("a.wav,,", "../x.wav,,", "/etc/passwd,,"), "2 outside the folder: '../x.wav', '/etc/passwd'."),
    "missing": (listed("a.wav,,", "4,,", "3,,", "2,,", "1,,"), "4 not there: '4', '3', '2' and 1 more."),
    "link": (link_out, "1 linked from outside the folder, or a link to a folder: 'b.wav'."),
    "special": (pipe, "1 not a regular file: 'b.wav'."),
    "suffix": (no_audio, "1 not audio by their suffix: 'b.doc'."),
    "twice": (listed("a.wav,safe,1", "./a.wav,safe,1"), "1 listed twice: 'a.wav'."),
    "labels": (listed("a.wav,safe,1", "a.wav,harmful,1"), "1 with several labels: 'a.wav'."),
    "groups": (listed("a.wav,safe,1", "a.wav,safe,2"), "1 with several groups: 'a.wav'."),
    "clash": (other_content, "1 named like a recording with other content: 'a.wav'."),
    "differs": (other_label, "1 imported before with another label or group: 'a.wav'."),
    "gone": (not_pulled, "1 in the table of recordings but not in their folder: 'x.wav'."),
}


@pytest.mark.parametrize("kind", FAULTY)
def test_a_fault_is_named_with_its_next_step_and_changes_nothing(project: Path, kind: str) -> None:
    spoil, said = FAULTY[kind]
    spoil(project)
    before = tree(project)
    result = untracked("audio", *TABLE)
    assert (result.exit_code, result.output) == (
        1,
        f"Error: Nothing was imported and nothing changed:\n  {said} {FAULTS[kind][1]}\n",
    )
    assert tree(project) == before


def test_a_file_one_may_not_read_is_a_fault(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).endswith("b.wav"))  # root may read everything
    assert f"1 not readable: 'b.wav'. {FAULTS['unreadable'][1]}" in untracked("audio", *TABLE).output


def test_every_fault_is_tested() -> None:
    assert FAULTY.keys() | {"unreadable"} == FAULTS.keys()


def test_odd_names_come_in_as_they_are(project: Path) -> None:
    names = ["it's.wav", 'say "x", or.wav', "-lead.wav", "\U0001f600.wav", "a  b.wav"]
    (project / "odd").mkdir()
    for name in names:
        (project / "odd" / name).write_text(name)
    assert untracked("odd", "--unlabelled").exit_code == 0
    assert tables.read(project / "data/raw.csv", tables.RAW)["file"].tolist() == sorted(names)
    assert [(project / "data/raw" / name).read_text() for name in names] == names


def test_a_file_name_that_is_not_utf_8_is_a_fault(project: Path) -> None:
    Path(os.fsdecode(os.fsencode(project / "audio") + b"/\xff.wav")).write_bytes(b"")
    before = tree(project)
    assert (
        r"1 with a line break or the like in its name, or a name that is not UTF-8: '\udcff.wav'."
        in untracked("audio", "--unlabelled").output
    )
    assert tree(project) == before


def test_all_kinds_of_faults_are_told_in_one_go(project: Path) -> None:
    listed("a.wav,Rain,1", "a.wav,Rain,1", "b.wav,Rain,2", "x.wav,dog,3", "../y.wav,safe,4")(project)
    before = tree(project)
    assert untracked("audio", *TABLE).output == (
        "Error: Nothing was imported and nothing changed:\n"
        "  1 outside the folder: '../y.wav'. Give as SOURCE the folder that holds them all; `..` is not followed.\n"
        "  1 not there: 'x.wav'. Add them, or take their rows out of the table.\n"
        "  1 listed twice: 'a.wav'. Keep one row a file.\n"
        "  2 labels not in `data.classes` of params.yaml ['harmful', 'safe']: 'Rain' (3), 'dog' (1). Translate them, "
        "for instance `--map Rain=harmful`, or write into params.yaml, section `data`:\n"
        "      classes: [safe, Rain, dog]\n"
    )
    assert tree(project) == before


def test_the_line_offered_for_unknown_labels_makes_the_import_work(project: Path) -> None:
    listed("a.wav,007,1", "b.wav,no,2", "deep/c.wav,'x: y',3")(project)
    line = untracked("audio", *TABLE).output.splitlines()[-1].strip()
    settings = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(re.sub("classes: .*", lambda _: line, settings, count=1))
    assert untracked("audio", *TABLE).exit_code == 0
    assert tables.read(Path("data/raw.csv"), tables.RAW)["label"].tolist() == ["007", "no", "'x: y'"]


def test_a_disk_without_room_is_noticed_before_anything_is_written(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "audio/a.wav").write_bytes(bytes(2_000_000))
    before = tree(project)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_900_000))
    said = f"  2.0 MB needed in {project} (for the copy and DVC's cache), 1.9 MB free. Make room, or save the copy"
    assert said in untracked("audio", *TABLE).output
    assert tree(project) == before
    assert untracked("audio", *TABLE, "--link").exit_code == 0


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def at_call(number: int, real: Callable[..., object], then: Callable[..., None]) -> Callable[..., object]:
    """Return `real`, but `then` from the call `number` on."""
    calls = iter(range(1, 1000))
    return lambda *arguments: (real if next(calls) < number else then)(*arguments)


@pytest.mark.parametrize("halt", [no_space, interrupted])
@pytest.mark.parametrize(
    ("where", "name", "call"), [(shutil, "copyfile", 2), (Path, "rename", 3), (importer.tables, "write", 1)]
)
@pytest.mark.parametrize("begun", [False, True])
def test_a_halt_midway_leaves_everything_as_it_was_and_the_next_import_works(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    halt: Callable[..., None],
    where: object,
    name: str,
    call: int,
    begun: bool,
) -> None:
    if begun:
        untracked("audio", "--unlabelled", "--into", "deep")
    before = tree(project)
    with monkeypatch.context() as patched:
        patched.setattr(where, name, at_call(call, getattr(where, name), halt))
        result = CliRunner().invoke(importer.main, ["--no-dvc", "audio", *TABLE])
    assert result.exit_code == 1
    assert ("No space left on device. Nothing was changed. Make room" in result.output) == (halt is no_space)
    assert tree(project) == before
    assert untracked("audio", *TABLE).exit_code == 0


def test_a_second_import_at_the_same_time_is_kept_out(project: Path) -> None:
    (project / "data/.raw.import").mkdir(parents=True)
    before = tree(project)
    said = "Error: data/.raw.import is there: another import is running, or one was killed. If none runs, remove that"
    assert untracked("audio", *TABLE).output.startswith(said)
    assert tree(project) == before


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["audio", "--map", "Rain"], 2, "'Rain' is not OLD=NEW"),
        (["audio", "--into", "../x"], 2, "must be a folder beneath the recordings, without `..`"),
        (["nowhere"], 2, "Directory 'nowhere' does not exist"),
        (["."], 1, ". and data/raw lie in each other. Give a SOURCE outside, or data/raw itself."),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    project: Path, arguments: list[str], status: int, said: str
) -> None:
    result = untracked(*arguments)
    assert result.exit_code == status
    assert said in result.output


def test_outside_a_repository_nothing_is_copied(hermetic: None, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(project)
    assert "is not in a git repository. Run `git init` and `dvc init` here first." in run("audio", *TABLE).output
    assert tree(project) == before


def dvc(*arguments: str) -> str:
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True, text=True).stdout


def test_dvc_tracks_each_import_also_where_it_made_the_files_read_only(repository: Path) -> None:
    given(repository)
    assert run("audio", *TABLE).output.splitlines()[1:] == [
        "Next:",
        "  git add data/raw.csv data/raw.dvc data/.gitignore",
        '  git commit -m "Import 3 recordings"',
        "  dvc repro",
    ]
    dvc("checkout", "--relink", "data/raw.dvc")
    assert (repository / "data/raw/a.wav").stat().st_mode & 0o222 == 0
    (repository / "more").mkdir()
    (repository / "more/d.wav").write_bytes(b"d")
    before = tree(repository / "more")
    assert run("more", "--link").exit_code == 0
    assert tree(repository / "more") == before  # DVC takes neither the file nor its mode
    assert "nfiles: 4" in (repository / "data/raw.dvc").read_text()


@pytest.mark.slow
def test_an_import_before_dvc_pull_is_refused_and_works_after(repository: Path) -> None:
    given(repository)
    run("audio", *TABLE)
    tracked = (repository / "data/raw.dvc").read_text()
    shutil.rmtree(repository / "data/raw")
    assert "3 in the table of recordings but not in their folder" in run("audio", "--into", "again").output
    assert (repository / "data/raw.dvc").read_text() == tracked
    dvc("checkout", "data/raw.dvc")
    again = run("audio", *TABLE)
    assert again.output == "import: nothing new, 3 files are in data/raw and data/raw.csv already.\n"
    assert (repository / "data/raw.dvc").read_text() == tracked


@pytest.mark.skipif(not ESC10.exists(), reason="needs the folder shared/data/esc10 beside the checkout")
def test_real_recordings_are_imported_with_their_groups(project: Path) -> None:
    columns = ["--label-column", "label", "--group-column", "recording"]
    result = untracked(str(ESC10 / "audio"), "--labels", str(ESC10 / "small.csv"), *columns)
    assert result.output.splitlines()[0] == (
        "import: 100 files (10.7 MB) into data/raw: harmful 60, safe 40; 89 groups."
    )
    assert "300 audio files that the table does not list" in result.output
    assert len(list((project / "data/raw").iterdir())) == 100
