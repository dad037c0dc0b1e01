"""Write review/comment.md, on what changed in the data since a branch left COMMIT, and review/review.html to hear it.

python3 .github/data_review.py COMMIT

For CI, where it must say what went wrong: it needs Python alone, goes on when a command fails, and puts that command's
output into the comment. Exits with 1 when a command failed, or the gate.
"""

import subprocess
import sys
from pathlib import Path

MARK = "<!-- earmark data review -->"  # the comment is found by it again
OUTPUT = 2_000  # characters of a command's output; beside `earmark diff` the comment stays below GitHub's 65,536
FOLDER = Path("review")
BIN = ".venv/bin"
DRY_RUN = f"{BIN}/dvc repro --dry --allow-missing"  # unlike `dvc status` it needs no data that could not be pulled


def run(command: str, *arguments: str) -> tuple[int, str, str]:
    """Return the exit status of a command, what it said, and what it said of errors."""
    try:
        done = subprocess.run([*command.split(), *arguments], capture_output=True, check=False)
    except OSError as error:  # nothing was installed
        return 127, "", str(error)
    said, errors = (text.decode(errors="replace").strip() for text in (done.stdout, done.stderr))
    return done.returncode, said, errors


def block(lines: list[str]) -> str:
    """Return lines as a block of code that they cannot end, the first `OUTPUT` characters of it."""
    shown = "\n".join("    " + "".join(mark if mark.isprintable() else " " for mark in line) for line in lines)
    return shown if len(shown) <= OUTPUT else f"{shown[:OUTPUT]} ..."


def failure(command: str, said: str) -> str:
    """Return that a command failed, with the end of what it said."""
    return f"**`{command}` fails:**\n\n{block(said[-OUTPUT:].splitlines() or ['It says nothing.'])}"


def staleness() -> tuple[bool, str]:
    """Return whether that could be found out, and what to say when the results are not of this code and data."""
    status, said, errors = run(DRY_RUN)
    if status:
        return False, failure("dvc repro --dry", errors or said)
    stale = any(line.startswith("Running stage") for line in said.splitlines())
    advice = "**These results may not belong to this code and data:** run `dvc repro` and commit."
    return True, advice if stale else ""


def changes(commit: str) -> tuple[bool, str]:
    """Return whether the changes could be told, and them or why not."""
    base = run("git merge-base", commit, "HEAD")[1] or commit
    status, said, errors = run(f"{BIN}/earmark diff", base, "HEAD", "--html", str(FOLDER / "review.html"))
    return not status, failure("earmark diff", errors or said) if status else said


def gate() -> tuple[bool, str]:
    """Return whether the gate passes, and its checks, those that failed first."""
    status, said, errors = run(f"{BIN}/earmark gate")
    checks = sorted(said.splitlines(), key=lambda line: not line.startswith("FAIL"))
    if not any(line.startswith("FAIL") for line in checks) and status:
        return False, failure("earmark gate", errors or said)
    return not status, f"**The gate {'fails' if status else 'passes'}:**\n\n{block(checks)}"


def main(commit: str) -> int:
    """Write the comment, and return the exit status."""
    FOLDER.mkdir(exist_ok=True)
    parts = [staleness(), changes(commit), gate()]
    text = "\n\n".join(said for _, said in parts if said)
    (FOLDER / "comment.md").write_text(f"{MARK}\n{text}\n", encoding="utf-8")
    print(text)
    return 0 if all(well for well, _ in parts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
