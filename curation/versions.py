"""Ask git and DVC, at the edge: a file as it was at a revision, and recordings into the cache."""

import functools
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

SHOWN = 8  # how many branches and tags an error message names
_failed: dict[tuple[str, str], str] = {}  # why DVC does not give what it tracks, by commit and path: asked once


class RevisionError(click.ClickException):
    """Git has no such revision here. Exits with 2: for `diff`, as for diff(1), 1 says that something differs."""

    exit_code = 2


def check_repository() -> None:
    """Refuse to go on outside a git and DVC repository."""
    here = Path.cwd()
    if _git("rev-parse", "--is-inside-work-tree").returncode:
        raise click.ClickException(f"{here} is not in a git repository. Run `git init` and `dvc init` here first.")
    if not any((folder / ".dvc").is_dir() for folder in (here, *here.parents)):
        raise click.ClickException(f"{here} is not in a DVC repository. Run `dvc init` where `.git` is first.")


def dvc_add(path: Path) -> None:
    """Have DVC track the file or folder `path`: its content goes to the cache, its hash into `path`.dvc.

    Raises:
        click.ClickException: there is no repository here, or DVC refuses; DVC's own message stands above.
    """
    check_repository()
    command = [sys.executable, "-m", "dvc", "add", "--", str(path)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - no shell, fixed program
    if done.returncode:
        raise click.ClickException(
            f"`dvc add {path}` ended with {done.returncode}; see DVC's message above. "
            "Mend what it names and run that command again."
        )


def resolve(revision: str) -> str:
    """Return the commit that `revision` (a branch, a tag, a hash, `HEAD~1`) names.

    Raises:
        RevisionError: there is none; the message names those that exist.
    """
    if _git("rev-parse", "--git-dir").returncode:
        raise RevisionError(f"{Path.cwd()} is not in a git repository. Run this in the folder of dvc.yaml.")
    if not revision.startswith("-"):  # git would read it as an option; no revision can start so
        found = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if not found.returncode:
            return found.stdout.decode().strip()
    raise RevisionError(f"git has no revision {revision!r} here. {_known_revisions()}")


def branching_point() -> str:
    """Return the commit where this branch left `main` (or `origin/main`); on `main` that is HEAD."""
    head = resolve("HEAD")
    for branch in ("main", "origin/main"):
        if not (found := _git("merge-base", head, branch)).returncode:
            return found.stdout.decode().strip()
    raise RevisionError(f"There is no branch `main` to compare with: name a revision. {_known_revisions()}")


def read(path: Path, commit: str | None) -> bytes | None:
    """Return the file `path` at `commit` (from `resolve`), None: in the workspace; None when it is not there.

    What git does not have, but dvc.lock of that commit, comes from DVC's cache, or from its remote.

    Raises:
        RevisionError: git refuses the path.
        FileNotFoundError: DVC knows the file, but neither cache nor remote has it, or the remote cannot be asked.
    """
    if commit is None:
        return path.read_bytes() if path.is_file() else None
    entries = _tree(path, commit)
    return _git("cat-file", "blob", entries[str(path)]).stdout if entries else _from_dvc(path, commit)


def names(folder: Path, commit: str | None) -> list[str]:
    """Return the names of the files that git has in `folder` at `commit`, or that lie there in the workspace."""
    if commit is None:
        return sorted(path.name for path in folder.glob("*") if path.is_file())
    return sorted(Path(path).name for path in _tree(f"{folder}/", commit))


def last_change(paths: Collection[Path]) -> str:
    """Return the last commit that changed one of `paths`; empty: none did, or there is no repository here."""
    return _git("log", "--max-count=1", "--format=%H", "--", *map(str, paths)).stdout.decode().strip()


def history(path: Path) -> list[bytes]:
    """Return what git has of the file `path`, oldest first; nothing where there is no repository."""
    commits = _git("log", "--reverse", "--format=%H", "--", str(path)).stdout.decode().split()
    blobs = [blob for commit in commits for blob in _tree(path, commit).values()]
    return [_git("cat-file", "blob", blob).stdout for blob in blobs]


def uncommitted(paths: Collection[Path]) -> list[str]:
    """Return which of `paths`, or what in them, differs from the last commit."""
    status = _git("status", "--porcelain", "-z", "--no-renames", "--", *map(str, paths)).stdout.decode(errors="replace")
    return sorted(entry[3:] for entry in status.split("\0") if entry)


def _tree(path: Path | str, commit: str) -> dict[str, str]:
    """Return the blobs at `path`, or in it when it ends with a slash, by their names relative to where we are."""
    listed = _git("ls-tree", "-z", commit, "--", str(path))
    if listed.returncode:
        raise RevisionError(f"git cannot look up {path}: {listed.stderr.decode(errors='replace').strip()}")
    entries = (entry.partition("\t") for entry in listed.stdout.decode(errors="replace").split("\0") if entry)
    return {name: what.split()[2] for what, _, name in entries if what.split()[1] == "blob"}


def _from_dvc(path: Path, commit: str) -> bytes | None:
    lock = _git("cat-file", "blob", f"{commit}:./dvc.lock").stdout.decode(errors="replace")
    tracked = next((str(one) for one in (path, path.parent) if f"path: {one}\n" in lock), None)
    if tracked is None:
        return None
    lacks = f"{path} at {commit[:10]} is not in DVC's cache"
    if (commit, tracked) in _failed:
        raise FileNotFoundError(lacks + _failed[commit, tracked])
    try:
        content: bytes = _file_system(commit).cat_file(str(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(lacks) from error
    except Exception as error:  # a remote and its plug-in fail in as many ways as there are remotes
        _failed[commit, tracked] = f", and its remote fails: {' '.join(str(error).split())}"
        raise FileNotFoundError(lacks + _failed[commit, tracked]) from error
    return content


@functools.cache
def _file_system(commit: str) -> Any:  # noqa: ANN401 - DVC is not typed
    from dvc.api import DVCFileSystem  # takes a second, and few need it

    return DVCFileSystem(rev=commit)


def _known_revisions() -> str:
    names = _git("for-each-ref", "--format=%(refname:short)").stdout.decode(errors="replace").split()
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    if not names:
        return "It has no commit yet: `git commit` first."
    shallow = _git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
    fetch = "This clone is shallow: `git fetch --unshallow origin main`" if shallow else "`git fetch`"
    return f"Branches and tags: {', '.join(names[:SHOWN])}{more}. {fetch} brings those of the server."


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("git")
    if program is None:
        raise click.ClickException("git is not installed, or not on PATH. Install it and run the same command again.")
    return subprocess.run([program, *arguments], capture_output=True, check=False)  # noqa: S603 - no shell
