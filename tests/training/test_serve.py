import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import rows
import served
import uvicorn
from click.testing import CliRunner
from fake_label_studio import KEY, URL, FakeLabelStudio
from fastapi.testclient import TestClient
from served import CLASSES, HEARD, KNOWN, NEW

import training
from curation import cli, files, label_studio, page, pull, push, tables
from training import backend, serve

TOKEN = "a-token-for-the-tests"  # noqa: S105 - no secret


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a hinted project with a trained model, and go there."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv(serve.TOKEN, raising=False)
    served.write(tmp_path, rounds={"test": 0.25}, folds={KNOWN: -1, HEARD: 0})
    Path("params.yaml").write_text(rows.PARAMS.read_text().replace("shown: blind", "shown: hinted"))
    return tmp_path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[uvicorn.Server]:
    """Return the servers that were started, filled as it goes; each ends at once, as by Ctrl-C."""
    started: list[uvicorn.Server] = []

    def run(self: uvicorn.Server, sockets: object) -> None:
        started.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", run)
    return started


def run(*options: str):
    return CliRunner().invoke(cli.main, ["serve", "--port", "0", *options], prog_name="earmark")


def until(holds: Callable[[], object]) -> None:
    for _ in range(500):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came about")


# the command


def test_it_serves_the_model_of_the_project(project: Path, ran: list[uvicorn.Server]) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    token = (project / "home/earmark/serve-token").read_text().strip()
    client = TestClient(ran[0].config.app, headers={"Authorization": f"Bearer {token}"})
    (version,) = client.get("/versions").json()["versions"]
    assert result.output.startswith(f"serve: {version} at http://127.0.0.1:")
    asked = {
        "tasks": [{"data": {"clip_id": NEW, "shown": "hinted"}}],
        "label_config": page.config(CLASSES, hinted=True),
    }
    assert client.post("/predict", json=asked).json()["results"][0]["score"] == pytest.approx(0.75)
    files.write_json({"lite_cnn": {"temperature": 2.0}}, project / "reports/metrics.json")
    evens = 3**0.5  # the odds of 3 to 1, by a temperature of 2
    found = client.post("/predict", json=asked).json()["results"][0]["score"]
    assert found == pytest.approx(evens / (1 + evens))


@pytest.mark.usefixtures("project")
def test_a_blind_project_is_refused_before_anything_is_read(ran: list[uvicorn.Server]) -> None:
    shutil.copy(rows.PARAMS, "params.yaml")
    shutil.rmtree("models")
    result = run()
    assert (result.exit_code, ran) == (1, [])
    assert "`label_studio.shown` in params.yaml is `blind`" in result.output


@pytest.mark.usefixtures("project")
def test_a_model_that_was_not_trained_is_refused(ran: list[uvicorn.Server]) -> None:
    result = run("--model", "wav2vec2")
    assert (result.exit_code, ran) == (1, [])
    assert "Error: models/wav2vec2/model.json does not exist. `dvc repro train` makes it" in result.output


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_without_the_extra_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in ("serve", "backend"):
        monkeypatch.delitem(sys.modules, f"training.{name}")
        monkeypatch.delattr(training, name)
    monkeypatch.setitem(sys.modules, missing, None)
    result = run()
    assert result.exit_code == 1
    said = f"`earmark serve` needs {missing}, which is not installed: `pip install -e '.[serve]'` in this folder."
    assert result.output == f"Error: {said}\n"


# the token


@pytest.mark.usefixtures("ran")
def test_a_token_is_made_once_for_its_owner_only_and_is_not_shown(project: Path) -> None:
    said = run().output + run().output
    path = project / "home/earmark/serve-token"
    token = path.read_text().strip()
    assert len(token) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert said.count(str(path)) == 2
    assert token not in said


def test_the_token_of_the_environment_comes_first(project: Path, ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(serve.TOKEN, TOKEN)
    said = run().output
    assert not (project / "home").exists()
    assert TestClient(ran[0].config.app).get("/health", auth=(backend.USER, TOKEN)).status_code == 200
    assert f"password in {serve.TOKEN}" in said
    assert TOKEN not in said


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("token", ["short", "with spaces in between", "täglich-sechzehn-zeichen", " " * 20])
def test_a_token_that_is_weak_or_no_header_is_refused(ran, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv(serve.TOKEN, token)
    result = run()
    assert (result.exit_code, ran) == (1, [])
    assert f"Error: {serve.TOKEN}: a token has 16 or more" in result.output


# where it listens


def test_other_machines_are_let_in_with_a_warning_only(capsys: pytest.CaptureFixture[str]) -> None:
    serve.listen("127.0.0.1", 0).close()
    assert capsys.readouterr().err == ""
    serve.listen("0.0.0.0", 0).close()  # noqa: S104 - that is the question
    assert "other machines reach this" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named() -> None:
    with serve.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            click.ClickException, match=rf"127.0.0.1, port {port}: cannot be listened at \(Address alrea"
        ):
            serve.listen("127.0.0.1", port)


# pulls


def test_many_hints_lead_to_few_pulls_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "QUIET_S", 0.05)
    running, most, pulls = 0, 0, 0
    go_on = threading.Event()

    def pull_once() -> str:
        nonlocal running, most, pulls
        running += 1
        most = max(most, running)
        go_on.wait(5)
        pulls += 1
        running -= 1
        return "done"

    puller = serve.Puller(pull_once)
    for _ in range(20):
        puller.hint()
    until(lambda: running)
    for _ in range(20):
        puller.hint()
    go_on.set()
    until(lambda: pulls == 2)
    time.sleep(0.2)
    assert (pulls, most) == (2, 1)


def test_a_pull_that_fails_is_told_and_the_next_hint_is_heard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "QUIET_S", 0)
    faults: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda fault: faults.append(str(fault.exc_value)))
    outcomes = [click.ClickException("the server is down"), OSError("no disk"), RuntimeError("a fault of ours")]
    done = []

    def pull_once() -> str:
        if outcomes:
            raise outcomes.pop(0)
        done.append(1)
        return "1 new"

    puller = serve.Puller(pull_once)
    for left in (2, 1, 0):
        puller.hint()
        until(lambda left=left: len(outcomes) == left)
        time.sleep(0.05)
    puller.hint()
    until(lambda: done)
    said = capsys.readouterr().err
    assert "serve: not pulled: the server is down\n" in said
    assert "serve: not pulled: no disk\n" in said
    assert faults == ["a fault of ours"]


LIE = {
    "action": "ANNOTATION_CREATED",
    "annotation": {"id": 1, "completed_by": 9, "result": [{"value": {"choices": ["harmful"]}}]},
    "task": {"id": 1, "data": {"clip_id": KNOWN}},
}


@pytest.fixture
def hook(project: Path, ran: list[uvicorn.Server], monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Return what sends a webhook that lies to the running command."""
    monkeypatch.setenv(serve.TOKEN, TOKEN)
    monkeypatch.setattr(serve, "QUIET_S", 0)
    run()
    client = TestClient(ran[0].config.app, headers={"Authorization": f"Bearer {TOKEN}"})
    return lambda: client.post("/webhook", json=LIE).raise_for_status()


def test_a_webhook_brings_what_the_server_says_and_nothing_of_its_own(hook, monkeypatch) -> None:
    fake = FakeLabelStudio()
    server = label_studio.connect(URL, KEY, transport=fake.transport)
    p = label_studio.Params.load("label_studio")
    tasks = [{"data": {"audio": f"/{one}.wav", "clip_id": one, "rank": 1, "shown": "hinted"}} for one in (KNOWN, NEW)]
    push.push(server, tasks, tables.SCORES.empty(), p, classes=CLASSES)
    monkeypatch.setattr(pull, "from_environment", lambda: server)
    hook()
    until(Path("data/reviews.csv").exists)
    assert len(tables.read(Path("data/reviews.csv"), tables.REVIEWS)) == 0
    fake.annotate(2, 3, [{"from_name": "label", "value": {"choices": ["safe"]}}])
    hook()
    until(lambda: len(tables.read(Path("data/reviews.csv"), tables.REVIEWS)))
    found = tables.read(Path("data/reviews.csv"), tables.REVIEWS)
    assert found[["clip_id", "annotator", "answer", "shown"]].to_numpy().tolist() == [[NEW, "user-3", "safe", "hinted"]]


def test_without_a_server_a_webhook_leads_to_a_line(hook, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pull, "from_environment", lambda: None)
    said = []
    hook()
    until(lambda: said.append(capsys.readouterr().err) or "not pulled: No server" in "".join(said))
    assert not Path("data/reviews.csv").exists()


def test_while_another_earmark_is_at_work_nothing_is_written(hook, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    with files.locked(Path("data/reviews.csv")):
        hook()
        until(lambda: said.append(capsys.readouterr().err) or "not pulled: Another earmark is at work" in "".join(said))
    assert not Path("data/reviews.csv").exists()
