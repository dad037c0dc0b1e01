import base64
import json
import select
import socket
from pathlib import Path

import click
import pytest
import served
import soundfile
from fastapi.testclient import TestClient
from served import CLASSES, HEARD, KNOWN, NEW

from curation import page
from training import backend, live

TOKEN = "a-token-for-the-tests"  # noqa: S105 - no secret
BEARER = f"Bearer {TOKEN}"
HINTED, BLIND = page.config(CLASSES, hinted=True), page.config(CLASSES)
ASKED = [("GET", "/health"), ("GET", "/versions"), ("POST", "/setup"), ("POST", "/predict"), ("POST", "/webhook")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    served.write(root, rounds={"test": 0.25}, folds={KNOWN: -1, HEARD: 0})
    return root


@pytest.fixture(scope="module")
def model(project: Path) -> live.Live:
    return live.load(project / "models/lite_cnn", project / "data/predictions/lite_cnn.csv", project / "data/folds.csv")


@pytest.fixture
def hints() -> list[str]:
    return []


@pytest.fixture
def client(project: Path, model: live.Live, hints: list[str]) -> TestClient:
    app = backend.app(lambda: model, project / "data/clips", TOKEN, lambda: hints.append("hint"))
    return TestClient(app, headers={"Authorization": BEARER})


def task(clip_id: object, shown: object = "hinted") -> dict:
    return {"id": 1, "data": {"clip_id": clip_id, "shown": shown, "audio": "/x.wav"}, "annotations": [{"result": []}]}


def ask(client: TestClient, *tasks: dict, config: str = HINTED):
    body = {"tasks": list(tasks), "project": "1.2", "label_config": config, "params": {"context": None}}
    return client.post("/predict", json=body)


# what Label Studio asks


def test_it_answers_in_the_form_that_label_studio_reads(client: TestClient, model: live.Live) -> None:
    assert client.get("/health").json() == {"status": "UP"}
    assert client.get("/versions").json() == {"versions": [model.version]}
    setup = {"project": "1.2", "schema": HINTED, "hostname": "h", "access_token": "s", "extra_params": None}
    assert client.post("/setup", json=setup).json() == {"model_version": model.version}
    part = {"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": ["harmful"]}}
    assert ask(client, task(KNOWN)).json() == {
        "results": [{"model_version": model.version, "score": 0.8, "result": [part]}],
        "model_version": model.version,
    }


def test_a_new_clip_is_heard_by_the_model(client: TestClient) -> None:
    found = ask(client, task(NEW)).json()["results"][0]
    assert found["result"][0]["value"]["choices"] == ["safe"]
    assert found["score"] == pytest.approx(0.75)


def test_tasks_that_cannot_be_predicted_leave_the_others_in_their_places(client: TestClient, capsys) -> None:
    found = ask(client, task("0" * 16), task(KNOWN), task(HEARD), task(NEW), {"data": {"text": "other"}}).json()
    said = [one and one["result"][0]["value"]["choices"] for one in found["results"]]
    assert said == [[], ["harmful"], [], ["safe"], []]
    assert "3 of 5 tasks cannot be predicted" in capsys.readouterr().err


def test_of_equal_classes_the_first_by_name_is_the_guess(project: Path, model: live.Live) -> None:
    tied = live.Live(model.version, model.data, {KNOWN: {"safe": 0.5, "harmful": 0.5}}, {}, {}, model.mel)
    client = TestClient(backend.app(lambda: tied, project, TOKEN, print), headers={"Authorization": BEARER})
    assert ask(client, task(KNOWN)).json()["results"][0]["result"][0]["value"]["choices"] == ["harmful"]


# who may ask


@pytest.mark.parametrize(("method", "path"), ASKED)
@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Basic " + base64.b64encode(b"earmark:wrong").decode(),
        "Basic " + base64.b64encode(f"root:{TOKEN}".encode()).decode(),
        TOKEN,
    ],
)
def test_nothing_is_answered_without_the_token(client: TestClient, hints, method: str, path: str, given: str) -> None:
    reply = client.request(method, path, content=b"{", headers={"Authorization": given})
    assert (reply.status_code, reply.headers["www-authenticate"], hints) == (401, "Basic", [])
    assert "The token is missing or wrong" in reply.json()["detail"]


def test_the_token_comes_as_a_password_or_as_a_header(client: TestClient) -> None:
    del client.headers["Authorization"]
    assert client.get("/health", auth=("earmark", TOKEN)).status_code == 200
    assert client.get("/health", headers={"Authorization": BEARER}).status_code == 200
    assert client.get("/docs", headers={"Authorization": BEARER}).status_code == 404


def test_secrets_are_in_no_reply_and_in_no_log(client: TestClient, capsys) -> None:
    secret = "0123456789abcdef-of-the-owner"  # noqa: S105
    bodies = [{"schema": 1}, {"schema": BLIND}, {"schema": HINTED}, {"tasks": secret}, {"action": [secret]}]
    paths = ["/setup"] * 3 + ["/predict", "/webhook"]
    replies = [
        client.post(path, json=body | {"access_token": secret}).text for path, body in zip(paths, bodies, strict=True)
    ]
    replies.append(client.post("/setup", content=f'{{"access_token": "{secret}"').text)
    replies.append(client.get("/health", headers={"Authorization": f"Bearer {secret}"}).text)
    said = "".join([*replies, *capsys.readouterr()])
    assert said.count("serve: 4") == 6
    assert secret not in said
    assert TOKEN not in said


# what may not be asked


@pytest.mark.parametrize(
    "clip_id",
    [f"../{'d' * 16}", "../secret", "/etc/passwd", "A" * 16, "a" * 15, "a" * 17, f"{KNOWN}\n", "", None, 7, [KNOWN]],
)
def test_no_name_leads_out_of_the_folder_of_clips(client: TestClient, project: Path, clip_id: object) -> None:
    for outside in (project / "data" / f"{'d' * 16}.wav", project / "data" / "secret.wav"):
        soundfile.write(outside, [0.0] * served.RATE_HZ, served.RATE_HZ)
    reply = ask(client, task(clip_id))
    assert reply.status_code == 409
    assert "no name of a clip" in reply.json()["detail"]


def test_no_address_is_fetched(client: TestClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/x.wav"
        for clip_id in (KNOWN, NEW, url):
            ask(client, {"data": {"audio": url, "clip_id": clip_id, "shown": "hinted"}})
        assert select.select([listening], [], [], 0.1)[0] == []


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/predict", b"", "Invalid JSON"),
        ("/predict", b"{", "Invalid JSON"),
        ("/predict", b"\xff", "Invalid JSON"),
        ("/predict", b"[" * 100_000, "Invalid JSON"),
        ("/predict", b"[]", "should be an object"),
        ("/predict", b'{"tasks": [], "label_config": ""}', "tasks: List should have at least 1 item"),
        ("/predict", b'{"tasks": [{"data": 3}], "label_config": ""}', "tasks: 0: data: Input should be an object"),
        ("/predict", b'{"tasks": [{"data": {}}]}', "label_config: Field required"),
        ("/setup", b"{}", "schema: Field required"),
        ("/webhook", b"{}", "action: Field required"),
    ],
)
def test_a_malformed_body_is_refused_in_words(client: TestClient, path: str, body: bytes, words: str) -> None:
    reply = client.post(path, content=body)
    assert reply.status_code == 400
    assert words in reply.json()["detail"]
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook"])
def test_a_body_that_is_too_large_is_refused(client: TestClient, hints, monkeypatch, path: str) -> None:
    monkeypatch.setattr(backend, "MAX_BODY_MB", 1)
    hint = b'{"action": "ANNOTATION_CREATED"}'
    reply = client.post(path, content=(part for part in [b" " * 2**16] * 16 + [hint]))
    assert (reply.status_code, hints) == (413, [])
    assert "larger than 1 MB" in reply.json()["detail"]
    assert client.post("/webhook", content=b" " * 2**16 + hint).status_code == 200


def test_a_blind_project_gets_no_predictions(client: TestClient) -> None:
    for reply in (ask(client, task(KNOWN), config=BLIND), client.post("/setup", json={"schema": BLIND})):
        assert reply.status_code == 409
        assert "`label_studio.shown: hinted`" in reply.json()["detail"]


@pytest.mark.parametrize("shown", ["blind", None, ["hinted"]])
def test_a_task_whose_answer_would_be_stored_as_blind_gets_no_prediction(client: TestClient, shown: object) -> None:
    reply = ask(client, task(KNOWN, shown))
    assert reply.status_code == 409
    assert "would not be stored as hinted" in reply.json()["detail"]


@pytest.mark.parametrize("classes", [("dog", "cat"), ("harmful", "safe", "dog"), ("safe", "harmful")])
def test_a_project_with_other_classes_is_refused(client: TestClient, classes: tuple[str, ...]) -> None:
    config = page.config(classes, hinted=True)
    for reply in (ask(client, task(KNOWN), config=config), client.post("/setup", json={"schema": config})):
        assert reply.status_code == 409
        assert "classes ['harmful', 'safe'], which the model has learnt" in reply.json()["detail"]


def test_without_a_model_it_says_so_and_stays_up(project: Path, model: live.Live) -> None:
    gone = click.ClickException("models/lite_cnn/model.json does not exist.")
    found: list[live.Live] = []

    def current() -> live.Live:
        if not found:
            raise gone
        return found[0]

    app = backend.app(current, project / "data/clips", TOKEN, print)
    client = TestClient(app, headers={"Authorization": BEARER})
    for reply in (ask(client, task(KNOWN)), client.get("/versions"), client.post("/setup", json={"schema": HINTED})):
        assert (reply.status_code, reply.json()) == (409, {"detail": gone.message})
    found.append(model)
    assert ask(client, task(KNOWN)).status_code == 200


# webhooks


@pytest.mark.parametrize(
    "action", ["ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"]
)
def test_an_answer_on_the_server_is_a_hint(client: TestClient, hints: list[str], action: str) -> None:
    body = json.dumps({"action": action, "annotation": {"result": [{"value": {"choices": ["safe"]}}]}})
    assert client.post("/webhook", content=body).json() == {"pull": True}
    assert hints == ["hint"]


@pytest.mark.parametrize("action", ["TASKS_CREATED", "PROJECT_UPDATED", "", "x" * 10_000])
def test_what_is_no_answer_is_no_hint(client: TestClient, hints: list[str], action: str) -> None:
    assert client.post("/webhook", json={"action": action}).json() == {"pull": False}
    assert hints == []


def test_training_is_not_started_from_here(client: TestClient) -> None:
    reply = client.post("/webhook", json={"action": "START_TRAINING", "project": {"id": 1}})
    assert reply.status_code == 409
    assert "dvc repro" in reply.json()["detail"]
