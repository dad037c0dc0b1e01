"""A real Label Studio asks `earmark serve` for predictions and tells it of answers."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import rows
import served
from label_studio_server import KEY, RealLabelStudio
from served import CLASSES, HEARD, KNOWN, NEW

from curation import label_studio as ours
from curation import push, tables
from training import serve

pytestmark = pytest.mark.slow
TITLE = "live"  # of the model on the server
TOKEN = "a-token-for-the-tests"  # noqa: S105 - no secret
LOGIN = {"auth_method": "BASIC_AUTH", "basic_auth_user": "earmark", "basic_auth_pass": TOKEN}


@pytest.fixture
def project(label_studio: RealLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a hinted project with a trained model and a server to pull from, and go there."""
    monkeypatch.chdir(tmp_path)
    served.write(tmp_path, rounds={"test": 0.25}, folds={KNOWN: -1, HEARD: 0})
    params = (
        rows.PARAMS.read_text().replace("shown: blind", "shown: hinted").replace("project: earmark", "project: served")
    )
    Path("params.yaml").write_text(params)
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    monkeypatch.setenv(serve.TOKEN, TOKEN)
    return tmp_path


@pytest.fixture
def address(project: Path) -> Iterator[tuple[str, str]]:
    """Yield where `earmark serve` runs, and the version of the model."""
    command = [sys.executable, "-m", "curation.cli", "serve", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
    with (
        (project / "serve.log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as running,
    ):
        found = re.match(r"serve: (\S+) at (\S+);", running.stdout.readline())
        assert found, (project / "serve.log").read_text()
        yield found[2], found[1]
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
    assert TOKEN not in (project / "serve.log").read_text()


def wait(holds: Callable[[], object]) -> None:
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it never came about")


def do(shown: str) -> dict[str, int]:
    """Push the three clips and return the tasks."""
    tasks = [
        {"data": {"audio": f"s3://b/{one}.wav", "clip_id": one, "rank": rank, "shown": shown}}
        for rank, one in enumerate((KNOWN, NEW, HEARD), 1)
    ]
    scores = rows.labelled(tables.SCORES, **dict.fromkeys((KNOWN, NEW, HEARD), "safe"))
    p = ours.Params.load("label_studio")
    receipt = push.push(ours.from_environment(), tasks, scores, p, classes=CLASSES)
    return dict(zip(receipt.sent["clip_id"], receipt.sent["task_id"], strict=True))


def stored(admin: httpx.Client, project: int, version: str) -> dict[int, tuple[str, float]]:
    """Return the predictions of a version on the server by task."""
    found = admin.get("/api/predictions/", params={"project": project}).json()
    return {
        one["task"]: (one["result"][0]["value"]["choices"][0], round(one["score"], 3))
        for one in found
        if one["model_version"] == version
    }


def test_predictions_are_stored_and_answers_come_home(
    label_studio: RealLabelStudio, project: Path, address: tuple[str, str]
) -> None:
    url, version = address
    tasks = do("hinted")
    with label_studio.client() as admin:
        number = ours.from_environment().project("served").id
        model = {"url": url, "project": number, "title": TITLE}
        refused = admin.post("/api/ml/", json=model)
        assert "authentication parameters were either not provided or are incorrect" in refused.text
        made = admin.post("/api/ml/", json=model | LOGIN).json()
        assert (made["readable_state"], made["model_version"]) == ("Connected", version)
        assert admin.get(f"/api/ml/{made['id']}/versions").json() == {"versions": [version]}

        # opening the next task asks for its prediction alone
        admin.patch(f"/api/projects/{number}/", json={"model_version": TITLE}).raise_for_status()
        opened = admin.get(f"/api/projects/{number}/next/").json()
        (shown,) = [one for one in opened["predictions"] if one["model_version"] == version]
        first = stored(admin, number, version)
        assert list(first) == [opened["id"]] == [shown["task"]]

        # all at once: what the model may have learnt from stays without
        every = {"selectedItems": {"all": True, "excluded": []}}
        asked = admin.post(f"/api/dm/actions?id=retrieve_tasks_predictions&project={number}", json=every)
        asked.raise_for_status()
        found = stored(admin, number, version)
        assert found == {tasks[KNOWN]: ("harmful", 0.8), tasks[NEW]: ("safe", 0.75)}
        do("hinted")
        assert ours.from_environment().project("served").model == TITLE

        # the webhook that Label Studio made with the model lacks the token
        (hook,) = admin.get("/api/webhooks/", params={"project": number}).json()
        assert hook["url"] == f"{url}/webhook"
        part = {"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": ["safe"]}}
        answer = {"result": [part], "lead_time": 2}
        admin.post(f"/api/tasks/{tasks[NEW]}/annotations/", json=answer).raise_for_status()
        wait(lambda: "401 for /webhook" in (project / "serve.log").read_text())
        assert not Path("data/reviews.csv").exists()
        headers = {"headers": {"Authorization": f"Bearer {TOKEN}"}}
        admin.patch(f"/api/webhooks/{hook['id']}/", json=headers).raise_for_status()
        admin.post(f"/api/tasks/{tasks[KNOWN]}/annotations/", json=answer).raise_for_status()
        wait(Path("data/reviews.csv").exists)
    reviews = tables.read(Path("data/reviews.csv"), tables.REVIEWS)
    assert sorted(zip(reviews["clip_id"], reviews["answer"], reviews["shown"], strict=True)) == [
        (KNOWN, "safe", "hinted"),
        (NEW, "safe", "hinted"),
    ]


def test_a_blind_project_cannot_be_connected(
    label_studio: RealLabelStudio, project: Path, address: tuple[str, str]
) -> None:
    params = Path("params.yaml").read_text()
    blind = params.replace("shown: hinted", "shown: blind").replace("project: served", "project: blind")
    Path("params.yaml").write_text(blind)
    do("blind")
    with label_studio.client() as admin:
        model = {"url": address[0], "project": ours.from_environment().project("blind").id, "title": TITLE}
        refused = admin.post("/api/ml/", json=model | LOGIN)
    assert refused.status_code == 400
    assert "409" in refused.text
    assert "409 for /setup: This project is blind" in (project / "serve.log").read_text()
