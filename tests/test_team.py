"""`earmark annotate` with a team's server: it neither starts one nor opens its folders, and leaves it running."""

import shutil
from pathlib import Path

import annotating
import httpx
import pytest
from annotating import ASKED
from click.testing import CliRunner
from label_studio_server import KEY, RealLabelStudio

from curation import cli
from curation.label_studio import connect


@pytest.mark.slow
def test_a_team_answers_on_its_own_server_while_earmark_waits(
    label_studio: RealLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotating.write(tmp_path, monkeypatch)
    annotating.set_params(project="team", audio_prefix="/data/local-files/?d=team/clips/")
    annotating.write_tasks("blind")
    folder = shutil.copytree("data/clips", label_studio.home / "team" / "clips")
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    refused = CliRunner().invoke(cli.main, ["annotate", "--no-browser"])
    assert refused.exit_code == 1
    assert f"{len(ASKED)} clips cannot be heard from the server" in refused.output
    server = connect(label_studio.url, KEY)
    project = server.project("team")
    server.serve_folder(project, str(folder))  # what an administrator does under Settings, Cloud Storage
    with annotating.annotating() as (said, stop):
        assert f"label at {label_studio.url}/projects/{project.id}/data?tab=" in said
        assert "log in as" not in said
        number = {str(task.data["clip_id"]): task.id for task in server.tasks(project)}
        assert list(number) == ASKED
        for name, clip_id in (("ann", ASKED[0]), ("bob", ASKED[2])):
            with label_studio.client(name) as who:
                body = {"result": annotating.choice("safe"), "lead_time": 2.5}
                who.post(f"/api/tasks/{number[clip_id]}/annotations/", json=body).raise_for_status()
        assert "2 new of 2" in stop()
    assert annotating.reviews() == {ASKED[0]: ("safe", "blind", ""), ASKED[2]: ("safe", "blind", "")}
    assert httpx.get(f"{label_studio.url}/health", trust_env=False).is_success
    assert not Path(".label-studio").exists()
    assert not Path("home").exists()
