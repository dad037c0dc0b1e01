"""A real git and DVC repository for the tests of the commands, and a real Label Studio for the slow ones."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import needed
import pytest
import rows
from hypothesis import settings
from label_studio_server import RealLabelStudio

CONFIG = """\
[core]
    analytics = false
[cache]
    type = "reflink,hardlink,symlink,copy"
"""
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores: threads would wait for one another
    os.environ["OMP_NUM_THREADS"] = "1"
settings.register_profile("earmark", deadline=None)  # of machines that do other things as well
settings.load_profile("earmark")


@pytest.fixture
def hermetic(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the settings and caches of whoever runs the tests out, and theirs clean."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for folder in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(folder, str(home))
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):  # set when a git hook runs the tests
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an initialised repository to copy: `dvc init` takes a second."""
    root = tmp_path_factory.mktemp("template")
    shutil.copy(rows.PARAMS, root)
    commands = [
        ["git", "init", "--quiet", "--initial-branch", "main"],
        ["git", "config", "user.name", "Somebody"],
        ["git", "config", "user.email", "somebody@example.org"],
        [sys.executable, "-m", "dvc", "init", "--quiet"],
    ]
    for command in commands:
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    (root / ".dvc/config").write_text(CONFIG)
    subprocess.run(["git", "add", "--all"], cwd=root, check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "Begin"], cwd=root, check=True)
    return root


@pytest.fixture
def repository(hermetic: None, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a git and DVC repository with params.yaml and one commit on `main`, and go there."""
    root = shutil.copytree(template, tmp_path / "repository", symlinks=True)
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLabelStudio]:
    """Yield one real Label Studio for all tests of a run."""
    server = RealLabelStudio(needed.label_studio(), tmp_path_factory.mktemp("label_studio"))
    server.start()
    yield server
    server.kill()
