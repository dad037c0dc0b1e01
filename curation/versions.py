"""Ask git and DVC, at the edge: a file as it was at a revision, and recordings into the cache."""

import shutil
import subprocess
import sys
from pathlib import Path

import click

SHOWN = 8  # how many branches and tags an error message names


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


def read(path: Path, commit: str | None) -> str | None:
    """Return the text of `path` at `commit` (from `resolve`), None: in the workspace; None when it is not there.

    Raises:
        RevisionError: git refuses the path.
        click.ClickException: the file is not UTF-8.
    """
    content = _in_workspace(path) if commit is None else _at_commit(path, commit)
    try:
        return None if content is None else content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{path} at {commit or 'the workspace'} is not UTF-8 ({error.reason}).") from error


def _in_workspace(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _at_commit(path: Path, commit: str) -> bytes | None:
    entry = _git("ls-tree", "-z", commit, "--", str(path))
    if entry.returncode:
        raise RevisionError(f"git cannot look up {path}: {entry.stderr.decode(errors='replace').strip()}")
    if not entry.stdout:
        return None
    blob = entry.stdout.split(b"\t")[0].split()[2].decode()
    return _git("cat-file", "blob", blob).stdout


def _known_revisions() -> str:
    names = _git("for-each-ref", "--format=%(refname:short)").stdout.decode(errors="replace").split()
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    if not names:
        return "It has no commit yet: `git commit` first."
    return f"Branches and tags: {', '.join(names[:SHOWN])}{more}. `git fetch` brings those of the server."


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("git")
    if program is None:
        raise click.ClickException("git is not installed, or not on PATH. Install it and run the same command again.")
    return subprocess.run([program, *arguments], capture_output=True, check=False)  # noqa: S603 - no shell
