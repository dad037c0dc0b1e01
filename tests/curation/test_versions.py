import re
import subprocess
from pathlib import Path

import click
import pytest

from curation import versions

TABLE = Path("data/labels.csv")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(text: str, path: Path = TABLE) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    git("add", str(path))
    git("commit", "--quiet", "--message", "Change")
    return git("rev-parse", "HEAD")


@pytest.mark.usefixtures("repository")
def test_a_file_is_read_as_it_was_at_each_revision_and_in_the_workspace() -> None:
    first, second = commit("one\n"), commit("two\n")
    TABLE.write_text("three\n")
    assert [versions.read(TABLE, commit) for commit in (first, second, None)] == [b"one\n", b"two\n", b"three\n"]


@pytest.mark.usefixtures("repository")
def test_a_file_that_is_not_there_is_none() -> None:
    assert versions.read(TABLE, versions.resolve("HEAD")) is None
    assert versions.read(TABLE, None) is None


def test_paths_are_relative_to_where_one_stands(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = commit("one\n")
    monkeypatch.chdir(repository / "data")
    assert versions.read(Path("labels.csv"), first) == b"one\n"


@pytest.mark.usefixtures("repository")
def test_the_files_of_a_folder_are_those_of_the_revision_and_what_is_not_committed_is_told() -> None:
    first = commit("one\n")
    Path("data/new.csv").write_text("new\n")
    assert versions.names(Path("data"), first) == ["labels.csv"]
    assert versions.names(Path("data"), None) == ["labels.csv", "new.csv"]
    assert versions.names(Path("elsewhere"), None) == versions.names(Path("elsewhere"), first) == []
    assert versions.uncommitted([Path("data")]) == ["data/new.csv"]


@pytest.mark.usefixtures("repository")
def test_a_revision_is_a_branch_a_tag_or_a_commit() -> None:
    first = commit("one\n")
    git("tag", "v1")
    commit("two\n")
    assert {versions.resolve(name) for name in ("v1", "HEAD~1", first, first[:8])} == {first}


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("revision", ["v9", "--help", "-h", "", "HEAD:data", "a b"])
def test_an_unknown_revision_is_refused_with_those_there_are(revision: str) -> None:
    git("tag", "v1")
    said = re.escape(f"git has no revision {revision!r} here. Branches and tags: main, v1. `git fetch` brings")
    with pytest.raises(versions.RevisionError, match=said):
        versions.resolve(revision)


def test_outside_a_repository_the_next_step_is_said(
    hermetic: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(versions.RevisionError, match=r"not in a git repository. Run this in the folder of dvc.yaml"):
        versions.resolve("HEAD")
    with pytest.raises(click.ClickException, match=r"not in a git repository. Run `git init` and `dvc init` here"):
        versions.dvc_add(Path("data"))
    git("init", "--quiet")
    with pytest.raises(versions.RevisionError, match="It has no commit yet: `git commit` first"):
        versions.resolve("HEAD")
    with pytest.raises(click.ClickException, match=r"not in a DVC repository. Run `dvc init`"):
        versions.dvc_add(Path("data"))


@pytest.mark.usefixtures("repository")
def test_a_branch_is_compared_with_where_it_left_main() -> None:
    left = commit("one\n")
    git("switch", "--quiet", "--create", "fix")
    commit("two\n")
    git("switch", "--quiet", "main")
    later = commit("three\n")
    assert versions.branching_point() == later
    git("switch", "--quiet", "fix")
    assert versions.branching_point() == left


@pytest.mark.usefixtures("repository")
def test_a_clone_without_main_uses_the_servers_and_without_any_asks_for_a_revision() -> None:
    first = commit("one\n")
    git("switch", "--quiet", "--create", "fix")
    git("branch", "--delete", "--force", "main")
    with pytest.raises(versions.RevisionError, match="no branch `main` to compare with: name a revision"):
        versions.branching_point()
    git("update-ref", "refs/remotes/origin/main", first)
    assert versions.branching_point() == first


def test_dvc_tracks_a_folder_and_says_what_it_refuses(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.ClickException, match="`dvc add data/raw` ended with 1; see DVC's message above"):
        versions.dvc_add(Path("data/raw"))
    assert "does not exist" in capfd.readouterr().err
    (repository / "data/raw").mkdir(parents=True)
    (repository / "data/raw/a.wav").write_bytes(b"a")
    versions.dvc_add(Path("data/raw"))
    assert "nfiles: 1" in (repository / "data/raw.dvc").read_text()


@pytest.mark.usefixtures("repository")
def test_the_last_change_is_that_of_the_paths_and_not_of_others() -> None:
    first = commit("one\n")
    commit("other\n", Path("other.csv"))
    assert versions.last_change([TABLE, Path("missing.csv")]) == first
    assert versions.last_change([Path("missing.csv")]) == ""


@pytest.mark.usefixtures("repository")
def test_the_history_of_a_file_is_all_it_ever_was_oldest_first() -> None:
    commit("one\n")
    commit("other\n", Path("other.csv"))
    git("rm", "--quiet", str(TABLE))
    git("commit", "--quiet", "--message", "Away")
    commit("two\n")
    assert versions.history(TABLE) == [b"one\n", b"two\n"]


def test_without_a_repository_there_is_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert versions.history(TABLE) == []
    assert versions.last_change([TABLE]) == ""
