import os
import shutil
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
import rows
from click.testing import CliRunner, Result
from fake_label_studio import KEY, URL, FakeLabelStudio

from curation import annotate, files, label_studio, pull, tables


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


def annotating(monkeypatch: pytest.MonkeyPatch, fake: FakeLabelStudio) -> Result:
    """Run the command on a team's server until somebody presses Ctrl-C at once."""
    server = label_studio.connect(URL, KEY, transport=fake.transport)
    monkeypatch.setattr(label_studio, "from_environment", lambda: server)
    monkeypatch.setattr(pull, "from_environment", lambda: server)
    monkeypatch.setattr(annotate.signal, "pause", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr(annotate.signal, "signal", Mock())
    tables.write(rows.table(tables.CLIPS, {"clip_id": "a"}), Path("data/clips.csv"), tables.CLIPS)
    data = [{"audio": f"/{clip}.wav", "clip_id": clip, "rank": n, "shown": "blind"} for n, clip in enumerate("ab", 1)]
    files.write_json([{"data": one} for one in data], Path("data/tasks.json"))
    return CliRunner().invoke(annotate.main, ["--no-browser"], catch_exceptions=False)


@pytest.mark.usefixtures("project")
def test_a_clip_that_cannot_be_heard_is_named_and_the_others_are_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeLabelStudio()
    fake.before = lambda request: httpx.Response(404) if request.url.path == "/a.wav" else None
    result = annotating(monkeypatch, fake)
    assert result.exit_code == 0, result.output
    assert "1 clips cannot be heard from the server and were not sent (a: the server answers with 404" in result.stderr
    assert "annotate: label at http://labels.test/projects/1/data?tab=1&labeling=1" in result.output
    assert "pull: 0 new of 0" in result.output
    assert [task["data"]["clip_id"] for task in fake.tasks.values()] == ["b"]
    assert 'href="/a.wav"' in fake.projects[1]["expert_instruction"]


@pytest.mark.usefixtures("project")
def test_where_no_clip_can_be_heard_nobody_is_asked_to_label(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeLabelStudio()
    fake.sound |= {"status": 404}
    result = annotating(monkeypatch, fake)
    assert result.exit_code == 1
    assert "Error: 2 clips cannot be heard" in result.stderr
    assert "annotate:" not in result.output


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
