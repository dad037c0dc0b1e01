from pathlib import Path

import pytest
import stand

from training import findings


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the stages write, for tests that read it."""
    return tmp_path_factory.mktemp("stand")


@pytest.fixture(scope="session")
def found(folder: Path) -> findings.Findings:
    """Return the findings of `stand.found`; tests replace in them what they are about."""
    return stand.found(folder)
