"""A project as somebody has it: the code in a git and DVC repository, commands run without activating anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from curation import tables

ROOT = Path(__file__).parents[1]
PARTS = (
    "curation",
    "training",
    "dvc.yaml",
    "params.yaml",
    ".dvc/config",
    ".dvc/plots",
    ".dvcignore",
    ".gitignore",
    "data/.gitignore",
    "reports/.gitignore",
)


def begin(project: Path) -> None:
    """Put the code into an empty git and DVC repository."""
    for part in PARTS:
        (project / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, project / part)
    (project / ".venv").symlink_to(sys.prefix)
    tables.write(tables.REVIEWS.empty(), project / "data/reviews.csv", tables.REVIEWS)
    run(project, "git", "init", "--quiet", "--initial-branch", "main")
    run(project, "git", "config", "user.name", "Ann")
    run(project, "git", "config", "user.email", "ann@example.org")


def run(project: Path, *command: str) -> str:
    """Run a command of the environment as somebody does who has not activated it."""
    words = [
        str(project / ".venv" / "bin" / command[0]) if command[0] in ("dvc", "earmark") else command[0],
        *command[1:],
    ]
    done = subprocess.run(words, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "TMPDIR", "LANG")}
    return kept | {"PATH": "/usr/bin:/bin"}


def commit(project: Path, message: str) -> str:
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--message", message)
    return run(project, "git", "rev-parse", "HEAD").strip()


def set_params(project: Path, changes: dict[str, dict[str, object]]) -> None:
    path = project / "params.yaml"
    document = yaml.safe_load(path.read_text())
    for section, values in changes.items():
        assert set(values) <= set(document[section]), f"params.yaml has other keys in {section}"
        document[section] |= values
    path.write_text(yaml.safe_dump(document, sort_keys=False))
