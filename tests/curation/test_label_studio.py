import base64
import json
import time
from datetime import UTC, datetime

import click
import httpx
import pytest
from fake_label_studio import KEY, URL, FakeLabelStudio

from curation import connection, label_studio

PROJECT = label_studio.Project(1, "", "", "", hinted=False, instructions="", people=1)
HTML = "<html><body>502 Bad Gateway</body></html>"


def refusing(status: int, **reply: object) -> label_studio.Server:
    return label_studio.connect(
        URL, KEY, transport=httpx.MockTransport(lambda request: httpx.Response(status, **reply))
    )


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_AGAIN", 0)


@pytest.mark.parametrize(
    ("status", "reply", "message"),
    [
        (401, {"json": {"detail": "Invalid token."}}, "with 401: Invalid token. The key is wrong, expired or"),
        (403, {"json": {"detail": "no"}}, "with 403: no. The owner of LABEL_STUDIO_API_KEY may not"),
        (404, {"text": "<html>"}, "with 404: no JSON. The project may be gone, or LABEL_STUDIO_URL"),
        (429, {"json": {}}, "with 429: .* run the same command again later"),
        (500, {"json": {"detail": "boom"}}, "with 500: boom. Look at the log"),
        (502, {"text": HTML}, "with 502: no JSON. Look at the log"),
        (200, {"text": '{"results": ['}, "with 200: no JSON"),
        (200, {"text": HTML}, "with 200: no JSON"),
        (200, {"json": []}, "with 200: a list where a dict belongs"),
        (200, {"json": {}}, "has no list of `results`"),
        (200, {"json": {"results": [3]}}, "has no list of `results`"),
        (200, {"json": {"results": [{"title": "earmark"}]}}, "'None' where a number belongs"),
        (
            200,
            {"json": {"results": [{"title": "earmark", "id": 1, "task_number": 1}] * 2}},
            "has 2 projects called 'earmark'",
        ),
    ],
)
def test_whatever_the_server_answers_is_a_refusal_in_words(status: int, reply: dict, message: str) -> None:
    with pytest.raises(connection.Refused, match=message):
        refusing(status, **reply).project("earmark")


@pytest.mark.parametrize(
    ("status", "reply", "message"),
    [
        (
            401,
            {"json": {"detail": "Invalid token."}},
            "answers GET api/version with 401: Invalid token. The key is wrong",
        ),
        (503, {"text": HTML}, "answers GET api/version with 503: no JSON. Look at the log"),
        (200, {"json": {}, "headers": {"date": "today"}}, "does not say what time it is"),
    ],
)
def test_no_time_is_taken_from_a_refusal(status: int, reply: dict, message: str) -> None:
    headers = {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    with pytest.raises(connection.Refused, match=message):
        refusing(status, **{"headers": headers, **reply}).clock()
    assert refusing(200, json={}, headers=headers).clock() == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("status", [401, 429, 500])
def test_the_key_is_in_no_message(status: int) -> None:
    with pytest.raises(connection.Refused, match=r"\*\*\*") as caught:
        refusing(status, json={"detail": f"you sent {KEY}\x1b[31m\n"}).project("earmark")
    assert KEY not in str(caught.value)
    assert caught.value.message.isprintable()


def test_a_server_that_is_down_is_named_and_reads_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_AGAIN", 1)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    asked = []

    def down(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ConnectError("Connection refused")

    server = label_studio.connect(URL, KEY, transport=httpx.MockTransport(down))
    with pytest.raises(connection.Refused, match=r"does not answer \(ConnectError: Connection refused\). Nothing is"):
        server.project("earmark")
    assert len(asked) == 2


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_writes_are_never_sent_again(status: int) -> None:
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json={"detail": "no"})

    server = label_studio.connect(URL, KEY, transport=httpx.MockTransport(refuse))
    with pytest.raises(connection.Refused):
        server.create_project("earmark", "<View/>", hinted=False)
    assert len(asked) == 1


def token(expires: float) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"token_type": "refresh", "exp": expires})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def test_an_expired_token_is_said_at_once() -> None:
    with pytest.raises(connection.Refused, match="401: API key has expired"):
        label_studio.connect(URL, token(time.time() - 1))


@pytest.mark.parametrize(
    "reply", [httpx.Response(401, json={"detail": "Token is invalid"}), httpx.Response(502, text=HTML)]
)
def test_a_token_that_cannot_be_renewed_is_a_refusal(reply: httpx.Response) -> None:
    mine = token(time.time() + 1000)
    server = label_studio.connect(URL, mine, transport=httpx.MockTransport(lambda request: reply))
    with pytest.raises(connection.Refused, match="answers GET api/projects/ with 401") as caught:
        server.project("earmark")
    assert mine not in str(caught.value)
    with pytest.raises(connection.Refused, match=r"answers GET of a clip with 401.* The key is wrong") as caught:
        server.ask_audio("/a.wav")
    assert mine not in str(caught.value)


def test_a_listing_that_does_not_move_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_studio, "PAGE", 1)
    server = refusing(200, json={"tasks": [{"id": 1, "created_at": "2026-01-01"}]})
    with pytest.raises(connection.Refused, match="does not list its tasks in order"):
        server.tasks(PROJECT)


def test_a_project_is_found_among_many_whose_title_holds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_studio, "PROJECTS", 2)
    fake = FakeLabelStudio()
    server = label_studio.connect(URL, KEY, transport=fake.transport)
    mine = server.create_project("earmark", "<View/>", hinted=False)
    for number in range(4):
        server.create_project(f"earmark {number}", "<View/>", hinted=False)
    assert server.project("earmark") == mine
    assert server.project("earmark 7") is None


def test_of_projects_with_the_same_title_the_one_with_tasks_counts() -> None:
    fake = FakeLabelStudio()
    server = label_studio.connect(URL, KEY, transport=fake.transport)
    first, second = (server.create_project("earmark", "<View/>", hinted=False) for _ in range(2))
    assert server.project("earmark") == first
    server.create_tasks(second, [{"data": {}, "predictions": []}])
    assert server.project("earmark") == second


def test_what_is_not_known_about_a_task_counts_as_touched() -> None:
    task = {"id": 1, "created_at": "2026-01-01"}
    for known in ({}, {"total_annotations": 0, "cancelled_annotations": 0}):
        assert refusing(200, json={"tasks": [task | known]}).tasks(PROJECT)[0].touched
    clear = {"total_annotations": 0, "cancelled_annotations": 0, "draft_exists": False}
    assert not refusing(200, json={"tasks": [task | clear]}).tasks(PROJECT)[0].touched


def test_a_task_that_does_not_say_when_it_was_made_is_refused() -> None:
    with pytest.raises(connection.Refused, match="has a task without a time: 'None' is no time"):
        refusing(200, json={"tasks": [{"id": 1}]}).tasks(PROJECT)


def test_predictions_that_the_server_drops_are_noticed() -> None:
    with pytest.raises(connection.Refused, match="took 0 of 1 predictions"):
        refusing(201, json={"created": 0}).predict(PROJECT, [{}])


def test_an_empty_withdrawal_asks_for_nothing() -> None:
    fake = FakeLabelStudio()
    label_studio.connect(URL, KEY, transport=fake.transport).withdraw(PROJECT, [])
    assert fake.asked == []


def test_the_key_goes_to_no_other_host() -> None:
    seen = []

    def look(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, "authorization" in request.headers))
        return httpx.Response(206)

    server = label_studio.connect(f"{URL}/sub", KEY, transport=httpx.MockTransport(look))
    for address in ("clips/a.wav", "https://elsewhere.test/a.wav", "//elsewhere.test/a.wav", f"{URL}.evil.test/a.wav"):
        server.ask_audio(address)
    assert seen == [("labels.test", True), *[("elsewhere.test", False)] * 2, ("labels.test.evil.test", False)]


@pytest.mark.parametrize("url", ["labels.example.org", "ftp://x", "http://", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(click.ClickException, match="LABEL_STUDIO_URL must be like https://"):
        label_studio.connect(url, KEY)


def test_the_environment_names_the_server_wholly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    assert label_studio.from_environment() is None
    monkeypatch.setenv("LABEL_STUDIO_URL", URL)
    with pytest.raises(click.ClickException, match="LABEL_STUDIO_API_KEY is not set"):
        label_studio.from_environment()
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    assert label_studio.from_environment().url == f"{URL}/"
