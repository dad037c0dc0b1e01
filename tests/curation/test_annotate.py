import os
import shutil
from pathlib import Path

import pytest
import rows
from click.testing import CliRunner

from curation import annotate, tables


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with tables but without clips, and go there."""
    monkeypatch.chdir(tmp_path)
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(rows.PARAMS, "params.yaml")
    tables.write(rows.labelled(tables.LABELS, a="safe"), Path("data/labels.csv"), tables.LABELS)
    tables.write(rows.labelled(tables.SCORES, a="safe"), Path("data/scores.csv"), tables.SCORES)
    tables.write(tables.FLAGS.empty(), Path("data/flags.csv"), tables.FLAGS)
    tables.write(tables.QUEUE.empty(), Path("data/queue.csv"), tables.QUEUE)
    return tmp_path


def test_without_clips_there_is_nothing_to_hear_and_no_server_is_started(project: Path) -> None:
    result = CliRunner().invoke(annotate.main, ["--no-browser"])
    assert (result.exit_code, result.output) == (1, "Error: data/clips does not exist. `dvc repro` makes it.\n")
    assert not Path(".label-studio").exists()


def test_a_half_configured_team_server_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "https://labels.example.org")
    result = CliRunner().invoke(annotate.main, ["--no-browser"])
    assert result.exit_code == 1
    assert "LABEL_STUDIO_API_KEY is not set" in result.output


def test_the_own_server_is_that_of_push_and_pull_only_while_it_runs_and_never_behind_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "intra.example.org")
    before = dict(os.environ)
    with annotate._environment("http://127.0.0.1:8080", "secret"):
        assert os.environ["LABEL_STUDIO_URL"] == "http://127.0.0.1:8080"
        assert os.environ["LABEL_STUDIO_API_KEY"] == "secret"
        assert os.environ["no_proxy"] == "intra.example.org,127.0.0.1"
    assert dict(os.environ) == before
