"""What tests need that is no Python package: where it is not, they are skipped.

In CI they fail instead: it installs everything, and a test that does not run there runs nowhere.
"""

import os
from typing import NoReturn

import pytest

LABEL_STUDIO = "EARMARK_LABEL_STUDIO does not name the program `label-studio` of an installation"
BROWSER = "chromium and chromedriver are not on PATH (Debian's packages chromium and chromium-driver)"


def skip(what: str) -> NoReturn:
    """Skip the test because `what` is lacking; fail it where CI=true is set."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def label_studio() -> str:
    """Return the program of a real Label Studio."""
    return os.environ.get("EARMARK_LABEL_STUDIO") or skip(LABEL_STUDIO)
